/* Eight threads at everything at once: no answer is wrong, no number given twice, the trail is
 * whole. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define THREADS 8
#define ROUNDS  40

struct worker {
    unsigned number;
    unsigned rotated; /* how many versions it made */
    char failure[HF_OP_TEXT_MAX];
};

static struct hf_op as(const struct worker *worker, const char *who)
{
    struct hf_op op = world_as(who);

    op.lane = worker->number;
    return op;
}

/* Keeps the first thing that went wrong; the thread of the test tells it. */
static bool went_well(struct worker *worker, struct hf_op *op, struct hf_status status,
                      const char *what)
{
    if (status.code != HF_OK && worker->failure[0] == '\0') {
        (void)snprintf(worker->failure, sizeof worker->failure, "%s: %s: %.200s", what,
                       hf_code_name(status.code), op->text);
    }
    return status.code == HF_OK;
}

static void use(struct worker *worker)
{
    struct hf_op op = as(worker, ALICE);
    struct hf_edek edek;
    HF_AUTO(secret) before = NULL;
    HF_AUTO(secret) after = NULL;
    bool fine =
        went_well(worker, &op,
                  hf_service_hadoop_generate(world.service, &op, RING, "shared", 1, &edek),
                  "generate") &&
        went_well(worker, &op,
                  hf_service_hadoop_decrypt(world.service, &op, RING, "shared", &edek, &before),
                  "decrypt") &&
        went_well(worker, &op,
                  hf_service_hadoop_reencrypt(world.service, &op, RING, "shared", &edek, 1),
                  "re-encrypt") &&
        went_well(worker, &op,
                  hf_service_hadoop_decrypt(world.service, &op, RING, "shared", &edek, &after),
                  "decrypt again");

    if (fine && !hf_secret_equal(before, after)) {
        (void)snprintf(worker->failure, sizeof worker->failure, "a data key has changed");
    }
}

static void change(struct worker *worker)
{
    struct hf_op op = as(worker, ROOT);
    uint32_t version;

    worker->rotated += went_well(
        worker, &op,
        hf_service_key_rotate(world.service, &op, RING, "shared", NULL, &version, NULL), "rotate");
}

static void count_link(void *context, const struct hf_why_link *link)
{
    (void)link;
    (*(unsigned *)context)++;
}

static void look(struct worker *worker)
{
    struct hf_op carol = as(worker, CAROL), mallory = as(worker, MALLORY);
    struct hf_op system = small_world_op(worker->number);
    HF_AUTO(secret) stolen = NULL;
    uint32_t version;
    unsigned links = 0;

    (void)went_well(worker, &carol,
                    hf_service_why(world.service, &carol, RING, "shared", count_link, &links),
                    "why");
    (void)went_well(worker, &system, hf_service_ready(world.service, &system), "ready");
    (void)went_well(worker, &system, hf_service_feed_audit(world.service, &system), "feed");
    if (hf_service_key_export(world.service, &mallory, RING, "shared", HF_LATEST, &stolen, &version)
            .code != HF_DENIED) {
        (void)snprintf(worker->failure, sizeof worker->failure, "a stranger was not denied");
    }
}

static void govern(struct worker *worker, unsigned round)
{
    struct hf_op op = as(worker, ROOT);
    HF_AUTO_STRING name = hf_format("p%u", worker->number);
    HF_AUTO_STRING document =
        hf_format("{\"rules\":[{\"effect\":\"%s\",\"who\":[\"unix:x\"],\"actions\":[\"random\"]}]}",
                  round % 2 ? "allow" : "deny");

    (void)went_well(worker, &op,
                    hf_service_policy_put(world.service, &op, name, hf_bytes_of_text(document)),
                    "policy");
}

static void *work(void *context)
{
    struct worker *worker = context;

    for (unsigned round = 0; round < ROUNDS; round++) {
        use(worker);
        if (round % 4 == worker->number % 4) {
            change(worker);
        }
        if (round % 8 == worker->number) {
            look(worker);
        }
        if (round % 16 == worker->number) {
            govern(worker, round);
        }
    }
    return NULL;
}

static void eight_threads_at_once_get_right_answers(void **unused)
{
    struct worker workers[THREADS] = { 0 };
    pthread_t threads[THREADS];
    struct hf_key_info *info = NULL;
    struct hf_op *op = &small_world.op;
    unsigned rotated = 0;
    static const char *const everybody[] = { ROOT, ADMIN, ALICE, CAROL, MALLORY };

    (void)unused;
    (void)world_key("shared", HF_ALG_AES_256);
    for (size_t i = 0; i < HF_COUNT(everybody); i++) {
        (void)world_caller(everybody[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        rotated += workers[i].rotated;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (workers[i].failure[0] != '\0') {
            fail_msg("thread %u: %s", i, workers[i].failure);
        }
    }
    assert_ok(op, hf_key_get(world.keys, op, RING, "shared", false, &info));
    assert_int_equal(info->last_version, 1 + rotated);
    hf_key_info_free(info);

    /* Each use and each change has its line. */
    assert_int_equal(world_lines(EVENT("key.generate", "ok", ALICE), NULL, NULL), THREADS * ROUNDS);
    assert_int_equal(world_lines(EVENT("key.unwrap", "ok", ALICE), NULL, NULL),
                     2 * THREADS * ROUNDS);
    assert_int_equal(world_lines(EVENT("key.rotate", "ok", ROOT), NULL, NULL), rotated);
    assert_int_equal(world_lines(EVENT("key.export", "denied", MALLORY), NULL, NULL),
                     THREADS * ROUNDS / 8);
}

static void *only_govern(void *context)
{
    struct worker *worker = context;

    for (unsigned round = 0; round < ROUNDS; round++) {
        govern(worker, round);
    }
    return NULL;
}

/* Every change of policy rewrites one record, so each of these meets the others. */
static void writers_of_one_record_all_get_through(void **unused)
{
    struct worker workers[THREADS] = { 0 };
    pthread_t threads[THREADS];
    uint64_t seq = world_seq();

    (void)unused;
    (void)world_caller(ROOT);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, only_govern, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (workers[i].failure[0] != '\0') {
            fail_msg("thread %u: %s", i, workers[i].failure);
        }
    }
    assert_int_equal(world_seq(), seq + (uint64_t)THREADS * ROUNDS);
    assert_true(hf_policy_is_whole(world.policy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(eight_threads_at_once_get_right_answers, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(writers_of_one_record_all_get_through, world_open,
                                        world_close),
    };

    return cmocka_run_group_tests_name("service threads", tests, world_start, world_stop);
}
