/* Altered records: what depends on them is refused with the cause, and everything else goes on. */
#include <stdio.h>
#include <string.h>

#include "world.h"

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    (void)world_key("sales", HF_ALG_AES_256);
    (void)world_key("other", HF_ALG_AES_256);
    return 0;
}

static void alter_and_restart(const char *path)
{
    small_world_alter(path);
    world_restart();
}

static struct hf_status generate(struct hf_op *op, const char *key)
{
    struct hf_edek edek;

    return hf_service_hadoop_generate(world.service, op, RING, key, 1, &edek);
}

static struct hf_status create(struct hf_op *op, const char *key)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    uint32_t version;

    return hf_service_key_create(world.service, op, RING, key, &plan, &version, NULL);
}

static struct hf_status rotate(struct hf_op *op, const char *key)
{
    uint32_t version;

    return hf_service_key_rotate(world.service, op, RING, key, NULL, &version, NULL);
}

static struct hf_status suspend(struct hf_op *op, const char *key)
{
    return hf_service_key_state(world.service, op, RING, key, 1, HF_KEY_SUSPEND, "");
}

static struct hf_status delete (struct hf_op *op, const char *key)
{
    return hf_service_key_delete(world.service, op, RING, key, "");
}

static struct hf_status look(struct hf_op *op, const char *key)
{
    HF_AUTO(key_info) info = NULL;

    return hf_service_key_get(world.service, op, RING, key, false, &info);
}

static void an_altered_key_or_version_is_refused_with_the_cause(void **unused)
{
    static const struct {
        const char *says;
        const char *path;
        const char *who;
        struct hf_status (*use)(struct hf_op *op, const char *key);
        enum hf_code code;
    } cases[] = {
        { "use, version", "version/hdfs/sales/0000000001", ALICE, generate, HF_CORRUPT },
        { "use, key", "key/hdfs/sales", ALICE, generate, HF_CORRUPT },
        { "metadata", "key/hdfs/sales", ALICE, look, HF_CORRUPT },
        { "a name that is taken by it", "key/hdfs/sales", ROOT, create, HF_CORRUPT },
        { "rotation", "key/hdfs/sales", ROOT, rotate, HF_CORRUPT },
        { "a version's state", "version/hdfs/sales/0000000001", ROOT, suspend, HF_CORRUPT },
        { "deletion", "key/hdfs/sales", ROOT, delete, HF_CORRUPT },
        { "who may not learns nothing", "key/hdfs/sales", MALLORY, generate, HF_DENIED },
        { "settings of the keyring", "keyring/hdfs", ROOT, rotate, HF_CORRUPT },
        { "a use that needs no settings", "keyring/hdfs", ALICE, generate, HF_OK },
    };

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op, other;
        struct hf_status status;

        alter_and_restart(cases[i].path);
        op = world_as(cases[i].who);
        status = cases[i].use(&op, "sales");
        if (status.code != cases[i].code ||
            (status.code == HF_CORRUPT && op.cause != HF_CAUSE_ALTERED) ||
            (status.code == HF_DENIED && op.cause != HF_CAUSE_NONE)) {
            fail_msg("%s: %s, %s: %s", cases[i].says, hf_code_name(status.code),
                     hf_cause_name(op.cause), op.text);
        }
        other = world_as(ALICE);
        assert_ok(&other, generate(&other, "other"));
        small_world_restore();
        world_close(unused);
        setup(unused);
    }
}

static void count(void *context, const struct hf_version_info *info)
{
    (void)info;
    *(unsigned *)context += 1;
}

static struct hf_status look_at_versions(struct hf_op *op, const char *key)
{
    unsigned versions = 0;

    return hf_service_key_versions(world.service, op, RING, key, count, &versions);
}

/* Of a record that is lost while the node runs. */
static void what_is_remembered_opens_but_protects_nothing_new(void **unused)
{
    static const struct {
        const char *path;
        struct hf_status (*read)(struct hf_op *op, const char *key);
    } cases[] = {
        { "key/hdfs/sales", look },
        { "version/hdfs/sales/0000000001", look_at_versions },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(secret) plain = NULL;
        struct hf_op op = world_as(ROOT);
        struct hf_op alice = world_as(ALICE);
        struct hf_edek edek;

        assert_ok(&alice,
                  hf_service_hadoop_generate(world.service, &alice, RING, "sales", 1, &edek));
        small_world_alter(cases[i].path);
        assert_fails(&op, cases[i].read(&op, "sales"), HF_CORRUPT);
        assert_int_equal(world_item("seal").told.light, HF_RED);
        assert_ok(&alice,
                  hf_service_hadoop_decrypt(world.service, &alice, RING, "sales", &edek, &plain));
        assert_fails(&alice, generate(&alice, "sales"), HF_CORRUPT);
        assert_int_equal(alice.cause, HF_CAUSE_ALTERED);
        small_world_restore();
        assert_ok(&op, cases[i].read(&op, "sales"));
        alice = world_as(ALICE);
        assert_ok(&alice, generate(&alice, "sales"));
        assert_int_equal(world_item("seal").told.light, HF_GREEN);
    }
}

/* --- what people see --- */

static void status_names_an_altered_record(void **unused)
{
    struct world_item seal;

    (void)unused;
    alter_and_restart("version/hdfs/sales/0000000001");
    seal = world_item("seal");
    assert_int_equal(seal.told.light, HF_RED);
    assert_non_null(strstr(seal.told.text, "version/hdfs/sales/0000000001"));
}

static void status_and_audit_go_on_without_a_policy_that_is_whole(void **unused)
{
    struct hf_op alice;

    (void)unused;
    world_policy("deny", "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"" ALICE
                         "\"],\"actions\":[\"key.*\"],\"keys\":[\"sales\"]}]}");
    alter_and_restart("policy/deny");
    alice = world_as(ALICE);
    assert_fails(&alice, generate(&alice, "sales"), HF_DENIED);
    assert_fails(&alice, generate(&alice, "other"), HF_DENIED);
    assert_int_equal(world_item("policy").told.light, HF_RED);
}

/* Nobody but who has the root can write such a record: a node of a later build, say. */
static void what_status_cannot_read_is_red_and_hides_nothing_else(void **unused)
{
    struct hf_op op = world_as(ALICE);
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit done;
    struct world_item away;

    (void)unused;
    assert_ok(&op, hf_txn_new(world.service->seal, &op, &txn));
    assert_ok(&op, hf_txn_put(txn, &op, HF_KIND_MEMBER, "member/n9", 0, hf_bytes_of_text("what?")));
    assert_ok(&op, hf_txn_commit(txn, &op, &done));
    world.service->shared_store = true;
    away = world_item("away");
    assert_int_equal(away.told.light, HF_RED);
    assert_non_null(strstr(away.told.text, "cannot be told"));
    assert_int_equal(world_item("seal").told.light, HF_GREEN);
    assert_int_equal(world_item("policy").told.light, HF_GREEN);
    world.service->shared_store = false;
}

static void take_link(void *context, const struct hf_why_link *link)
{
    struct hf_why_link *first = context;

    if (first->level == NULL) {
        *first = *link;
    }
}

static void why_shows_what_is_altered_after_a_restart(void **unused)
{
    static const struct {
        const char *path;
        const char *level;
    } cases[] = {
        { "version/hdfs/sales/0000000001", "key version" },
        { "key/hdfs/sales", "key" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_why_link link = { .level = NULL };
        struct hf_op carol;

        small_world_restore();
        alter_and_restart(cases[i].path);
        carol = world_as(CAROL);
        assert_ok(&carol,
                  hf_service_why(world.service, &carol, NULL, "hdfs/sales@1", take_link, &link));
        if (link.level == NULL || strcmp(link.level, cases[i].level) != 0 ||
            strcmp(link.state, "altered") != 0 || link.health != HF_LINK_BROKEN) {
            fail_msg("%s: %s, %s: %s", cases[i].path, link.level != NULL ? link.level : "no link",
                     link.state, link.detail);
        }
    }
}

/* --- what jobs look for --- */

static struct hf_status add_candidate(void *context, const struct hf_candidate *candidate)
{
    hf_buf_add_format(context, "%s@%u ", candidate->key, (unsigned)candidate->version);
    return HF_SUCCESS;
}

static struct hf_status add_due(void *context, const char *keyring, const char *name,
                                uint32_t version)
{
    (void)keyring;
    (void)version;
    hf_buf_add_format(context, "%s ", name);
    return HF_SUCCESS;
}

static void what_is_altered_keeps_no_job_from_the_others(void **unused)
{
    static const char *const altered[] = { "version/hdfs/new-a/0000000001", "key/hdfs/new-a" };
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                .first_version = 1,
                                .candidate = true };
    struct hf_op op = small_world_op(0);
    struct hf_op root = world_as(ROOT);
    HF_AUTO(buf) due = hf_buf_new();

    (void)unused;
    (void)world_key_planned("new-a", &plan);
    (void)world_key_planned("new-b", &plan);
    for (size_t i = 0; i < HF_COUNT(altered); i++) {
        HF_AUTO(buf) found = hf_buf_new();

        small_world_alter(altered[i]);
        assert_ok(&op, hf_key_candidates_older(world.keys, &op, UINT64_MAX, add_candidate, found));
        assert_string_equal(hf_buf_text(found), "new-b@1 ");
        small_world_restore();
    }
    assert_ok(&root, delete (&root, "other"));
    assert_ok(&root, delete (&root, "sales"));
    small_world.now_ms += 31 * DAY;
    small_world_alter("key/hdfs/other");
    assert_ok(&op, hf_key_purge_due(world.keys, &op, add_due, due));
    assert_string_equal(hf_buf_text(due), "sales ");
}

#define test_of(name) cmocka_unit_test_setup_teardown(name, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(an_altered_key_or_version_is_refused_with_the_cause),
        test_of(what_is_remembered_opens_but_protects_nothing_new),
        test_of(status_names_an_altered_record),
        test_of(what_status_cannot_read_is_red_and_hides_nothing_else),
        test_of(status_and_audit_go_on_without_a_policy_that_is_whole),
        test_of(why_shows_what_is_altered_after_a_restart),
        test_of(what_is_altered_keeps_no_job_from_the_others),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
