/* Callers: names, ids, and what is refused. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test.h"

#include "identity/caller.h"

static struct hf_op new_op(void)
{
    static struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    return op;
}

static void a_caller_id_tells_the_proof_and_the_name(void **unused)
{
    static const struct {
        enum hf_proof proof;
        const char *id;
    } cases[] = {
        { HF_PROOF_SYSTEM, "system:al@ice:1" }, { HF_PROOF_CERT, "cert:al@ice:1" },
        { HF_PROOF_UNIX, "unix:al@ice:1" },     { HF_PROOF_KRB5, "krb5:al@ice:1" },
        { HF_PROOF_TOKEN, "token:al@ice:1" },   { HF_PROOF_PSEUDO, "pseudo:al@ice:1" },
    };
    struct hf_op op = new_op();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(caller) caller = NULL;

        assert_ok(&op, hf_caller_new(&op, cases[i].proof, "al@ice:1", "192.0.2.7", &caller));
        assert_int_equal(caller->proof, cases[i].proof);
        assert_string_equal(caller->id, cases[i].id);
        assert_string_equal(caller->name, "al@ice:1");
        assert_string_equal(caller->address, "192.0.2.7");
    }
}

static void names_that_could_mislead_are_refused(void **unused)
{
    static char longest[256], too_long[257];
    static const struct {
        const char *says;
        const char *name;
        enum hf_code code;
    } cases[] = {
        { "empty", "", HF_INVALID },
        { "255 bytes", longest, HF_OK },
        { "256 bytes", too_long, HF_INVALID },
        { "a newline", "alice\nroot", HF_INVALID },
        { "a tab", "alice\t", HF_INVALID },
        { "delete", "alice\x7f", HF_INVALID },
        { "letters of other scripts", "\xc3\xa4lice", HF_OK },
        { "half a character", "alice\xc3", HF_INVALID },
    };
    struct hf_op op = new_op();

    (void)unused;
    memset(longest, 'a', sizeof longest - 1);
    memset(too_long, 'a', sizeof too_long - 1);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(caller) caller = NULL;
        struct hf_status status =
            hf_caller_new(&op, HF_PROOF_PSEUDO, cases[i].name, "unix", &caller);

        if (status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
}

static void a_unix_user_has_its_login_name_or_its_number(void **unused)
{
    HF_AUTO(caller) root = NULL;
    HF_AUTO(caller) nobody = NULL;
    struct hf_op op = new_op();

    (void)unused;
    assert_ok(&op, hf_caller_from_uid(&op, 0, &root));
    assert_string_equal(root->id, "unix:root");
    assert_string_equal(root->address, "unix");
    assert_ok(&op, hf_caller_from_uid(&op, 3123456789U, &nobody));
    assert_string_equal(nobody->id, "unix:3123456789");
}

static void a_user_who_cannot_be_looked_up_is_nobody(void **unused)
{
    HF_AUTO(caller) daemon = NULL;
    struct hf_op op = new_op();
    struct rlimit before;
    struct rlimit none;
    struct hf_status status;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    status = hf_caller_from_uid(&op, 1, &daemon);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status.code, HF_UNAVAILABLE);
}

static void an_operation_without_a_caller_is_the_servers_own(void **unused)
{
    HF_AUTO(caller) caller = NULL;
    struct hf_op op = new_op();

    (void)unused;
    assert_string_equal(hf_op_caller_id(&op), "system");
    assert_ok(&op, hf_caller_new(&op, HF_PROOF_CERT, "etl", "unix", &caller));
    op.caller = caller;
    assert_string_equal(hf_op_caller_id(&op), "cert:etl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_id_tells_the_proof_and_the_name),
        cmocka_unit_test(names_that_could_mislead_are_refused),
        cmocka_unit_test(a_unix_user_has_its_login_name_or_its_number),
        cmocka_unit_test(a_user_who_cannot_be_looked_up_is_nobody),
        cmocka_unit_test(an_operation_without_a_caller_is_the_servers_own),
    };

    return cmocka_run_group_tests_name("identity caller", tests, NULL, NULL);
}
