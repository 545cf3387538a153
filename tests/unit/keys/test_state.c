/* The table of states is complete, and says what NIST SP 800-57 part 1, 7.3 says. */
#include <string.h>

#include "test.h"

#include "keys/state.h"

#define REFUSED 0

/* One row per state: where each event leads, and what the state allows. */
static const struct {
    enum hf_key_state from;
    const char *name;
    enum hf_key_state to[6]; /* activate, suspend, resume, deactivate, compromise, destroy */
    bool protects;
    bool processes;
} rows[] = {
    { HF_KEY_PRE_ACTIVE,
      "pre-active",
      { HF_KEY_ACTIVE, REFUSED, REFUSED, REFUSED, HF_KEY_COMPROMISED, HF_KEY_DESTROYED },
      false,
      false },
    { HF_KEY_ACTIVE,
      "active",
      { REFUSED, HF_KEY_SUSPENDED, REFUSED, HF_KEY_DEACTIVATED, HF_KEY_COMPROMISED, REFUSED },
      true,
      true },
    { HF_KEY_SUSPENDED,
      "suspended",
      { REFUSED, REFUSED, HF_KEY_ACTIVE, HF_KEY_DEACTIVATED, HF_KEY_COMPROMISED, REFUSED },
      false,
      false },
    { HF_KEY_DEACTIVATED,
      "deactivated",
      { REFUSED, REFUSED, REFUSED, REFUSED, HF_KEY_COMPROMISED, HF_KEY_DESTROYED },
      false,
      true },
    { HF_KEY_COMPROMISED,
      "compromised",
      { REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, HF_KEY_DESTROYED_COMPROMISED },
      false,
      true },
    { HF_KEY_DESTROYED,
      "destroyed",
      { REFUSED, REFUSED, REFUSED, REFUSED, HF_KEY_DESTROYED_COMPROMISED, REFUSED },
      false,
      false },
    { HF_KEY_DESTROYED_COMPROMISED,
      "destroyed-compromised",
      { REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED },
      false,
      false },
};

static const char *const events[] = { "activate",   "suspend",    "resume",
                                      "deactivate", "compromise", "destroy" };

static struct hf_op new_op(struct hf_env *env)
{
    struct hf_op op;

    hf_env_system(env);
    hf_op_init(&op, env);
    return op;
}

static void each_event_leads_where_the_table_says(void **unused)
{
    struct hf_env env;
    struct hf_op op = new_op(&env);

    (void)unused;
    assert_int_equal(HF_COUNT(rows), HF_KEY_DESTROYED_COMPROMISED);
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        for (int event = HF_KEY_ACTIVATE; event <= HF_KEY_DESTROY; event++) {
            enum hf_key_state state = rows[i].from;
            enum hf_key_state wanted = rows[i].to[event] != 0 ? rows[i].to[event] : rows[i].from;
            struct hf_status status = hf_key_step(&op, &state, (enum hf_key_event)event);

            if ((status.code == HF_OK) != (rows[i].to[event] != 0) || state != wanted) {
                fail_msg("%s, %s: got %s, %s", rows[i].name, events[event],
                         hf_code_name(status.code), hf_key_state_name(state));
            }
            if (status.code != HF_OK) {
                assert_int_equal(status.code, HF_WRONG_STATE);
            }
        }
    }
}

static void each_state_allows_what_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (hf_key_state_allows(rows[i].from, HF_USE_PROTECT) != rows[i].protects ||
            hf_key_state_allows(rows[i].from, HF_USE_PROCESS) != rows[i].processes) {
            fail_msg("%s allows something else", rows[i].name);
        }
        assert_string_equal(hf_key_state_name(rows[i].from), rows[i].name);
    }
}

static void events_are_known_by_their_names(void **unused)
{
    struct hf_env env;
    struct hf_op op = new_op(&env);
    enum hf_key_event event;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(events); i++) {
        assert_ok(&op, hf_key_event_parse(&op, events[i], &event));
        assert_int_equal(event, i);
    }
    assert_fails(&op, hf_key_event_parse(&op, "revive", &event), HF_INVALID);
    assert_non_null(strstr(op.text, "deactivate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_event_leads_where_the_table_says),
        cmocka_unit_test(each_state_allows_what_the_table_says),
        cmocka_unit_test(events_are_known_by_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
