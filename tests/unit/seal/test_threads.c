/* Many threads at once: commits, reads, wraps, and a lock in the middle of them. */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8
#define ROUNDS  60

static const struct hf_wrap_place place = { "sales", "version/sales/orders/0000000001", 1 };

/* What a consumer knows; it checks that nobody tells it things out of order or twice at once. */
struct index {
    atomic_uint inside[THREADS + 1]; /* calls under way, per path */
    _Atomic uint64_t revision[THREADS + 1];
    _Atomic uint64_t last_seq;
    bool in_order; /* commits only: an unlock goes by path */
    atomic_uint faults;
};

static size_t slot_of(const char *path)
{
    return (size_t)(path[strlen("key/")] - '0');
}

static struct hf_status index_apply(void *context, struct hf_op *op,
                                    const struct hf_opened_view *record)
{
    struct index *index = context;
    size_t at = slot_of(record->path);

    (void)op;
    if (atomic_fetch_add(&index->inside[at], 1) != 0 ||
        record->revision <= atomic_load(&index->revision[at]) ||
        (index->in_order && record->seq < atomic_load(&index->last_seq))) {
        atomic_fetch_add(&index->faults, 1);
    }
    atomic_store(&index->revision[at], record->revision);
    atomic_store(&index->last_seq, record->seq);
    atomic_fetch_sub(&index->inside[at], 1);
    return HF_SUCCESS;
}

static void index_clear(void *context)
{
    struct index *index = context;

    for (size_t i = 0; i <= THREADS; i++) {
        atomic_store(&index->revision[i], 0);
    }
    atomic_store(&index->last_seq, 0);
}

struct crew {
    struct world *world;
    struct index index;
    struct hf_secret *material;
    struct hf_buf wrapped;
    atomic_bool may_be_locked;
    atomic_uint next_lane;
    atomic_uint commits; /* acknowledged */
    atomic_uint locked;  /* calls refused because the seal was locked */
    atomic_uint failures;
};

/* Counts what may not happen; HF_WRONG_STATE may while somebody locks. */
static bool expect(struct crew *crew, struct hf_status status, enum hf_code also)
{
    if (status.code == HF_WRONG_STATE && atomic_load(&crew->may_be_locked)) {
        atomic_fetch_add(&crew->locked, 1);
        return false;
    }
    if (status.code != HF_OK && status.code != also) {
        atomic_fetch_add(&crew->failures, 1);
    }
    return status.code == HF_OK;
}

/* One more revision of a record that several threads write. */
static struct hf_status change(struct crew *crew, struct hf_op *op, const char *path)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_status status = hf_seal_get(crew->world->seal, op, HF_KIND_KEY, path, &opened);

    if (status.code != HF_NOT_FOUND && status.code != HF_OK) {
        return status;
    }
    HF_TRY(hf_txn_new(crew->world->seal, op, &txn));
    HF_TRY(hf_txn_put(txn, op, HF_KIND_KEY, path, opened != NULL ? opened->revision : 0,
                      hf_bytes_of_text("x")));
    HF_TRY(hf_txn_commit(txn, op, &commit));
    /* An acknowledged change has reached the consumers, unless a lock made them forget it. */
    if (!atomic_load(&crew->may_be_locked) && atomic_load(&crew->index.revision[slot_of(path)]) <=
                                                  (opened != NULL ? opened->revision : 0)) {
        return hf_fail(op, HF_INTERNAL, "acknowledged before it was told");
    }
    return HF_SUCCESS;
}

static void wrap_and_open(struct crew *crew, struct hf_op *op)
{
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(secret) own = NULL;
    struct hf_seal *seal = crew->world->seal;

    if (expect(crew, hf_seal_unwrap(seal, op, &place, hf_buf_bytes(&crew->wrapped), &opened),
               HF_OK) &&
        !hf_secret_equal(opened, crew->material)) {
        atomic_fetch_add(&crew->failures, 1);
    }
    if (expect(crew, hf_seal_wrap(seal, op, &place, 1, crew->material, wrapped), HF_OK) &&
        expect(crew, hf_seal_unwrap(seal, op, &place, hf_buf_bytes(wrapped), &own), HF_OK) &&
        !hf_secret_equal(own, crew->material)) {
        atomic_fetch_add(&crew->failures, 1);
    }
}

static void *work(void *context)
{
    struct crew *crew = context;
    struct hf_op op;

    hf_op_init(&op, &crew->world->env);
    op.lane = atomic_fetch_add(&crew->next_lane, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t check[HF_CHECK_VALUE_LEN];
        char own[] = "key/0";

        own[4] = (char)('0' + op.lane);
        if (expect(crew, change(crew, &op, i % 2 == 0 ? own : "key/8"), HF_CONFLICT)) {
            atomic_fetch_add(&crew->commits, 1);
        }
        wrap_and_open(crew, &op);
        (void)expect(
            crew, hf_seal_check_value(crew->world->seal, &op, hf_bytes_of_text("m"), check), HF_OK);
        if (i % 8 == 0) {
            (void)expect(crew, hf_seal_pin(crew->world->seal, &op), HF_OK);
        }
    }
    return NULL;
}

static struct hf_status nothing(void *context, const struct hf_opened_view *view)
{
    (void)context;
    (void)view;
    return HF_SUCCESS;
}

static void *read_all(void *context)
{
    struct crew *crew = context;
    struct hf_op op;

    hf_op_init(&op, &crew->world->env);
    op.lane = atomic_fetch_add(&crew->next_lane, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)expect(crew,
                     hf_seal_list(crew->world->seal, &op, HF_KIND_KEY, "key/", NULL, nothing, NULL),
                     HF_OK);
        (void)hf_seal_wait(crew->world->seal, hf_seal_seq(crew->world->seal), 1);
        (void)hf_seal_root_generation(crew->world->seal);
    }
    return NULL;
}

static void make_keyring_key(struct crew *crew)
{
    struct world *world = crew->world;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_ok(op, hf_random_secret(world->crypto, op, 32, &crew->material));
    assert_ok(op, hf_seal_wrap(world->seal, op, &place, 1, crew->material, &crew->wrapped));
}

static void crew_init(struct crew *crew, struct world *world)
{
    struct hf_consumer consumer = {
        .kind = HF_KIND_KEY, .apply = index_apply, .clear = index_clear, .context = &crew->index
    };

    memset(crew, 0, sizeof *crew);
    crew->world = world;
    crew->index.in_order = true;
    make_keyring_key(crew);
    hf_seal_add_consumer(world->seal, &consumer);
}

static void crew_done(struct crew *crew)
{
    assert_int_equal(atomic_load(&crew->failures), 0);
    assert_int_equal(atomic_load(&crew->index.faults), 0);
    hf_seal_free(crew->world->seal);
    crew->world->seal = NULL;
    hf_secret_free(crew->material);
    hf_buf_done(&crew->wrapped);
}

static void run_crew(struct crew *crew, pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, crew), 0);
    }
    assert_int_equal(pthread_create(&threads[THREADS], NULL, read_all, crew), 0);
}

static void join_crew(pthread_t *threads)
{
    for (size_t i = 0; i <= THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void threads_commit_and_read_and_consumers_are_told_in_order(void **state)
{
    struct world *world = *state;
    pthread_t threads[THREADS + 1];
    static struct crew crew; /* the seal keeps pointing to it when a test fails */
    uint64_t batches = 0;
    HF_AUTO(opened) shared = NULL;
    struct hf_op *op = &world->op;

    crew_init(&crew, world);
    run_crew(&crew, threads);
    join_crew(threads);
    assert_int_equal(hf_seal_seq(world->seal), 2 + atomic_load(&crew.commits));
    assert_int_equal(atomic_load(&crew.index.last_seq), hf_seal_seq(world->seal));
    assert_ok(op, hf_seal_get(world->seal, op, HF_KIND_KEY, "key/8", &shared));
    assert_int_equal(shared->revision, atomic_load(&crew.index.revision[8]));
    assert_ok(op, hf_seal_verify_log(world->seal, op, &batches));
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    crew_done(&crew);
}

static void locking_waits_for_those_inside_and_refuses_the_others(void **state)
{
    struct world *world = *state;
    pthread_t threads[THREADS + 1];
    static struct crew crew; /* the seal keeps pointing to it when a test fails */
    unsigned before = 0;

    crew_init(&crew, world);
    atomic_store(&crew.may_be_locked, true);
    crew.index.in_order = false;
    run_crew(&crew, threads);
    for (int i = 0; i < 10; i++) {
        /* Somebody must have got something done, or there is nothing to interrupt. */
        while (atomic_load(&crew.commits) == before &&
               atomic_load(&crew.locked) < THREADS * ROUNDS) {
            (void)hf_seal_wait(world->seal, hf_seal_seq(world->seal), 1);
        }
        before = atomic_load(&crew.commits);
        hf_seal_lock(world->seal);
        assert_false(hf_seal_is_unlocked(world->seal));
        assert_null(world->seal->unlocked);
        assert_ok(&world->op, world_unlock(world));
    }
    join_crew(threads);
    crew_done(&crew);
}

/* Two who unlock at once: one does, the other is told that it is done. */
static void *unlock(void *context)
{
    struct crew *crew = context;
    struct hf_op op;
    struct hf_slot_info slot;
    HF_AUTO(protector) protector = NULL;
    HF_AUTO_STRING file = hf_format("%s/node.key", crew->world->directory);
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    struct hf_status status;

    hf_op_init(&op, &crew->world->env);
    status = hf_protector_open(crew->world->crypto, &op, &settings, &protector);
    if (status.code == HF_OK) {
        status = hf_seal_unlock(crew->world->seal, &op, protector, &slot);
    }
    atomic_fetch_add(status.code == HF_OK ? &crew->commits : &crew->locked, 1);
    if (status.code != HF_OK && status.code != HF_WRONG_STATE) {
        atomic_fetch_add(&crew->failures, 1);
    }
    return NULL;
}

static void of_two_who_unlock_one_does(void **state)
{
    struct world *world = *state;
    static struct crew crew; /* the seal keeps pointing to it when a test fails */
    pthread_t threads[2];

    crew_init(&crew, world);
    hf_seal_lock(world->seal);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, unlock, &crew), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(hf_seal_is_unlocked(world->seal));
    assert_true(atomic_load(&crew.commits) == 1 && atomic_load(&crew.locked) == 1);
    crew_done(&crew);
}

/* A lock must not wait for a commit whose end the store does not tell. */
struct doubt {
    struct world *world;
    atomic_uint lost; /* answers */
};

static void lose_every_answer(void *context)
{
    struct doubt *doubt = context;

    atomic_fetch_add(&doubt->lost, 1);
    hf_failing_set(doubt->world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    tamper_before_apply(doubt->world->tamper, lose_every_answer, doubt);
}

static void *commit_in_doubt(void *context)
{
    struct crew *crew = context;
    struct hf_op op;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    hf_op_init(&op, &crew->world->env);
    (void)expect(crew, hf_txn_new(crew->world->seal, &op, &txn), HF_OK);
    (void)expect(crew, hf_txn_put(txn, &op, HF_KIND_KEY, "key/1", 0, hf_bytes_of_text("x")), HF_OK);
    (void)expect(crew, hf_txn_commit(txn, &op, &commit), HF_IN_DOUBT);
    return NULL;
}

static void locking_does_not_wait_for_a_doubt(void **state)
{
    struct world *world = *state;
    struct doubt doubt = { .world = world };
    static struct crew crew; /* the seal keeps pointing to it when a test fails */
    pthread_t thread;

    crew_init(&crew, world);
    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    tamper_before_apply(world->tamper, lose_every_answer, &doubt);
    assert_int_equal(pthread_create(&thread, NULL, commit_in_doubt, &crew), 0);
    while (atomic_load(&doubt.lost) < 2) {
        (void)hf_seal_wait(world->seal, hf_seal_seq(world->seal), 1);
    }
    hf_seal_lock(world->seal);
    pthread_join(thread, NULL);
    crew_done(&crew);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(threads_commit_and_read_and_consumers_are_told_in_order),
        WORLD(locking_waits_for_those_inside_and_refuses_the_others),
        WORLD(of_two_who_unlock_one_does),
        WORLD(locking_does_not_wait_for_a_doubt),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
