/*
 * Two nodes on one store, each with several threads that rotate one key by candidates: no number
 * is given twice, every node is told of every candidate, and the primary version only moves on.
 */
#include "world.h"

#include <pthread.h>
#include <stdio.h>

#define NODES        2
#define WORKERS      2 /* of a node */
#define ROUNDS       24
#define MADE_MAX     (NODES * WORKERS * ROUNDS)
#define ABANDON_EACH 4
#define TRIES        1000
#define KEY          "shared"

struct node {
    struct hf_seal *seal;
    struct hf_keys *keys;
    _Atomic unsigned told[MADE_MAX + 2]; /* by version; the key is made with version 1 */
    _Atomic bool over;
};

struct worker {
    struct node *nodes; /* all of them */
    unsigned node;      /* its own */
    unsigned lane;
    unsigned count;
    uint32_t made[ROUNDS];
    bool promoted[ROUNDS];
    char failure[HF_OP_TEXT_MAX];
};

static bool went_well(struct worker *worker, struct hf_op *op, struct hf_status status,
                      const char *what)
{
    if (status.code != HF_OK && worker->failure[0] == '\0') {
        (void)snprintf(worker->failure, sizeof worker->failure, "%s: %s: %.200s", what,
                       hf_code_name(status.code), op->text);
    }
    return status.code == HF_OK;
}

static void take_candidate(void *context, const struct hf_candidate *candidate)
{
    struct node *node = context;

    if (strcmp(candidate->key, KEY) == 0 && candidate->version < HF_COUNT(node->told)) {
        node->told[candidate->version]++;
    }
}

/* --- one thread that makes versions --- */

static struct hf_status stage(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                              enum change_kind kind, uint32_t *version)
{
    if (kind == CHANGE_ROTATE_CANDIDATE) {
        return hf_key_rotate_candidate(keys, op, txn, RING, KEY, NULL, version);
    }
    return kind == CHANGE_PROMOTE
               ? hf_key_promote(keys, op, txn, RING, KEY, *version, "")
               : hf_key_abandon(keys, op, txn, RING, KEY, *version, "for the test");
}

static struct hf_status once(struct node *node, struct hf_op *op, enum change_kind kind,
                             uint32_t *version)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    hf_op_clear(op);
    memset(&op->request_id, 0, sizeof op->request_id);
    HF_TRY(hf_txn_new(node->seal, op, &txn));
    HF_TRY(stage(node->keys, op, txn, kind, version));
    return hf_txn_commit(txn, op, &commit);
}

/* Again as long as others are first, as the service does it. */
static struct hf_status change(struct node *node, struct hf_op *op, enum change_kind kind,
                               uint32_t *version)
{
    struct hf_status status = { HF_CONFLICT };

    for (unsigned i = 0; i < TRIES && status.code == HF_CONFLICT; i++) {
        uint64_t seq = 0;

        HF_TRY(hf_seal_follow(node->seal, op, &seq));
        status = once(node, op, kind, version);
    }
    return status;
}

static struct hf_status prove(struct node *node, struct hf_op *op, uint32_t version)
{
    uint64_t seq = 0;

    HF_TRY(hf_seal_follow(node->seal, op, &seq));
    return hf_key_prove(node->keys, op, RING, KEY, version);
}

static bool make_version(struct worker *worker, struct hf_op *op, bool promote)
{
    struct node *own = &worker->nodes[worker->node];
    uint32_t version = 0;
    bool fine = went_well(worker, op, change(own, op, CHANGE_ROTATE_CANDIDATE, &version), "rotate");

    for (unsigned i = 0; i < NODES && fine; i++) {
        fine = went_well(worker, op, prove(&worker->nodes[i], op, version), "prove");
    }
    fine = fine && went_well(worker, op,
                             change(own, op, promote ? CHANGE_PROMOTE : CHANGE_ABANDON, &version),
                             "settle");
    worker->made[worker->count] = version;
    worker->promoted[worker->count] = promote;
    worker->count += fine;
    return fine;
}

static void *make_versions(void *context)
{
    struct worker *worker = context;
    struct hf_op op = world_op(worker->lane);
    bool fine = true;

    for (unsigned round = 0; round < ROUNDS && fine; round++) {
        fine = make_version(worker, &op, round % ABANDON_EACH != worker->lane % ABANDON_EACH);
    }
    return NULL;
}

/* --- one thread that uses the key meanwhile --- */

static struct hf_status use(struct node *node, struct hf_op *op, uint32_t *out_version)
{
    static const uint8_t iv[16] = { 1 };
    static const uint8_t data_key[32] = { 2 };
    uint8_t wrapped[32];
    uint8_t opened[32];

    HF_TRY(hf_use_hadoop_wrap(node->keys, op, RING, KEY, HF_LATEST, iv,
                              hf_bytes_of(data_key, sizeof data_key), wrapped, out_version));
    HF_TRY(hf_use_hadoop_unwrap(node->keys, op, RING, KEY, *out_version, iv,
                                hf_bytes_of(wrapped, sizeof wrapped), opened));
    return memcmp(opened, data_key, sizeof opened) == 0
               ? HF_SUCCESS
               : hf_fail(op, HF_CORRUPT, "a data key came back changed");
}

static void *use_key(void *context)
{
    struct worker *worker = context;
    struct node *node = &worker->nodes[worker->node];
    struct hf_op op = world_op(worker->lane);
    uint32_t last = 0;

    while (!node->over && worker->failure[0] == '\0') {
        uint32_t version = 0;

        if (went_well(worker, &op, use(node, &op, &version), "use") && version < last) {
            (void)snprintf(worker->failure, sizeof worker->failure,
                           "the primary version went from %u to %u", last, version);
        }
        last = version;
    }
    return NULL;
}

/* --- the test --- */

static void node_open(struct node *node)
{
    struct hf_slot_info slot;

    memset(node, 0, sizeof *node);
    assert_ok(&world.op, hf_seal_open(world.crypto, &world.op, world.engine, NULL, &node->seal));
    node->keys = hf_keys_new(node->seal, WORKERS + 1);
    hf_keys_on_candidate(node->keys, take_candidate, node);
    assert_ok(&world.op, hf_seal_unlock(node->seal, &world.op, world.protector, &slot));
}

static void node_close(struct node *node)
{
    hf_keys_free(node->keys);
    hf_seal_free(node->seal);
}

static void expect_fine(const struct worker *worker)
{
    if (worker->failure[0] != '\0') {
        fail_msg("node %u, lane %u: %s", worker->node, worker->lane, worker->failure);
    }
}

/* Every number once, told of everywhere, and as its maker has settled it. */
static void check_worker(const struct worker *worker, bool *seen, uint32_t *newest)
{
    expect_fine(worker);
    assert_int_equal(worker->count, ROUNDS);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t number = worker->made[i];
        enum hf_key_state wanted = worker->promoted[i] ? HF_KEY_ACTIVE : HF_KEY_DESTROYED;

        assert_in_range(number, 2, MADE_MAX + 1);
        assert_false(seen[number]);
        seen[number] = true;
        for (unsigned node = 0; node < NODES; node++) {
            assert_int_equal(worker->nodes[node].told[number], 1);
        }
        assert_int_equal(version_of(KEY, number).state, wanted);
        *newest = worker->promoted[i] && number > *newest ? number : *newest;
    }
}

static void nodes_and_threads_at_once_make_versions_that_only_move_on(void **unused)
{
    struct node nodes[NODES];
    struct worker workers[NODES][WORKERS + 1] = { 0 };
    pthread_t threads[NODES][WORKERS + 1];
    bool seen[MADE_MAX + 2] = { 0 };
    uint32_t newest = 0;
    uint32_t primary = 0;

    (void)unused;
    new_key(KEY, HF_ALG_AES_256);
    for (unsigned i = 0; i < NODES; i++) {
        node_open(&nodes[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned lane = 0; lane <= WORKERS; lane++) {
            workers[i][lane] = (struct worker){ .nodes = nodes, .node = i, .lane = lane };
            assert_int_equal(pthread_create(&threads[i][lane], NULL,
                                            lane == WORKERS ? use_key : make_versions,
                                            &workers[i][lane]),
                             0);
        }
    }
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned lane = 0; lane < WORKERS; lane++) {
            assert_int_equal(pthread_join(threads[i][lane], NULL), 0);
        }
    }
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t seq = 0;

        nodes[i].over = true;
        assert_int_equal(pthread_join(threads[i][WORKERS], NULL), 0);
        expect_fine(&workers[i][WORKERS]);
        assert_ok(&world.op, hf_seal_follow(nodes[i].seal, &world.op, &seq));
    }
    world_restart();
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned lane = 0; lane < WORKERS; lane++) {
            check_worker(&workers[i][lane], seen, &newest);
        }
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_ok(&world.op, hf_key_primary(nodes[i].keys, &world.op, RING, KEY, &primary));
        assert_int_equal(primary, newest);
        node_close(&nodes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_and_threads_at_once_make_versions_that_only_move_on),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
