/* Versions that are born proven: candidates, their promotion and their end. */
#include "world.h"

#include <stdio.h>

#include "keys/apart.h"

static const struct hf_key_plan aes_candidate = { .algorithm = HF_ALG_AES_256,
                                                  .first_version = 1,
                                                  .candidate = true };

static uint32_t new_candidate(const char *name)
{
    return must(&(struct change){ .kind = CHANGE_CREATE, .name = name, .plan = &aes_candidate });
}

/* The commit of its oldest candidate. */
static uint64_t candidate_of(const char *name)
{
    struct hf_key_commits commits;

    hf_key_commits(world.keys, &world.op, RING, name, &commits);
    return commits.candidate;
}

static uint32_t rotate_candidate(const char *name)
{
    return must(&(struct change){ .kind = CHANGE_ROTATE_CANDIDATE, .name = name });
}

static struct hf_status try_promote(const char *name, uint32_t version)
{
    return do_change(&world.op,
                     &(struct change){ .kind = CHANGE_PROMOTE, .name = name, .version = version },
                     NULL);
}

static void promote(const char *name, uint32_t version)
{
    assert_ok(&world.op, try_promote(name, version));
}

static struct hf_status try_abandon(const char *name, uint32_t version)
{
    return do_change(&world.op,
                     &(struct change){ .kind = CHANGE_ABANDON,
                                       .name = name,
                                       .version = version,
                                       .reason = "node-b could not open it: corrupt" },
                     NULL);
}

static void abandon(const char *name, uint32_t version)
{
    assert_ok(&world.op, try_abandon(name, version));
}

static void expect_primary(const char *name, uint32_t wanted)
{
    uint32_t version = 0;

    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, name, &version));
    assert_int_equal(version, wanted);
}

/* Wraps a data key and opens it again: whether, and under what version. */
static struct hf_status try_use(const char *name, uint32_t version, uint32_t *out_version)
{
    static const uint8_t iv[16] = { 1 };
    static const uint8_t data_key[32] = { 2 };
    uint8_t wrapped[32];
    uint8_t opened[32];

    HF_TRY(hf_use_hadoop_wrap(world.keys, &world.op, RING, name, version, iv,
                              hf_bytes_of(data_key, sizeof data_key), wrapped, out_version));
    HF_TRY(hf_use_hadoop_unwrap(world.keys, &world.op, RING, name, *out_version, iv,
                                hf_bytes_of(wrapped, sizeof wrapped), opened));
    assert_memory_equal(opened, data_key, sizeof data_key);
    return HF_SUCCESS;
}

static void expect_used(const char *name, uint32_t wanted)
{
    uint32_t version = 0;

    assert_ok(&world.op, try_use(name, HF_LATEST, &version));
    assert_int_equal(version, wanted);
}

/* --- candidates of a key --- */

static void a_rotation_by_candidate_changes_nothing_until_it_is_promoted(void **unused)
{
    HF_AUTO(key_info) info = NULL;
    uint32_t used = 0;
    uint64_t seq;

    (void)unused;
    new_key("rotated", HF_ALG_AES_256);
    assert_int_equal(candidate_of("rotated"), 0);
    assert_int_equal(rotate_candidate("rotated"), 2);
    seq = hf_seal_seq(world.seal);
    for (int restarted = 0; restarted < 2; restarted++) {
        struct hf_version_info version = version_of("rotated", 2);

        assert_int_equal(version.state, HF_KEY_PRE_ACTIVE);
        assert_true(version.candidate);
        assert_false(version.primary);
        assert_int_equal(version.activated_ms, 0);
        expect_used("rotated", 1);
        expect("a candidate wraps", try_use("rotated", 2, &used), HF_WRONG_STATE,
               HF_CAUSE_NOT_PROVEN);
        assert_non_null(strstr(world.op.text, "is not proven yet"));
        assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "rotated", 2));
        assert_int_equal(candidate_of("rotated"), seq);
        assert_true(hf_keys_have_candidates(world.keys));
        world_restart();
    }
    world.now_ms += 1000;
    promote("rotated", 2);
    for (int restarted = 0; restarted < 2; restarted++) {
        struct hf_version_info version = version_of("rotated", 2);

        assert_int_equal(version.state, HF_KEY_ACTIVE);
        assert_false(version.candidate);
        assert_true(version.primary);
        assert_int_equal(candidate_of("rotated"), 0);
        assert_false(hf_keys_have_candidates(world.keys));
        assert_int_equal(version.activated_ms, world.now_ms);
        assert_int_equal(version.created_ms, world.now_ms - 1000);
        expect_used("rotated", 2);
        world_restart();
    }
    info = info_of("rotated");
    assert_int_equal(info->last_version, 2);
    assert_false(info->unborn);
}

static void an_abandoned_candidate_leaves_a_tombstone_and_a_gap(void **unused)
{
    struct hf_version_info version;
    uint32_t used = 0;

    (void)unused;
    new_key("gap", HF_ALG_AES_256);
    rotate_candidate("gap");
    world.now_ms += 1000;
    abandon("gap", 2);
    for (int restarted = 0; restarted < 2; restarted++) {
        version = version_of("gap", 2);
        assert_int_equal(version.state, HF_KEY_DESTROYED);
        assert_false(version.candidate);
        assert_int_equal(version.destroyed_ms, world.now_ms);
        assert_int_equal(version.keyring_key, 0);
        assert_string_equal(version.reason, "abandoned: node-b could not open it: corrupt");
        expect_used("gap", 1);
        expect("its use", try_use("gap", 2, &used), HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED);
        world_restart();
    }
    assert_int_equal(rotate_candidate("gap"), 3);
    promote("gap", 3);
    expect_used("gap", 3);
}

static void promotions_in_any_order_never_move_the_primary_version_back(void **unused)
{
    static const struct {
        const char *says;
        uint32_t order[3];
        uint32_t primaries[3];
    } cases[] = {
        { "as they were made", { 2, 3, 4 }, { 2, 3, 4 } },
        { "the last one first", { 4, 3, 2 }, { 4, 4, 4 } },
        { "the first one last", { 3, 4, 2 }, { 3, 4, 4 } },
        { "the middle one last", { 2, 4, 3 }, { 2, 4, 4 } },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const char *name = cases[i].says;

        new_key(name, HF_ALG_AES_256);
        for (uint32_t number = 2; number <= 4; number++) {
            assert_int_equal(rotate_candidate(name), number);
        }
        for (size_t step = 0; step < HF_COUNT(cases[i].order); step++) {
            promote(name, cases[i].order[step]);
            expect_primary(name, cases[i].primaries[step]);
        }
        for (uint32_t number = 1; number <= 4; number++) {
            uint32_t used = 0;

            assert_int_equal(version_of(name, number).state, HF_KEY_ACTIVE);
            assert_ok(&world.op, try_use(name, number, &used));
        }
    }
}

static void a_candidate_between_rotations_without_one_is_not_forgotten(void **unused)
{
    (void)unused;
    new_key("mixed", HF_ALG_AES_256);
    assert_int_equal(rotate_candidate("mixed"), 2);
    assert_int_equal(rotate("mixed"), 3);
    promote("mixed", 2);
    expect_primary("mixed", 3);
    assert_int_equal(version_of("mixed", 2).state, HF_KEY_ACTIVE);
}

/* --- keys that are not born --- */

static void add_line(void *context, const char *name)
{
    hf_buf_add_format(context, "%s\n", name);
}

static void a_key_is_not_there_until_its_first_version_is_promoted(void **unused)
{
    HF_AUTO(buf) names = hf_buf_new();
    HF_AUTO(buf) acl_name = hf_buf_new();
    HF_AUTO(buf) public_half = hf_buf_new();
    enum hf_algorithm algorithm;
    uint32_t version = 0;

    (void)unused;
    assert_int_equal(new_candidate("unborn"), 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        HF_AUTO(key_info) info = info_of("unborn");

        assert_true(info->unborn);
        assert_int_equal(info->primary, HF_LATEST);
        assert_true(version_of("unborn", 1).candidate);
        expect("primary", hf_key_primary(world.keys, &world.op, RING, "unborn", &version),
               HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY);
        assert_non_null(strstr(world.op.text, "not proven yet"));
        expect("algorithm", hf_key_algorithm(world.keys, &world.op, RING, "unborn", &algorithm),
               HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY);
        expect("public half", hf_key_public(world.keys, &world.op, RING, "unborn", 1, public_half),
               HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY);
        expect("use", try_use("unborn", HF_LATEST, &version), HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY);
        expect("use of its version", try_use("unborn", 1, &version), HF_NOT_FOUND,
               HF_CAUSE_UNKNOWN_KEY);
        assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "unborn", 1));
        assert_ok(&world.op, hf_key_check_version(world.keys, &world.op, RING, "unborn", 1));
        world_restart();
    }
    assert_ok(&world.op,
              hf_key_names(world.keys, &world.op, RING, false, "unbor", 1, add_line, names));
    assert_string_equal(hf_buf_text(names), "unborn\n");
    assert_ok(&world.op, hf_key_acl_name(world.keys, &world.op, RING, "unborn", acl_name));
    assert_string_equal(hf_buf_text(acl_name), "unborn");
    promote("unborn", 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        expect_used("unborn", 1);
        expect_primary("unborn", 1);
        world_restart();
    }
}

static void no_change_reaches_what_is_not_proven(void **unused)
{
    static const struct {
        const char *says;
        struct change change;
        enum hf_code code;
    } cases[] = {
        { "make it again", { .kind = CHANGE_CREATE, .name = "early" }, HF_EXISTS },
        { "make it again by candidate",
          { .kind = CHANGE_CREATE, .name = "early", .plan = &aes_candidate },
          HF_EXISTS },
        { "rotate it", { .kind = CHANGE_ROTATE, .name = "early" }, HF_NOT_FOUND },
        { "rotate it by candidate",
          { .kind = CHANGE_ROTATE_CANDIDATE, .name = "early" },
          HF_NOT_FOUND },
        { "make it primary",
          { .kind = CHANGE_SET_PRIMARY, .name = "early", .version = 1 },
          HF_NOT_FOUND },
        { "activate it",
          { .kind = CHANGE_STATE, .name = "early", .version = 1, .event = HF_KEY_ACTIVATE },
          HF_NOT_FOUND },
        { "delete it", { .kind = CHANGE_DELETE, .name = "early" }, HF_NOT_FOUND },
        { "recover it", { .kind = CHANGE_RECOVER, .name = "early" }, HF_NOT_FOUND },
        { "destroy it",
          { .kind = CHANGE_DESTROY, .name = "early", .version = HF_LATEST, .force = true },
          HF_NOT_FOUND },
        { "destroy its version",
          { .kind = CHANGE_DESTROY, .name = "early", .version = 1, .force = true },
          HF_NOT_FOUND },
        { "make a candidate primary",
          { .kind = CHANGE_SET_PRIMARY, .name = "born", .version = 2 },
          HF_WRONG_STATE },
        { "activate a candidate",
          { .kind = CHANGE_STATE, .name = "born", .version = 2, .event = HF_KEY_ACTIVATE },
          HF_WRONG_STATE },
        { "mark a candidate compromised",
          { .kind = CHANGE_STATE, .name = "born", .version = 2, .event = HF_KEY_COMPROMISE },
          HF_WRONG_STATE },
        { "schedule a candidate's end",
          { .kind = CHANGE_DESTROY, .name = "born", .version = 2 },
          HF_WRONG_STATE },
        { "destroy a candidate",
          { .kind = CHANGE_DESTROY, .name = "born", .version = 2, .force = true },
          HF_WRONG_STATE },
        { "keep a candidate",
          { .kind = CHANGE_KEEP, .name = "born", .version = 2 },
          HF_WRONG_STATE },
        { "promote what never was",
          { .kind = CHANGE_PROMOTE, .name = "born", .version = 3 },
          HF_NOT_FOUND },
        { "promote in a key that never was",
          { .kind = CHANGE_PROMOTE, .name = "nowhere", .version = 1 },
          HF_NOT_FOUND },
        { "promote what was never a candidate",
          { .kind = CHANGE_PROMOTE, .name = "born", .version = 1 },
          HF_EXISTS },
        { "abandon what was never a candidate",
          { .kind = CHANGE_ABANDON, .name = "born", .version = 1, .reason = "no" },
          HF_EXISTS },
    };

    (void)unused;
    new_candidate("early");
    new_key("born", HF_ALG_AES_256);
    rotate_candidate("born");
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status = do_change(&world.op, &cases[i].change, NULL);

        if (status.code != cases[i].code) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code), world.op.text);
        }
    }
    promote("early", 1);
    promote("born", 2);
    expect_primary("early", 1);
    expect_primary("born", 2);
}

static void an_abandoned_first_version_gives_the_name_back_and_keeps_its_number(void **unused)
{
    struct hf_key_info *gone = NULL;
    HF_AUTO(key_info) again = NULL;
    enum hf_algorithm algorithm;

    (void)unused;
    new_candidate("again");
    abandon("again", 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        expect("the key", hf_key_get(world.keys, &world.op, RING, "again", true, &gone),
               HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED);
        expect("its algorithm", hf_key_algorithm(world.keys, &world.op, RING, "again", &algorithm),
               HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED);
        expect("a late promotion", try_promote("again", 1), HF_WRONG_STATE,
               HF_CAUSE_VERSION_DESTROYED);
        assert_non_null(strstr(world.op.text, "abandoned: node-b could not open it: corrupt"));
        world_restart();
    }
    assert_int_equal(new_candidate("again"), 2);
    promote("again", 2);
    again = info_of("again");
    assert_int_equal(again->first_version, 2);
    assert_int_equal(again->version_count, 1);
    expect_used("again", 2);
    assert_int_equal(rotate("again"), 3);
}

/* --- both at once --- */

static void what_is_settled_cannot_be_settled_again(void **unused)
{
    (void)unused;
    new_key("settled", HF_ALG_AES_256);
    rotate_candidate("settled");
    rotate_candidate("settled");
    promote("settled", 2);
    abandon("settled", 3);
    expect("promote twice", try_promote("settled", 2), HF_EXISTS, HF_CAUSE_NONE);
    expect("abandon what is promoted", try_abandon("settled", 2), HF_EXISTS, HF_CAUSE_NONE);
    expect("promote what is abandoned", try_promote("settled", 3), HF_WRONG_STATE,
           HF_CAUSE_VERSION_DESTROYED);
    expect("abandon twice", try_abandon("settled", 3), HF_WRONG_STATE, HF_CAUSE_VERSION_DESTROYED);
    expect_primary("settled", 2);
}

/* Two nodes decide differently: both have staged before either commits. */
static void of_a_promotion_and_an_abandonment_at_once_one_wins(void **unused)
{
    static const enum change_kind kinds[] = { CHANGE_PROMOTE, CHANGE_ABANDON };

    (void)unused;
    for (size_t first = 0; first < HF_COUNT(kinds); first++) {
        HF_AUTO_STRING name = hf_format("race %zu", first);
        struct change changes[2] = {
            { .kind = kinds[first], .name = name, .version = 1, .reason = "silent" },
            { .kind = kinds[1 - first], .name = name, .version = 1, .reason = "silent" },
        };
        HF_AUTO(txn) one = NULL;
        HF_AUTO(txn) other = NULL;
        struct hf_txn_commit commit = { 0 };
        uint32_t unused_number = 0;

        new_candidate(name);
        assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &one));
        assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &other));
        assert_ok(&world.op, stage_change(&world.op, one, &changes[0], &unused_number));
        assert_ok(&world.op, stage_change(&world.op, other, &changes[1], &unused_number));
        memset(&world.op.request_id, 0, sizeof world.op.request_id);
        assert_ok(&world.op, hf_txn_commit(one, &world.op, &commit));
        memset(&world.op.request_id, 0, sizeof world.op.request_id);
        assert_fails(&world.op, hf_txn_commit(other, &world.op, &commit), HF_CONFLICT);
        expect("the loser asks again", do_change(&world.op, &changes[1], NULL),
               kinds[first] == CHANGE_PROMOTE ? HF_EXISTS : HF_WRONG_STATE,
               kinds[first] == CHANGE_PROMOTE ? HF_CAUSE_NONE : HF_CAUSE_VERSION_DESTROYED);
    }
}

static void a_pre_active_plan_stays_pre_active_when_it_is_proven(void **unused)
{
    struct hf_key_plan plan = aes_candidate;
    uint32_t version = 0;

    (void)unused;
    plan.pre_active = true;
    must(&(struct change){ .kind = CHANGE_CREATE, .name = "later", .plan = &plan });
    promote("later", 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        assert_int_equal(version_of("later", 1).state, HF_KEY_PRE_ACTIVE);
        assert_false(version_of("later", 1).candidate);
        assert_int_equal(version_of("later", 1).activated_ms, 0);
        expect("primary", hf_key_primary(world.keys, &world.op, RING, "later", &version),
               HF_WRONG_STATE, HF_CAUSE_NONE);
        world_restart();
    }
    expect("promote twice", try_promote("later", 1), HF_EXISTS, HF_CAUSE_NONE);
    set_state("later", 1, HF_KEY_ACTIVATE);
    expect_used("later", 1);
}

/* --- the rest of a key's life --- */

static void a_deleted_key_keeps_its_candidate_until_it_is_recovered_or_destroyed(void **unused)
{
    (void)unused;
    for (int again = 0; again < 2; again++) {
        const char *name = again == 0 ? "recovered" : "given up";

        new_key(name, HF_ALG_AES_256);
        rotate_candidate(name);
        must(&(struct change){ .kind = CHANGE_DELETE, .name = name });
        expect("promote while deleted", try_promote(name, 2), HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY);
    }
    must(&(struct change){ .kind = CHANGE_RECOVER, .name = "recovered" });
    promote("recovered", 2);
    expect_used("recovered", 2);
    must(&(struct change){
        .kind = CHANGE_DESTROY, .name = "given up", .version = HF_LATEST, .force = true });
    expect("promote when destroyed", try_promote("given up", 2), HF_WRONG_STATE,
           HF_CAUSE_VERSION_DESTROYED);
    new_key("abandoned meanwhile", HF_ALG_AES_256);
    rotate_candidate("abandoned meanwhile");
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "abandoned meanwhile" });
    abandon("abandoned meanwhile", 2);
    must(&(struct change){ .kind = CHANGE_RECOVER, .name = "abandoned meanwhile" });
    assert_int_equal(version_of("abandoned meanwhile", 2).state, HF_KEY_DESTROYED);
}

static void rotate_ring(void)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    uint32_t version = 0;

    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_rotate(world.keys, &world.op, txn, RING, &version));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
}

static void rewrap_moves_candidates(void **unused)
{
    struct hf_keyring_info info;

    (void)unused;
    new_key("moving", HF_ALG_AES_256);
    rotate_candidate("moving");
    new_candidate("moving unborn");
    rotate_ring();
    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, RING, &info));
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "moving" }), 2);
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "moving unborn" }), 1);
    assert_int_equal(version_of("moving", 2).keyring_key, info.key_version);
    assert_true(version_of("moving", 2).candidate);
    promote("moving", 2);
    promote("moving unborn", 1);
    expect_used("moving", 2);
    expect_used("moving unborn", 1);
}

static void take_slot(void *context, const struct hf_slot_info *slot)
{
    (void)snprintf(context, sizeof slot->id, "%s", slot->id);
}

static void note_proof(void *context, const struct hf_version_proof *proof)
{
    if (strstr(proof->path, "/drilled-") != NULL) {
        hf_buf_add_format(context, "%s %s\n", strrchr(proof->path, 'd'),
                          proof->cause == HF_CAUSE_NONE ? "opens" : "does not open");
    }
}

static void no_damage(void *context, const char *path)
{
    (void)context;
    fail_msg("%s is damaged", path);
}

static struct hf_status go_on(void *context, struct hf_op *op, uint64_t done, uint64_t total)
{
    (void)context;
    (void)op;
    (void)done;
    (void)total;
    return HF_SUCCESS;
}

static void a_drill_opens_candidates_and_not_what_was_abandoned(void **unused)
{
    HF_AUTO(buf) proofs = hf_buf_new();
    char slot_id[33] = "";
    struct hf_apart found;
    struct hf_apart_plan plan = {
        .crypto = world.crypto,
        .engine = world.engine,
        .slot_id = slot_id,
        .protector = world.protector,
        .visit = note_proof,
        .damaged = no_damage,
        .go_on = go_on,
        .context = proofs,
    };

    (void)unused;
    new_key("drilled-a", HF_ALG_AES_256);
    rotate_candidate("drilled-a");
    rotate_candidate("drilled-a");
    abandon("drilled-a", 2);
    new_candidate("drilled-b");
    new_candidate("drilled-c");
    abandon("drilled-c", 1);
    assert_ok(&world.op, hf_seal_slots(world.seal, &world.op, take_slot, slot_id));
    assert_ok(&world.op, hf_keys_open_apart(&plan, &world.op, &found));
    assert_true(found.whole);
    assert_string_equal(hf_buf_text(proofs), "d-a/0000000001 opens\n"
                                             "d-a/0000000003 opens\n"
                                             "d-b/0000000001 opens\n");
}

/* --- who is told of candidates --- */

static void note_candidate(void *context, const struct hf_candidate *candidate)
{
    hf_buf_add_format(context, "%s/%s@%u at %u%s\n", candidate->keyring, candidate->key,
                      candidate->version, (unsigned)candidate->seq,
                      candidate->is_promoted ? ", promoted" : "");
}

static void forget_candidates(void)
{
    hf_keys_on_candidate(world.keys, NULL, NULL);
}

static void expect_told(struct hf_buf *told, const char *wanted)
{
    assert_string_equal(hf_buf_text(told), wanted);
    hf_buf_clear(told);
}

/* A second node on the same store. */
struct node {
    struct hf_seal *seal;
    struct hf_keys *keys;
};

static void node_open(struct node *node, struct hf_buf *told)
{
    struct hf_slot_info slot;

    assert_ok(&world.op, hf_seal_open(world.crypto, &world.op, world.engine, NULL, &node->seal));
    node->keys = hf_keys_new(node->seal, 1);
    hf_keys_on_candidate(node->keys, note_candidate, told);
    assert_ok(&world.op, hf_seal_unlock(node->seal, &world.op, world.protector, &slot));
}

static void node_close(struct node *node)
{
    hf_keys_free(node->keys);
    hf_seal_free(node->seal);
}

static uint64_t node_follow(struct node *node)
{
    uint64_t seq = 0;

    assert_ok(&world.op, hf_seal_follow(node->seal, &world.op, &seq));
    return seq;
}

static void every_node_is_told_of_a_candidate_and_can_open_it(void **unused)
{
    HF_AUTO(buf) here = hf_buf_new();
    HF_AUTO(buf) there = hf_buf_new();
    HF_AUTO(buf) late = hf_buf_new();
    HF_AUTO_STRING first = NULL;
    struct node other;
    struct node latecomer;

    (void)unused;
    hf_keys_on_candidate(world.keys, note_candidate, here);
    node_open(&other, there);
    hf_buf_clear(there); /* what earlier tests have left */
    new_key("told", HF_ALG_AES_256);
    first = hf_format(RING "/told@1 at %u, promoted\n", (unsigned)node_follow(&other));
    expect_told(here, first);
    expect_told(there, first);
    for (uint32_t number = 2; number <= 3; number++) {
        HF_AUTO_STRING wanted = NULL;

        assert_int_equal(rotate_candidate("told"), number);
        wanted = hf_format(RING "/told@%u at %u\n", number, (unsigned)node_follow(&other));
        expect_told(here, wanted);
        expect_told(there, wanted);
        assert_ok(&world.op, hf_key_prove(other.keys, &world.op, RING, "told", number));
    }
    promote("told", 2);
    (void)node_follow(&other);
    expect_told(here, "");
    expect_told(there, "");
    node_open(&latecomer, late);
    assert_non_null(strstr(hf_buf_text(late), RING "/told@3 at "));
    assert_null(strstr(hf_buf_text(late), RING "/told@2 at "));
    abandon("told", 3);
    (void)node_follow(&other);
    expect_told(there, "");
    node_close(&latecomer);
    node_close(&other);
    forget_candidates();
}

/* It was away while both were made: of one it saw neither step, of the other the last one only. */
static void who_was_away_is_told_of_what_was_promoted_meanwhile(void **unused)
{
    HF_AUTO(buf) told = hf_buf_new();
    HF_AUTO_STRING wanted = NULL;
    struct node away;
    uint64_t seq;

    (void)unused;
    node_open(&away, told);
    hf_buf_clear(told);
    new_candidate("missed");
    promote("missed", 1);
    assert_int_equal(rotate_candidate("missed"), 2);
    abandon("missed", 2);
    assert_int_equal(rotate_candidate("missed"), 3);
    seq = node_follow(&away);
    wanted = hf_format(RING "/missed@1 at %u, promoted\n" RING "/missed@3 at %u\n",
                       (unsigned)seq - 3, (unsigned)seq);
    expect_told(told, wanted);
    promote("missed", 3);
    (void)node_follow(&away);
    expect_told(told, "");
    node_close(&away);
}

/* --- what is newer than a commit --- */

static struct hf_status note_newer(void *context, struct hf_op *op,
                                   const struct hf_candidate *version)
{
    (void)op;
    assert_true(version->is_promoted);
    hf_buf_add_format(context, "%s@%u\n", version->key, version->version);
    return HF_SUCCESS;
}

/* Keys whose names begin so, from all pages. */
static void expect_newer(uint64_t after_seq, const char *prefix, const char *wanted)
{
    HF_AUTO(buf) all = hf_buf_new();
    HF_AUTO(buf) seen = hf_buf_new();
    struct hf_key_place place = { 0 };
    bool is_done = false;

    while (!is_done) {
        assert_ok(&world.op, hf_keys_each_newer(world.keys, &world.op, after_seq, &place,
                                                note_newer, all, &is_done));
    }
    hf_key_place_done(&place);
    for (char *line = strtok((char *)all->data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, prefix, strlen(prefix)) == 0) {
            hf_buf_add_format(seen, "%s\n", line);
        }
    }
    assert_string_equal(hf_buf_text(seen), wanted);
}

static void what_is_in_use_is_found_by_when_its_key_changed(void **unused)
{
    uint64_t before;
    uint64_t between;

    (void)unused;
    before = hf_seal_seq(world.seal);
    new_key("newer-a", HF_ALG_AES_256);
    new_key("newer-b", HF_ALG_RSA_2048);
    between = hf_seal_seq(world.seal);
    assert_int_equal(rotate_candidate("newer-b"), 2);
    expect_newer(before, "newer", "newer-a@1\nnewer-b@1\n");
    expect_newer(between, "newer", "newer-b@1\n");
    promote("newer-b", 2);
    expect_newer(between, "newer", "newer-b@1\nnewer-b@2\n");
    assert_int_equal(rotate_candidate("newer-b"), 3);
    abandon("newer-b", 3);
    expect_newer(between, "newer", "newer-b@1\nnewer-b@2\n");
    expect_newer(hf_seal_seq(world.seal), "", "");
    /* More than a page of names. */
    for (unsigned i = 0; i < 300; i++) {
        HF_AUTO_STRING name = hf_format("paged-%03u", i);

        new_key(name, HF_ALG_AES_256);
    }
    between = hf_seal_seq(world.seal);
    new_key("newer-c", HF_ALG_AES_256);
    expect_newer(between, "", "newer-c@1\n");
    new_key("paged-zzz", HF_ALG_AES_256);
    expect_newer(between, "", "newer-c@1\npaged-zzz@1\n");
}

static void a_name_that_is_encoded_in_its_path_is_told_as_it_is(void **unused)
{
    HF_AUTO(buf) told = hf_buf_new();

    (void)unused;
    hf_keys_on_candidate(world.keys, note_candidate, told);
    new_candidate("f\xc3\xbcr/2 me@1");
    assert_non_null(strstr(hf_buf_text(told), RING "/f\xc3\xbcr/2 me@1@1 at "));
    promote("f\xc3\xbcr/2 me@1", 1);
    forget_candidates();
}

/* --- those whose writer is gone --- */

struct found {
    struct hf_buf text;
    unsigned fail_after; /* 0: never */
    unsigned count;
};

static struct hf_status take_orphan(void *context, const struct hf_candidate *candidate)
{
    struct found *found = context;

    hf_buf_add_format(&found->text, "%s@%u made %u s ago\n", candidate->key, candidate->version,
                      (unsigned)((world.now_ms - candidate->created_ms) / 1000));
    assert_true(candidate->seq > 0);
    assert_string_equal(candidate->keyring, RING);
    found->count++;
    return found->count == found->fail_after ? (struct hf_status){ HF_UNAVAILABLE } : HF_SUCCESS;
}

static void orphans_are_found_by_their_age(void **unused)
{
    struct found found = { 0 };
    uint64_t start = 0;

    (void)unused;
    world.now_ms += 100000;
    start = world.now_ms;
    new_key("orphan a", HF_ALG_AES_256);
    rotate_candidate("orphan a");
    world.now_ms += 10000;
    new_candidate("orphan b");
    rotate_candidate("orphan a");
    new_key("orphan c", HF_ALG_AES_256);
    rotate_candidate("orphan c");
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "orphan c" });
    world.now_ms += 10000;
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_buf_clear(&found.text);
        assert_ok(&world.op,
                  hf_key_candidates_older(world.keys, &world.op, start, take_orphan, &found));
        assert_non_null(strstr(hf_buf_text(&found.text), "orphan a@2 made 20 s ago\n"));
        assert_null(strstr(hf_buf_text(&found.text), "orphan b"));
        hf_buf_clear(&found.text);
        assert_ok(&world.op, hf_key_candidates_older(world.keys, &world.op, start + 10000,
                                                     take_orphan, &found));
        assert_non_null(strstr(hf_buf_text(&found.text), "orphan a@2 made 20 s ago\n"
                                                         "orphan a@3 made 10 s ago\n"
                                                         "orphan b@1 made 10 s ago\n"));
        assert_null(strstr(hf_buf_text(&found.text), "orphan c"));
        world_restart();
    }
    hf_buf_done(&found.text);
}

static void the_walk_over_orphans_is_whole_and_ends_with_a_failure(void **unused)
{
    struct found found = { 0 };
    unsigned all = 0;

    (void)unused;
    for (unsigned i = 0; i < 300; i++) {
        HF_AUTO_STRING name = hf_format("many %03u", i);

        new_candidate(name);
    }
    assert_ok(&world.op,
              hf_key_candidates_older(world.keys, &world.op, world.now_ms, take_orphan, &found));
    all = found.count;
    assert_non_null(strstr(hf_buf_text(&found.text), "many 000@1 "));
    assert_non_null(strstr(hf_buf_text(&found.text), "many 299@1 "));
    assert_true(all >= 300);
    found.count = 0;
    found.fail_after = 2;
    assert_int_equal(
        hf_key_candidates_older(world.keys, &world.op, world.now_ms, take_orphan, &found).code,
        HF_UNAVAILABLE);
    assert_int_equal(found.count, 2);
    hf_buf_done(&found.text);
}

/* --- what callers may give --- */

static void a_decision_is_checked_before_anything_is_staged(void **unused)
{
    char reason[HF_NAME_MAX + 1];
    struct change change = { .kind = CHANGE_ABANDON, .name = "checked", .version = 1 };
    struct hf_op inline_op = world_op(1);
    struct found found = { 0 };
    HF_AUTO(txn) txn = NULL;

    (void)unused;
    new_candidate("checked");
    memset(reason, 'r', sizeof reason);
    reason[255 - strlen("abandoned: ") + 1] = '\0';
    change.reason = reason;
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_INVALID);
    change.reason = "\xff";
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_INVALID);
    change.name = "";
    change.reason = "";
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_INVALID);
    inline_op.may_wait = false;
    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_fails(&inline_op, hf_key_promote(world.keys, &inline_op, txn, RING, "checked", 1, ""),
                 HF_LATER);
    assert_fails(&inline_op,
                 hf_key_candidates_older(world.keys, &inline_op, 0, take_orphan, &found), HF_LATER);
    assert_true(version_of("checked", 1).candidate);
    reason[255 - strlen("abandoned: ")] = '\0';
    change.name = "checked";
    change.reason = reason;
    must(&change);
    assert_fails(&world.op, try_promote("checked", 1), HF_WRONG_STATE);
    assert_non_null(strstr(world.op.text, "abandoned: rrr"));
}

static void imported_material_can_be_a_candidate(void **unused)
{
    HF_AUTO(secret) material = secret_of(hf_bytes_of("an imported key of 32 bytes .....", 32));

    (void)unused;
    new_key("imported", HF_ALG_AES_256);
    must(&(struct change){
        .kind = CHANGE_ROTATE_CANDIDATE, .name = "imported", .material = material });
    assert_true(version_of("imported", 2).imported);
    promote("imported", 2);
    assert_true(version_of("imported", 2).imported);
    expect_used("imported", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotation_by_candidate_changes_nothing_until_it_is_promoted),
        cmocka_unit_test(an_abandoned_candidate_leaves_a_tombstone_and_a_gap),
        cmocka_unit_test(promotions_in_any_order_never_move_the_primary_version_back),
        cmocka_unit_test(a_candidate_between_rotations_without_one_is_not_forgotten),
        cmocka_unit_test(a_key_is_not_there_until_its_first_version_is_promoted),
        cmocka_unit_test(no_change_reaches_what_is_not_proven),
        cmocka_unit_test(an_abandoned_first_version_gives_the_name_back_and_keeps_its_number),
        cmocka_unit_test(what_is_settled_cannot_be_settled_again),
        cmocka_unit_test(of_a_promotion_and_an_abandonment_at_once_one_wins),
        cmocka_unit_test(a_pre_active_plan_stays_pre_active_when_it_is_proven),
        cmocka_unit_test(a_deleted_key_keeps_its_candidate_until_it_is_recovered_or_destroyed),
        cmocka_unit_test(rewrap_moves_candidates),
        cmocka_unit_test(a_drill_opens_candidates_and_not_what_was_abandoned),
        cmocka_unit_test(every_node_is_told_of_a_candidate_and_can_open_it),
        cmocka_unit_test(who_was_away_is_told_of_what_was_promoted_meanwhile),
        cmocka_unit_test(what_is_in_use_is_found_by_when_its_key_changed),
        cmocka_unit_test(a_name_that_is_encoded_in_its_path_is_told_as_it_is),
        cmocka_unit_test(orphans_are_found_by_their_age),
        cmocka_unit_test(the_walk_over_orphans_is_whole_and_ends_with_a_failure),
        cmocka_unit_test(a_decision_is_checked_before_anything_is_staged),
        cmocka_unit_test(imported_material_can_be_a_candidate),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
