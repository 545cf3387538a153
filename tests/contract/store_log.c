/* The contract of the change log and of remembered requests, on every engine. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store_world.h"

/* What one visit of the log found. */
struct seen {
    uint64_t next; /* seq that must come */
    size_t batches;
    size_t changes;
    size_t bodies;
    uint64_t realtime_ms;
    char *note;
    struct hf_op *op;
    uint64_t stop_at;
};

static struct hf_status see(void *context, const struct hf_logged_batch *batch)
{
    struct seen *seen = context;

    assert_int_equal(batch->seq, seen->next);
    assert_int_equal(batch->epoch, 1);
    seen->next++;
    seen->batches++;
    seen->changes += batch->count;
    seen->realtime_ms = batch->realtime_ms;
    free(seen->note);
    seen->note = hf_strndup((const char *)batch->note.data, batch->note.len);
    for (size_t i = 0; i < batch->count; i++) {
        seen->bodies += batch->changes[i].body.len > 0;
    }
    if (batch->seq == seen->stop_at) {
        return hf_fail(seen->op, HF_LIMITED, "stop");
    }
    return HF_SUCCESS;
}

static void seen_done(struct seen *seen)
{
    free(seen->note);
}

static struct hf_status look(struct store_world *world, uint64_t from, size_t max_batches,
                             struct seen *out)
{
    *out = (struct seen){ .next = from + 1, .op = &world->op };
    return hf_engine_changes(world->engine, &world->op, from, max_batches, see, out);
}

/* n batches, each a new revision of one record. */
static void put_many(struct store_world *world, const char *path, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        assert_ok(&world->op, store_put(world, path, i, "body"));
    }
}

static void the_log_shows_each_batch_once_and_in_order(void **state)
{
    static const struct {
        uint64_t from;
        size_t max_batches;
        size_t batches;
    } cases[] = {
        { 0, SIZE_MAX, 10 }, { 0, 3, 3 },  { 3, 3, 3 },          { 9, 5, 1 },
        { 10, 5, 0 },        { 11, 5, 0 }, { UINT64_MAX, 5, 0 }, { 5, 0, 0 },
    };
    struct store_world *world = *state;

    put_many(world, "a", 10);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct seen seen;

        assert_ok(&world->op, look(world, cases[i].from, cases[i].max_batches, &seen));
        if (seen.batches != cases[i].batches) {
            fail_msg("from %" PRIu64 " at most %zu: saw %zu", cases[i].from, cases[i].max_batches,
                     seen.batches);
        }
        seen_done(&seen);
    }
}

static void the_log_gives_bodies_that_still_stand(void **state)
{
    struct store_world *world = *state;
    struct hf_change changes[] = { store_change("b", 0, "b1"), store_change("a", 1, "a2") };
    struct hf_batch batch = store_batch(70, changes, 2);
    struct hf_commit commit;
    struct seen seen;

    hf_commit_init(&commit);
    batch.note = hf_bytes_of_text("who and why");
    assert_ok(&world->op, store_put(world, "a", 0, "a1"));
    world->clock.realtime_ms = 1234567;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_ok(&world->op, look(world, 0, 1, &seen));
    assert_int_equal(seen.bodies, 0);
    seen_done(&seen);
    assert_ok(&world->op, look(world, 1, 1, &seen));
    assert_int_equal(seen.changes, 2);
    assert_int_equal(seen.bodies, 2);
    assert_int_equal(seen.realtime_ms, 1234567);
    assert_string_equal(seen.note, "who and why");
    seen_done(&seen);

    assert_ok(&world->op, store_put(world, "b", 1, "b2"));
    assert_ok(&world->op, look(world, 1, 1, &seen));
    assert_int_equal(seen.bodies, 1);
    seen_done(&seen);
    hf_commit_done(&commit);
}

/* What the last look at the log showed with a batch, beside its changes. */
struct shown {
    uint32_t request; /* that it must remember */
    uint64_t last;    /* where the store stands */
    struct hf_buf *head;
    size_t ends;
};

static struct hf_status check_request(void *context, const struct hf_logged_batch *batch)
{
    struct shown *shown = context;
    struct hf_request_id id = store_request_id(++shown->request);
    struct hf_batch asked = store_batch(shown->request, NULL, 0);

    assert_memory_equal(&batch->request_id, &id, sizeof id);
    assert_memory_equal(batch->digest, asked.digest, sizeof asked.digest);
    assert_string_equal(batch->principal, asked.principal);
    assert_true(hf_bytes_equal(batch->result, asked.result));
    if (batch->seq < shown->last) {
        assert_null(batch->end);
        assert_int_equal(batch->head.len, 0);
        return HF_SUCCESS;
    }
    shown->ends++;
    assert_non_null(batch->end);
    assert_int_equal(batch->end->seq, shown->last);
    assert_int_equal(batch->end->epoch, batch->epoch);
    assert_int_equal(batch->end->oldest_seq, 1);
    assert_true(hf_bytes_equal(batch->head, hf_buf_bytes(shown->head)));
    return HF_SUCCESS;
}

static void the_log_shows_requests_and_where_the_store_stands(void **state)
{
    struct store_world *world = *state;
    HF_AUTO(buf) head = hf_buf_new();
    struct shown shown = { .last = 200, .head = head };
    struct hf_store_state stands;

    put_many(world, "a", 200);
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &stands, head));
    assert_true(head->len > 0);
    assert_ok(&world->op,
              hf_engine_changes(world->engine, &world->op, 0, 199, check_request, &shown));
    assert_int_equal(shown.ends, 0);
    assert_ok(&world->op,
              hf_engine_changes(world->engine, &world->op, 199, 10, check_request, &shown));
    assert_int_equal(shown.ends, 1);
    assert_int_equal(shown.request, 200);
}

static void a_batch_without_changes_is_in_the_log(void **state)
{
    struct store_world *world = *state;
    struct hf_batch batch = store_batch(1, NULL, 0);
    struct hf_commit commit;
    struct seen seen;

    hf_commit_init(&commit);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_int_equal(commit.seq, 1);
    assert_ok(&world->op, look(world, 0, 9, &seen));
    assert_int_equal(seen.batches, 1);
    assert_int_equal(seen.changes, 0);
    assert_string_equal(seen.note, "note");
    seen_done(&seen);
    hf_commit_done(&commit);
}

static void a_log_visitor_that_fails_ends_the_walk(void **state)
{
    struct store_world *world = *state;
    struct seen seen = { .next = 1, .op = &world->op, .stop_at = 2 };

    put_many(world, "a", 4);
    assert_fails(&world->op, hf_engine_changes(world->engine, &world->op, 0, SIZE_MAX, see, &seen),
                 HF_LIMITED);
    assert_int_equal(seen.batches, 2);
    seen_done(&seen);
    assert_ok(&world->op, store_put(world, "a", 4, "goes on"));
}

/* Recomputes every link from the log alone, with the old revisions the test knows. */
struct chain {
    struct hf_buf head;
    size_t links;
};

static struct hf_status check_links(void *context, const struct hf_logged_batch *batch)
{
    struct chain *chain = context;

    for (size_t i = 0; i < batch->count; i++) {
        const struct hf_logged_change *change = &batch->changes[i];
        struct hf_linked linked = { .path = change->path, .revision = change->revision };
        uint8_t link[HF_DIGEST_LEN];

        /* All changes of this test make new records. */
        memcpy(linked.digest, change->digest, HF_DIGEST_LEN);
        store_link(hf_buf_bytes(&chain->head), batch->seq, &linked, link);
        assert_memory_equal(link, change->link, HF_DIGEST_LEN);
        hf_buf_clear(&chain->head);
        hf_buf_add(&chain->head, link, sizeof link);
        chain->links++;
    }
    return HF_SUCCESS;
}

static void the_links_of_the_log_lead_to_the_head(void **state)
{
    struct store_world *world = *state;
    struct chain chain = { 0 };
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state found;

    for (uint32_t i = 0; i < 6; i++) {
        HF_AUTO_STRING first = hf_format("z%u", i);
        HF_AUTO_STRING second = hf_format("a%u", i);
        struct hf_change changes[] = { store_change(first, 0, "1"), store_change(second, 0, "2") };
        struct hf_batch batch = store_batch(i + 1, changes, 2);
        struct hf_commit commit;

        hf_commit_init(&commit);
        assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
        hf_commit_done(&commit);
    }
    assert_ok(&world->op,
              hf_engine_changes(world->engine, &world->op, 0, SIZE_MAX, check_links, &chain));
    assert_int_equal(chain.links, 12);
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, head));
    assert_true(hf_bytes_equal(hf_buf_bytes(head), hf_buf_bytes(&chain.head)));
    hf_buf_done(&chain.head);
}

static void what_is_forgotten_is_gone_from_the_log_only(void **state)
{
    static const struct {
        uint64_t below;
        uint64_t oldest;
    } steps[] = { { 0, 1 },       { 1, 1 },          { 4, 4 }, { 2, 4 },
                  { 1103, 1103 }, { UINT64_MAX, 0 }, { 5, 0 } };
    struct store_world *world = *state;
    struct hf_store_state found;
    struct seen seen;

    put_many(world, "a", 1200);
    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        uint64_t oldest = steps[i].oldest;

        assert_ok(&world->op, hf_engine_forget(world->engine, &world->op, steps[i].below));
        assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
        assert_int_equal(found.oldest_seq, oldest);
        assert_int_equal(found.seq, 1200);
        if (oldest > 1) {
            assert_fails(&world->op, look(world, oldest - 2, 1, &seen), HF_NOT_FOUND);
            assert_int_equal(seen.batches, 0);
        }
        if (oldest > 0) {
            assert_ok(&world->op, look(world, oldest - 1, SIZE_MAX, &seen));
            assert_int_equal(seen.batches, 1201 - oldest);
            seen_done(&seen);
        }
    }
    assert_fails(&world->op, look(world, 1199, 1, &seen), HF_NOT_FOUND);
    assert_ok(&world->op, look(world, 1200, 1, &seen));
    assert_record(world, "a", 1200, "body");
    assert_ok(&world->op, store_put(world, "a", 1200, "goes on"));
    assert_ok(&world->op, look(world, 1200, 1, &seen));
    assert_int_equal(seen.batches, 1);
    seen_done(&seen);
}

static void a_forgotten_request_is_a_new_one(void **state)
{
    struct store_world *world = *state;
    struct hf_change change = store_change("a", 0, "1");
    struct hf_batch batch = store_batch(900, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_ok(&world->op, store_put(world, "b", 0, "1"));
    assert_ok(&world->op, hf_engine_forget(world->engine, &world->op, 2));
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_CONFLICT);
    change.expected = 1;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_false(commit.repeated);
    assert_int_equal(commit.seq, 3);
    hf_commit_done(&commit);
}

static struct hf_status recall(struct store_world *world, uint32_t request,
                               struct hf_commit *out_commit)
{
    struct hf_batch batch = store_batch(request, NULL, 0);

    return hf_engine_recall(world->engine, &world->op, &batch, out_commit);
}

static void a_request_is_recalled_as_a_repeat_would_be(void **state)
{
    struct store_world *world = *state;
    struct hf_batch other = store_batch(1, NULL, 0);
    struct hf_commit commit;

    hf_commit_init(&commit);
    put_many(world, "a", 3);
    assert_fails(&world->op, recall(world, 4, &commit), HF_NOT_FOUND);
    assert_fails(&world->op, recall(world, 0, &commit), HF_INVALID);
    assert_ok(&world->op, recall(world, 2, &commit));
    assert_int_equal(commit.seq, 2);
    assert_int_equal(commit.epoch, 1);
    assert_true(commit.repeated);
    assert_true(hf_bytes_equal_text(hf_buf_bytes(&commit.result), "result"));

    other.principal = "cert:somebody-else";
    assert_fails(&world->op, hf_engine_recall(world->engine, &world->op, &other, &commit),
                 HF_CONFLICT);
    other = store_batch(1, NULL, 0);
    other.digest[0] ^= 1;
    assert_fails(&world->op, hf_engine_recall(world->engine, &world->op, &other, &commit),
                 HF_CONFLICT);
    assert_ok(&world->op, hf_engine_forget(world->engine, &world->op, 3));
    assert_fails(&world->op, recall(world, 2, &commit), HF_NOT_FOUND);
    assert_ok(&world->op, recall(world, 3, &commit));
    hf_commit_done(&commit);
}

/* Three batches, ten seconds apart; the first and the last ask for the same. */
static void ask_three_times(struct store_world *world, uint8_t out_digest[HF_DIGEST_LEN])
{
    struct hf_commit commit;

    hf_commit_init(&commit);
    store_digest(hf_bytes_of_text("the same"), out_digest);
    for (uint32_t i = 1; i <= 3; i++) {
        struct hf_batch batch = store_batch(i, NULL, 0);

        if (i != 2) {
            memcpy(batch.digest, out_digest, HF_DIGEST_LEN);
        }
        world->clock.realtime_ms = i * 10000;
        assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    }
    hf_commit_done(&commit);
}

static void the_latest_request_that_asked_for_the_same_is_found(void **state)
{
    static const struct {
        uint64_t since_ms;
        uint64_t up_to_seq;
        uint32_t request; /* 0: none */
    } cases[] = {
        { 0, 0, 3 },     { 30000, 0, 3 }, { 30001, 0, 0 }, { 0, 3, 3 },          { 0, 2, 1 },
        { 10000, 2, 1 }, { 10001, 2, 0 }, { 0, 1, 1 },     { 0, UINT64_MAX, 3 },
    };
    struct store_world *world = *state;
    struct hf_request_id found;
    uint8_t digest[HF_DIGEST_LEN];

    ask_three_times(world, digest);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_request_id wanted = store_request_id(cases[i].request);
        struct hf_status status = hf_engine_find(world->engine, &world->op, digest,
                                                 cases[i].since_ms, cases[i].up_to_seq, &found);

        if (status.code != (cases[i].request != 0 ? HF_OK : HF_NOT_FOUND) ||
            (status.code == HF_OK && memcmp(&found, &wanted, sizeof found) != 0)) {
            fail_msg("since %" PRIu64 " up to %" PRIu64 ": got %s", cases[i].since_ms,
                     cases[i].up_to_seq, hf_code_name(status.code));
        }
    }
    digest[0] ^= 1;
    assert_fails(&world->op, hf_engine_find(world->engine, &world->op, digest, 0, 0, &found),
                 HF_NOT_FOUND);
}

#define CONTRACT(test)                                                                             \
    {                                                                                              \
#test, test, store_world_setup, store_world_teardown, NULL                                 \
    }

static const struct CMUnitTest contract[] = {
    CONTRACT(the_log_shows_each_batch_once_and_in_order),
    CONTRACT(the_log_gives_bodies_that_still_stand),
    CONTRACT(the_log_shows_requests_and_where_the_store_stands),
    CONTRACT(a_batch_without_changes_is_in_the_log),
    CONTRACT(a_log_visitor_that_fails_ends_the_walk),
    CONTRACT(the_links_of_the_log_lead_to_the_head),
    CONTRACT(what_is_forgotten_is_gone_from_the_log_only),
    CONTRACT(a_forgotten_request_is_a_new_one),
    CONTRACT(a_request_is_recalled_as_a_repeat_would_be),
    CONTRACT(the_latest_request_that_asked_for_the_same_is_found),
};

int main(void)
{
    return store_run_contract(contract, HF_COUNT(contract));
}
