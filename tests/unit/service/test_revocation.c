/*
 * Revocations carried by hand: the node of the world has a lease and states them, a neighbour on
 * the same store is cut off and is given them.
 */
#include "idle.h"
#include "neighbour.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cluster/cluster.h"
#include "service/revocation.h"

#define test_of(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define SECOND  ((uint64_t)1000)
#define TURN_MS 50

struct peer {
    struct hf_cluster *cluster;
    struct neighbour *node; /* NULL: the world's */
    bool is_cut_off;
};

static struct {
    struct peer us;
    struct peer other;
} cluster;

static struct neighbour second;
static struct hf_buf *file; /* what the neighbour keeps; NULL: there is none */
static bool disk_fails;

static const char *const names[] = { "node-1", "node-2" };
static const char *const keys[] = { "sales", "wages", "stock" };

/* --- what the cluster layer needs --- */

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

    if (peer->node == NULL) {
        *out_applied = up_to;
        return HF_SUCCESS;
    }
    return hf_seal_follow(peer->node->seal, op, out_applied);
}

static void turn(struct peer *peer)
{
    struct hf_op op = small_world_op(7);
    uint64_t next_ms;

    if (peer->is_cut_off) {
        return;
    }
    (void)hf_cluster_tick(peer->cluster, &op, &next_ms).code;
    hf_op_clear(&op);
    if (peer->node != NULL) {
        hf_service_revocations_end(peer->node->service, &op);
    }
}

static void turn_all(void)
{
    turn(&cluster.us);
    turn(&cluster.other);
    turn(&cluster.us);
}

static void wait_news(void *context, uint64_t news, uint64_t until_ms)
{
    (void)context;
    (void)news;
    (void)until_ms;
    turn_all();
    small_world_pass(TURN_MS);
}

static void wake(void *context)
{
    (void)context;
    turn_all();
}

static const struct hf_cluster_calls calls = {
    mac, follow, idle_open_version, idle_open_missed, idle_keep, wait_news, idle_tell, wake
};

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

/* --- what the daemon does --- */

static struct hf_status keep(void *context, struct hf_op *op, struct hf_bytes content)
{
    (void)context;
    if (disk_fails) {
        return hf_fail(op, HF_NO_SPACE, "the disk is full");
    }
    hf_buf_free(file);
    file = hf_buf_new();
    hf_buf_add_bytes(file, content);
    return HF_SUCCESS;
}

static struct hf_status recall(void *context, struct hf_op *op, struct hf_secret **out)
{
    (void)context;
    if (file == NULL || file->len == 0) {
        return HF_SUCCESS;
    }
    return hf_secret_copy(op, hf_buf_bytes(file), out);
}

static void join(void)
{
    neighbour_start(&second, names[1]);
    second.service->cluster = cluster.other.cluster;
    second.service->outside.keep_revocations = keep;
    second.service->outside.recall_revocations = recall;
    cluster.other.node = &second;
}

/*
 * Service and keys know no more than the file does. The seal stays, in the place of a copy of the
 * store that has not gone on.
 */
static struct hf_status restart(struct hf_op *op)
{
    const struct hf_service_parts parts = { .seal = second.seal,
                                            .keys = second.keys,
                                            .policy = second.policy,
                                            .audit = second.audit,
                                            .node = second.name,
                                            .shared_store = true,
                                            .cluster = cluster.other.cluster,
                                            .outside = second.service->outside,
                                            .site = "" };

    hf_service_free(second.service);
    hf_keys_set_revoked(second.keys, NULL, 0);
    second.service = hf_service_new(&parts);
    *op = small_world_op(7);
    return hf_service_revocations_recall(second.service, op);
}

static int set_up(void **state)
{
    int result = world_open(state);
    struct hf_op op = small_world_op(7);
    uint8_t secret[32];

    for (size_t i = 0; i < HF_COUNT(keys); i++) {
        world_key(keys[i], HF_ALG_AES_256);
    }
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)i;
    }
    assert_ok(&op, hf_seal_secret_put(small_world.seal, &op, HF_CLUSTER_SECRET,
                                      hf_bytes_of(secret, sizeof secret)));
    memset(&cluster, 0, sizeof cluster);
    begin(&cluster.us, names[0]);
    begin(&cluster.other, names[1]);
    world.service->cluster = cluster.us.cluster;
    join();
    turn_all();
    small_world_pass(3 * SECOND);
    turn_all();
    return result;
}

static int tear_down(void **state)
{
    neighbour_stop(&second);
    world.service->cluster = NULL;
    hf_cluster_free(cluster.us.cluster);
    hf_cluster_free(cluster.other.cluster);
    hf_buf_free(file);
    file = NULL;
    disk_fails = false;
    return world_close(state);
}

static void cut_off(void)
{
    cluster.other.is_cut_off = true;
    small_world_pass(5 * SECOND);
    turn(&cluster.us);
    assert_int_equal(hf_cluster_lease(cluster.other.cluster), 0);
}

static void mend(void)
{
    cluster.other.is_cut_off = false;
    turn_all();
    turn_all();
}

/* --- what people do --- */

static struct hf_edek edek_of(const char *key)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek edek;

    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, key, 1, &edek));
    return edek;
}

/* On the neighbour. What came of it stays in op. */
static enum hf_code opens(struct hf_op *op, const char *key, const struct hf_edek *edek)
{
    HF_AUTO(secret) plain = NULL;

    *op = world_as(ALICE);
    return hf_service_hadoop_decrypt(second.service, op, RING, key, edek, &plain).code;
}

static enum hf_code generates(const char *key)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek edek;

    return hf_service_hadoop_generate(second.service, &op, RING, key, 1, &edek).code;
}

static void change_state(const char *key, uint32_t version, enum hf_key_event event)
{
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_key_state(world.service, &op, RING, key, version, event, ""));
}

static void delete_key(const char *key)
{
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_key_delete(world.service, &op, RING, key, ""));
}

static struct hf_revocation state_that(const char *key, uint32_t version)
{
    struct hf_op op = world_as(ROOT);
    struct hf_revocation revocation;

    assert_ok(&op, hf_service_key_revocation(world.service, &op, RING, key, version, &revocation));
    return revocation;
}

static struct hf_status give(struct hf_op *op, const struct hf_revocation *revocation)
{
    bool followed = true;
    struct hf_status status;

    *op = world_as(ROOT);
    status = hf_service_node_revoke(second.service, op, revocation, &followed);
    assert_true(status.code != HF_OK || !followed);
    return status;
}

/* The key is suspended on the other side while the neighbour is cut off. */
static struct hf_revocation suspend(const char *key)
{
    cut_off();
    change_state(key, 1, HF_KEY_SUSPEND);
    return state_that(key, 1);
}

/* --- the use of it --- */

static void a_node_that_is_told_by_hand_stops_and_goes_on_with_all_else(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_edek wages = edek_of("wages");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
    assert_true(op.standing.stale);
    assert_ok(&op, give(&op, &revocation));
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "revoked on this node: it is suspended as of commit"));
    assert_int_equal(generates("sales"), HF_UNAVAILABLE);
    assert_int_equal(opens(&op, "wages", &wages), HF_OK);
    assert_int_equal(generates("wages"), HF_OK);
}

static void whole_keys_are_told_of_and_what_the_state_leaves_is_left(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_edek wages = edek_of("wages");
    struct hf_revocation revocation;
    struct hf_op op;

    (void)unused;
    cut_off();
    delete_key("sales");
    change_state("wages", 1, HF_KEY_DEACTIVATE);
    revocation = state_that("sales", HF_LATEST);
    assert_ok(&op, give(&op, &revocation));
    revocation = state_that("wages", 1);
    assert_ok(&op, give(&op, &revocation));
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    assert_int_equal(generates("sales"), HF_UNAVAILABLE);
    assert_int_equal(opens(&op, "wages", &wages), HF_OK);
    assert_int_equal(generates("wages"), HF_UNAVAILABLE);
}

static void it_ends_when_the_commit_is_followed_and_the_store_decides_again(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    assert_true(file != NULL && file->len > 0);
    mend();
    assert_int_equal(file->len, 0);
    assert_int_equal(opens(&op, "sales", &sales), HF_WRONG_STATE);
    assert_null(strstr(op.text, "revoked on this node"));
    /* Given again, and resumed: what is followed is not undone by what was said before. */
    op = world_as(ROOT);
    change_state("sales", 1, HF_KEY_RESUME);
    mend();
    for (int i = 0; i < 2; i++) {
        bool followed = false;

        assert_ok(&op, hf_service_node_revoke(second.service, &op, &revocation, &followed));
        assert_true(followed);
    }
    assert_int_equal(file->len, 0);
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
}

static void it_does_not_end_before_that(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    change_state("sales", 1, HF_KEY_RESUME);
    revocation.seq = world_seq() + 1;
    assert_ok(&op,
              hf_revocation_mac(small_world.seal, &small_world.op, &revocation, revocation.mac));
    assert_ok(&op, give(&op, &revocation));
    neighbour_follow(&second);
    op = small_world_op(7);
    hf_service_revocations_end(second.service, &op);
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    change_state("wages", 1, HF_KEY_SUSPEND);
    neighbour_follow(&second);
    op = small_world_op(7);
    hf_service_revocations_end(second.service, &op);
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
}

static void a_node_that_restarts_still_knows_it(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_edek wages = edek_of("wages");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    assert_ok(&op, restart(&op));
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "revoked on this node"));
    assert_int_equal(opens(&op, "wages", &wages), HF_OK);
    /* Also when it is asked for once more, as after each unlock. */
    op = small_world_op(7);
    assert_ok(&op, hf_service_revocations_recall(second.service, &op));
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    mend();
    assert_int_equal(file->len, 0);
    assert_ok(&op, restart(&op));
    assert_int_equal(opens(&op, "wages", &wages), HF_OK);
}

/* Else a node that comes back with another copy of the store would be held back by an old file. */
static void what_was_followed_while_the_node_was_down_is_not_taken_up_again(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    change_state("sales", 1, HF_KEY_RESUME);
    neighbour_stop(&second);
    join();
    op = small_world_op(7);
    assert_ok(&op, hf_service_revocations_recall(second.service, &op));
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
    mend();
    assert_int_equal(file->len, 0);
}

static void what_cannot_be_kept_is_not_answered_for(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;

    (void)unused;
    disk_fails = true;
    assert_fails(&op, give(&op, &revocation), HF_NO_SPACE);
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
    disk_fails = false;
    assert_ok(&op, give(&op, &revocation));
    assert_int_equal(opens(&op, "sales", &sales), HF_UNAVAILABLE);
    /* What has ended is in force no more, whatever the file says; it is written when it can be. */
    disk_fails = true;
    mend();
    assert_int_equal(opens(&op, "sales", &sales), HF_WRONG_STATE);
    assert_true(file->len > 0);
    disk_fails = false;
    change_state("wages", 1, HF_KEY_SUSPEND);
    mend();
    assert_int_equal(file->len, 0);
}

/* Nobody knows what was in it: the daemon then lets nothing be opened without a lease. */
static void a_file_that_was_damaged_is_not_taken_for_an_empty_one(void **unused)
{
    static const char *const contents[] = { "nonsense\n", "{\"revocation\":1}\n", "cut" };
    struct hf_revocation revocation = suspend("sales");
    HF_AUTO(buf) good = hf_buf_new();
    struct hf_op op;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    hf_buf_add_bytes(good, hf_buf_bytes(file));
    for (size_t i = 0; i < HF_COUNT(contents) + 2; i++) {
        hf_buf_clear(file);
        if (i < HF_COUNT(contents)) {
            hf_buf_add_bytes(file, hf_buf_bytes(good));
            hf_buf_add_text(file, contents[i]);
        } else if (i == HF_COUNT(contents)) {
            hf_buf_add(file, good->data, good->len - 1);
        } else {
            hf_buf_add_bytes(file, hf_buf_bytes(good));
            file->data[file->len - 5] ^= 1; /* in the MAC */
        }
        assert_int_not_equal(restart(&op).code, HF_OK);
    }
    assert_fails(&op, give(&op, &revocation), HF_WRONG_STATE);
    assert_true(file->len > 0);
    mend();
    assert_true(hf_cluster_lease(cluster.other.cluster) != 0);
    assert_int_equal(file->len, 0);
    assert_ok(&op, restart(&op));
}

/* --- what is refused --- */

static void alter(struct hf_revocation *revocation, size_t what)
{
    switch (what) {
    case 0:
        revocation->keyring[0] ^= 1;
        break;
    case 1:
        (void)snprintf(revocation->key, sizeof revocation->key, "wages");
        break;
    case 2:
        revocation->version = 2;
        break;
    case 3:
        revocation->as = HF_REVOKED_DESTROYED;
        break;
    case 4:
        revocation->seq += 1;
        break;
    case 5:
        revocation->node[0] ^= 1;
        break;
    default:
        revocation->mac[31] ^= 1;
    }
}

static void what_no_node_of_the_store_has_said_is_refused(void **unused)
{
    struct hf_edek sales = edek_of("sales");
    struct hf_edek wages = edek_of("wages");
    struct hf_revocation revocation = suspend("sales");
    struct hf_revocation altered;
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < 7; i++) {
        altered = revocation;
        alter(&altered, i);
        assert_fails(&op, give(&op, &altered), HF_INVALID);
        assert_int_equal(op.cause, HF_CAUSE_ALTERED);
        assert_non_null(strstr(op.text, "its MAC is wrong"));
    }
    altered = revocation;
    altered.store[3] ^= 1;
    assert_fails(&op, give(&op, &altered), HF_INVALID);
    assert_int_equal(op.cause, HF_CAUSE_OTHER_STORE);
    /* The MAC of what it says, but of another store. */
    assert_ok(&op, hf_revocation_mac(small_world.seal, &op, &altered, altered.mac));
    assert_fails(&op, give(&op, &altered), HF_INVALID);
    assert_null(file);
    assert_int_equal(opens(&op, "sales", &sales), HF_OK);
    assert_int_equal(opens(&op, "wages", &wages), HF_OK);
}

static void what_is_in_use_is_not_stated(void **unused)
{
    static const struct {
        const char *key;
        uint32_t version;
        enum hf_code code;
        const char *text;
    } cases[] = {
        { "wages", 1, HF_WRONG_STATE, "is active" },
        { "wages", HF_LATEST, HF_WRONG_STATE, "delete it first" },
        { "wages", 7, HF_NOT_FOUND, "has no version 7" },
        { "sales", 1, HF_WRONG_STATE, "leave the version out" },
        { "nowhere", HF_LATEST, HF_NOT_FOUND, "there is no key" },
    };
    struct hf_revocation revocation;

    (void)unused;
    delete_key("sales");
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(ROOT);

        assert_fails(&op,
                     hf_service_key_revocation(world.service, &op, RING, cases[i].key,
                                               cases[i].version, &revocation),
                     cases[i].code);
        assert_non_null(strstr(op.text, cases[i].text));
    }
}

/* Somebody may still be shown the key as it was: it is no revocation before that has ended. */
static void what_is_not_in_force_yet_is_waited_for(void **unused)
{
    struct hf_revocation revocation = { 0 };
    struct hf_op op = world_as(ROOT);
    uint64_t seq;

    (void)unused;
    cluster.other.is_cut_off = true;
    op.deadline_ms = hf_env_boottime_ms(op.env) + 2 * TURN_MS;
    assert_fails(&op,
                 hf_service_key_state(world.service, &op, RING, "sales", 1, HF_KEY_SUSPEND, ""),
                 HF_IN_DOUBT);
    seq = world_seq();
    assert_true(hf_cluster_in_force(cluster.us.cluster) < seq);
    op = world_as(ROOT);
    op.deadline_ms = hf_env_boottime_ms(op.env) + 2 * TURN_MS;
    assert_fails(&op, hf_service_key_revocation(world.service, &op, RING, "sales", 1, &revocation),
                 HF_IN_DOUBT);
    revocation = state_that("sales", 1);
    assert_true(hf_cluster_in_force(cluster.us.cluster) >= revocation.seq);
    assert_true(revocation.seq == seq);
}

/* A node that is cut off itself knows of nothing newest. */
static void without_a_lease_nothing_is_stated(void **unused)
{
    struct hf_revocation revocation;
    struct hf_op op;

    (void)unused;
    change_state("sales", 1, HF_KEY_SUSPEND);
    mend();
    cut_off();
    op = world_as(ROOT);
    op.deadline_ms = hf_env_boottime_ms(op.env) + SECOND;
    assert_fails(&op, hf_service_key_revocation(second.service, &op, RING, "sales", 1, &revocation),
                 HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "no lease"));
}

static void only_who_may_states_and_gives_and_the_trail_has_both(void **unused)
{
    struct hf_revocation revocation = suspend("sales");
    HF_AUTO_STRING detail = hf_format("suspended as of commit %d", (int)revocation.seq);
    struct hf_op op = world_as(ALICE);
    bool followed = false;

    (void)unused;
    assert_fails(&op, hf_service_key_revocation(world.service, &op, RING, "sales", 1, &revocation),
                 HF_DENIED);
    op = world_as(CAROL);
    assert_fails(&op, hf_service_node_revoke(second.service, &op, &revocation, &followed),
                 HF_DENIED);
    assert_null(file);
    assert_int_equal(world_lines("\"operation\":\"key.revocation\"", detail, "\"ok\""), 1);
    assert_int_equal(world_lines("\"operation\":\"key.revocation\"", "denied", NULL), 1);
    /* The world reads its own trail, so it is told, too: it has followed its own commit. */
    op = world_as(ROOT);
    assert_ok(&op, hf_service_node_revoke(world.service, &op, &revocation, &followed));
    assert_true(followed);
    assert_int_equal(world_lines("\"operation\":\"node.revoke\"", detail, "\"key\":\"sales\""), 1);
}

static void a_node_takes_so_many_and_the_same_once(void **unused)
{
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op;
    size_t len;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    len = file->len;
    assert_ok(&op, give(&op, &revocation));
    assert_int_equal(file->len, len);
    for (uint32_t i = 1; i < HF_REVOKED_MAX; i++) {
        revocation.version = 100 + i;
        assert_ok(&op, hf_revocation_mac(small_world.seal, &op, &revocation, revocation.mac));
        assert_ok(&op, give(&op, &revocation));
    }
    revocation.version = 2;
    assert_ok(&op, hf_revocation_mac(small_world.seal, &op, &revocation, revocation.mac));
    assert_fails(&op, give(&op, &revocation), HF_LIMITED);
    /* The same with a later commit takes no place, and lasts until that one. */
    revocation.version = 101;
    revocation.seq = world_seq() + 1;
    assert_ok(&op, hf_revocation_mac(small_world.seal, &op, &revocation, revocation.mac));
    assert_ok(&op, give(&op, &revocation));
    neighbour_follow(&second);
    op = small_world_op(7);
    hf_service_revocations_end(second.service, &op);
    assert_true(file->len > 0 && file->len < 2 * len);
}

static void status_says_so_while_there_are_any(void **unused)
{
    struct hf_revocation revocation = suspend("sales");
    struct world_item item = { .name = "revocations" };
    HF_AUTO_STRING until = hf_format("followed commit %d", (int)revocation.seq);
    struct hf_op op;

    (void)unused;
    assert_ok(&op, give(&op, &revocation));
    op = world_as(ROOT);
    assert_ok(&op, hf_service_status(second.service, &op, world_take_item, &item));
    assert_int_equal(item.count, 1);
    assert_int_equal(item.told.light, HF_AMBER);
    assert_non_null(strstr(item.told.text, "1 were given"));
    assert_non_null(strstr(item.told.text, until));
    hf_buf_add_text(file, "more");
    assert_int_not_equal(restart(&op).code, HF_OK);
    item.count = 0;
    op = world_as(ROOT);
    assert_ok(&op, hf_service_status(second.service, &op, world_take_item, &item));
    assert_int_equal(item.told.light, HF_RED);
    mend();
    item.count = 0;
    op = world_as(ROOT);
    assert_ok(&op, hf_service_status(second.service, &op, world_take_item, &item));
    assert_int_equal(item.count, 0);
}

static void a_store_of_this_nodes_own_has_none_of_it(void **unused)
{
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op = world_as(ROOT);
    bool followed = false;

    (void)unused;
    world.service->cluster = NULL;
    assert_fails(&op, hf_service_key_revocation(world.service, &op, RING, "sales", 1, &revocation),
                 HF_WRONG_STATE);
    op = world_as(ROOT);
    assert_fails(&op, hf_service_node_revoke(world.service, &op, &revocation, &followed),
                 HF_WRONG_STATE);
    assert_non_null(strstr(op.text, "alone"));
}

static void a_thread_that_may_not_wait_is_asked_later(void **unused)
{
    struct hf_revocation revocation = suspend("sales");
    struct hf_op op = world_as(ROOT);
    bool followed = false;

    (void)unused;
    op.may_wait = false;
    assert_int_equal(
        hf_service_key_revocation(world.service, &op, RING, "sales", 1, &revocation).code,
        HF_LATER);
    op = world_as(ROOT);
    op.may_wait = false;
    assert_int_equal(hf_service_node_revoke(second.service, &op, &revocation, &followed).code,
                     HF_LATER);
}

/* --- the text --- */

#define STORE "000102030405060708090a0b0c0d0e0f"
#define MAC   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TEXT(version, state, more)                                                                 \
    "{\"revocation\":1,\"store\":\"" STORE "\",\"keyring\":\"hdfs\",\"key\":\"sales\","            \
    "\"version\":" version ",\"state\":\"" state "\",\"commit\":4711,\"node\":\"node-1\","         \
    "\"mac\":\"" MAC "\"" more "}"

static void a_revocation_is_one_line_of_json(void **unused)
{
    static const char *const texts[] = { TEXT("3", "suspended", ""), TEXT("null", "deleted", ""),
                                         TEXT("0", "destroyed", "") };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        struct hf_op op = small_world_op(7);
        struct hf_revocation revocation;
        HF_AUTO(buf) again = hf_buf_new();

        assert_ok(&op, hf_revocation_read(&op, hf_bytes_of_text(texts[i]), &revocation));
        assert_string_equal(revocation.node, "node-1");
        assert_int_equal(revocation.seq, 4711);
        hf_revocation_write(&revocation, again);
        assert_string_equal(hf_buf_text(again), texts[i]);
        /* Cut anywhere. */
        for (size_t len = 0; len < strlen(texts[i]); len++) {
            op = small_world_op(7);
            assert_fails(&op, hf_revocation_read(&op, hf_bytes_of(texts[i], len), &revocation),
                         HF_INVALID);
        }
    }
}

/* docs/formats/revocation.md */
static void the_macs_are_those_of_the_format(void **unused)
{
    static const struct {
        const char *text;
        const char *mac;
    } cases[] = {
        { TEXT("3", "suspended", ""),
          "d264954f889538dad8f04f373b1889fe76f281177f814927d38d67c6d673807b" },
        { TEXT("null", "deleted", ""),
          "9caf43cf942f2c85a57b73f1c4f755c0743b1dff08cc4bf4707da56e55ef7172" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = small_world_op(7);
        struct hf_revocation revocation;
        HF_AUTO(buf) mac = hf_buf_new();
        uint8_t bytes[HF_SHA256_LEN];

        assert_ok(&op, hf_revocation_read(&op, hf_bytes_of_text(cases[i].text), &revocation));
        memset(revocation.store, 7, sizeof revocation.store);
        assert_ok(&op, hf_revocation_mac(small_world.seal, &op, &revocation, bytes));
        hf_hex_add(mac, hf_bytes_of(bytes, sizeof bytes));
        assert_string_equal(hf_buf_text(mac), cases[i].mac);
    }
}

static void what_is_none_is_refused_in_words(void **unused)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        { "{}", "this is no revocation" },
        { "[]", "this is no revocation" },
        { "{\"revocation\":2}", "another release" },
        { "{\"revocation\":1}", "\"store\"" },
        { TEXT("3", "suspended", ",\"more\":1"), "\"more\"" },
        { TEXT("3", "active", ""), "active" },
        { TEXT("3", "deleted", ""), "deleted" },
        { TEXT("null", "suspended", ""), "suspended" },
        { TEXT("4294967295", "suspended", ""), "\"version\"" },
        { TEXT("3", "suspended", ",\"mac\":\"00\""), "two members of one name" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = small_world_op(7);
        struct hf_revocation revocation;

        assert_fails(&op, hf_revocation_read(&op, hf_bytes_of_text(cases[i].text), &revocation),
                     HF_INVALID);
        if (strstr(op.text, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].text, op.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(a_node_that_is_told_by_hand_stops_and_goes_on_with_all_else),
        test_of(whole_keys_are_told_of_and_what_the_state_leaves_is_left),
        test_of(it_ends_when_the_commit_is_followed_and_the_store_decides_again),
        test_of(it_does_not_end_before_that),
        test_of(a_node_that_restarts_still_knows_it),
        test_of(what_was_followed_while_the_node_was_down_is_not_taken_up_again),
        test_of(what_cannot_be_kept_is_not_answered_for),
        test_of(a_file_that_was_damaged_is_not_taken_for_an_empty_one),
        test_of(what_no_node_of_the_store_has_said_is_refused),
        test_of(what_is_in_use_is_not_stated),
        test_of(what_is_not_in_force_yet_is_waited_for),
        test_of(without_a_lease_nothing_is_stated),
        test_of(only_who_may_states_and_gives_and_the_trail_has_both),
        test_of(a_node_takes_so_many_and_the_same_once),
        test_of(status_says_so_while_there_are_any),
        test_of(a_store_of_this_nodes_own_has_none_of_it),
        test_of(a_thread_that_may_not_wait_is_asked_later),
        test_of(a_revocation_is_one_line_of_json),
        test_of(the_macs_are_those_of_the_format),
        test_of(what_is_none_is_refused_in_words),
    };

    return cmocka_run_group_tests_name("service revocation", tests, world_start, world_stop);
}
