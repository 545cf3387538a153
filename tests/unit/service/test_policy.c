/* Policies through the service: the first one, changes by two people, and what readers see. */
#include <stdio.h>
#include <string.h>

#include "world.h"

#define DOCUMENT(who, action)                                                                      \
    "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"" who "\"],\"actions\":[\"" action "\"]}]}"

static struct hf_status put_by(struct hf_op *op, const char *name, const char *document)
{
    return hf_service_policy_put(world.service, op, name, hf_bytes_of_text(document));
}

static bool may(const char *who, enum hf_action action)
{
    struct hf_op op = small_world_op(0);

    return hf_policy_check(world.policy, &op, who, action, RING, "k").code == HF_OK;
}

/* The id in the words of a refusal. */
static const char *id_in(struct hf_op *op)
{
    char *id = strstr(op->text, "approval ");

    assert_non_null(id);
    id += strlen("approval ");
    id[32] = '\0';
    return id;
}

static void the_first_policy_gives_administration_and_no_use(void **unused)
{
    static const char *const late[] = { "unix:late" };
    struct hf_op *op = &small_world.op;

    (void)unused;
    assert_true(may(ROOT, HF_ACT_KEY_CREATE));
    assert_true(may(ADMIN, HF_ACT_POLICY_CHANGE));
    assert_false(may(ROOT, HF_ACT_KEY_UNWRAP));
    assert_false(may(ROOT, HF_ACT_KEY_EXPORT));
    assert_int_equal(world_notes("the first policy", "\"caller\":\"system\""), 1);
    assert_fails(op, hf_service_bootstrap_policy(world.service, op, late, 1, 1), HF_WRONG_STATE);
    assert_false(may("unix:late", HF_ACT_STATUS));
}

static void there_is_no_first_policy_after_all_were_removed(void **unused)
{
    static const char *const late[] = { "unix:late" };
    struct hf_op admin = world_as(ADMIN), root = world_as(ROOT), *op = &small_world.op;

    (void)unused;
    /* It says who is one person with ROOT, who would be two without it. */
    assert_fails(&root, hf_service_policy_remove(world.service, &root, "first"), HF_DENIED);
    assert_ok(&admin, hf_service_policy_remove(world.service, &admin, "first"));
    assert_ok(&admin, hf_service_policy_remove(world.service, &admin, "users"));
    assert_fails(op, hf_service_bootstrap_policy(world.service, op, late, 1, 1), HF_WRONG_STATE);
    world_restart();
    assert_fails(op, hf_service_bootstrap_policy(world.service, op, late, 1, 1), HF_WRONG_STATE);
}

static void an_administrator_gets_use_only_through_a_second_person(void **unused)
{
    static const char document[] = DOCUMENT(ROOT, "key.unwrap");
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    char id[33];

    (void)unused;
    assert_fails(&root, put_by(&root, "mine", document), HF_DENIED);
    assert_false(may(ROOT, HF_ACT_KEY_UNWRAP));
    memcpy(id, id_in(&root), sizeof id);
    assert_fails(&root, hf_service_approve(world.service, &root, id), HF_DENIED);
    assert_fails(&root, put_by(&root, "mine", document), HF_DENIED);
    assert_string_equal(id_in(&root), id);

    assert_ok(&admin, hf_service_approve(world.service, &admin, id));
    /* It is for this document, under this name. */
    assert_fails(&root, put_by(&root, "mine", DOCUMENT(ROOT, "key.export")), HF_DENIED);
    assert_fails(&root, put_by(&root, "other", document), HF_DENIED);
    assert_false(may(ROOT, HF_ACT_KEY_UNWRAP) || may(ROOT, HF_ACT_KEY_EXPORT));
    assert_ok(&root, put_by(&root, "mine", document));
    assert_true(may(ROOT, HF_ACT_KEY_UNWRAP));
    assert_int_equal(world_notes(EVENT("policy.change", "ok", ROOT), "put policy 'mine'"), 1);

    /* And for once. */
    assert_ok(&admin, hf_service_policy_remove(world.service, &admin, "mine"));
    assert_fails(&root, put_by(&root, "mine", document), HF_DENIED);
}

static void a_denial_is_taken_away_by_two_people_too(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);

    (void)unused;
    assert_ok(&admin, put_by(&admin, "allow", DOCUMENT(ROOT, "key.mac")));
    assert_ok(&admin, put_by(&admin, "deny",
                             "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"" ROOT "\"],"
                             "\"actions\":[\"key.mac\"]}]}"));
    assert_fails(&root, hf_service_policy_remove(world.service, &root, "deny"), HF_DENIED);
    assert_false(may(ROOT, HF_ACT_KEY_MAC));
    assert_ok(&admin, hf_service_approve(world.service, &admin, id_in(&root)));
    assert_ok(&root, hf_service_policy_remove(world.service, &root, "deny"));
    assert_true(may(ROOT, HF_ACT_KEY_MAC));
}

static void what_gives_its_author_nothing_needs_nobody(void **unused)
{
    struct hf_op root = world_as(ROOT);

    (void)unused;
    assert_ok(&root, put_by(&root, "bob", DOCUMENT("unix:bob", "key.export")));
    assert_true(may("unix:bob", HF_ACT_KEY_EXPORT));
    assert_ok(&root, put_by(&root, "mine", DOCUMENT(ROOT, "audit.read")));
    assert_true(may(ROOT, HF_ACT_AUDIT_READ));
}

static void bad_documents_are_refused_with_words_and_recorded(void **unused)
{
    struct hf_op root = world_as(ROOT);
    uint64_t seq = world_seq();

    (void)unused;
    assert_fails(&root, put_by(&root, "bad", "{\"rules\":[{\"effect\":\"maybe\"}]}"), HF_INVALID);
    assert_non_null(strstr(root.text, "rule 1, \"effect\""));
    assert_fails(&root, hf_service_policy_remove(world.service, &root, "none"), HF_NOT_FOUND);
    assert_int_equal(world_seq(), seq);
    assert_int_equal(world_lines(EVENT("policy.change", "invalid", ROOT), NULL, NULL), 1);
    assert_int_equal(world_lines(EVENT("policy.change", "not_found", ROOT), NULL, NULL), 1);
}

static void two_writers_of_policy_both_get_through(void **unused)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_op root = world_as(ROOT), *op = &small_world.op;

    (void)unused;
    /* Somebody is first while a change waits to commit: the service stages again. */
    assert_ok(op, hf_txn_new(small_world.seal, op, &txn));
    assert_ok(op, hf_policy_put(world.policy, op, txn, "one",
                                hf_bytes_of_text(DOCUMENT("unix:one", "random")), NULL));
    assert_ok(&root, put_by(&root, "two", DOCUMENT("unix:two", "random")));
    assert_fails(op, hf_txn_commit(txn, op, &commit), HF_CONFLICT);
    assert_ok(&root, put_by(&root, "one", DOCUMENT("unix:one", "random")));
    assert_true(hf_policy_is_whole(world.policy));
}

static void add_name(void *context, const char *name)
{
    hf_buf_add_format(context, "%s ", name);
}

static void readers_see_documents_names_and_explanations(void **unused)
{
    struct hf_op carol = world_as(CAROL), alice = world_as(ALICE);
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) names = hf_buf_new();
    HF_AUTO(buf) words = hf_buf_new();

    (void)unused;
    assert_ok(&carol, hf_service_policy_get(world.service, &carol, "first", text));
    assert_non_null(strstr(hf_buf_text(text), "\"" CERT "\""));
    assert_ok(&carol, hf_service_policy_list(world.service, &carol, add_name, names));
    assert_string_equal(hf_buf_text(names), "first users ");
    assert_ok(&carol, hf_service_policy_explain(world.service, &carol, ALICE, "key.unwrap", RING,
                                                "k", words));
    assert_non_null(strstr(hf_buf_text(words), "so 'key.unwrap' is allowed"));
    assert_fails(
        &carol,
        hf_service_policy_explain(world.service, &carol, ALICE, "key.steal", RING, "k", words),
        HF_INVALID);
    assert_fails(&carol, hf_service_policy_get(world.service, &carol, "none", text), HF_NOT_FOUND);

    hf_buf_clear(text);
    assert_fails(&alice, hf_service_policy_get(world.service, &alice, "first", text), HF_DENIED);
    assert_fails(&alice, hf_service_policy_list(world.service, &alice, add_name, text), HF_DENIED);
    assert_fails(
        &alice,
        hf_service_policy_explain(world.service, &alice, ALICE, "key.unwrap", RING, "k", text),
        HF_DENIED);
    assert_int_equal(text->len, 0);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(the_first_policy_gives_administration_and_no_use),
        test_of(there_is_no_first_policy_after_all_were_removed),
        test_of(an_administrator_gets_use_only_through_a_second_person),
        test_of(a_denial_is_taken_away_by_two_people_too),
        test_of(what_gives_its_author_nothing_needs_nobody),
        test_of(bad_documents_are_refused_with_words_and_recorded),
        test_of(two_writers_of_policy_both_get_through),
        test_of(readers_see_documents_names_and_explanations),
    };

    return cmocka_run_group_tests_name("service policy", tests, world_start, world_stop);
}
