/* A workload whose end can be checked, whatever failed in between. */
#include "store_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

#define FIRST_REQUEST 1000
#define LONG_LEN      6000 /* more than a page, so that a half written body shows */
#define SHORT_LEN     100

/* One batch: two records of its own and one that all share. */
struct entry {
    char paths[3][32];
    char *bodies[3];
    char note[16];
    struct hf_change changes[3];
    struct hf_batch batch;
};

static void entry_init(struct entry *entry, size_t number, uint64_t shared)
{
    memset(entry, 0, sizeof *entry);
    (void)snprintf(entry->paths[0], sizeof entry->paths[0], "left/%zu", number);
    (void)snprintf(entry->paths[1], sizeof entry->paths[1], "shared");
    (void)snprintf(entry->paths[2], sizeof entry->paths[2], "right/%zu", number);
    (void)snprintf(entry->note, sizeof entry->note, "batch %zu", number);
    for (size_t i = 0; i < HF_COUNT(entry->changes); i++) {
        size_t len = i == 0 ? LONG_LEN : SHORT_LEN;

        entry->bodies[i] = hf_alloc(len);
        memset(entry->bodies[i], (int)('a' + number), len - 1);
        entry->changes[i] = store_change(entry->paths[i], i == 1 ? shared : 0, entry->bodies[i]);
    }
    entry->batch =
        store_batch((uint32_t)(FIRST_REQUEST + number), entry->changes, HF_COUNT(entry->changes));
    entry->batch.note = hf_bytes_of_text(entry->note);
}

static void entry_done(struct entry *entry)
{
    for (size_t i = 0; i < HF_COUNT(entry->bodies); i++) {
        free(entry->bodies[i]);
    }
}

static struct hf_status apply_entry(struct hf_engine *engine, struct hf_op *op, size_t number,
                                    uint64_t shared, bool *out_repeated)
{
    struct entry entry;
    struct hf_commit commit;
    struct hf_status status;

    entry_init(&entry, number, shared);
    hf_commit_init(&commit);
    status = hf_engine_apply(engine, op, &entry.batch, &commit);
    *out_repeated = commit.repeated;
    hf_commit_done(&commit);
    entry_done(&entry);
    return status;
}

static void run_batch(struct ledger *ledger, struct store_world *world, size_t number)
{
    HF_AUTO(record) record = NULL;
    struct hf_status status = hf_engine_get(world->engine, &world->op, "shared", &record);
    bool repeated;

    if (status.code != HF_OK && status.code != HF_NOT_FOUND) {
        return;
    }
    ledger->shared[number] = record != NULL ? record->revision : 0;
    ledger->tried[number] = true;
    ledger->under_way[number] = true;
    ledger->codes[number] =
        apply_entry(world->engine, &world->op, number, ledger->shared[number], &repeated).code;
    ledger->under_way[number] = false;
}

static struct hf_status pass_record(void *context, const struct hf_record_view *record)
{
    *(size_t *)context += record->body.len;
    return HF_SUCCESS;
}

static enum hf_code run_snapshot(struct store_world *world)
{
    HF_AUTO_STRING file = hf_format("%s/snapshot", world->root);
    uint64_t seq;
    enum hf_code code = hf_engine_snapshot(world->engine, &world->op, file, &seq).code;

    /* A snapshot that failed leaves nothing behind that could be taken for one. */
    assert_int_equal(access(file, F_OK), code == HF_OK ? 0 : -1);
    (void)unlink(file);
    return code;
}

static void run_other(struct ledger *ledger, struct store_world *world, size_t number)
{
    uint64_t out;
    size_t len = 0;

    switch (number) {
    case 2:
        ledger->other_codes[0] = hf_engine_barrier(world->engine, &world->op, &out).code;
        break;
    case 3:
        ledger->other_codes[1] =
            hf_engine_lease(world->engine, &world->op, "lease", "me", 1000, &out).code;
        break;
    case 4:
        ledger->other_codes[2] = hf_engine_forget(world->engine, &world->op, 2).code;
        break;
    case 5:
        ledger->other_codes[LEDGER_SNAPSHOT] = run_snapshot(world);
        break;
    case 6:
        ledger->other_codes[4] =
            hf_engine_list(world->engine, &world->op, "", NULL, pass_record, &len).code;
        break;
    default:
        break;
    }
}

void ledger_run(struct ledger *ledger, struct store_world *world)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->open_code = store_world_open(world, false).code;
    if (ledger->open_code != HF_OK) {
        return;
    }
    for (size_t i = 0; i < LEDGER_BATCHES; i++) {
        run_batch(ledger, world, i);
        run_other(ledger, world, i);
    }
    store_world_close(world);
}

/* 0 if it is not there; both of its own records are, or neither. */
static uint64_t seq_of(struct store_world *world, size_t number)
{
    HF_AUTO_STRING left_path = hf_format("left/%zu", number);
    HF_AUTO_STRING right_path = hf_format("right/%zu", number);
    HF_AUTO(record) left = NULL;
    HF_AUTO(record) right = NULL;
    struct hf_status left_status = hf_engine_get(world->engine, &world->op, left_path, &left);
    struct hf_status right_status = hf_engine_get(world->engine, &world->op, right_path, &right);

    assert_int_equal(left_status.code, right_status.code);
    if (left_status.code != HF_OK) {
        assert_int_equal(left_status.code, HF_NOT_FOUND);
        return 0;
    }
    assert_int_equal(left->seq, right->seq);
    return left->seq;
}

static void check_code(const struct ledger *ledger, size_t number, bool there)
{
    enum hf_code code = ledger->codes[number];

    if (!ledger->tried[number]) {
        assert_false(there);
        return;
    }
    if (code == HF_OK) {
        assert_true(there);
    } else if (code == HF_NO_SPACE || code == HF_UNAVAILABLE) {
        assert_false(there);
    } else if (code != HF_IN_DOUBT) {
        fail_msg("batch %zu ended with %s", number, hf_code_name(code));
    }
}

/* The same batches in the same order on the memory engine give the same store. */
static void check_against_model(const struct ledger *ledger, struct store_world *world,
                                const uint64_t *seqs)
{
    struct store_world model;
    struct hf_store_state found;
    HF_AUTO_STRING expected = NULL;
    HF_AUTO_STRING holds = store_dump(world->engine, &world->op);

    store_world_init_fast(&model, store_kind_named("memory"));
    assert_ok(&model.op, store_world_open(&model, true));
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    for (uint64_t seq = 1; seq <= found.seq; seq++) {
        for (size_t i = 0; i < LEDGER_BATCHES; i++) {
            bool repeated;

            if (seqs[i] == seq) {
                assert_ok(&model.op,
                          apply_entry(model.engine, &model.op, i, ledger->shared[i], &repeated));
            }
        }
    }
    assert_ok(&model.op, hf_engine_forget(model.engine, &model.op,
                                          found.oldest_seq > 0 ? found.oldest_seq : found.seq + 1));
    expected = store_dump(model.engine, &model.op);
    assert_string_equal(holds, expected);
    store_world_done(&model);
}

static void check_repeats(struct store_world *world, const uint64_t *seqs)
{
    struct hf_store_state found;
    uint64_t last;

    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    last = found.seq;
    for (size_t i = 0; i < LEDGER_BATCHES; i++) {
        HF_AUTO(record) record = NULL;
        bool repeated;

        if (seqs[i] != 0 && seqs[i] < found.oldest_seq) {
            continue; /* forgotten */
        }
        (void)hf_engine_get(world->engine, &world->op, "shared", &record).code;
        assert_ok(&world->op, apply_entry(world->engine, &world->op, i,
                                          record != NULL ? record->revision : 0, &repeated));
        assert_int_equal(repeated, seqs[i] != 0);
        last += seqs[i] == 0;
    }
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, last);
}

void ledger_check(const struct ledger *ledger, struct store_world *world)
{
    uint64_t seqs[LEDGER_BATCHES];

    assert_ok(&world->op, store_world_open(world, false));
    for (size_t i = 0; i < LEDGER_BATCHES; i++) {
        seqs[i] = seq_of(world, i);
        check_code(ledger, i, seqs[i] != 0);
    }
    check_against_model(ledger, world, seqs);
    check_repeats(world, seqs);
    store_world_close(world);
}
