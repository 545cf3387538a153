/* The change log and the remembered requests of the PostgreSQL engine. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"

/* Batches, and requests, of one page. Who follows waits only shortly for the log to begin: the
 * first page is the batch that a copy has already, and the next one. */
#define FIRST_PAGE 2
#define PAGE       64
#define LOOK       256

struct log_call {
    uint64_t from;
    size_t left; /* batches to show at most */
    hf_log_visitor visit;
    void *visitor;
    struct hf_store_state end; /* where the log ends */
    struct hf_buf head;
};

/* One page of the log: batches, and the changes of all of them. */
struct page {
    PGresult *batches;
    PGresult *changes;
    int next; /* row of changes */
};

static struct hf_status take_change(struct hf_op *op, const PGresult *rows, int at, char **out_path,
                                    struct hf_logged_change *out)
{
    struct hf_bytes path = hf_pg_bytes(rows, at, 1);

    if (PQgetlength(rows, at, 3) != HF_DIGEST_LEN || PQgetlength(rows, at, 4) != HF_DIGEST_LEN) {
        return hf_fail(op, HF_CORRUPT, "the database has a broken change in batch %" PRIu64,
                       hf_pg_u64(rows, at, 0));
    }
    *out_path = hf_strndup((const char *)path.data, path.len);
    *out = (struct hf_logged_change){ .path = *out_path,
                                      .revision = hf_pg_u64(rows, at, 2),
                                      .digest = hf_pg_bytes(rows, at, 3).data,
                                      .link = hf_pg_bytes(rows, at, 4).data,
                                      .body = hf_pg_bytes(rows, at, 5) };
    return HF_SUCCESS;
}

/* The row but for its changes; principal keeps the text. */
static struct hf_status take_batch(struct hf_op *op, const PGresult *rows, int at,
                                   struct hf_buf *principal, struct hf_logged_batch *out)
{
    *out = (struct hf_logged_batch){ .seq = hf_pg_u64(rows, at, 0),
                                     .epoch = hf_pg_u64(rows, at, 1),
                                     .realtime_ms = hf_pg_u64(rows, at, 2),
                                     .note = hf_pg_bytes(rows, at, 3),
                                     .digest = hf_pg_bytes(rows, at, 6).data,
                                     .result = hf_pg_bytes(rows, at, 7) };
    HF_TRY(hf_pg_exact(op, rows, at, 4, out->request_id.bytes, HF_REQUEST_ID_LEN));
    if (PQgetlength(rows, at, 6) != HF_DIGEST_LEN) {
        return hf_fail(op, HF_CORRUPT, "the database has a broken batch %" PRIu64, out->seq);
    }
    hf_buf_add_bytes(principal, hf_pg_bytes(rows, at, 5));
    out->principal = hf_buf_text(principal);
    return HF_SUCCESS;
}

static size_t count_changes(const struct page *page, uint64_t seq)
{
    int at = page->next;

    while (at < PQntuples(page->changes) && hf_pg_u64(page->changes, at, 0) == seq) {
        at++;
    }
    return (size_t)(at - page->next);
}

static struct hf_status show_batch(struct hf_pg_reading *reading, struct log_call *call,
                                   struct page *page, int at)
{
    struct hf_logged_batch batch;
    size_t count = count_changes(page, hf_pg_u64(page->batches, at, 0));
    struct hf_logged_change *changes = hf_alloc_array(count, sizeof *changes);
    char **paths = hf_alloc_array(count, sizeof *paths);
    HF_AUTO(buf) principal = hf_buf_new();
    struct hf_status status = take_batch(reading->op, page->batches, at, principal, &batch);

    for (size_t i = 0; i < count && status.code == HF_OK; i++) {
        status = take_change(reading->op, page->changes, page->next++, &paths[i], &changes[i]);
    }
    if (status.code == HF_OK) {
        batch.changes = changes;
        batch.count = count;
        if (batch.seq == call->end.seq) {
            batch.end = &call->end;
            batch.head = hf_buf_bytes(&call->head);
        }
        hf_pg_note_shown(reading);
        status = call->visit(call->visitor, &batch);
    }
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
    free(changes);
    return status;
}

/* Each entry must follow the one before. */
static struct hf_status show_page(struct hf_pg_reading *reading, struct log_call *call,
                                  struct page *page)
{
    for (int at = 0; at < PQntuples(page->batches); at++) {
        if (hf_pg_u64(page->batches, at, 0) != call->from + 1) {
            return hf_fail(reading->op, HF_CORRUPT, "the change log lacks batch %" PRIu64,
                           call->from + 1);
        }
        HF_TRY(show_batch(reading, call, page, at));
        HF_TRY(hf_op_check_deadline(reading->op));
        call->from++;
        call->left--;
    }
    return HF_SUCCESS;
}

static struct hf_status read_page(struct hf_pg_reading *reading, const struct log_call *call,
                                  size_t most, struct page *out)
{
    struct hf_pg_params batches = { 0 };
    struct hf_pg_params changes = { 0 };
    PGresult *results[2];

    hf_pg_param_u64(&batches, call->from);
    hf_pg_param_u64(&batches, most);
    hf_pg_send(reading->link, HF_PG_LOG, &batches);
    hf_pg_param_u64(&changes, call->from);
    hf_pg_param_u64(&changes, call->from + most);
    hf_pg_send(reading->link, HF_PG_LOG_CHANGES, &changes);
    HF_TRY(hf_pg_exchange(reading->link, reading->op, &reading->limit, results, 2));
    *out = (struct page){ results[0], results[1], 0 };
    return HF_SUCCESS;
}

static struct hf_status follow_log(struct hf_pg_reading *reading, struct log_call *call)
{
    while (call->left > 0 && call->from < call->end.seq) {
        size_t most = reading->shown ? PAGE : FIRST_PAGE;
        struct page page;
        struct hf_status status;

        most = call->left < most ? call->left : most;
        HF_TRY(read_page(reading, call, most, &page));
        if (PQntuples(page.batches) == 0) {
            status = hf_fail(reading->op, HF_CORRUPT,
                             "the change log ends at %" PRIu64 " and the store stands at %" PRIu64,
                             call->from, call->end.seq);
        } else {
            status = show_page(reading, call, &page);
        }
        PQclear(page.batches);
        PQclear(page.changes);
        HF_TRY(status);
    }
    return HF_SUCCESS;
}

static struct hf_status start_log(struct hf_pg_reading *reading, struct log_call *call)
{
    PGresult *state = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_begin_reading(reading, &state));
    hf_buf_clear(&call->head);
    status = hf_pg_take_state(reading, state, &call->end, &call->head);
    PQclear(state);
    HF_TRY(status);
    if (call->from >= call->end.seq) {
        return HF_SUCCESS;
    }
    if (call->end.oldest_seq == 0 || call->from + 1 < call->end.oldest_seq) {
        return hf_fail(reading->op, HF_NOT_FOUND, "changes after %" PRIu64 " are gone from the log",
                       call->from);
    }
    return follow_log(reading, call);
}

static struct hf_status read_log(struct hf_pg_reading *reading, void *context)
{
    struct hf_status status = start_log(reading, context);

    hf_pg_end_reading(reading);
    return status;
}

struct hf_status hf_pg_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                               size_t max_batches, hf_log_visitor visit, void *context)
{
    struct log_call call = {
        .from = from, .left = max_batches, .visit = visit, .visitor = context
    };
    struct hf_status status = hf_pg_read(hf_pg_of(engine), op, read_log, &call);

    hf_buf_done(&call.head);
    return status;
}

/* --- recall --- */

struct recall_call {
    const struct hf_batch *batch;
    struct hf_commit *out;
};

static struct hf_status take_first(struct hf_pg_reading *reading, const PGresult *row,
                                   const struct recall_call *call)
{
    if (PQntuples(row) != 1) {
        return hf_fail(reading->op, HF_CORRUPT, "the database has no state of the store");
    }
    HF_TRY(hf_pg_check_stand(reading, hf_pg_u64(row, 0, 5), hf_pg_u64(row, 0, 6),
                             hf_pg_u64(row, 0, 0)));
    if (PQgetisnull(row, 0, 0) != 0) {
        return hf_fail(reading->op, HF_NOT_FOUND, "this request has not happened");
    }
    return hf_pg_read_first(reading->op, row, call->batch, call->out);
}

static struct hf_status read_first(struct hf_pg_reading *reading, void *context)
{
    const struct recall_call *call = context;
    struct hf_pg_params params = { 0 };
    PGresult *row = NULL;
    struct hf_status status;

    hf_pg_param_bytes(&params, hf_bytes_of(call->batch->request_id.bytes, HF_REQUEST_ID_LEN));
    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_RECALL, &params, &row));
    status = take_first(reading, row, call);
    PQclear(row);
    return status;
}

struct hf_status hf_pg_recall(struct hf_engine *engine, struct hf_op *op,
                              const struct hf_batch *batch, struct hf_commit *out)
{
    struct recall_call call = { batch, out };

    return hf_pg_read_newest(hf_pg_of(engine), op, read_first, &call);
}

/* --- find --- */

struct find_call {
    const uint8_t *digest;
    uint64_t since_ms;
    uint64_t up_to_seq;
    struct hf_request_id *out;
};

/* Looks through one page from the latest on; *out_next is where the next one begins, or 0. */
static struct hf_status look_through(struct hf_op *op, const PGresult *rows,
                                     const struct find_call *call, uint64_t *out_next)
{
    *out_next = 0;
    for (int at = 0; at < PQntuples(rows); at++) {
        uint8_t asked[HF_DIGEST_LEN];

        if (hf_pg_u64(rows, at, 2) < call->since_ms) {
            break;
        }
        HF_TRY(hf_pg_exact(op, rows, at, 1, asked, sizeof asked));
        if (memcmp(asked, call->digest, sizeof asked) == 0) {
            return hf_pg_exact(op, rows, at, 0, call->out->bytes, sizeof call->out->bytes);
        }
        if (at + 1 == LOOK && hf_pg_u64(rows, at, 3) > 1) {
            *out_next = hf_pg_u64(rows, at, 3) - 1;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_NOT_FOUND, "nothing of the kind was asked lately");
}

static struct hf_status look_back(struct hf_pg_reading *reading, const struct find_call *call)
{
    uint64_t up_to = call->up_to_seq;

    up_to = up_to != 0 && up_to < INT64_MAX ? up_to : INT64_MAX;
    do {
        struct hf_pg_params params = { 0 };
        PGresult *rows = NULL;
        struct hf_status status;

        hf_pg_param_u64(&params, up_to);
        hf_pg_param_u64(&params, LOOK);
        HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_LATEST_REQUESTS,
                         &params, &rows));
        status = look_through(reading->op, rows, call, &up_to);
        PQclear(rows);
        HF_TRY(status);
    } while (up_to > 0);
    return HF_SUCCESS;
}

static struct hf_status read_find(struct hf_pg_reading *reading, void *context)
{
    PGresult *state = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_begin_reading(reading, &state));
    status = hf_pg_check_stand(reading, hf_pg_u64(state, 0, 1), hf_pg_u64(state, 0, 5),
                               hf_pg_u64(state, 0, 1));
    PQclear(state);
    if (status.code == HF_OK) {
        status = look_back(reading, context);
    }
    hf_pg_end_reading(reading);
    return status;
}

struct hf_status hf_pg_find(struct hf_engine *engine, struct hf_op *op,
                            const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                            uint64_t up_to_seq, struct hf_request_id *out)
{
    struct find_call call = { digest, since_ms, up_to_seq, out };

    return hf_pg_read_newest(hf_pg_of(engine), op, read_find, &call);
}
