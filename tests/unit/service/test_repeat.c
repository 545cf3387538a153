/* Requests repeated without an id: one change for one request, whatever the connection did. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "tamper.h"
#include "world.h"

#define WINDOW_MS  10000U
#define WAITING_MS (100ULL * 24 * 3600 * 1000) /* longer than the keyring keeps what is deleted */
#define BODY       hf_bytes_of_text("{}")

/* One POST of a door: begins, rotates "k", ends as told. Gives the version. */
struct post {
    struct hf_service *service;
    const char *who;
    struct hf_bytes body;
    unsigned lane;
    uint32_t version;
    struct hf_repeat *repeat;
    struct hf_status status;
};

static struct hf_status begin(struct hf_op *op, struct hf_service *service, struct post *post)
{
    struct hf_bytes asked[] = { hf_bytes_of_text("POST"), hf_bytes_of_text("/kms/v1/key/k"),
                                post->body };

    post->service = service;
    return hf_service_repeat_begin(service, op, RING, "k", asked, HF_COUNT(asked), WINDOW_MS,
                                   &post->repeat);
}

static struct hf_status rotate(struct hf_op *op, struct post *post)
{
    return hf_service_key_rotate(post->service, op, RING, "k", NULL, &post->version, NULL);
}

static uint32_t post_by(const char *who, struct hf_bytes body, bool written)
{
    struct post post = { .who = who, .body = body };
    struct hf_op op = world_as(who);

    assert_ok(&op, begin(&op, world.service, &post));
    assert_true(hf_request_id_is_set(&op.request_id));
    assert_ok(&op, rotate(&op, &post));
    hf_service_repeat_end(post.repeat, written);
    return post.version;
}

static uint32_t versions_now(void)
{
    struct hf_key_info *info = NULL;
    struct hf_op op = small_world_op(0);
    uint32_t last;

    assert_ok(&op, hf_key_get(world.keys, &op, RING, "k", false, &info));
    last = info->last_version;
    hf_key_info_free(info);
    return last;
}

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    (void)world_key("k", HF_ALG_AES_128);
    return 0;
}

static void an_answer_that_went_out_is_not_repeated(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, true), 2);
    assert_int_equal(post_by(ROOT, BODY, true), 3);
    assert_int_equal(post_by(ROOT, BODY, true), 4);
    assert_int_equal(versions_now(), 4);
}

static void an_answer_that_was_lost_is_given_again(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    small_world_pass(60000);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
    assert_int_equal(post_by(ROOT, BODY, true), 3);
    assert_int_equal(versions_now(), 3);
}

static void an_answer_lost_long_ago_is_not_given_again(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    small_world_pass(300001);
    assert_int_equal(post_by(ROOT, BODY, true), 3);
}

static void only_the_same_request_of_the_same_person_is_a_repeat(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    assert_int_equal(post_by(ADMIN, BODY, false), 3);
    assert_int_equal(post_by(ROOT, hf_bytes_of_text("{ }"), false), 4);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
    assert_int_equal(post_by(ADMIN, BODY, true), 3);
}

static void a_repeat_after_a_restart_is_found_in_the_store(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    world_restart();
    small_world_pass(WINDOW_MS - 1);
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
    /* Now its answer went out here. */
    assert_int_equal(post_by(ROOT, BODY, true), 3);
    assert_int_equal(post_by(ROOT, BODY, true), 4);
}

static void a_repeat_after_the_window_is_a_new_request(void **unused)
{
    (void)unused;
    assert_int_equal(post_by(ROOT, BODY, false), 2);
    world_restart();
    small_world_pass(WINDOW_MS + 1);
    assert_int_equal(post_by(ROOT, BODY, true), 3);
}

static void what_failed_can_be_asked_again(void **unused)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, begin(&op, world.service, &post));
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(&op, rotate(&op, &post), HF_UNAVAILABLE);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    hf_service_repeat_end(post.repeat, true);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
}

static void a_creation_whose_answer_was_lost_gives_the_first_version(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128 };

    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct hf_bytes asked = hf_bytes_of_text("create");
        struct hf_op op = world_as(ROOT);
        struct hf_repeat *repeat = NULL;
        uint32_t version = 9;

        assert_ok(&op, hf_service_repeat_begin(world.service, &op, RING, "k", &asked, 1, WINDOW_MS,
                                               &repeat));
        assert_ok(&op,
                  hf_service_key_create(world.service, &op, RING, "new", &plan, &version, NULL));
        assert_int_equal(version, 0);
        hf_service_repeat_end(repeat, false);
    }
}

static void parts_do_not_run_into_each_other(void **unused)
{
    struct hf_bytes one[] = { hf_bytes_of_text("ab"), hf_bytes_of_text("c") };
    struct hf_bytes other[] = { hf_bytes_of_text("a"), hf_bytes_of_text("bc") };
    struct hf_op op = world_as(ROOT);
    struct hf_repeat *first = NULL, *second = NULL;
    struct hf_request_id id;

    (void)unused;
    assert_ok(&op, hf_service_repeat_begin(world.service, &op, RING, "k", one, 2, 0, &first));
    id = op.request_id;
    assert_ok(&op, hf_service_repeat_begin(world.service, &op, RING, "k", other, 2, 0, &second));
    assert_memory_not_equal(&id, &op.request_id, sizeof id);
    hf_service_repeat_end(first, true);
    hf_service_repeat_end(second, true);
}

/* --- another node on the same store --- */

static struct hf_service *other_node(void)
{
    struct hf_service_parts parts = { .seal = small_world.seal,
                                      .keys = world.keys,
                                      .policy = world.policy,
                                      .audit = world.audit,
                                      .node = "node-2",
                                      .shared_store = true };

    return hf_service_new(&parts);
}

static void free_nodes(struct hf_service **nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hf_service_free(nodes[i]);
    }
}

static uint32_t post_to(struct hf_service *service, bool written)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, begin(&op, service, &post));
    assert_ok(&op, hf_service_key_rotate(service, &op, RING, "k", NULL, &post.version, NULL));
    hf_service_repeat_end(post.repeat, written);
    return post.version;
}

static void a_repeat_at_another_node_within_the_window_gives_the_first_result(void **unused)
{
    struct hf_service *a = other_node(), *b = other_node();

    (void)unused;
    /* Time enough that neither has only just started. */
    assert_int_equal(post_to(b, true), 2);
    small_world_pass(2 * WINDOW_MS);
    assert_int_equal(post_to(a, true), 3);
    assert_int_equal(post_to(b, true), 3);
    small_world_pass(WINDOW_MS + 1);
    assert_int_equal(post_to(b, true), 4);
    /* At the node that answered it, it is a new request at once. */
    assert_int_equal(post_to(b, false), 5);
    assert_int_equal(post_to(a, true), 5);
    hf_service_free(a);
    hf_service_free(b);
}

/* The store does not answer, and the client asks one node after another: all wait for it. */
static void what_several_nodes_are_asked_before_any_commit_happens_once(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node(), other_node() };
    struct post posts[HF_COUNT(nodes)];
    struct hf_op ops[HF_COUNT(nodes)];

    (void)unused;
    assert_int_equal(post_to(nodes[0], true), 2);
    small_world_pass(2 * WINDOW_MS);
    for (size_t i = 0; i < HF_COUNT(nodes); i++) {
        posts[i] = (struct post){ .body = BODY };
        ops[i] = world_as(ROOT);
        assert_ok(&ops[i], begin(&ops[i], nodes[i], &posts[i]));
    }
    for (size_t i = 0; i < HF_COUNT(nodes); i++) {
        assert_ok(&ops[i], hf_service_key_rotate(nodes[i], &ops[i], RING, "k", NULL,
                                                 &posts[i].version, NULL));
        hf_service_repeat_end(posts[i].repeat, true);
        assert_int_equal(posts[i].version, 3);
    }
    assert_int_equal(versions_now(), 3);
    free_nodes(nodes, HF_COUNT(nodes));
}

static void post_elsewhere(void *context)
{
    assert_int_equal(post_to(context, true), 2);
}

/* The store is slow to say that it knows of nothing, and knows of it by then. */
static void what_is_committed_while_the_store_is_asked_happens_once(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };

    (void)unused;
    tamper_after_find(small_world.tamper, post_elsewhere, nodes[0]);
    assert_int_equal(post_to(nodes[1], true), 2);
    assert_int_equal(versions_now(), 2);
    free_nodes(nodes, HF_COUNT(nodes));
}

/* Each node asks the store at a moment when it knows of nothing; the key moves on in between. */
static void what_is_committed_on_top_of_another_change_happens_once(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };
    struct post early = { .body = BODY };
    struct hf_op op = world_as(ROOT);
    struct hf_op admin = world_as(ADMIN);
    uint32_t version = 0;

    (void)unused;
    assert_ok(&op, begin(&op, nodes[0], &early));
    assert_ok(&admin, hf_service_key_rotate(nodes[1], &admin, RING, "k", NULL, &version, NULL));
    assert_int_equal(version, 2);
    assert_int_equal(post_to(nodes[1], true), 3);
    assert_ok(&op, rotate(&op, &early));
    assert_int_equal(early.version, 3);
    hf_service_repeat_end(early.repeat, true);
    assert_int_equal(versions_now(), 3);
    free_nodes(nodes, HF_COUNT(nodes));
}

struct meanwhile {
    struct hf_service *node;
    uint64_t fail_at; /* of the calls of the store from then on */
    uint32_t version; /* out */
};

/* Another change of the key, the same request at another node, and then the store fails. */
static void change_meanwhile(void *context)
{
    struct meanwhile *meanwhile = context;
    struct hf_op admin = world_as(ADMIN);
    uint32_t version = 0;

    assert_ok(&admin,
              hf_service_key_rotate(meanwhile->node, &admin, RING, "k", NULL, &version, NULL));
    meanwhile->version = post_to(meanwhile->node, true);
    assert_int_equal(meanwhile->version, version + 1);
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, meanwhile->fail_at);
}

/* Whichever call of the store fails after the conflict: it is not taken for an answer. */
static void nor_is_it_done_twice_when_the_store_fails_then(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };
    bool has_failed = true;

    (void)unused;
    for (uint64_t at = 1; has_failed; at++) {
        struct meanwhile meanwhile = { .node = nodes[1], .fail_at = at };
        struct post early = { .body = BODY };
        struct hf_op op = world_as(ROOT);
        struct hf_status status;

        assert_true(at < 100);
        small_world_pass(WINDOW_MS + 1);
        assert_ok(&op, begin(&op, nodes[0], &early));
        tamper_before_apply(small_world.tamper, change_meanwhile, &meanwhile);
        status = rotate(&op, &early);
        has_failed = hf_failing_faults(small_world.engine) > 0;
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
        hf_service_repeat_end(early.repeat, true);
        if (status.code == HF_OK) {
            assert_int_equal(early.version, meanwhile.version);
        }
        assert_int_equal(post_to(nodes[0], true), meanwhile.version + (status.code == HF_OK));
        assert_int_equal(versions_now(), meanwhile.version + (status.code == HF_OK));
    }
    free_nodes(nodes, HF_COUNT(nodes));
}

static uint32_t create_at(struct hf_service *service)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128 };
    struct hf_bytes asked = hf_bytes_of_text("create");
    struct hf_op op = world_as(ROOT);
    struct hf_repeat *repeat = NULL;
    uint32_t version = 9;

    assert_ok(&op,
              hf_service_repeat_begin(service, &op, RING, "new", &asked, 1, WINDOW_MS, &repeat));
    assert_ok(&op, hf_service_key_create(service, &op, RING, "new", &plan, &version, NULL));
    hf_service_repeat_end(repeat, true);
    return version;
}

/* The name is as free as before the first time, but it is not the first time. */
static void a_key_that_was_destroyed_can_be_made_again(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_int_equal(create_at(nodes[0]), 0);
    assert_int_equal(create_at(nodes[1]), 0);
    assert_ok(&op, hf_service_key_delete(nodes[0], &op, RING, "new", "test"));
    small_world_pass(WAITING_MS);
    assert_ok(&op, hf_service_key_destroy(nodes[0], &op, RING, "new", HF_LATEST, false, "test"));
    assert_int_equal(create_at(nodes[1]), 1);
    free_nodes(nodes, HF_COUNT(nodes));
}

/* All who could have taken it at once stood still. */
static void the_window_counts_from_when_the_request_came(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };
    struct post late = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    op.arrived_ms = small_world.now_ms;
    assert_int_equal(post_to(nodes[1], true), 2);
    small_world_pass(WINDOW_MS + 1);
    assert_ok(&op, begin(&op, nodes[0], &late));
    assert_ok(&op, rotate(&op, &late));
    assert_int_equal(late.version, 2);
    hf_service_repeat_end(late.repeat, true);
    free_nodes(nodes, HF_COUNT(nodes));
}

/* It has waited for its turn until nothing of the first was in the window any more. */
static void what_was_answered_here_is_no_first_time_of_what_waited(void **unused)
{
    struct hf_service *node = other_node();
    struct post next = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_int_equal(post_to(node, true), 2);
    small_world_pass(WINDOW_MS - 20);
    op.arrived_ms = small_world.now_ms;
    small_world_pass(120);
    assert_ok(&op, begin(&op, node, &next));
    assert_ok(&op, rotate(&op, &next));
    assert_int_equal(next.version, 3);
    hf_service_repeat_end(next.repeat, true);
    hf_service_free(node);
}

/* It is durable, but whether it is in force everywhere was not heard in time. */
static uint32_t post_in_doubt(struct hf_service *service)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, begin(&op, service, &post));
    assert_ok(&op, rotate(&op, &post));
    hf_repeats_conclude(service->repeats, &op.request_id, (struct hf_status){ HF_IN_DOUBT });
    hf_service_repeat_end(post.repeat, true);
    return post.version;
}

static void who_is_told_that_it_is_in_doubt_asks_for_the_same_again(void **unused)
{
    struct hf_service *nodes[] = { other_node(), world.service };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(nodes); i++) {
        uint32_t version = post_in_doubt(nodes[i]);

        assert_int_equal(post_to(nodes[i], true), version);
        assert_int_equal(versions_now(), version);
        small_world_pass(WINDOW_MS + 1);
    }
    hf_service_free(nodes[0]);
}

static void be_refused(struct hf_service *service)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, begin(&op, service, &post));
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(&op, rotate(&op, &post), HF_UNAVAILABLE);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    hf_service_repeat_end(post.repeat, true);
}

static void a_refusal_in_between_brings_no_earlier_answer_back(void **unused)
{
    struct hf_service *node = other_node();

    (void)unused;
    assert_int_equal(post_to(node, true), 2);
    be_refused(node);
    assert_int_equal(post_to(node, true), 3);
    hf_service_free(node);
}

/* The key has not moved on, so it has the same id. */
static void nor_does_it_end_what_is_asked_next(void **unused)
{
    struct hf_service *node = other_node();

    (void)unused;
    be_refused(node);
    assert_int_equal(post_to(node, false), 2);
    assert_int_equal(post_to(node, true), 2);
    hf_service_free(node);
}

/* --- at the same time --- */

/* Where its answer was lost the client went on to another node, and now it asks for something new.
 */
static void an_answer_that_another_node_gave_is_not_given_again_after_the_window(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };

    (void)unused;
    assert_int_equal(post_to(nodes[0], false), 2);
    assert_int_equal(post_to(nodes[1], true), 2);
    small_world_pass(WINDOW_MS + 1);
    assert_int_equal(post_to(nodes[0], true), 3);
    assert_int_equal(versions_now(), 3);
    free_nodes(nodes, HF_COUNT(nodes));
}

/* It stood still with the request for so long that the client was answered elsewhere. */
static void nor_is_one_that_came_late(void **unused)
{
    struct hf_service *nodes[] = { other_node(), other_node() };
    struct post late = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, begin(&op, nodes[0], &late));
    assert_int_equal(post_to(nodes[1], true), 2);
    small_world_pass(WINDOW_MS);
    assert_ok(&op, hf_service_key_rotate(nodes[0], &op, RING, "k", NULL, &late.version, NULL));
    assert_int_equal(late.version, 2);
    hf_service_repeat_end(late.repeat, false);
    small_world_pass(WINDOW_MS / 2);
    assert_int_equal(post_to(nodes[0], true), 3);
    assert_int_equal(post_to(nodes[0], true), 4);
    free_nodes(nodes, HF_COUNT(nodes));
}

static void *post_in_thread(void *context)
{
    struct post *post = context;
    struct hf_op op = world_as(post->who);

    op.lane = post->lane;
    post->status = begin(&op, post->service, post);
    if (post->status.code == HF_OK) {
        post->status = rotate(&op, post);
        hf_service_repeat_end(post->repeat, true);
    }
    return NULL;
}

static void duplicates_share(struct hf_service *service, uint32_t version)
{
    struct post first = { .who = ROOT, .body = BODY };
    struct post duplicates[4];
    pthread_t threads[HF_COUNT(duplicates)];
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, begin(&op, service, &first));
    for (unsigned i = 0; i < HF_COUNT(duplicates); i++) {
        duplicates[i] = first;
        duplicates[i].lane = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, post_in_thread, &duplicates[i]), 0);
    }
    while (atomic_load(&service->waiting) < HF_COUNT(duplicates)) {
        (void)sched_yield();
    }
    assert_ok(&op, rotate(&op, &first));
    assert_int_equal(first.version, version);
    /* They came before the commit, however long it takes to say so. */
    small_world_pass(2 * WINDOW_MS);
    hf_service_repeat_end(first.repeat, true);
    for (unsigned i = 0; i < HF_COUNT(duplicates); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(duplicates[i].status.code, HF_OK);
        assert_int_equal(duplicates[i].version, version);
    }
    assert_int_equal(versions_now(), version);
}

static void duplicates_wait_for_the_first_and_get_its_id(void **unused)
{
    struct hf_service *shared = other_node();

    (void)unused;
    duplicates_share(world.service, 2);
    small_world_pass(2 * WINDOW_MS);
    duplicates_share(shared, 3);
    hf_service_free(shared);
}

/* A wanted one is refused, and asked again before that: what was answered earlier is neither. */
static void a_duplicate_of_what_is_refused_does_not_get_an_earlier_answer(void **unused)
{
    struct hf_service *node = other_node();
    struct post second = { .who = ROOT, .body = BODY };
    struct post duplicate = { .who = ROOT, .body = BODY, .service = node, .lane = 1 };
    struct hf_op op = world_as(ROOT);
    pthread_t thread;

    (void)unused;
    assert_int_equal(post_to(node, true), 2);
    assert_ok(&op, begin(&op, node, &second));
    assert_int_equal(pthread_create(&thread, NULL, post_in_thread, &duplicate), 0);
    while (atomic_load(&node->waiting) == 0) {
        (void)sched_yield();
    }
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(&op, rotate(&op, &second), HF_UNAVAILABLE);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    hf_service_repeat_end(second.repeat, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(duplicate.status.code, HF_OK);
    assert_int_equal(duplicate.version, 3);
    hf_service_free(node);
}

static void a_duplicate_gives_up_at_its_deadline(void **unused)
{
    struct post first = { .body = BODY }, second = { .body = BODY };
    struct hf_op op = world_as(ROOT), late = world_as(ROOT);

    (void)unused;
    assert_ok(&op, begin(&op, world.service, &first));
    late.deadline_ms = small_world.boot_ms + 20;
    assert_fails(&late, begin(&late, world.service, &second), HF_UNAVAILABLE);
    hf_service_repeat_end(first.repeat, true);
}

static void a_store_that_cannot_be_asked_is_no_answer(void **unused)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(&op, begin(&op, world.service, &post), HF_UNAVAILABLE);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
}

static void what_is_remembered_is_bounded(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_repeat *repeat = NULL;
    unsigned taken = 0;

    (void)unused;
    hf_repeats_free(world.service->repeats);
    world.service->repeats = hf_repeats_new(64);
    for (unsigned i = 0; i < 100; i++) {
        struct hf_bytes asked = hf_bytes_of(&i, sizeof i);

        if (hf_service_repeat_begin(world.service, &op, RING, "k", &asked, 1, 0, &repeat).code ==
            HF_OK) {
            hf_service_repeat_end(repeat, false);
            taken++;
        }
    }
    assert_int_equal(taken, 64);
    assert_int_equal(op.code, HF_LIMITED);
    hf_op_clear(&op);
    small_world_pass(300001);
    assert_int_equal(post_by(ROOT, BODY, true), 2);
}

static void answers_that_went_out_are_not_kept_for_long(void **unused)
{
    (void)unused;
    hf_repeats_free(world.service->repeats);
    world.service->repeats = hf_repeats_new(4);
    /* In the first seconds each takes a place; then none does. */
    assert_int_equal(post_by(ROOT, BODY, true), 2);
    small_world_pass(WINDOW_MS);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(post_by(ROOT, hf_bytes_of(&i, sizeof i), true), 3 + i);
    }
}

static void a_thread_that_may_not_wait_asks_later(void **unused)
{
    struct post post = { .body = BODY };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    op.may_wait = false;
    assert_fails(&op, begin(&op, world.service, &post), HF_LATER);
    hf_service_repeat_end(NULL, true);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(an_answer_that_went_out_is_not_repeated),
        test_of(an_answer_that_was_lost_is_given_again),
        test_of(an_answer_lost_long_ago_is_not_given_again),
        test_of(only_the_same_request_of_the_same_person_is_a_repeat),
        test_of(a_repeat_after_a_restart_is_found_in_the_store),
        test_of(a_repeat_after_the_window_is_a_new_request),
        test_of(what_failed_can_be_asked_again),
        test_of(a_creation_whose_answer_was_lost_gives_the_first_version),
        test_of(parts_do_not_run_into_each_other),
        test_of(a_repeat_at_another_node_within_the_window_gives_the_first_result),
        test_of(what_several_nodes_are_asked_before_any_commit_happens_once),
        test_of(an_answer_that_another_node_gave_is_not_given_again_after_the_window),
        test_of(nor_is_one_that_came_late),
        test_of(what_is_committed_while_the_store_is_asked_happens_once),
        test_of(what_is_committed_on_top_of_another_change_happens_once),
        test_of(nor_is_it_done_twice_when_the_store_fails_then),
        test_of(a_key_that_was_destroyed_can_be_made_again),
        test_of(the_window_counts_from_when_the_request_came),
        test_of(what_was_answered_here_is_no_first_time_of_what_waited),
        test_of(who_is_told_that_it_is_in_doubt_asks_for_the_same_again),
        test_of(a_refusal_in_between_brings_no_earlier_answer_back),
        test_of(nor_does_it_end_what_is_asked_next),
        test_of(duplicates_wait_for_the_first_and_get_its_id),
        test_of(a_duplicate_of_what_is_refused_does_not_get_an_earlier_answer),
        test_of(a_duplicate_gives_up_at_its_deadline),
        test_of(a_store_that_cannot_be_asked_is_no_answer),
        test_of(what_is_remembered_is_bounded),
        test_of(answers_that_went_out_are_not_kept_for_long),
        test_of(a_thread_that_may_not_wait_asks_later),
    };

    return cmocka_run_group_tests_name("service repeat", tests, world_start, world_stop);
}
