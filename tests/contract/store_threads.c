/* The contract of store.h for many threads, on every engine; also run under ThreadSanitizer. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store_world.h"

#define REPEATERS 8
#define WRITERS   16
#define ROUNDS    40
#define PATHS     12
#define IN_BATCH  3

/* The real clocks: the virtual one belongs to one thread. */
struct fleet {
    struct hf_engine *engine;
    struct hf_env env;
    pthread_barrier_t start;
};

static void fleet_init(struct fleet *fleet, struct store_world *world, unsigned threads)
{
    fleet->engine = world->engine;
    hf_env_system(&fleet->env);
    assert_int_equal(pthread_barrier_init(&fleet->start, NULL, threads), 0);
}

static void fleet_done(struct fleet *fleet)
{
    assert_int_equal(pthread_barrier_destroy(&fleet->start), 0);
}

struct repeater {
    struct fleet *fleet;
    pthread_t thread;
    struct hf_status status;
    struct hf_commit commit;
};

static void *repeat_one(void *context)
{
    struct repeater *repeater = context;
    struct hf_change change = store_change("once", 0, "body");
    struct hf_batch batch = store_batch(321, &change, 1);
    struct hf_op op;

    hf_op_init(&op, &repeater->fleet->env);
    hf_commit_init(&repeater->commit);
    (void)pthread_barrier_wait(&repeater->fleet->start);
    repeater->status = hf_engine_apply(repeater->fleet->engine, &op, &batch, &repeater->commit);
    return NULL;
}

static void a_request_happens_once_however_many_ask(void **state)
{
    struct store_world *world = *state;
    struct repeater repeaters[REPEATERS];
    struct hf_store_state found;
    struct fleet fleet;
    size_t first = 0;

    fleet_init(&fleet, world, REPEATERS);
    for (size_t i = 0; i < REPEATERS; i++) {
        repeaters[i].fleet = &fleet;
        assert_int_equal(pthread_create(&repeaters[i].thread, NULL, repeat_one, &repeaters[i]), 0);
    }
    for (size_t i = 0; i < REPEATERS; i++) {
        assert_int_equal(pthread_join(repeaters[i].thread, NULL), 0);
        assert_int_equal(repeaters[i].status.code, HF_OK);
        assert_int_equal(repeaters[i].commit.seq, 1);
        if (repeaters[i].commit.repeated) {
            assert_true(hf_bytes_equal_text(hf_buf_bytes(&repeaters[i].commit.result), "result"));
        } else {
            first++;
        }
        hf_commit_done(&repeaters[i].commit);
    }
    assert_int_equal(first, 1);
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, 1);
    fleet_done(&fleet);
}

/* A batch that was acknowledged. */
struct done {
    uint64_t seq;
    size_t count;
    size_t paths[IN_BATCH];
    uint64_t expected[IN_BATCH];
    char body[32];
};

struct writer {
    struct fleet *fleet;
    pthread_t thread;
    uint32_t number;
    struct done done[ROUNDS];
    size_t done_count;
    size_t conflicts;
    size_t others; /* failures that are no conflicts */
};

static void path_of(size_t number, char out[16])
{
    out[0] = 'p';
    out[1] = (char)('a' + number);
    out[2] = '\0';
}

/* A small generator of its own per thread, so that a run can be repeated. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static uint64_t revision_of(struct fleet *fleet, struct hf_op *op, const char *path)
{
    HF_AUTO(record) record = NULL;
    struct hf_status status = hf_engine_get(fleet->engine, op, path, &record);

    return status.code == HF_OK ? record->revision : 0;
}

static void write_once(struct writer *writer, struct hf_op *op, uint32_t round, uint32_t *seed)
{
    struct hf_change changes[IN_BATCH];
    char paths[IN_BATCH][16];
    size_t first = next_random(seed) % PATHS;
    size_t count = 1 + next_random(seed) % IN_BATCH;
    struct hf_batch batch = store_batch(writer->number * 1000 + round + 1, changes, count);
    struct done *done = &writer->done[writer->done_count];
    HF_AUTO_STRING body = hf_format("%u/%u", writer->number, round);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    for (size_t i = 0; i < count; i++) {
        done->paths[i] = (first + i * 5) % PATHS;
        path_of(done->paths[i], paths[i]);
        /* The first round conflicts for certain, the others when somebody else was faster. */
        done->expected[i] = revision_of(writer->fleet, op, paths[i]) + (round == 0 ? 1000 : 0);
        changes[i] = store_change(paths[i], done->expected[i], body);
    }
    status = hf_engine_apply(writer->fleet->engine, op, &batch, &commit);
    if (status.code == HF_OK) {
        done->seq = commit.seq;
        done->count = count;
        memcpy(done->body, body, strlen(body) + 1);
        writer->done_count++;
    } else if (status.code == HF_CONFLICT) {
        writer->conflicts++;
    } else {
        writer->others++;
    }
    hf_commit_done(&commit);
}

static void *write_many(void *context)
{
    struct writer *writer = context;
    uint32_t seed = writer->number;
    struct hf_op op;

    hf_op_init(&op, &writer->fleet->env);
    (void)pthread_barrier_wait(&writer->fleet->start);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        write_once(writer, &op, round, &seed);
    }
    return NULL;
}

/* What the store must hold if the acknowledged batches happened one after the other. */
struct model {
    uint64_t revisions[PATHS];
    uint64_t seqs[PATHS];
    const char *bodies[PATHS];
};

static int by_seq(const void *a, const void *b)
{
    uint64_t left = (*(const struct done *const *)a)->seq;
    uint64_t right = (*(const struct done *const *)b)->seq;

    return (left > right) - (left < right);
}

static void replay(struct model *model, const struct done *done, uint64_t seq)
{
    assert_int_equal(done->seq, seq);
    for (size_t i = 0; i < done->count; i++) {
        size_t path = done->paths[i];

        assert_int_equal(model->revisions[path], done->expected[i]);
        model->revisions[path]++;
        model->seqs[path] = seq;
        model->bodies[path] = done->body;
    }
}

static void check_model(struct store_world *world, const struct model *model)
{
    for (size_t i = 0; i < PATHS; i++) {
        HF_AUTO(record) record = NULL;
        char path[16];

        path_of(i, path);
        if (model->revisions[i] > 0) {
            assert_ok(&world->op, hf_engine_get(world->engine, &world->op, path, &record));
            assert_int_equal(record->revision, model->revisions[i]);
            assert_int_equal(record->seq, model->seqs[i]);
            assert_string_equal(hf_buf_text(&record->body), model->bodies[i]);
        }
    }
}

struct log_check {
    const struct done **order;
    uint64_t seq;
};

static struct hf_status check_logged(void *context, const struct hf_logged_batch *batch)
{
    struct log_check *check = context;
    const struct done *done = check->order[check->seq++];

    assert_int_equal(batch->seq, done->seq);
    assert_int_equal(batch->count, done->count);
    for (size_t i = 0; i < batch->count; i++) {
        char path[16];

        path_of(done->paths[i], path);
        assert_string_equal(batch->changes[i].path, path);
        assert_int_equal(batch->changes[i].revision, done->expected[i] + 1);
    }
    return HF_SUCCESS;
}

static void writers_in_parallel_are_one_after_the_other(void **state)
{
    struct store_world *world = *state;
    struct writer *writers = hf_alloc_array(WRITERS, sizeof *writers);
    const struct done **order = hf_alloc_array((size_t)WRITERS * ROUNDS, sizeof *order);
    struct log_check check = { .order = order };
    struct model model = { 0 };
    struct fleet fleet;
    size_t count = 0;
    size_t conflicts = 0;

    fleet_init(&fleet, world, WRITERS);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].fleet = &fleet;
        writers[i].number = i + 1;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].others, 0);
        conflicts += writers[i].conflicts;
        for (size_t j = 0; j < writers[i].done_count; j++) {
            order[count++] = &writers[i].done[j];
        }
    }
    assert_int_equal(count + conflicts, WRITERS * ROUNDS);
    assert_true(conflicts >= WRITERS);
    qsort(order, count, sizeof *order, by_seq);
    for (size_t i = 0; i < count; i++) {
        replay(&model, order[i], i + 1);
    }
    check_model(world, &model);
    assert_ok(&world->op,
              hf_engine_changes(world->engine, &world->op, 0, SIZE_MAX, check_logged, &check));
    assert_int_equal(check.seq, count);
    free(order);
    free(writers);
    fleet_done(&fleet);
}

/* A writer moves two records together; whoever lists them must see the same revision of both. */
struct pair {
    struct fleet *fleet;
    atomic_bool stop;
    uint64_t rounds;
    struct hf_status status;
};

static void *move_pair(void *context)
{
    struct pair *pair = context;
    struct hf_op op;

    hf_op_init(&op, &pair->fleet->env);
    while (!atomic_load(&pair->stop) && pair->status.code == HF_OK) {
        struct hf_change changes[] = { store_change("pair/left", pair->rounds, "same"),
                                       store_change("pair/right", pair->rounds, "same") };
        struct hf_batch batch = store_batch((uint32_t)pair->rounds + 1, changes, 2);
        struct hf_commit commit;

        hf_commit_init(&commit);
        pair->status = hf_engine_apply(pair->fleet->engine, &op, &batch, &commit);
        hf_commit_done(&commit);
        pair->rounds++;
    }
    return NULL;
}

struct twins {
    size_t count;
    uint64_t revisions[2];
};

static struct hf_status see_twin(void *context, const struct hf_record_view *record)
{
    struct twins *twins = context;

    assert_true(twins->count < 2);
    twins->revisions[twins->count++] = record->revision;
    return HF_SUCCESS;
}

static void a_list_never_sees_half_a_batch(void **state)
{
    struct store_world *world = *state;
    struct pair pair = { 0 };
    struct fleet fleet;
    pthread_t thread;
    uint64_t last = 0;

    fleet_init(&fleet, world, 1);
    pair.fleet = &fleet;
    atomic_init(&pair.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, move_pair, &pair), 0);
    while (last < 100) {
        struct twins twins = { 0 };

        assert_ok(&world->op,
                  hf_engine_list(world->engine, &world->op, "pair/", NULL, see_twin, &twins));
        assert_true(twins.count == 0 || twins.count == 2);
        assert_int_equal(twins.revisions[0], twins.revisions[1]);
        assert_true(twins.revisions[0] >= last);
        last = twins.revisions[0];
    }
    atomic_store(&pair.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pair.status.code, HF_OK);
    fleet_done(&fleet);
}

/* A linker that stays inside its batch until it is let go. */
struct gate {
    struct fleet *fleet;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool inside;
    bool open;
    struct hf_status status;
};

static struct hf_status stay(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head,
                             struct hf_bytes note, struct hf_linked *changes, size_t count,
                             struct hf_buf *out_head)
{
    struct gate *gate = context;

    pthread_mutex_lock(&gate->lock);
    gate->inside = true;
    pthread_cond_broadcast(&gate->moved);
    while (!gate->open) {
        pthread_cond_wait(&gate->moved, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    return store_linker.link(NULL, op, seq, head, note, changes, count, out_head);
}

static void *apply_and_stay(void *context)
{
    struct gate *gate = context;
    struct hf_linker linker = { stay, gate };
    struct hf_change change = store_change("slow", 0, "1");
    struct hf_batch batch = store_batch(1, &change, 1);
    struct hf_commit commit;
    struct hf_op op;

    hf_op_init(&op, &gate->fleet->env);
    hf_commit_init(&commit);
    batch.linker = &linker;
    gate->status = hf_engine_apply(gate->fleet->engine, &op, &batch, &commit);
    hf_commit_done(&commit);
    return NULL;
}

static void a_writer_who_waits_too_long_gives_up_and_nothing_has_happened(void **state)
{
    struct store_world *world = *state;
    struct hf_change change = store_change("late", 0, "1");
    struct hf_batch batch = store_batch(2, &change, 1);
    HF_AUTO(record) record = NULL;
    struct gate gate = { 0 };
    struct hf_commit commit;
    struct fleet fleet;
    struct hf_op op;
    pthread_t thread;

    fleet_init(&fleet, world, 1);
    gate.fleet = &fleet;
    assert_int_equal(pthread_mutex_init(&gate.lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&gate.moved, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, apply_and_stay, &gate), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.inside) {
        pthread_cond_wait(&gate.moved, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);

    hf_op_init(&op, &fleet.env);
    op.deadline_ms = hf_env_boottime_ms(&fleet.env) + 30;
    hf_commit_init(&commit);
    assert_fails(&op, hf_engine_apply(world->engine, &op, &batch, &commit), HF_UNAVAILABLE);
    assert_true(hf_env_boottime_ms(&fleet.env) >= op.deadline_ms);

    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(gate.status.code, HF_OK);
    assert_record(world, "slow", 1, "1");
    assert_fails(&world->op, hf_engine_get(world->engine, &world->op, "late", &record),
                 HF_NOT_FOUND);
    hf_commit_done(&commit);
    assert_int_equal(pthread_cond_destroy(&gate.moved), 0);
    assert_int_equal(pthread_mutex_destroy(&gate.lock), 0);
    fleet_done(&fleet);
}

#define CONTRACT(test)                                                                             \
    {                                                                                              \
#test, test, store_world_setup, store_world_teardown, NULL                                 \
    }

static const struct CMUnitTest contract[] = {
    CONTRACT(a_request_happens_once_however_many_ask),
    CONTRACT(writers_in_parallel_are_one_after_the_other),
    CONTRACT(a_list_never_sees_half_a_batch),
    CONTRACT(a_writer_who_waits_too_long_gives_up_and_nothing_has_happened),
};

int main(void)
{
    return store_run_contract(contract, HF_COUNT(contract));
}
