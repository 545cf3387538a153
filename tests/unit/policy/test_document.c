/* Documents: what is taken, what is refused and in which words, and what the roles hold. */
#include <stdio.h>
#include <string.h>

#include "test.h"

#include "policy/rules.h"

static struct hf_op new_op(void)
{
    static struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    return op;
}

static void what_is_wrong_is_named_with_rule_and_member(void **unused)
{
    static const struct {
        const char *document;
        enum hf_code code;
        const char *words;
    } cases[] = {
        { "{", HF_INVALID, "" },
        { "[]", HF_INVALID, "object" },
        { "{}", HF_INVALID, "at least one rule" },
        { "{\"rules\":[]}", HF_INVALID, "at least one rule" },
        { "{\"rules\":[1]}", HF_INVALID, "rule 1" },
        { "{\"persons\":[{\"name\":\"a\",\"identities\":[\"unix:a\",\"cert:a\"]}]}", HF_OK, "" },
        { "{\"persons\":[]}", HF_INVALID, "persons" },
        { "{\"persons\":[1]}", HF_INVALID, "person 1" },
        { "{\"persons\":[{\"identities\":[\"unix:a\",\"cert:a\"]}]}", HF_INVALID, "name" },
        { "{\"persons\":[{\"name\":\"\",\"identities\":[\"unix:a\",\"cert:a\"]}]}", HF_INVALID,
          "person 1: its name" },
        { "{\"persons\":[{\"name\":\"a\",\"identities\":[\"unix:a\"]}]}", HF_INVALID,
          "lists 2 to 256" },
        { "{\"persons\":[{\"name\":\"a\",\"identities\":[\"unix:a\",\"unix:*\"]}]}", HF_INVALID,
          "is no pattern" },
        { "{\"persons\":[{\"name\":\"a\",\"identities\":[\"unix:a\",\"alice\"]}]}", HF_INVALID,
          "begins with cert:" },
        { "{\"persons\":[{\"name\":\"a\",\"who\":[\"unix:a\"]}]}", HF_INVALID, "who" },
        { "{\"rules\":{}}", HF_INVALID, "rules" },
        { "{\"rule\":[]}", HF_INVALID, "rule" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"actions\":[\"random\"]},"
          "{\"effect\":\"permit\",\"who\":[\"unix:a\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "rule 2, \"effect\"" },
        { "{\"rules\":[{\"effect\":\"allow\",\"actions\":[\"random\"]}]}", HF_INVALID,
          "rule 1, \"who\"" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[],\"actions\":[\"random\"]}]}", HF_INVALID,
          "rule 1, \"who\": the list is empty" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"*\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "rule 1, \"who\": '*' must begin with" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"alice\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "must begin with" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"c*:alice\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "must begin with" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"system:x\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "must begin with" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"cert:\"],\"actions\":[\"random\"]}]}",
          HF_INVALID, "must begin with" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[3],\"actions\":[\"random\"]}]}", HF_INVALID,
          "rule 1, \"who\": it is a list of texts" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":\"unix:a\",\"actions\":[\"random\"]}]}",
          HF_INVALID, "rule 1" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"]}]}", HF_INVALID,
          "neither \"actions\" nor \"roles\"" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"actions\":[\"key.steal\"]}]}",
          HF_INVALID, "'key.steal' is no action" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"roles\":[\"root\"]}]}",
          HF_INVALID, "'root' is no role" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"actions\":[\"key.*\"]}]}",
          HF_INVALID, "a pattern of actions can only be denied" },
        { "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"unix:a\"],\"actions\":[\"kex.*\"]}]}",
          HF_INVALID, "matches no action" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"actions\":[\"node.lock\"],"
          "\"keyrings\":[\"hdfs\"]}]}",
          HF_INVALID, "'node.lock' concerns no keyring" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],"
          "\"actions\":[\"keyring.rotate\"],\"keys\":[\"a\"]}]}",
          HF_INVALID, "'keyring.rotate' concerns a whole keyring" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"roles\":[\"key-user\"],"
          "\"keys\":[]}]}",
          HF_INVALID, "rule 1, \"keys\": the list is empty" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"roles\":[\"key-user\"],"
          "\"keys\":[\"a\\nb\"]}]}",
          HF_INVALID, "control characters" },
        { "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"unix:a\"],\"roles\":[\"key-user\"],"
          "\"key\":[\"a\"]}]}",
          HF_INVALID, "rule 1: " },
        { "{\"rules\":[{\"effect\":\"allow\",\"effect\":\"deny\",\"who\":[\"unix:a\"],"
          "\"roles\":[\"key-user\"]}]}",
          HF_INVALID, "" },
        { "{\"description\":\"d\",\"rules\":[{\"description\":\"r\",\"effect\":\"deny\","
          "\"who\":[\"unix:a\",\"krb5:*\"],\"actions\":[\"*\"],\"keyrings\":[\"a*\"]}]}",
          HF_OK, "" },
    };
    struct hf_op op = new_op();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(rules) rules = NULL;
        struct hf_status status;

        hf_op_clear(&op);
        status = hf_rules_parse(&op, hf_bytes_of_text(cases[i].document), &rules);
        if (status.code != cases[i].code || strstr(op.text, cases[i].words) == NULL) {
            fail_msg("%s\n  got %s: %s", cases[i].document, hf_code_name(status.code), op.text);
        }
    }
}

static void a_document_has_limits(void **unused)
{
    HF_AUTO(buf) rules = hf_buf_new();
    HF_AUTO(buf) list = hf_buf_new();
    HF_AUTO(buf) pattern = hf_buf_new();
    HF_AUTO(buf) bytes = hf_buf_new();
    HF_AUTO(rules) parsed = NULL;
    struct hf_op op = new_op();

    (void)unused;
    hf_buf_add_text(rules, "{\"rules\":[");
    for (size_t i = 0; i <= HF_POLICY_RULES_MAX; i++) {
        hf_buf_add_format(rules,
                          "%s{\"effect\":\"deny\",\"who\":[\"unix:a\"],\"actions\":[\"random\"]}",
                          i > 0 ? "," : "");
    }
    hf_buf_add_text(rules, "]}");
    assert_fails(&op, hf_rules_parse(&op, hf_buf_bytes(rules), &parsed), HF_TOO_LARGE);

    hf_buf_add_text(list, "{\"rules\":[{\"effect\":\"deny\",\"actions\":[\"random\"],\"who\":[");
    for (size_t i = 0; i <= HF_POLICY_LIST_MAX; i++) {
        hf_buf_add_format(list, "%s\"unix:a\"", i > 0 ? "," : "");
    }
    hf_buf_add_text(list, "]}]}");
    assert_fails(&op, hf_rules_parse(&op, hf_buf_bytes(list), &parsed), HF_INVALID);
    assert_non_null(strstr(op.text, "more than 256"));

    hf_buf_add_format(pattern,
                      "{\"rules\":[{\"effect\":\"deny\",\"actions\":[\"random\"],"
                      "\"who\":[\"unix:%0301d\"]}]}",
                      0);
    assert_fails(&op, hf_rules_parse(&op, hf_buf_bytes(pattern), &parsed), HF_INVALID);
    assert_non_null(strstr(op.text, "longer than 300"));

    memset(hf_buf_reserve(bytes, HF_POLICY_DOCUMENT_MAX + 1), ' ', HF_POLICY_DOCUMENT_MAX + 1);
    hf_buf_grew(bytes, HF_POLICY_DOCUMENT_MAX + 1);
    assert_fails(&op, hf_rules_parse(&op, hf_buf_bytes(bytes), &parsed), HF_TOO_LARGE);
}

static void roles_hold_what_is_written_of_them(void **unused)
{
    static const struct {
        const char *role;
        const char *has; /* each followed by a space */
    } cases[] = {
        { "key-admin",
          "keyring.create keyring.read keyring.change keyring.rotate key.create key.import "
          "key.list key.read key.rotate key.rewrap key.state key.delete key.recover key.destroy "
          "why key.revocation " },
        { "key-user", "key.list key.read key.generate key.unwrap key.reencrypt key.encrypt "
                      "key.decrypt key.sign key.verify key.mac random " },
        { "auditor", "node.status slot.list keyring.read key.list key.read policy.read "
                     "audit.read why drill.read job.list node.list " },
        { "operator",
          "node.status node.unlock node.lock slot.list slot.change keyring.read key.list "
          "policy.read policy.change approve session.end why slot.test slot.remove root.rotate "
          "site.promote store.accept drill.run drill.read job.list node.list node.approve "
          "node.change node.remove node.serve-stale node.revoke " },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) has = hf_buf_new();
        bool known = false;

        for (size_t action = 0; action < HF_ACTION_COUNT; action++) {
            if (hf_role_has(cases[i].role, (enum hf_action)action, &known)) {
                hf_buf_add_format(has, "%s ", hf_action_name((enum hf_action)action));
            }
            assert_true(known);
        }
        assert_string_equal(hf_buf_text(has), cases[i].has);
    }
}

static void export_is_in_no_role_and_no_unknown_role_has_anything(void **unused)
{
    static const char *const roles[] = { "key-admin", "key-user", "auditor", "operator" };
    bool known = true;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(roles); i++) {
        assert_false(hf_role_has(roles[i], HF_ACT_KEY_EXPORT, &known));
    }
    assert_false(hf_role_has("root", HF_ACT_STATUS, &known));
    assert_false(known);
}

static void every_action_is_found_by_its_name(void **unused)
{
    struct hf_op op = new_op();
    enum hf_action found = HF_ACT_STATUS;

    (void)unused;
    for (size_t i = 0; i < HF_ACTION_COUNT; i++) {
        assert_ok(&op, hf_action_parse(&op, hf_action_name((enum hf_action)i), &found));
        assert_int_equal(found, i);
    }
    assert_fails(&op, hf_action_parse(&op, "key", &found), HF_INVALID);
}

static const char *documentation; /* docs/policy.md */

static void the_documentation_names_every_action_and_role(void **unused)
{
    static const char *const roles[] = { "key-admin", "key-user", "auditor", "operator" };
    HF_AUTO(buf) text = hf_buf_new();
    FILE *file = fopen(documentation, "re");
    size_t got;

    (void)unused;
    assert_non_null(file);
    do {
        got = fread(hf_buf_reserve(text, 4096), 1, 4096, file);
        hf_buf_grew(text, got);
    } while (got > 0);
    (void)fclose(file);
    for (size_t i = 0; i < HF_ACTION_COUNT; i++) {
        char row[64];

        (void)snprintf(row, sizeof row, "`%s`", hf_action_name((enum hf_action)i));
        if (strstr(hf_buf_text(text), row) == NULL) {
            fail_msg("docs/policy.md says nothing of %s", row);
        }
    }
    for (size_t i = 0; i < HF_COUNT(roles); i++) {
        char row[64];

        (void)snprintf(row, sizeof row, "| `%s` |", roles[i]);
        assert_non_null(strstr(hf_buf_text(text), row));
    }
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named_with_rule_and_member),
        cmocka_unit_test(a_document_has_limits),
        cmocka_unit_test(roles_hold_what_is_written_of_them),
        cmocka_unit_test(export_is_in_no_role_and_no_unknown_role_has_anything),
        cmocka_unit_test(every_action_is_found_by_its_name),
        cmocka_unit_test(the_documentation_names_every_action_and_role),
    };

    documentation = count > 1 ? arguments[1] : "docs/policy.md";
    return cmocka_run_group_tests_name("policy document", tests, NULL, NULL);
}
