/*
 * What a node of a cluster answers with a lease and without, when a change is answered, and how
 * versions are born. The other node is a second cluster layer over the same store.
 */
#include "idle.h"
#include "neighbour.h"

#include <string.h>

#include "cluster/cluster.h"
#include "identity/cookie.h"

#define test_of(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define SECOND   ((uint64_t)1000)
#define HOUR     (3600 * SECOND)
#define TURN_MS  50
#define MAX_NEWS 16

struct peer {
    struct hf_cluster *cluster;
    bool quiet;         /* makes no turns: it is stopped, or cut off */
    enum hf_code opens; /* what becomes of candidates here */
    uint64_t candidates[MAX_NEWS];
    size_t count;
};

static struct {
    struct peer us;
    struct peer other;
    bool settles; /* whoever waits lets the jobs run, too */
} cluster;

static const char *const names[] = { "node-1", "node-2" };

/* --- what the layer needs --- */

static struct hf_status mac(void *context, struct hf_op *op, struct hf_bytes text,
                            uint8_t out[HF_CLUSTER_MAC_LEN])
{
    (void)context;
    return hf_sha256(small_world.crypto, op, text, out);
}

static struct hf_status follow(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied)
{
    const struct peer *peer = context;

    (void)op;
    for (size_t i = 0; i < peer->count; i++) {
        hf_cluster_candidate(peer->cluster, peer->candidates[i]);
    }
    *out_applied = up_to;
    return HF_SUCCESS;
}

static struct hf_status open_version(void *context, struct hf_op *op, uint64_t seq)
{
    const struct peer *peer = context;

    (void)seq;
    return peer->opens == HF_OK ? HF_SUCCESS : hf_fail(op, peer->opens, "it does not open here");
}

static void turn(struct peer *peer)
{
    struct hf_op op = small_world_op(7);
    uint64_t next_ms;

    if (!peer->quiet) {
        (void)hf_cluster_tick(peer->cluster, &op, &next_ms).code;
    }
}

static void turn_all(void)
{
    turn(&cluster.us);
    turn(&cluster.other);
    turn(&cluster.us);
}

/* Whoever waits lets the others work. */
static void wait_news(void *context, uint64_t news, uint64_t until_ms)
{
    (void)context;
    (void)news;
    (void)until_ms;
    turn_all();
    if (cluster.settles) {
        cluster.settles = false;
        world_jobs();
    }
    small_world_pass(TURN_MS);
}

static void wake(void *context)
{
    (void)context;
    turn_all();
}

static const struct hf_cluster_calls calls = { mac,       follow,    open_version, idle_open_missed,
                                               idle_keep, wait_news, idle_tell,    wake };

/* Both nodes have to try it. */
static void note_candidate(void *context, const struct hf_candidate *candidate)
{
    struct peer *const peers[] = { &cluster.us, &cluster.other };

    (void)context;
    for (size_t i = 0; i < HF_COUNT(peers); i++) {
        if (peers[i]->count < MAX_NEWS) {
            peers[i]->candidates[peers[i]->count++] = candidate->seq;
        }
    }
}

static void begin(struct peer *peer, const char *node)
{
    const struct hf_cluster_settings settings = {
        .env = &small_world.env,
        .engine = hf_seal_engine(small_world.seal),
        .node = node,
        .site = "",
        .boot_id = { 1 },
        .poll_ms = TURN_MS,
        .calls = &calls,
        .context = peer,
    };
    struct hf_op op = small_world_op(7);

    assert_ok(&op, hf_cluster_new(&op, &settings, &peer->cluster));
    hf_cluster_set_members(peer->cluster, names, HF_COUNT(names));
}

static int set_up(void **state)
{
    int result = world_open(state);

    world_key("old", HF_ALG_AES_256);
    world_key("other", HF_ALG_AES_256);
    memset(&cluster, 0, sizeof cluster);
    begin(&cluster.us, names[0]);
    begin(&cluster.other, names[1]);
    hf_keys_on_candidate(world.keys, note_candidate, NULL);
    world.service->cluster = cluster.us.cluster;
    turn_all();
    /* Until then one who was a member before may have a lease. */
    small_world_pass(3 * SECOND);
    turn_all();
    return result;
}

static int tear_down(void **state)
{
    world.service->cluster = NULL;
    hf_cluster_free(cluster.us.cluster);
    hf_cluster_free(cluster.other.cluster);
    return world_close(state);
}

/* Nobody has a lease any more. */
static void lose_lease(uint64_t for_ms)
{
    cluster.us.quiet = true;
    small_world_pass(for_ms);
    assert_int_equal(hf_cluster_lease(cluster.us.cluster), 0);
}

static struct hf_status generate(struct hf_op *op)
{
    struct hf_edek edek;

    return hf_service_hadoop_generate(world.service, op, RING, "old", 1, &edek);
}

static struct hf_status rotate(struct hf_op *op, uint32_t *out)
{
    return hf_service_key_rotate(world.service, op, RING, "old", NULL, out, NULL);
}

/* --- with a lease and without --- */

static struct hf_status create(struct hf_op *op, uint32_t *out)
{
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };

    return hf_service_key_create(world.service, op, RING, "new", &plan, out, NULL);
}

static void with_a_lease_nothing_is_said_of_age(void **unused)
{
    struct hf_op op = world_as(ALICE);

    (void)unused;
    assert_ok(&op, generate(&op));
    assert_true(op.standing.lease != 0 && !op.standing.stale);
    assert_int_equal(world_lines("\"operation\":\"key.generate\"", "stale_ms", NULL), 0);
}

static void without_one_the_age_limits_of_the_keyring_decide(void **unused)
{
    static const struct {
        const char *says;
        uint64_t after_ms;
        enum hf_code opens, generates;
    } cases[] = {
        { "both for a while", 10 * SECOND, HF_OK, HF_OK },
        { "data keys for ten minutes only", 11 * 60 * SECOND, HF_OK, HF_UNAVAILABLE },
        { "opening for an hour", HOUR + 60 * SECOND, HF_UNAVAILABLE, HF_UNAVAILABLE },
    };
    struct hf_edek edek;
    struct hf_op op = world_as(ALICE);

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(secret) plain = NULL;
        struct hf_status opened, generated;

        lose_lease(cases[i].after_ms);
        op = world_as(ALICE);
        opened = hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain);
        if (opened.code != cases[i].opens || op.standing.stale != (opened.code == HF_OK)) {
            fail_msg("%s: opening gave %s: %s", cases[i].says, hf_code_name(opened.code), op.text);
        }
        op = world_as(ALICE);
        generated = generate(&op);
        if (generated.code != cases[i].generates) {
            fail_msg("%s: generating gave %s: %s", cases[i].says, hf_code_name(generated.code),
                     op.text);
        }
        cluster.us.quiet = false;
        turn_all();
    }
    assert_int_equal(
        world_lines("\"operation\":\"key.generate\",\"outcome\":\"ok\"", "\"stale_ms\":", NULL), 1);
    assert_int_equal(world_lines("\"operation\":\"key.generate\",\"outcome\":\"unavailable\"",
                                 "max_stale_wrap", NULL),
                     2);
}

/* It may be there by now: a client that hears so goes on to another node. */
static void what_a_node_without_a_lease_does_not_find_may_be_elsewhere(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_edek edek;
    struct hf_edek later;
    struct hf_op op = world_as(ALICE);

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    later = edek;
    later.version = 2;
    op = world_as(ALICE);
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &later, &plain),
                 HF_NOT_FOUND);
    op = world_as(ALICE);
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "new", 1, &edek),
                 HF_NOT_FOUND);
    lose_lease(5 * SECOND);
    op = world_as(ALICE);
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &later, &plain),
                 HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "another may know better"));
    assert_non_null(strstr(op.text, "has no version 2"));
    op = world_as(ALICE);
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "new", 1, &edek),
                 HF_UNAVAILABLE);
    op = world_as(ROOT);
    assert_fails(&op, hf_service_key_get(world.service, &op, RING, "new", false, &info),
                 HF_UNAVAILABLE);
    assert_int_equal(world_lines("\"operation\":\"key.generate\"", "unavailable", NULL), 1);
}

static void an_operator_can_let_a_node_open_what_is_too_old(void **unused)
{
    struct hf_edek edek;
    HF_AUTO(secret) plain = NULL;
    struct hf_op op = world_as(ALICE);

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    lose_lease(2 * HOUR);
    op = world_as(ALICE);
    assert_fails(&op, hf_service_serve_stale(world.service, &op, HOUR), HF_DENIED);
    op = world_as(ROOT);
    assert_fails(&op, hf_service_serve_stale(world.service, &op, 31 * DAY), HF_INVALID);
    op = world_as(ROOT);
    assert_ok(&op, hf_service_serve_stale(world.service, &op, HOUR));
    op = world_as(ALICE);
    assert_ok(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain));
    assert_fails(&op, generate(&op), HF_UNAVAILABLE);
    assert_int_equal(world_lines("\"operation\":\"node.serve-stale\"", "for 3600 s", NULL), 1);
    small_world_pass(HOUR);
    op = world_as(ALICE);
    hf_secret_free(HF_TAKE(plain));
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain),
                 HF_UNAVAILABLE);
}

/* A load balancer sends nobody to a node that must refuse everybody. */
static void a_node_is_ready_while_the_keys_of_one_keyring_may_be_opened(void **unused)
{
    static const struct {
        uint64_t after_ms;
        enum hf_code code;
    } cases[] = {
        { 10 * SECOND, HF_OK },                     /* the keys of both */
        { HOUR + 60 * SECOND, HF_OK },              /* those of the second */
        { 3 * HOUR + 60 * SECOND, HF_UNAVAILABLE }, /* none */
    };
    struct hf_keyring_settings longer;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    hf_keyring_settings_default(&longer);
    longer.max_stale_ms = 3 * HOUR;
    longer.dark_window_ms = 3 * HOUR;
    world_ring("longer", &longer);
    turn_all();
    assert_ok(&op, hf_service_ready(world.service, &op));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        lose_lease(cases[i].after_ms);
        op = world_as(ROOT);
        status = hf_service_ready(world.service, &op);
        if (status.code != cases[i].code) {
            fail_msg("after %u s: %s: %s", (unsigned)(cases[i].after_ms / SECOND),
                     hf_code_name(status.code), op.text);
        }
        cluster.us.quiet = false;
        turn_all();
    }
    op = world_as(ROOT);
    assert_ok(&op, hf_service_ready(world.service, &op));
}

/* The node is stopped after the first look at its lease, and goes on when it is over. */
static void what_outlasted_its_lease_is_answered_as_without_one(void **unused)
{
    static const struct {
        enum hf_action action;
        bool never; /* the keyring is not served without a lease at all */
        uint64_t later_ms;
        enum hf_code code;
    } cases[] = {
        { HF_ACT_KEY_UNWRAP, false, 3 * SECOND, HF_OK },
        { HF_ACT_KEY_READ, false, 3 * SECOND, HF_OK },
        { HF_ACT_KEY_GENERATE, false, 3 * SECOND, HF_OK },
        { HF_ACT_KEY_UNWRAP, false, 3 * HOUR, HF_UNAVAILABLE },
        { HF_ACT_KEY_GENERATE, false, HOUR / 2, HF_UNAVAILABLE },
        { HF_ACT_KEY_UNWRAP, true, 3 * SECOND, HF_UNAVAILABLE },
        { HF_ACT_KEY_READ, true, 3 * SECOND, HF_UNAVAILABLE },
        { HF_ACT_KEY_GENERATE, true, 3 * SECOND, HF_UNAVAILABLE },
    };

    struct hf_keyring_settings never;

    (void)unused;
    hf_keyring_settings_default(&never);
    never.max_stale_ms = 0;
    never.max_stale_wrap_ms = 0;
    world_ring("never", &never);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_call call = { .service = world.service,
                                .action = cases[i].action,
                                .keyring = cases[i].never ? "never" : RING,
                                .key = "old" };
        struct hf_op op = world_as(ALICE);
        struct hf_status status;

        turn_all();
        assert_ok(&op, hf_standing_get(&call, &op));
        assert_int_not_equal(op.standing.lease, 0);
        small_world_pass(cases[i].later_ms);
        status = hf_standing_check(&call, &op);
        if (status.code != cases[i].code || op.standing.stale != (status.code == HF_OK)) {
            fail_msg("case %zu: %s: %s", i, hf_code_name(status.code), op.text);
        }
    }
}

/* What was read in the gap between two leases may be old. */
static void a_new_lease_is_another_one(void **unused)
{
    struct hf_call call = {
        .service = world.service, .action = HF_ACT_KEY_UNWRAP, .keyring = RING, .key = "old"
    };
    struct hf_op op = world_as(ALICE);

    (void)unused;
    assert_ok(&op, hf_call_allow(&call, &op));
    small_world_pass(3 * SECOND);
    turn_all();
    assert_fails(&op, hf_call_end(&call, &op, HF_SUCCESS), HF_UNAVAILABLE);
}

/* It was good when the request came, and was taken back before this node had its lease. */
static void a_cookie_that_was_taken_back_meanwhile_does_not_pass(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_caller caller = *world_caller(ALICE);

    (void)unused;
    world.service->cookies = hf_cookies_new(small_world.seal, DAY);
    caller.issued = hf_cookies_generation(world.service->cookies);
    op.caller = &caller;
    assert_ok(&op, generate(&op));
    hf_cookies_clear(world.service->cookies);
    assert_fails(&op, generate(&op), HF_UNAVAILABLE);
    caller.issued = hf_cookies_generation(world.service->cookies);
    assert_ok(&op, generate(&op));
    hf_cookies_free(HF_TAKE(world.service->cookies));
}

/* An export changes nothing, so it must not outlast its lease as a change may. */
static void nor_is_an_export(void **unused)
{
    struct hf_call call = {
        .service = world.service, .action = HF_ACT_KEY_EXPORT, .keyring = RING, .key = "old"
    };
    struct hf_op op = world_as(EVE);

    (void)unused;
    assert_ok(&op, hf_call_allow(&call, &op));
    small_world_pass(3 * SECOND);
    assert_fails(&op, hf_call_end_on_disk(&call, &op, HF_SUCCESS), HF_UNAVAILABLE);
}

/* --- changes --- */

static void a_change_waits_for_a_lease_and_happens_with_it(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint64_t seq = world_seq();
    uint32_t version = 0;

    (void)unused;
    lose_lease(3 * SECOND);
    op.may_wait = false;
    assert_fails(&op, rotate(&op, &version), HF_LATER);
    op = world_as(ROOT);
    op.deadline_ms = hf_env_boottime_ms(op.env) + 5 * SECOND;
    assert_fails(&op, rotate(&op, &version), HF_UNAVAILABLE);
    assert_int_equal(world_seq(), seq);
    cluster.us.quiet = false;
    op = world_as(ROOT);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(version, 2);
}

/* Workers are left for those who open keys. */
static void only_so_many_changes_wait_for_a_lease(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    lose_lease(3 * SECOND);
    world.service->max_waiting = 2;
    world.service->waiting = 2;
    op.deadline_ms = hf_env_boottime_ms(op.env) + DAY;
    assert_fails(&op, rotate(&op, &version), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "2 changes wait"));
    world.service->waiting = 1;
    cluster.us.quiet = false;
    op = world_as(ROOT);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(world.service->waiting, 1);
}

/* How long a change of the policy takes by the clock. */
static uint64_t time_of_a_change(void)
{
    struct hf_op op = world_as(ROOT);
    uint64_t began_ms = hf_env_boottime_ms(op.env);

    assert_ok(&op, hf_service_key_delete(world.service, &op, RING, "old", "it goes"));
    op = world_as(ROOT);
    assert_ok(&op, hf_service_key_recover(world.service, &op, RING, "old"));
    return (hf_env_boottime_ms(op.env) - began_ms) / 2;
}

static void a_change_is_answered_when_it_is_in_force_on_all_nodes(void **unused)
{
    (void)unused;
    assert_in_range(time_of_a_change(), 0, 500);
    cluster.other.quiet = true;
    assert_in_range(time_of_a_change(), HF_CLUSTER_ACK_MS, HF_CLUSTER_ACK_MS + 500);
}

static void a_change_whose_force_is_not_known_in_time_is_in_doubt(void **unused)
{
    struct hf_op op = world_as(ROOT);

    (void)unused;
    cluster.other.quiet = true;
    hf_env_random(op.env, op.request_id.bytes, sizeof op.request_id.bytes);
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, hf_service_key_delete(world.service, &op, RING, "old", "it goes"),
                 HF_IN_DOUBT);
    op.deadline_ms = 0;
    assert_ok(&op, hf_service_key_delete(world.service, &op, RING, "old", "it goes"));
}

/* --- what one node shows, and another not yet --- */

/* The key is gone, and there again, and the other node does not know yet. */
static void change_unheard(void)
{
    struct hf_op op = world_as(ROOT);

    cluster.other.quiet = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + 100;
    assert_fails(&op, hf_service_key_delete(world.service, &op, RING, "old", "it goes"),
                 HF_IN_DOUBT);
    op = world_as(ROOT);
    op.deadline_ms = hf_env_boottime_ms(op.env) + 100;
    assert_fails(&op, hf_service_key_recover(world.service, &op, RING, "old"), HF_IN_DOUBT);
}

static void what_is_shown_is_in_force_on_all_nodes(void **unused)
{
    struct hf_op op = world_as(ALICE);

    (void)unused;
    change_unheard();
    op.may_wait = false;
    assert_fails(&op, generate(&op), HF_LATER);
    cluster.other.quiet = false;
    op = world_as(ALICE);
    assert_ok(&op, generate(&op));
    assert_false(op.standing.ahead);
    assert_int_equal(world_lines("\"operation\":\"key.generate\"", "stale_ms", NULL), 0);
    /* Now it is known, and nothing waits any more. */
    cluster.other.quiet = true;
    op.may_wait = false;
    assert_ok(&op, generate(&op));
}

static void an_answer_that_others_may_not_give_yet_is_marked(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_edek edek;
    struct hf_op op = world_as(ALICE);
    uint64_t began_ms;

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    change_unheard();
    began_ms = hf_env_boottime_ms(op.env);
    assert_ok(&op, generate(&op));
    assert_true(op.standing.ahead && op.standing.lease != 0);
    assert_in_range(hf_env_boottime_ms(op.env) - began_ms, 1, 500);
    assert_int_equal(world_lines("\"operation\":\"key.generate\"", "\"stale_ms\":0", NULL), 1);
    /* What opens hangs on the version that was named: it waits for nobody. */
    op = world_as(ALICE);
    op.may_wait = false;
    assert_ok(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain));
    assert_false(op.standing.ahead);
    /* A refusal tells of the key, too. */
    op = world_as(ROOT);
    op.deadline_ms = hf_env_boottime_ms(op.env) + 100;
    assert_fails(&op, hf_service_key_delete(world.service, &op, RING, "old", "it goes"),
                 HF_IN_DOUBT);
    op = world_as(ROOT);
    assert_fails(&op, hf_service_key_get(world.service, &op, RING, "old", false, &info),
                 HF_NOT_FOUND);
    assert_true(op.standing.ahead);
    assert_non_null(strstr(op.text, "is deleted"));
}

/* Workers are left for those who open keys. */
static void only_so_many_answers_wait_for_the_others(void **unused)
{
    struct hf_op op = world_as(ALICE);
    uint64_t now_ms;

    (void)unused;
    change_unheard();
    world.service->max_waiting = 1;
    world.service->waiting = 1;
    now_ms = hf_env_boottime_ms(op.env);
    assert_ok(&op, generate(&op));
    assert_true(op.standing.ahead);
    assert_int_equal(hf_env_boottime_ms(op.env), now_ms);
    assert_int_equal(world.service->waiting, 1);
}

static void never_stale(void)
{
    struct hf_keyring_settings settings;
    struct hf_op op = world_as(ROOT);

    hf_keyring_settings_default(&settings);
    settings.max_stale_wrap_ms = 0;
    assert_ok(&op, hf_service_keyring_change(world.service, &op, RING, &settings));
}

static void a_keyring_that_is_never_served_stale_gives_no_such_answer(void **unused)
{
    struct hf_op op;

    (void)unused;
    never_stale();
    change_unheard();
    op = world_as(ALICE);
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, generate(&op), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "not known to be in force"));
    /* No lease of before lasts any longer, heard or not. */
    op = world_as(ALICE);
    op.deadline_ms = hf_env_boottime_ms(op.env) + 5 * SECOND;
    assert_ok(&op, generate(&op));
    assert_false(op.standing.ahead);
}

/* Nobody is told that it failed while it may still come to be used. */
static void what_leaves_a_candidate_is_told_to_be_in_doubt(void **unused)
{
    bool has_failed = true;
    unsigned in_doubt = 0;

    (void)unused;
    for (uint8_t at = 1; has_failed; at++) {
        struct hf_op op = world_as(ROOT);
        struct hf_key_commits commits;
        enum hf_code code;
        uint32_t version = 0;

        assert_true(at < 100);
        op.request_id.bytes[0] = at;
        hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, at);
        code = rotate(&op, &version).code;
        has_failed = hf_failing_faults(small_world.engine) > 0;
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
        hf_key_commits(world.keys, &op, RING, "old", &commits);
        if (code != HF_OK) {
            assert_int_equal(commits.candidate != 0, code == HF_IN_DOUBT);
            in_doubt += code == HF_IN_DOUBT;
            assert_ok(&op, rotate(&op, &version));
        }
        hf_key_commits(world.keys, &op, RING, "old", &commits);
        assert_int_equal(commits.candidate, 0);
    }
    assert_true(in_doubt > 0);
}

/* A candidate that its maker has left, so long ago that it may have been promoted without us. */
static void leave_candidate(struct hf_status (*make)(struct hf_op *op, uint32_t *out))
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    cluster.other.quiet = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, make(&op, &version), HF_IN_DOUBT);
    cluster.other.quiet = false;
    for (int i = 0; i < 4; i++) {
        small_world_pass(SECOND);
        turn_all();
    }
    assert_int_not_equal(hf_cluster_lease(cluster.us.cluster), 0);
    assert_true(hf_cluster_in_force(cluster.us.cluster) >= world_seq());
}

static void leave_a_candidate(void)
{
    leave_candidate(rotate);
}

static void a_node_that_may_have_missed_a_promotion_waits_or_says_so(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_edek edek;
    struct hf_op op = world_as(ALICE);
    uint64_t began_ms;

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    leave_a_candidate();
    op = world_as(ALICE);
    op.may_wait = false;
    assert_fails(&op, generate(&op), HF_LATER);
    op = world_as(ALICE);
    began_ms = hf_env_boottime_ms(op.env);
    assert_ok(&op, generate(&op));
    assert_true(op.standing.ahead && op.standing.lease != 0);
    assert_in_range(hf_env_boottime_ms(op.env) - began_ms, 300, 500);
    op = world_as(ROOT);
    assert_ok(&op, hf_service_key_get(world.service, &op, RING, "old", false, &info));
    assert_true(op.standing.ahead);
    /* Workers are left for those who open keys. */
    world.service->max_waiting = 1;
    world.service->waiting = 1;
    op = world_as(ALICE);
    began_ms = hf_env_boottime_ms(op.env);
    assert_ok(&op, generate(&op));
    assert_true(op.standing.ahead);
    assert_int_equal(hf_env_boottime_ms(op.env), began_ms);
    assert_int_equal(world.service->waiting, 1);
    /* What opens waits for nobody, and other keys do not either. */
    op = world_as(ALICE);
    op.may_wait = false;
    assert_ok(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain));
    assert_false(op.standing.ahead);
    /* But a version that is not proven, as far as it knows, may be in use elsewhere. */
    edek.version = 2;
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain),
                 HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "another may know better"));
    assert_non_null(strstr(op.text, "not proven yet"));
    edek.version = 3;
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain),
                 HF_UNAVAILABLE);
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "other", 1, &edek));
    assert_false(op.standing.ahead);
}

static void nor_does_it_say_that_a_key_is_not_there(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    struct hf_edek edek;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    leave_candidate(create);
    assert_fails(&op, hf_service_hadoop_key(world.service, &op, RING, "new", &info),
                 HF_UNAVAILABLE);
    op = world_as(ALICE);
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "new", 1, &edek),
                 HF_UNAVAILABLE);
    op = world_as(ROOT);
    assert_fails(&op, hf_service_hadoop_key(world.service, &op, RING, "never", &info),
                 HF_NOT_FOUND);
}

static void but_what_does_not_hang_on_the_candidate_is_told(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_edek edek;
    struct hf_op op = world_as(ALICE);
    struct hf_op root = world_as(ROOT);

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    leave_a_candidate();
    assert_ok(&root, hf_service_key_state(world.service, &root, RING, "old", edek.version,
                                          HF_KEY_SUSPEND, "test"));
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "old", &edek, &plain),
                 HF_WRONG_STATE);
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "old", "test"));
    assert_fails(&root, hf_service_hadoop_key(world.service, &root, RING, "old", &info),
                 HF_NOT_FOUND);
}

static void and_tells_what_became_of_it_when_it_hears(void **unused)
{
    struct hf_edek edek;
    struct hf_op op;

    (void)unused;
    leave_a_candidate();
    small_world_pass(2 * 60 * SECOND);
    turn_all();
    small_world_pass(3 * SECOND);
    turn_all();
    cluster.settles = true;
    op = world_as(ALICE);
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "old", 1, &edek));
    assert_int_equal(edek.version, 2);
    small_world_pass(SECOND);
    turn_all();
    op = world_as(ALICE);
    op.may_wait = false;
    assert_ok(&op, generate(&op));
    assert_false(op.standing.ahead);
}

static void a_keyring_that_is_never_served_stale_is_silent_then(void **unused)
{
    struct hf_op op;
    uint32_t version = 0;
    uint64_t began_ms;

    (void)unused;
    never_stale();
    leave_a_candidate();
    op = world_as(ALICE);
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, generate(&op), HF_UNAVAILABLE);
    assert_int_equal(world_lines("\"operation\":\"key.generate\"", "unavailable", NULL), 1);
    /* A change goes on after a while: it may be the repeat that settles the candidate. */
    op = world_as(ROOT);
    began_ms = hf_env_boottime_ms(op.env);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(version, 3);
    assert_in_range(hf_env_boottime_ms(op.env) - began_ms, 300, 800);
}

/* --- versions --- */

static void a_silent_node_is_waited_for_once_for_each_version(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint64_t began_ms = hf_env_boottime_ms(op.env);
    uint32_t version = 0;

    (void)unused;
    cluster.other.quiet = true;
    assert_ok(&op, rotate(&op, &version));
    assert_in_range(hf_env_boottime_ms(op.env) - began_ms, HF_CLUSTER_ACK_MS - 100,
                    HF_CLUSTER_ACK_MS + 500);
}

static void a_version_is_proven_on_all_nodes_before_it_is_used(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(version, 2);
    assert_ok(&op, hf_key_primary(world.keys, &op, RING, "old", &version));
    assert_int_equal(version, 2);
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "\"detail\":\"candidate\""), 1);
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 2 of 2 nodes"), 1);
}

static void a_version_that_a_node_cannot_open_is_abandoned(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    cluster.other.opens = HF_CORRUPT;
    assert_fails(&op, rotate(&op, &version), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "node-2"));
    assert_non_null(strstr(op.text, "corrupt"));
    op = world_as(ROOT);
    assert_ok(&op, hf_key_primary(world.keys, &op, RING, "old", &version));
    assert_int_equal(version, 1);
    op = world_as(ROOT);
    assert_fails(&op, create(&op, &version), HF_UNAVAILABLE);
    assert_int_equal(world_notes("abandoned", "node-2"), 0);
    assert_int_equal(world_notes("node node-2 could not open it", "\"operation\":\"key.rotate\""),
                     1);
    /* The number is gone, the name is not. */
    cluster.other.opens = HF_OK;
    op = world_as(ROOT);
    assert_ok(&op, create(&op, &version));
    assert_int_equal(version, 2);
    op = world_as(ROOT);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(version, 3);
}

/* One POST of Hadoop's client that rolls "old", or makes "new", and its whole answer. */
static struct hf_status post(const char *key,
                             struct hf_status (*make)(struct hf_op *op, uint32_t *out),
                             uint32_t *out)
{
    const struct hf_bytes asked = hf_bytes_of_text(key);
    struct hf_repeat *repeat = NULL;
    struct hf_op op = world_as(ROOT);
    struct hf_status status;

    assert_ok(&op, hf_service_repeat_begin(world.service, &op, RING, key, &asked, 1, 10 * SECOND,
                                           &repeat));
    status = make(&op, out);
    hf_service_repeat_end(repeat, true);
    return status;
}

/* Who was told so asks for another one, though it is asked in the same words and at once. */
static void what_was_abandoned_can_be_asked_for_again(void **unused)
{
    uint32_t version = 0;

    (void)unused;
    world.service->shared_store = true;
    cluster.other.opens = HF_CORRUPT;
    assert_int_equal(post("old", rotate, &version).code, HF_UNAVAILABLE);
    assert_int_equal(post("new", create, &version).code, HF_UNAVAILABLE);
    cluster.other.opens = HF_OK;
    assert_int_equal(post("old", rotate, &version).code, HF_OK);
    assert_int_equal(version, 3);
    assert_int_equal(post("new", create, &version).code, HF_OK);
    assert_int_equal(version, 2);
}

static struct hf_status rotate_under(struct hf_op *op, uint8_t id, uint32_t *out)
{
    *op = world_as(ROOT);
    op->request_id = world_request(id);
    return rotate(op, out);
}

static void a_repeat_of_a_request_whose_version_was_abandoned_makes_another(void **unused)
{
    struct hf_op op;
    uint32_t version = 0;

    (void)unused;
    cluster.other.opens = HF_CORRUPT;
    assert_fails(&op, rotate_under(&op, 1, &version), HF_UNAVAILABLE);
    assert_fails(&op, rotate_under(&op, 1, &version), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "version 3"));
    cluster.other.opens = HF_OK;
    for (int i = 0; i < 2; i++) {
        assert_ok(&op, rotate_under(&op, 1, &version));
        assert_int_equal(version, 4);
    }
    assert_ok(&op, rotate_under(&op, 2, &version));
    assert_int_equal(version, 5);
}

static void a_request_makes_no_more_than_so_many_versions(void **unused)
{
    struct hf_op op;
    uint32_t version = 0;

    (void)unused;
    cluster.other.opens = HF_CORRUPT;
    for (int i = 0; i < 16; i++) {
        assert_fails(&op, rotate_under(&op, 1, &version), HF_UNAVAILABLE);
        assert_non_null(strstr(op.text, "node-2"));
    }
    cluster.other.opens = HF_OK;
    assert_fails(&op, rotate_under(&op, 1, &version), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "ask under a new request id"));
    assert_ok(&op, rotate_under(&op, 2, &version));
    assert_int_equal(version, 18);
}

/* A client that goes on from node to node has them all find the one version that was made. */
static void all_nodes_find_what_a_repeat_made_after_a_version_was_abandoned(void **unused)
{
    struct hf_repeats *here = world.service->repeats;
    struct hf_repeats *there = hf_repeats_new(10);
    uint32_t version = 0;

    (void)unused;
    world.service->shared_store = true;
    cluster.other.opens = HF_CORRUPT;
    assert_int_equal(post("old", rotate, &version).code, HF_UNAVAILABLE);
    cluster.other.opens = HF_OK;
    world.service->repeats = there;
    assert_int_equal(post("old", rotate, &version).code, HF_OK);
    assert_int_equal(version, 3);
    world.service->repeats = here;
    assert_int_equal(post("old", rotate, &version).code, HF_OK);
    assert_int_equal(version, 3);
    /* Now both have answered: what is asked next is another rotation. */
    assert_int_equal(post("old", rotate, &version).code, HF_OK);
    assert_int_equal(version, 4);
    hf_repeats_free(there);
}

static void serve_on(const char *node)
{
    neighbour_enlist("node-1", "", HF_MEMBER_APPROVED);
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    world_serve_on(RING, &node, 1);
}

static void a_node_that_does_not_serve_the_keyring_proves_nothing(void **unused)
{
    struct hf_op op;
    uint32_t version = 0;

    (void)unused;
    world.service->shared_store = true;
    serve_on("node-1");
    cluster.other.opens = HF_CORRUPT;
    op = world_as(ROOT);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(version, 2);
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 1 of 1 nodes"), 1);
    /* It is away, and would not be asked. */
    neighbour_enlist("node-2", "", HF_MEMBER_AWAY);
    op = world_as(ROOT);
    assert_ok(&op, rotate(&op, &version));
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 1 of 1 nodes"), 2);
    world_serve_on(RING, NULL, 0);
    op = world_as(ROOT);
    assert_fails(&op, rotate(&op, &version), HF_UNAVAILABLE);
}

/* Made where it could be made, and served by another node since then. */
static void a_candidate_is_proven_by_those_who_serve_it_whoever_settles_it(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    world.service->shared_store = true;
    cluster.other.quiet = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, rotate(&op, &version), HF_IN_DOUBT);
    cluster.other.quiet = false;
    serve_on("node-2");
    cluster.us.opens = HF_CORRUPT;
    small_world_pass(2 * 60 * SECOND);
    turn_all();
    world_jobs();
    op = world_as(ROOT);
    assert_ok(&op, hf_key_primary(world.keys, &op, RING, "old", &version));
    assert_int_equal(version, 2);
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 1 of 1 nodes"), 1);
}

/* The maker stops between the two commits, and whoever asked asks again. */
static void a_repeat_goes_on_where_the_first_time_stopped(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_request_id id;
    uint32_t version = 0;

    (void)unused;
    hf_env_random(op.env, op.request_id.bytes, sizeof op.request_id.bytes);
    id = op.request_id;
    cluster.other.quiet = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, rotate(&op, &version), HF_IN_DOUBT);
    cluster.other.quiet = false;
    for (int i = 0; i < 2; i++) {
        op = world_as(ROOT);
        op.request_id = id;
        assert_ok(&op, rotate(&op, &version));
        assert_int_equal(version, 2);
        assert_memory_equal(&op.request_id, &id, sizeof id);
    }
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 2 of 2 nodes"), 1);
}

static void a_version_whose_maker_died_is_settled_by_the_job(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    cluster.other.quiet = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, rotate(&op, &version), HF_IN_DOUBT);
    cluster.other.quiet = false;
    small_world_pass(2 * 60 * SECOND);
    turn_all();
    world_jobs();
    op = world_as(ROOT);
    assert_ok(&op, hf_key_primary(world.keys, &op, RING, "old", &version));
    assert_int_equal(version, 2);
    assert_int_equal(world_notes("\"operation\":\"key.rotate\"", "proven on 2 of 2 nodes"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(with_a_lease_nothing_is_said_of_age),
        test_of(without_one_the_age_limits_of_the_keyring_decide),
        test_of(what_a_node_without_a_lease_does_not_find_may_be_elsewhere),
        test_of(an_operator_can_let_a_node_open_what_is_too_old),
        test_of(a_node_is_ready_while_the_keys_of_one_keyring_may_be_opened),
        test_of(what_outlasted_its_lease_is_answered_as_without_one),
        test_of(a_new_lease_is_another_one),
        test_of(nor_is_an_export),
        test_of(a_cookie_that_was_taken_back_meanwhile_does_not_pass),
        test_of(a_change_waits_for_a_lease_and_happens_with_it),
        test_of(only_so_many_changes_wait_for_a_lease),
        test_of(a_change_is_answered_when_it_is_in_force_on_all_nodes),
        test_of(a_change_whose_force_is_not_known_in_time_is_in_doubt),
        test_of(what_is_shown_is_in_force_on_all_nodes),
        test_of(an_answer_that_others_may_not_give_yet_is_marked),
        test_of(only_so_many_answers_wait_for_the_others),
        test_of(a_keyring_that_is_never_served_stale_gives_no_such_answer),
        test_of(what_leaves_a_candidate_is_told_to_be_in_doubt),
        test_of(a_node_that_may_have_missed_a_promotion_waits_or_says_so),
        test_of(nor_does_it_say_that_a_key_is_not_there),
        test_of(but_what_does_not_hang_on_the_candidate_is_told),
        test_of(and_tells_what_became_of_it_when_it_hears),
        test_of(a_keyring_that_is_never_served_stale_is_silent_then),
        test_of(a_version_is_proven_on_all_nodes_before_it_is_used),
        test_of(a_silent_node_is_waited_for_once_for_each_version),
        test_of(a_version_that_a_node_cannot_open_is_abandoned),
        test_of(what_was_abandoned_can_be_asked_for_again),
        test_of(a_repeat_of_a_request_whose_version_was_abandoned_makes_another),
        test_of(a_request_makes_no_more_than_so_many_versions),
        test_of(all_nodes_find_what_a_repeat_made_after_a_version_was_abandoned),
        test_of(a_node_that_does_not_serve_the_keyring_proves_nothing),
        test_of(a_candidate_is_proven_by_those_who_serve_it_whoever_settles_it),
        test_of(a_repeat_goes_on_where_the_first_time_stopped),
        test_of(a_version_whose_maker_died_is_settled_by_the_job),
    };

    return cmocka_run_group_tests_name("service standing", tests, world_start, world_stop);
}
