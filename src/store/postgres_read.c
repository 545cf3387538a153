/*
 * Reads of the PostgreSQL engine: each borrows a connection, asks the best host (one of our own
 * site, the primary, or else a standby),
 * and goes on to the next host when one does not answer. What is shown is never behind what this
 * node has confirmed, and never something that a failover could still take away.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/postgres_engine.h"

/* Records of the first page of a list; later pages hold about so many bytes. */
#define FIRST_PAGE 32
#define PAGE_MOST  1024
#define PAGE_BYTES ((size_t)4 << 20)
/* Between two rounds over the hosts, unless there is news of them. */
#define PAUSE_MS 50

void hf_pg_readers_init(struct hf_pg_readers *readers)
{
    hf_assert(pthread_mutex_init(&readers->lock, NULL) == 0);
    hf_wait_init(&readers->returned);
    for (size_t i = 0; i < HF_COUNT(readers->links); i++) {
        readers->free[readers->free_count++] = &readers->links[i];
    }
}

void hf_pg_readers_done(struct hf_pg_readers *readers)
{
    hf_assert(pthread_cond_destroy(&readers->returned) == 0);
    hf_assert(pthread_mutex_destroy(&readers->lock) == 0);
}

void hf_pg_readers_close(struct hf_pg_readers *readers)
{
    for (size_t i = 0; i < HF_COUNT(readers->links); i++) {
        hf_pg_disconnect(&readers->links[i]);
    }
}

/* The one given back last: it is the most likely to be connected. */
static struct hf_status borrow(struct hf_pg_readers *readers, struct hf_op *op,
                               struct hf_pg_link **out)
{
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&readers->lock);
    while (readers->free_count == 0 && status.code == HF_OK) {
        hf_wait_for(op, &readers->returned, &readers->lock);
        /* One who was woken takes it even if late, or the wake-up would be lost to the others. */
        if (readers->free_count == 0) {
            status = hf_op_check_deadline(op);
        }
    }
    if (status.code == HF_OK) {
        *out = readers->free[--readers->free_count];
    }
    pthread_mutex_unlock(&readers->lock);
    return status;
}

static void give_back(struct hf_pg_readers *readers, struct hf_pg_link *link)
{
    pthread_mutex_lock(&readers->lock);
    readers->free[readers->free_count++] = link;
    pthread_cond_signal(&readers->returned);
    pthread_mutex_unlock(&readers->lock);
}

/* A free link that is connected there is better than connecting the one we have anew. */
static void exchange_link(struct hf_pg_reading *reading, size_t host)
{
    struct hf_pg_readers *readers = &reading->engine->readers;

    pthread_mutex_lock(&readers->lock);
    for (size_t i = 0; i < readers->free_count; i++) {
        struct hf_pg_link *other = readers->free[i];

        if (other->db != NULL && other->host == host) {
            readers->free[i] = reading->link;
            reading->link = other;
            break;
        }
    }
    pthread_mutex_unlock(&readers->lock);
}

static struct hf_status connect_to(struct hf_pg_reading *reading, size_t host)
{
    struct hf_pg_link *link = reading->link;

    if (link->db == NULL || link->host != host) {
        exchange_link(reading, host);
        link = reading->link;
    }
    if (link->db != NULL && link->host == host && hf_pg_is_current(reading->engine, link)) {
        return HF_SUCCESS;
    }
    return hf_pg_connect(reading->engine, reading->op, &reading->limit, host, 0,
                         HF_PG_READER_STATEMENTS, link);
}

/* Would the same call end otherwise elsewhere, or later? */
static bool may_go_on(const struct hf_pg_reading *reading)
{
    const struct hf_pg_link *link = reading->link;

    if (reading->shown) {
        return false;
    }
    return reading->again || link->failure == HF_PG_LOST || link->failure == HF_PG_LATE ||
           (link->failure == HF_PG_REFUSED &&
            hf_pg_class_of(link->sqlstate) != HF_PG_CLASS_DEFINITE);
}

static struct hf_status try_host(struct hf_pg_reading *reading, size_t host, hf_pg_read_call call,
                                 void *context, bool *out_go_on)
{
    struct hf_status status;

    reading->again = false;
    status = connect_to(reading, host);
    if (status.code != HF_OK) {
        *out_go_on = true;
        return status;
    }
    reading->link->failure = HF_PG_FINE;
    status = call(reading, context);
    /* A host that was left behind meanwhile may have shown what never was. */
    if (status.code == HF_OK && !reading->shown &&
        !hf_pg_is_current(reading->engine, reading->link)) {
        hf_pg_disconnect(reading->link);
        reading->again = true;
        status = hf_fail(reading->op, HF_UNAVAILABLE, "the database host was replaced meanwhile");
    }
    *out_go_on = status.code != HF_OK && may_go_on(reading);
    return status;
}

static struct hf_status no_host(struct hf_pg_reading *reading)
{
    size_t host;

    HF_TRY(hf_pg_primary(reading->engine, reading->op, &host));
    return hf_fail(reading->op, HF_UNAVAILABLE, "no database host answers");
}

/* The reason of the last try is a better text than that the time is over, so it is kept. */
static bool is_over(struct hf_pg_reading *reading)
{
    struct hf_op kept = *reading->op;
    bool over = hf_pg_limit_check(&reading->limit, reading->op).code != HF_OK;

    *reading->op = kept;
    return over;
}

/* Host after host, and round after round, until the time is over. */
static struct hf_status read_somewhere(struct hf_pg_reading *reading, hf_pg_read_call call,
                                       void *context)
{
    struct hf_pg_engine *engine = reading->engine;
    uint32_t tried = 0;
    bool go_on = true;
    struct hf_status status = HF_SUCCESS;

    while (go_on) {
        size_t host = 0;

        if (hf_pg_reader_host(engine, tried, reading->newest, &host)) {
            tried |= 1U << host;
            status = try_host(reading, host, call, context, &go_on);
        } else {
            if (tried == 0) {
                status = no_host(reading);
            }
            tried = 0;
            hf_pg_watcher_wake(engine);
            hf_pg_await_news(engine, PAUSE_MS);
        }
        go_on = go_on && !is_over(reading);
    }
    return status;
}

static struct hf_status read_from(struct hf_pg_engine *engine, struct hf_op *op, bool newest,
                                  hf_pg_read_call call, void *context)
{
    struct hf_pg_reading reading = {
        .engine = engine,
        .op = op,
        .newest = newest,
        .limit = { .op = op, .quiet_ms = HF_PG_READ_MS, .stop = &engine->stop },
        .confirmed = atomic_load(&engine->confirmed),
    };
    struct hf_status status;

    if (op->deadline_ms == 0) {
        reading.limit.until_ms = hf_pg_now_ms() + HF_PG_PATIENCE_MS;
    }
    HF_TRY(borrow(&engine->readers, op, &reading.link));
    status = read_somewhere(&reading, call, context);
    give_back(&engine->readers, reading.link);
    return status;
}

struct hf_status hf_pg_read(struct hf_pg_engine *engine, struct hf_op *op, hf_pg_read_call call,
                            void *context)
{
    return read_from(engine, op, false, call, context);
}

struct hf_status hf_pg_read_newest(struct hf_pg_engine *engine, struct hf_op *op,
                                   hf_pg_read_call call, void *context)
{
    return read_from(engine, op, true, call, context);
}

void hf_pg_note_shown(struct hf_pg_reading *reading)
{
    reading->shown = true;
    reading->limit.until_ms = 0;
}

/* A barrier on the same timeline makes durable what was read from its primary. */
static struct hf_status prove(struct hf_pg_reading *reading)
{
    uint64_t seq = 0;
    uint64_t timeline = 0;
    struct hf_status status = hf_pg_barrier_on(reading->engine, reading->op, &seq, &timeline);

    if (status.code != HF_OK) {
        return hf_fail(reading->op, HF_UNAVAILABLE,
                       "what was read is not confirmed to be durable yet: %.200s",
                       reading->op->text);
    }
    if (!reading->link->role.primary || reading->link->role.timeline != timeline) {
        reading->again = true;
        return hf_fail(reading->op, HF_UNAVAILABLE, "what was read has to be read again");
    }
    return HF_SUCCESS;
}

/* Only the primary has everything that was confirmed; others may get it later. */
static struct hf_status fail_behind(struct hf_pg_reading *reading, uint64_t stands)
{
    const struct hf_pg_link *link = reading->link;

    if (link->role.primary && hf_pg_is_current(reading->engine, link)) {
        return hf_pg_fail_went_back(reading->op, stands, reading->confirmed);
    }
    reading->again = true;
    return hf_fail(reading->op, HF_UNAVAILABLE,
                   "database host %.100s is behind: it shows commit %" PRIu64
                   ", and commit %" PRIu64 " is confirmed",
                   reading->engine->hosts[link->host].name, stands, reading->confirmed);
}

struct hf_status hf_pg_check_stand(struct hf_pg_reading *reading, uint64_t stands,
                                   uint64_t watermark, uint64_t needed)
{
    if (stands > HF_PG_COUNTER_MOST) {
        return hf_fail(reading->op, HF_CORRUPT,
                       "the database has a counter that cannot be; restore a backup");
    }
    if (stands < reading->confirmed) {
        return fail_behind(reading, stands);
    }
    if (watermark <= stands) {
        hf_pg_confirm(reading->engine, watermark);
    }
    return needed <= atomic_load(&reading->engine->confirmed) ? HF_SUCCESS : prove(reading);
}

struct hf_status hf_pg_begin_reading(struct hf_pg_reading *reading, PGresult **out_state)
{
    PGresult *results[2];

    hf_pg_send(reading->link, HF_PG_READ_BEGIN, NULL);
    hf_pg_send(reading->link, HF_PG_STATE, NULL);
    HF_TRY(hf_pg_exchange(reading->link, reading->op, &reading->limit, results, 2));
    PQclear(results[0]);
    *out_state = results[1];
    return HF_SUCCESS;
}

void hf_pg_end_reading(struct hf_pg_reading *reading)
{
    enum hf_pg_failure failure = reading->link->failure;
    struct hf_op kept = *reading->op;

    hf_pg_roll_back(reading->link, &reading->limit);
    reading->link->failure = failure;
    /* At the deadline the rollback fails too, and the reason of the read is the better text. */
    *reading->op = kept;
}

/* --- state --- */

struct state_call {
    struct hf_store_state *out;
    struct hf_buf *out_head;
};

struct hf_status hf_pg_take_state(struct hf_pg_reading *reading, const PGresult *row,
                                  struct hf_store_state *out, struct hf_buf *out_head)
{
    struct hf_store_state state;

    if (PQntuples(row) != 1) {
        return hf_fail(reading->op, HF_CORRUPT, "the database has no state of the store");
    }
    HF_TRY(hf_pg_exact(reading->op, row, 0, 0, state.store_id, HF_STORE_ID_LEN));
    HF_TRY(hf_pg_counter(reading->op, row, 0, 1, &state.seq));
    HF_TRY(hf_pg_counter(reading->op, row, 0, 2, &state.epoch));
    HF_TRY(hf_pg_counter(reading->op, row, 0, 4, &state.oldest_seq));
    HF_TRY(hf_pg_check_stand(reading, state.seq, hf_pg_u64(row, 0, 5), state.seq));
    *out = state;
    if (out_head != NULL) {
        hf_buf_clear(out_head);
        hf_buf_add_bytes(out_head, hf_pg_bytes(row, 0, 3));
    }
    return HF_SUCCESS;
}

static struct hf_status read_state(struct hf_pg_reading *reading, void *context)
{
    const struct state_call *call = context;
    PGresult *row = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_STATE, NULL, &row));
    status = hf_pg_take_state(reading, row, call->out, call->out_head);
    PQclear(row);
    return status;
}

struct hf_status hf_pg_state(struct hf_engine *engine, struct hf_op *op, struct hf_store_state *out,
                             struct hf_buf *out_head)
{
    struct state_call call = { out, out_head };

    return hf_pg_read(hf_pg_of(engine), op, read_state, &call);
}

/* --- get --- */

struct get_call {
    const char *path;
    struct hf_record *record;
};

static struct hf_status take_record(struct hf_pg_reading *reading, const PGresult *row,
                                    struct get_call *call)
{
    bool found;
    uint64_t seq;

    if (PQntuples(row) != 1) {
        return hf_fail(reading->op, HF_CORRUPT, "the database has no state of the store");
    }
    found = PQgetisnull(row, 0, 2) == 0;
    seq = hf_pg_u64(row, 0, 3);
    HF_TRY(hf_pg_check_stand(reading, hf_pg_u64(row, 0, 0), hf_pg_u64(row, 0, 1), seq));
    if (!found) {
        return hf_fail(reading->op, HF_NOT_FOUND, "there is no record %.200s", call->path);
    }
    hf_record_free(call->record);
    call->record = hf_alloc(sizeof *call->record);
    call->record->path = hf_strdup(call->path);
    call->record->revision = hf_pg_u64(row, 0, 2);
    call->record->seq = seq;
    hf_buf_add_bytes(&call->record->body, hf_pg_bytes(row, 0, 4));
    return HF_SUCCESS;
}

static struct hf_status read_record(struct hf_pg_reading *reading, void *context)
{
    struct get_call *call = context;
    struct hf_pg_params params = { 0 };
    PGresult *row = NULL;
    struct hf_status status;

    hf_pg_param_bytes(&params, hf_bytes_of_text(call->path));
    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_GET, &params, &row));
    status = take_record(reading, row, call);
    PQclear(row);
    return status;
}

struct hf_status hf_pg_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                           struct hf_record **out)
{
    struct get_call call = { .path = path };
    struct hf_status status = hf_pg_read(hf_pg_of(engine), op, read_record, &call);

    if (status.code != HF_OK) {
        hf_record_free(call.record);
        return status;
    }
    *out = call.record;
    return HF_SUCCESS;
}

/* --- list --- */

struct list_call {
    const char *prefix;
    const char *after;
    hf_record_visitor visit;
    void *visitor;
    struct hf_buf last; /* the path to go on after; empty: from the prefix */
    size_t page;        /* records to ask for */
    bool ended;
};

/* Shows one row; the path is made a text, since a value has no terminator that counts. */
static struct hf_status show_record(struct hf_pg_reading *reading, struct list_call *call,
                                    const PGresult *rows, int at)
{
    struct hf_bytes path = hf_pg_bytes(rows, at, 0);
    struct hf_record_view view = { .revision = hf_pg_u64(rows, at, 1),
                                   .seq = hf_pg_u64(rows, at, 2),
                                   .body = hf_pg_bytes(rows, at, 3) };

    hf_buf_clear(&call->last);
    hf_buf_add_bytes(&call->last, path);
    view.path = hf_buf_text(&call->last);
    if (path.len == 0 || view.revision == 0 || view.seq == 0) {
        return hf_fail(reading->op, HF_CORRUPT, "the database has a broken record near %.200s",
                       view.path);
    }
    if (strncmp(view.path, call->prefix, strlen(call->prefix)) != 0) {
        call->ended = true;
        return HF_SUCCESS;
    }
    hf_pg_note_shown(reading);
    return call->visit(call->visitor, &view);
}

static void choose_page(struct list_call *call, const PGresult *rows)
{
    size_t bytes = 1;

    for (int at = 0; at < PQntuples(rows); at++) {
        bytes += (size_t)PQgetlength(rows, at, 3);
    }
    call->page = PAGE_BYTES / (bytes / call->page + 1);
    call->page = call->page > PAGE_MOST ? PAGE_MOST : call->page;
    call->page += call->page == 0;
}

static struct hf_status show_page(struct hf_pg_reading *reading, struct list_call *call,
                                  const PGresult *rows)
{
    for (int at = 0; at < PQntuples(rows) && !call->ended; at++) {
        HF_TRY(show_record(reading, call, rows, at));
    }
    if ((size_t)PQntuples(rows) < call->page) {
        call->ended = true;
    } else {
        choose_page(call, rows);
    }
    return hf_op_check_deadline(reading->op);
}

static struct hf_status list_page(struct hf_pg_reading *reading, struct list_call *call)
{
    bool skip = call->after != NULL && strcmp(call->after, call->prefix) >= 0;
    enum hf_pg_statement which = skip ? HF_PG_LIST_AFTER : HF_PG_LIST_FROM;
    struct hf_bytes from = hf_bytes_of_text(skip ? call->after : call->prefix);
    struct hf_pg_params params = { 0 };
    PGresult *rows = NULL;
    struct hf_status status;

    if (call->last.len > 0) {
        which = HF_PG_LIST_AFTER;
        from = hf_buf_bytes(&call->last);
    }
    hf_pg_param_bytes(&params, from);
    hf_pg_param_u64(&params, call->page);
    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, which, &params, &rows));
    status = show_page(reading, call, rows);
    PQclear(rows);
    return status;
}

static struct hf_status list_pages(struct hf_pg_reading *reading, struct list_call *call)
{
    PGresult *state = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_begin_reading(reading, &state));
    status = hf_pg_check_stand(reading, hf_pg_u64(state, 0, 1), hf_pg_u64(state, 0, 5),
                               hf_pg_u64(state, 0, 1));
    PQclear(state);
    HF_TRY(status);
    hf_buf_clear(&call->last);
    call->page = FIRST_PAGE;
    call->ended = false;
    while (!call->ended) {
        HF_TRY(list_page(reading, call));
    }
    return HF_SUCCESS;
}

static struct hf_status read_list(struct hf_pg_reading *reading, void *context)
{
    struct hf_status status = list_pages(reading, context);

    hf_pg_end_reading(reading);
    return status;
}

struct hf_status hf_pg_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                            const char *after, hf_record_visitor visit, void *context)
{
    struct list_call call = {
        .prefix = prefix, .after = after, .visit = visit, .visitor = context
    };
    struct hf_status status = hf_pg_read(hf_pg_of(engine), op, read_list, &call);

    hf_buf_done(&call.last);
    return status;
}
