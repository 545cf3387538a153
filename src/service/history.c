/* Where two histories of the store part, and what one of them has more. */
#include "service/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

/* Commits that take nothing away and are told one by one; what is beyond is counted. */
#define LISTED_MAX 1000

void hf_lost_free(struct hf_lost *lost)
{
    if (lost == NULL) {
        return;
    }
    for (size_t i = 0; i < lost->count; i++) {
        free(lost->items[i].what);
    }
    free(lost->items);
    free(lost);
}

/* --- reading --- */

/* Operations that give or add; what is not listed here may take something away. */
static bool only_adds(const char *operation)
{
    static const char *const adding[] = { "key.create",     "key.import",  "key.rotate",
                                          "key.rewrap",     "key.recover", "keyring.create",
                                          "keyring.rotate", "slot.change", "slot.test",
                                          "node.approve",   "approve",     "drill.run",
                                          "site.promote" };
    for (size_t i = 0; i < HF_COUNT(adding); i++) {
        if (strcmp(operation, adding[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Records that the server keeps for itself, and writes without a note. */
static bool is_bookkeeping(const char *path)
{
    static const char *const kinds[] = { "usage/", "proof/",  "checkpoint/", "repeat/",
                                         "slot/",  "secret/", "job/",        "drill/" };

    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if (strncmp(path, kinds[i], strlen(kinds[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Without a note it is judged by what it has written. */
static bool writes_only_bookkeeping(const struct hf_logged_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!is_bookkeeping(batch->changes[i].path)) {
            return false;
        }
    }
    return batch->count > 0;
}

/* "key/hadoop/orders" and "version/hadoop/orders/3" speak of hadoop/orders. */
static char *name_of(const char *path)
{
    const char *key = path;
    const char *end = path + strlen(path);

    if (strncmp(path, "key/", 4) == 0) {
        key = path + 4;
    } else if (strncmp(path, "version/", 8) == 0 || strncmp(path, "usage/", 6) == 0) {
        key = strchr(path, '/') + 1;
        end = strrchr(path, '/');
    }
    return hf_strndup(key, end > key ? (size_t)(end - key) : strlen(key));
}

struct reading {
    struct hf_lost *lost;
    struct hf_op *op;
    size_t at; /* the commit whose note comes next */
};

static struct hf_status take_batch(void *context, const struct hf_logged_batch *batch)
{
    struct reading *reading = context;
    struct hf_lost *lost = reading->lost;
    const char *path = batch->count > 0 ? batch->changes[0].path : "";
    struct hf_lost_commit *commit;

    lost->items = hf_realloc_array(lost->items, lost->count + 1, sizeof *lost->items);
    commit = &lost->items[lost->count++];
    *commit = (struct hf_lost_commit){ .seq = batch->seq,
                                       .when_ms = batch->realtime_ms,
                                       .what = name_of(path),
                                       .takes_away = !writes_only_bookkeeping(batch) };
    (void)snprintf(commit->operation, sizeof commit->operation, "%.*s",
                   (int)(strchrnul(path, '/') - path), path);
    lost->first_ms = lost->first_ms == 0 ? batch->realtime_ms : lost->first_ms;
    lost->newest_ms = batch->realtime_ms > lost->newest_ms ? batch->realtime_ms : lost->newest_ms;
    return HF_SUCCESS;
}

/* A note says what was done better than the records do. */
static struct hf_status take_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                  struct hf_bytes note)
{
    struct reading *reading = context;
    struct hf_lost *lost = reading->lost;
    HF_AUTO(json) json = NULL;
    const char *operation = NULL;

    (void)realtime_ms;
    while (reading->at < lost->count && lost->items[reading->at].seq < seq) {
        reading->at++;
    }
    if (note.len == 0 || reading->at == lost->count || lost->items[reading->at].seq != seq) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_parse(reading->op, note, &json));
    HF_TRY(hf_json_text(reading->op, json, "operation", &operation));
    (void)snprintf(lost->items[reading->at].operation, sizeof lost->items[0].operation, "%s",
                   operation);
    lost->items[reading->at].takes_away = !only_adds(operation);
    return HF_SUCCESS;
}

static struct hf_status read_batches(struct hf_service *service, struct hf_op *op, uint64_t after,
                                     struct reading *reading)
{
    struct hf_engine *engine = hf_seal_engine(service->seal);
    struct hf_store_state state;
    struct hf_status status = hf_engine_changes(engine, op, after, SIZE_MAX, take_batch, reading);

    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    reading->lost->is_cut = true;
    HF_TRY(hf_engine_state(engine, op, &state, NULL));
    return state.oldest_seq == 0
               ? HF_SUCCESS
               : hf_engine_changes(engine, op, state.oldest_seq - 1, SIZE_MAX, take_batch, reading);
}

/* What takes something away is always told, however much else there is. */
static void choose_listed(struct hf_lost *lost)
{
    size_t others = 0;

    for (size_t i = 0; i < lost->count; i++) {
        struct hf_lost_commit *commit = &lost->items[i];

        lost->taking += commit->takes_away;
        others += !commit->takes_away;
        commit->is_listed = commit->takes_away || others <= LISTED_MAX;
        lost->unlisted += !commit->is_listed;
    }
}

struct hf_status hf_lost_read(struct hf_service *service, struct hf_op *op, uint64_t after,
                              struct hf_lost **out)
{
    HF_AUTO(lost) lost = hf_alloc(sizeof *lost);
    struct reading reading = { .lost = lost, .op = op };

    HF_TRY(read_batches(service, op, after, &reading));
    if (lost->count > 0) {
        HF_TRY(hf_seal_notes(service->seal, op, lost->items[0].seq - 1, lost->count, take_note,
                             &reading));
    }
    choose_listed(lost);
    *out = HF_TAKE(lost);
    return HF_SUCCESS;
}

void hf_lost_put(const struct hf_lost *lost, struct hf_json_writer *writer, const char *name)
{
    hf_json_open_object(writer, name);
    hf_json_put_u64(writer, "count", lost->count);
    hf_json_put_bool(writer, "or_more", lost->is_cut);
    hf_json_put_u64(writer, "taking_away", lost->taking);
    hf_json_put_u64(writer, "unlisted", lost->unlisted);
    if (lost->count > 0) {
        hf_json_put_date(writer, "oldest", lost->first_ms);
        hf_json_put_date(writer, "newest", lost->newest_ms);
    }
    hf_json_open_array(writer, "commits");
    for (size_t i = 0; i < lost->count; i++) {
        const struct hf_lost_commit *commit = &lost->items[i];

        if (!commit->is_listed) {
            continue;
        }
        hf_json_open_object(writer, NULL);
        hf_json_put_u64(writer, "seq", commit->seq);
        hf_json_put_date(writer, "time", commit->when_ms);
        hf_json_put_text(writer, "operation", commit->operation);
        hf_json_put_text(writer, "what", commit->what);
        hf_json_put_bool(writer, "takes_away", commit->takes_away);
        hf_json_close_object(writer);
    }
    hf_json_close_array(writer);
    hf_json_close_object(writer);
}

/* --- where two part --- */

struct sought {
    struct hf_request_id id;
    bool found;
};

static struct hf_status take_id(void *context, const struct hf_logged_batch *batch)
{
    struct sought *sought = context;

    sought->id = batch->request_id;
    sought->found = true;
    return HF_SUCCESS;
}

static struct hf_status id_of(struct hf_op *op, struct hf_engine *engine, uint64_t seq,
                              struct sought *out)
{
    *out = (struct sought){ 0 };
    return hf_engine_changes(engine, op, seq - 1, 1, take_id, out);
}

struct hf_status hf_history_has(struct hf_op *op, struct hf_engine *engine, uint64_t seq,
                                const struct hf_request_id *id, bool *out)
{
    struct sought sought;

    HF_TRY(id_of(op, engine, seq, &sought));
    *out = sought.found && memcmp(sought.id.bytes, id->bytes, sizeof id->bytes) == 0;
    return HF_SUCCESS;
}

static struct hf_status is_common(struct hf_op *op, struct hf_engine *one, struct hf_engine *other,
                                  uint64_t seq, bool *out)
{
    struct sought sought;

    HF_TRY(id_of(op, one, seq, &sought));
    *out = false;
    return sought.found ? hf_history_has(op, other, seq, &sought.id, out) : HF_SUCCESS;
}

static uint64_t first_of(const struct hf_store_state *state)
{
    return state->oldest_seq != 0 ? state->oldest_seq : state->seq + 1;
}

struct hf_status hf_history_meet(struct hf_op *op, struct hf_engine *one, struct hf_engine *other,
                                 uint64_t *out_seq, bool *out_found)
{
    struct hf_store_state mine, theirs;
    uint64_t least, most;

    HF_TRY(hf_engine_state(one, op, &mine, NULL));
    HF_TRY(hf_engine_state(other, op, &theirs, NULL));
    /* Once they have parted they never meet again: what is sought is the end of what is common. */
    least = first_of(&mine) > first_of(&theirs) ? first_of(&mine) : first_of(&theirs);
    most = mine.seq < theirs.seq ? mine.seq : theirs.seq;
    *out_seq = least - 1;
    *out_found = least == 1;
    while (least <= most) {
        uint64_t middle = least + (most - least) / 2;
        bool common = false;

        HF_TRY(is_common(op, one, other, middle, &common));
        if (common) {
            *out_seq = middle;
            *out_found = true;
            least = middle + 1;
        } else {
            most = middle - 1;
        }
    }
    return HF_SUCCESS;
}
