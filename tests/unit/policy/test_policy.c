/* Policies in force: who may, deny wins, caches follow changes, damage closes, nobody helps
 * himself. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "small_world.h"

#include "base/text.h"
#include "policy/policy.h"

static struct hf_policy *policy;

static int setup(void **unused)
{
    (void)unused;
    small_world_new_store();
    policy = hf_policy_new(small_world.seal);
    small_world_unlock();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_policy_free(policy);
    small_world_drop_store();
    return 0;
}

static void restart(void)
{
    hf_policy_free(policy);
    small_world_close_seal();
    small_world_open_seal();
    policy = hf_policy_new(small_world.seal);
    small_world_unlock();
}

static struct hf_status commit(struct hf_txn *txn)
{
    struct hf_txn_commit result = { 0 };
    struct hf_status status = hf_txn_commit(txn, &small_world.op, &result);

    hf_secret_free(result.result);
    return status;
}

static struct hf_status put_by(const char *author, const char *name, const char *document)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(small_world.seal, &small_world.op, &txn));
    HF_TRY(hf_policy_put(policy, &small_world.op, txn, name, hf_bytes_of_text(document), author));
    return commit(txn);
}

static void put(const char *name, const char *document)
{
    assert_ok(&small_world.op, put_by(NULL, name, document));
}

static struct hf_status remove_by(const char *author, const char *name)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(small_world.seal, &small_world.op, &txn));
    HF_TRY(hf_policy_remove(policy, &small_world.op, txn, name, author));
    return commit(txn);
}

static bool may(const char *caller, enum hf_action action, const char *keyring, const char *key)
{
    struct hf_status status =
        hf_policy_check(policy, &small_world.op, caller, action, keyring, key);

    if (status.code != HF_OK) {
        assert_int_equal(status.code, HF_DENIED);
        hf_op_clear(&small_world.op);
    }
    return status.code == HF_OK;
}

static const char users[] =
    "{\"rules\":["
    "{\"effect\":\"allow\",\"who\":[\"pseudo:alice\",\"cert:etl-*\"],\"roles\":[\"key-user\"],"
    "\"keyrings\":[\"hdfs\"],\"keys\":[\"sales-*\"]},"
    "{\"effect\":\"deny\",\"who\":[\"pseudo:*\",\"cert:*\"],\"actions\":[\"key.unwrap\"],"
    "\"keys\":[\"*-secret\"]},"
    "{\"effect\":\"allow\",\"who\":[\"unix:root\"],\"roles\":[\"operator\",\"key-admin\"]},"
    "{\"effect\":\"allow\",\"who\":[\"krb5:*\"],\"roles\":[\"auditor\"]}]}";

static void policies_decide_as_the_table_says(void **unused)
{
    static const struct {
        const char *says;
        const char *caller;
        enum hf_action action;
        const char *keyring;
        const char *key;
        bool may;
    } cases[] = {
        { "a named user on his keys", "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1", true },
        { "a caller by pattern", "cert:etl-7", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1", true },
        { "just the beginning of a pattern", "cert:etl-", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1",
          true },
        { "not quite the pattern", "cert:etl", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1", false },
        { "another key", "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "hr-1", false },
        { "another keyring", "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs2", "sales-1", false },
        { "the same name, another proof", "cert:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1",
          false },
        { "the same name, an unix user", "unix:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1",
          false },
        { "a name that holds another's id", "pseudo:pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs",
          "sales-1", false },
        { "deny wins over allow", "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-secret",
          false },
        { "deny only where it says", "pseudo:alice", HF_ACT_KEY_GENERATE, "hdfs", "sales-secret",
          true },
        { "what is in no role", "pseudo:alice", HF_ACT_KEY_EXPORT, "hdfs", "sales-1", false },
        { "administration", "pseudo:alice", HF_ACT_KEY_ROTATE, "hdfs", "sales-1", false },
        { "an admin creates anywhere", "unix:root", HF_ACT_KEY_CREATE, "any", "key", true },
        { "an admin does not use", "unix:root", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1", false },
        { "an admin does not export", "unix:root", HF_ACT_KEY_EXPORT, "hdfs", "sales-1", false },
        { "an operator on the node", "unix:root", HF_ACT_LOCK, NULL, NULL, true },
        { "whole keyrings", "unix:root", HF_ACT_KEYRING_ROTATE, "hdfs", NULL, true },
        { "a rule for keyrings gives nothing on the node", "pseudo:alice", HF_ACT_RANDOM, NULL,
          NULL, false },
        { "an auditor by kind", "krb5:carol@EXAMPLE", HF_ACT_AUDIT_READ, NULL, NULL, true },
        { "an auditor changes nothing", "krb5:carol@EXAMPLE", HF_ACT_POLICY_CHANGE, NULL, NULL,
          false },
        { "nobody", "pseudo:mallory", HF_ACT_STATUS, NULL, NULL, false },
        { "some keys may be listed", "pseudo:alice", HF_ACT_KEY_LIST, "hdfs", NULL, true },
        { "but none elsewhere", "pseudo:alice", HF_ACT_KEY_LIST, "hr", NULL, false },
        { "a key left out opens nothing else", "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", NULL,
          false },
        { "the server itself", "system", HF_ACT_KEY_DESTROY, "hdfs", "sales-1", true },
        { "somebody called system", "pseudo:system", HF_ACT_KEY_DESTROY, "hdfs", "sales-1", false },
        { "somebody who claims to be the server", "system:x", HF_ACT_KEY_DESTROY, "hdfs", "k",
          false },
    };

    (void)unused;
    put("users", users);
    /* Twice: the second answer comes from the cache. */
    for (size_t i = 0; i < 2 * HF_COUNT(cases); i++) {
        size_t at = i % HF_COUNT(cases);

        if (may(cases[at].caller, cases[at].action, cases[at].keyring, cases[at].key) !=
            cases[at].may) {
            fail_msg("%s (time %zu)", cases[at].says, i / HF_COUNT(cases) + 1);
        }
    }
}

static void a_denial_names_its_rule(void **unused)
{
    (void)unused;
    put("users", users);
    assert_fails(&small_world.op,
                 hf_policy_check(policy, &small_world.op, "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs",
                                 "sales-secret"),
                 HF_DENIED);
    assert_string_equal(small_world.op.text,
                        "rule 2 of policy 'users' denies pseudo:alice 'key.unwrap'");
    assert_fails(&small_world.op,
                 hf_policy_check(policy, &small_world.op, "pseudo:bob", HF_ACT_RANDOM, NULL, NULL),
                 HF_DENIED);
    assert_string_equal(small_world.op.text, "no rule allows pseudo:bob 'random'");
}

#define ALLOW_BOB                                                                                  \
    "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:bob\"],\"actions\":[\"key.mac\"]}]}"
#define DENY_BOB "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"unix:bob\"],\"actions\":[\"*\"]}]}"

static void a_change_is_in_force_at_once(void **unused)
{
    (void)unused;
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    put("one", ALLOW_BOB);
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    put("two", DENY_BOB);
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    assert_ok(&small_world.op, remove_by(NULL, "two"));
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    put("one", DENY_BOB);
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    assert_ok(&small_world.op, remove_by(NULL, "one"));
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    /* A name that was removed can be used again. */
    put("one", ALLOW_BOB);
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
}

static void names_that_share_a_cache_place_do_not_mix(void **unused)
{
    static const char document[] =
        "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:bob\"],\"actions\":[\"key.mac\"],"
        "\"keyrings\":[\"r\"],\"keys\":[\"*0\"]}]}";

    (void)unused;
    put("one", document);
    /* Far more names than places, and three times over. */
    for (unsigned i = 0; i < 30000; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%u", i % 10000);
        if (may("unix:bob", HF_ACT_KEY_MAC, "r", key) != (i % 10 == 0)) {
            fail_msg("%s was confused with another", key);
        }
    }
    /* The parts of a question do not run into each other. */
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "ab0"));
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "ra", "b0"));
    assert_false(may("unix:bo", HF_ACT_KEY_MAC, "br", "ab0"));
}

static void names_too_long_for_the_cache_are_still_decided(void **unused)
{
    static char key[2000];

    (void)unused;
    put("one", ALLOW_BOB);
    memset(key, 'k', sizeof key - 1);
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", key));
    assert_false(may("unix:eve", HF_ACT_KEY_MAC, "r", key));
}

static void add_name(void *context, const char *name)
{
    hf_buf_add_format(context, "%s ", name);
}

static void documents_survive_a_restart_as_they_were_put(void **unused)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) names = hf_buf_new();

    (void)unused;
    assert_true(hf_policy_is_empty(policy));
    put("users", users);
    put("b", ALLOW_BOB);
    put("a", ALLOW_BOB);
    put("gone", DENY_BOB);
    assert_ok(&small_world.op, remove_by(NULL, "gone"));
    restart();

    assert_false(hf_policy_is_empty(policy));
    assert_true(hf_policy_is_whole(policy));
    assert_ok(&small_world.op, hf_policy_get(policy, &small_world.op, "users", text));
    assert_string_equal(hf_buf_text(text), users);
    assert_fails(&small_world.op, hf_policy_get(policy, &small_world.op, "gone", text),
                 HF_NOT_FOUND);
    hf_policy_each(policy, add_name, names);
    assert_string_equal(hf_buf_text(names), "a b users ");
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
}

static void a_locked_node_knows_no_policy(void **unused)
{
    (void)unused;
    put("one", ALLOW_BOB);
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    hf_seal_lock(small_world.seal);
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    small_world_unlock();
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
}

static void bad_names_and_documents_change_nothing(void **unused)
{
    static const char *const names[] = { "", ".set", "a/b", "A", "a b", "..", "\xc3\xa4" };
    static char too_long[66];

    (void)unused;
    memset(too_long, 'a', sizeof too_long - 1);
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        assert_fails(&small_world.op, put_by(NULL, names[i], ALLOW_BOB), HF_INVALID);
    }
    assert_fails(&small_world.op, put_by(NULL, too_long, ALLOW_BOB), HF_INVALID);
    assert_fails(&small_world.op, put_by(NULL, "one", "{}"), HF_INVALID);
    assert_fails(&small_world.op, remove_by(NULL, "one"), HF_NOT_FOUND);
    assert_true(hf_policy_is_empty(policy));
}

/* --- nobody helps himself --- */

#define ROOT_USES                                                                                  \
    "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:root\"],\"actions\":[\"key.unwrap\"]}]}"

static void an_author_gets_no_use_or_export_by_his_own_change(void **unused)
{
    static const char *const actions[] = {
        "key.export",    "key.generate", "key.unwrap", "key.encrypt", "key.decrypt",
        "key.reencrypt", "key.sign",     "key.verify", "key.mac",
    };

    (void)unused;
    put("users", users);
    for (size_t i = 0; i < HF_COUNT(actions); i++) {
        HF_AUTO_STRING document = hf_format(
            "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:root\"],\"actions\":[\"%s\"]}]}",
            actions[i]);

        assert_fails(&small_world.op, put_by("unix:root", "mine", document), HF_DENIED);
        assert_ok(&small_world.op, put_by("unix:carol", "mine", document));
        assert_ok(&small_world.op, remove_by("unix:root", "mine"));
    }
}

static void taking_a_denial_away_counts_as_a_gain(void **unused)
{
    (void)unused;
    put("one", ROOT_USES);
    put("two", "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"unix:*\"],\"actions\":[\"key.*\"]}]}");
    assert_fails(&small_world.op, remove_by("unix:root", "two"), HF_DENIED);
    assert_false(may("unix:root", HF_ACT_KEY_UNWRAP, "r", "k"));
    assert_ok(&small_world.op, remove_by("unix:carol", "two"));
    assert_true(may("unix:root", HF_ACT_KEY_UNWRAP, "r", "k"));
}

static void two_changes_side_by_side_give_no_more_than_one_after_the_other(void **unused)
{
    static const char denied[] =
        "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"unix:root\"],\"actions\":[\"key.*\"]}]}";
    HF_AUTO(txn) grants = NULL;
    HF_AUTO(txn) frees = NULL;
    struct hf_op *op = &small_world.op;

    (void)unused;
    /* Each alone is harmless: the grant while denied, and the denial while nothing is granted. */
    put("denied", denied);
    assert_ok(op, hf_txn_new(small_world.seal, op, &grants));
    assert_ok(op, hf_txn_new(small_world.seal, op, &frees));
    assert_ok(op,
              hf_policy_put(policy, op, grants, "mine", hf_bytes_of_text(ROOT_USES), "unix:root"));
    assert_ok(op, hf_policy_remove(policy, op, frees, "denied", "unix:root"));
    assert_ok(op, commit(grants));
    assert_fails(op, commit(frees), HF_CONFLICT);
    assert_fails(op, remove_by("unix:root", "denied"), HF_DENIED);
    assert_false(may("unix:root", HF_ACT_KEY_UNWRAP, "r", "k"));
}

/* --- persons --- */

static void identities_are_one_person_over_as_many_steps_as_it_takes(void **unused)
{
    static const struct {
        const char *one;
        const char *other;
        bool is_one;
    } cases[] = {
        { "unix:root", "unix:root", true },     { "unix:root", "cert:admin", true },
        { "cert:admin", "unix:root", true },    { "unix:root", "krb5:root", true },
        { "unix:root", "token:by-name", true }, { "unix:root", "unix:eve", false },
        { "unix:nobody", "unix:nobody", true }, { "unix:nobody", "unix:root", false },
        { "unix:eve", "cert:eve", true },       { "unix:eve", "cert:admin", false },
        { "token:by-name", "krb5:root", true },
    };

    (void)unused;
    put("a", "{\"persons\":[{\"name\":\"eve\",\"identities\":[\"unix:eve\",\"cert:eve\"]},"
             "{\"name\":\"b\",\"identities\":[\"cert:admin\",\"krb5:root\"]}]}");
    put("b", "{\"persons\":[{\"name\":\"a\",\"identities\":[\"unix:root\",\"cert:admin\"]}]}");
    put("c", "{\"persons\":[{\"name\":\"a\",\"identities\":[\"token:by-name\",\"token:x\"]}]}");
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_policy_is_one_person(policy, cases[i].one, cases[i].other) != cases[i].is_one) {
            fail_msg("%s and %s", cases[i].one, cases[i].other);
        }
    }
    assert_ok(&small_world.op, remove_by(NULL, "b"));
    assert_false(hf_policy_is_one_person(policy, "unix:root", "cert:admin"));
}

static void nobody_gives_to_his_other_identity_or_becomes_two(void **unused)
{
    static const char persons[] =
        "{\"persons\":[{\"name\":\"root\",\"identities\":[\"unix:root\",\"cert:admin\"]}]}";
    static const char wider[] = "{\"persons\":[{\"name\":\"root\",\"identities\":[\"unix:root\","
                                "\"cert:admin\",\"krb5:root\"]}]}";
    static const char use[] = "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"cert:admin\"],"
                              "\"roles\":[\"key-user\"]}]}";

    (void)unused;
    put("persons", persons);
    assert_fails(&small_world.op, put_by("unix:root", "use", use), HF_DENIED);
    assert_non_null(strstr(small_world.op.text, "cert:admin"));
    assert_fails(&small_world.op, remove_by("unix:root", "persons"), HF_DENIED);
    assert_non_null(strstr(small_world.op.text, "two persons"));
    assert_ok(&small_world.op, put_by("unix:root", "persons", wider));
    assert_fails(&small_world.op, put_by("cert:admin", "persons", persons), HF_DENIED);
    /* Another may give, and take apart. */
    assert_ok(&small_world.op, put_by("unix:other", "use", use));
    assert_ok(&small_world.op, remove_by("unix:other", "persons"));
    assert_false(hf_policy_is_one_person(policy, "unix:root", "cert:admin"));
}

/* --- damage --- */

/* What an attacker on the store could do to a sealed record: leave another of its kind in its
 * place. */
static void damage_list(uint64_t revision)
{
    HF_AUTO(buf) plain = hf_buf_new();
    static const uint8_t empty_list[] = { 1,   0,   0, 0, 1, 0, 0, 0, 4, 'g', 'o',
                                          'n', 'e', 0, 0, 0, 0, 0, 0, 0, 9 };

    hf_buf_add(plain, empty_list, sizeof empty_list);
    assert_ok(&small_world.op,
              small_world_put(HF_KIND_POLICY, "policy/.set", revision, hf_buf_bytes(plain)));
}

static void a_missing_document_closes_keys_until_it_is_settled(void **unused)
{
    HF_AUTO(buf) words = hf_buf_new();

    (void)unused;
    put("users", users);
    assert_true(may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1"));
    /* The list now names a document "gone" at a revision that is not there, and not "users". */
    damage_list(1);
    assert_false(hf_policy_is_whole(policy));
    assert_false(may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1"));
    put("root", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:root\"],"
                "\"roles\":[\"operator\",\"key-admin\"]}]}");
    assert_false(hf_policy_is_whole(policy));
    assert_true(may("unix:root", HF_ACT_POLICY_CHANGE, NULL, NULL));
    assert_false(may("unix:root", HF_ACT_KEY_CREATE, "hdfs", "k"));
    assert_ok(&small_world.op, hf_policy_explain(policy, &small_world.op, "unix:root",
                                                 HF_ACT_KEY_CREATE, "hdfs", "k", words));
    assert_non_null(strstr(hf_buf_text(words), "damaged"));

    /* Nobody can judge a change alone now; the second person can remove what is missing. */
    assert_fails(&small_world.op, remove_by("unix:root", "gone"), HF_DENIED);
    assert_ok(&small_world.op, remove_by(NULL, "gone"));
    assert_true(hf_policy_is_whole(policy));
    assert_true(may("unix:root", HF_ACT_KEY_CREATE, "hdfs", "k"));
    /* What the list does not name is not in force. */
    assert_false(may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1"));
    restart();
    assert_true(hf_policy_is_whole(policy));
    assert_true(may("unix:root", HF_ACT_KEY_CREATE, "hdfs", "k"));
    assert_false(may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1"));
}

#define ALICE_USES_KEYS                                                                            \
    "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"pseudo:alice\"],\"roles\":[\"key-user\"]}]}"
#define DENY_SECRET                                                                                \
    "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"pseudo:alice\"],\"actions\":[\"key.*\"],"         \
    "\"keys\":[\"secret\"]}]}"

/* Records that do not open never come to the policy: it must ask the seal what is missing. */
static void an_altered_denial_or_list_closes_keys_until_it_is_settled(void **unused)
{
    static const struct {
        const char *says;
        const char *altered[2];
        const char *settled_by_putting[2];
    } cases[] = {
        { "the denial", { "policy/deny", NULL }, { "deny", NULL } },
        { "the list", { "policy/.set", NULL }, { "other", NULL } },
        { "both", { "policy/.set", "policy/deny" }, { "other", "deny" } },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        put("users", ALICE_USES_KEYS);
        put("deny", DENY_SECRET);
        put("other", ALLOW_BOB);
        for (size_t j = 0; j < 2 && cases[i].altered[j] != NULL; j++) {
            small_world_alter(cases[i].altered[j]);
        }
        restart();
        if (hf_policy_is_whole(policy) || hf_policy_is_empty(policy) ||
            may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "secret") ||
            may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales")) {
            fail_msg("%s: altered, and yet rights are given", cases[i].says);
        }
        assert_fails(&small_world.op, put_by("unix:root", "deny", DENY_SECRET), HF_DENIED);
        small_world_restore();
        for (size_t j = 0; j < 2 && cases[i].settled_by_putting[j] != NULL; j++) {
            if (hf_policy_is_whole(policy)) {
                fail_msg("%s: settled after %zu documents", cases[i].says, j);
            }
            put(cases[i].settled_by_putting[j],
                strcmp(cases[i].settled_by_putting[j], "deny") == 0 ? DENY_SECRET : ALLOW_BOB);
        }
        if (!hf_policy_is_whole(policy) ||
            may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "secret") ||
            !may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales")) {
            fail_msg("%s: put again, and yet not as before", cases[i].says);
        }
        restart();
        assert_true(hf_policy_is_whole(policy));
    }
}

/* The only list there is: nothing opens it but who may settle it. */
static void a_store_whose_policy_is_altered_is_not_one_without_policy(void **unused)
{
    (void)unused;
    put("users", ALICE_USES_KEYS);
    small_world_alter("policy/.set");
    small_world_alter("policy/users");
    restart();
    assert_false(hf_policy_is_empty(policy));
    assert_false(hf_policy_is_whole(policy));
}

static void a_record_of_a_newer_form_is_not_taken_for_policy(void **unused)
{
    static const uint8_t newer[] = { 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

    (void)unused;
    put("users", users);
    /* Stored, but no policy follows from it: the seal says so. */
    (void)small_world_put(HF_KIND_POLICY, "policy/users", 1, hf_bytes_of(newer, sizeof newer)).code;
    hf_op_clear(&small_world.op);
    assert_true(may("pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1"));
}

/* --- words --- */

static void explaining_shows_every_rule_and_what_follows(void **unused)
{
    static const struct {
        const char *caller;
        enum hf_action action;
        const char *key;
        const char *words;
    } cases[] = {
        { "pseudo:alice", HF_ACT_KEY_UNWRAP, "sales-1",
          "rule 1 of policy 'users' allows it: callers 'pseudo:alice', 'cert:etl-*', keyrings "
          "'hdfs', keys 'sales-*'\nso 'key.unwrap' is allowed\n" },
        { "pseudo:alice", HF_ACT_KEY_UNWRAP, "sales-secret",
          "rule 1 of policy 'users' allows it: callers 'pseudo:alice', 'cert:etl-*', keyrings "
          "'hdfs', keys 'sales-*'\n"
          "rule 2 of policy 'users' denies it: callers 'pseudo:*', 'cert:*', keys '*-secret'\n"
          "so 'key.unwrap' is refused: a rule that denies wins\n" },
        { "pseudo:eve", HF_ACT_KEY_UNWRAP, "sales-1",
          "no rule speaks of it, so 'key.unwrap' is refused\n" },
    };

    (void)unused;
    put("users", users);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) words = hf_buf_new();

        assert_ok(&small_world.op, hf_policy_explain(policy, &small_world.op, cases[i].caller,
                                                     cases[i].action, "hdfs", cases[i].key, words));
        assert_string_equal(hf_buf_text(words), cases[i].words);
    }
}

/* --- threads --- */

struct asker {
    unsigned lane;
    _Atomic bool *stop;
    size_t wrong;
};

/* Alice may always, Eve never; Bob sometimes. */
static void *ask(void *context)
{
    struct asker *asker = context;
    struct hf_op op = small_world_op(asker->lane);

    while (!*asker->stop) {
        asker->wrong +=
            hf_policy_check(policy, &op, "pseudo:alice", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1")
                .code != HF_OK;
        asker->wrong +=
            hf_policy_check(policy, &op, "pseudo:eve", HF_ACT_KEY_UNWRAP, "hdfs", "sales-1").code !=
            HF_DENIED;
        asker->wrong +=
            hf_policy_check(policy, &op, "unix:bob", HF_ACT_KEY_MAC, "r", "k").code == HF_INVALID;
        hf_op_clear(&op);
    }
    return NULL;
}

static void threads_see_whole_policies_while_they_change(void **unused)
{
    _Atomic bool stop = false;
    struct asker askers[6];
    pthread_t threads[HF_COUNT(askers)];

    (void)unused;
    put("users", users);
    for (size_t i = 0; i < HF_COUNT(askers); i++) {
        askers[i] = (struct asker){ (unsigned)i / 2, &stop, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < 100; i++) {
        put("bob", i % 2 ? ALLOW_BOB : DENY_BOB);
        assert_int_equal(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"), i % 2);
    }
    stop = true;
    for (size_t i = 0; i < HF_COUNT(askers); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(askers[i].wrong, 0);
    }
}

/* --- the form in the store --- */

/* docs/formats/policy.md */
static const char document_vector[] =
    "0100000009756e69783a726f6f74000001a3185c5000000000477b2272756c6573223a5b7b2265666665637422"
    "3a22616c6c6f77222c2277686f223a5b22756e69783a626f62225d2c22616374696f6e73223a5b226b65792e6d"
    "6163225d7d5d7d";
static const char list_vector[] = "0100000001000000036f6e650000000000000001";

static void expect_record(const char *path, const char *hex)
{
    HF_AUTO(opened) record = NULL;
    HF_AUTO(buf) found = hf_buf_new();

    assert_ok(&small_world.op,
              hf_seal_get(small_world.seal, &small_world.op, HF_KIND_POLICY, path, &record));
    hf_hex_add(found, hf_secret_bytes(record->plain));
    assert_string_equal(hf_buf_text(found), hex);
}

static void put_record(const char *path, const char *hex)
{
    HF_AUTO(buf) plain = hf_buf_new();

    assert_ok(&small_world.op, hf_hex_decode(&small_world.op, hf_bytes_of_text(hex), plain));
    assert_ok(&small_world.op, small_world_put(HF_KIND_POLICY, path, 0, hf_buf_bytes(plain)));
}

static void records_are_written_as_their_document_says(void **unused)
{
    (void)unused;
    small_world.now_ms = WORLD_START_MS;
    assert_ok(&small_world.op, put_by("unix:root", "one", ALLOW_BOB));
    expect_record("policy/one", document_vector);
    expect_record("policy/.set", list_vector);
}

static void records_are_read_as_their_document_says(void **unused)
{
    HF_AUTO(buf) text = hf_buf_new();

    (void)unused;
    put_record("policy/one", document_vector);
    assert_false(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    put_record("policy/.set", list_vector);
    assert_true(may("unix:bob", HF_ACT_KEY_MAC, "r", "k"));
    assert_ok(&small_world.op, hf_policy_get(policy, &small_world.op, "one", text));
    assert_string_equal(hf_buf_text(text), ALLOW_BOB);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(policies_decide_as_the_table_says),
        test_of(a_denial_names_its_rule),
        test_of(a_change_is_in_force_at_once),
        test_of(names_that_share_a_cache_place_do_not_mix),
        test_of(names_too_long_for_the_cache_are_still_decided),
        test_of(documents_survive_a_restart_as_they_were_put),
        test_of(a_locked_node_knows_no_policy),
        test_of(bad_names_and_documents_change_nothing),
        test_of(an_author_gets_no_use_or_export_by_his_own_change),
        test_of(taking_a_denial_away_counts_as_a_gain),
        test_of(two_changes_side_by_side_give_no_more_than_one_after_the_other),
        test_of(a_missing_document_closes_keys_until_it_is_settled),
        test_of(a_record_of_a_newer_form_is_not_taken_for_policy),
        test_of(records_are_written_as_their_document_says),
        test_of(records_are_read_as_their_document_says),
        test_of(explaining_shows_every_rule_and_what_follows),
        test_of(an_altered_denial_or_list_closes_keys_until_it_is_settled),
        test_of(a_store_whose_policy_is_altered_is_not_one_without_policy),
        test_of(identities_are_one_person_over_as_many_steps_as_it_takes),
        test_of(nobody_gives_to_his_other_identity_or_becomes_two),
        test_of(threads_see_whole_policies_while_they_change),
    };

    return cmocka_run_group_tests_name("policy", tests, small_world_start, small_world_stop);
}
