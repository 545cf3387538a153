/* Why: the chain as it is, each link opened, and nothing shown green that is only hoped for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neighbour.h"

#include "base/text.h"

struct chain {
    size_t count;
    struct hf_why_link links[16];
};

static void take(void *context, const struct hf_why_link *link)
{
    struct chain *chain = context;

    assert_true(chain->count < HF_COUNT(chain->links));
    chain->links[chain->count++] = *link;
}

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    (void)world_key("sales", HF_ALG_AES_256);
    return 0;
}

static struct chain why(const char *keyring, const char *what)
{
    struct chain chain = { 0 };
    struct hf_op op = world_as(CAROL);

    assert_ok(&op, hf_service_why(world.service, &op, keyring, what, take, &chain));
    return chain;
}

struct expected {
    const char *level;
    const char *name;
    const char *state;
    const char *detail; /* somewhere in it */
    enum hf_link_health health;
};

static void expect_chain(const struct chain *chain, const struct expected *expected, size_t count)
{
    for (size_t i = 0; i < chain->count || i < count; i++) {
        const struct hf_why_link *link = &chain->links[i];

        if (i >= count || i >= chain->count || strcmp(link->level, expected[i].level) != 0 ||
            strcmp(link->name, expected[i].name) != 0 ||
            strcmp(link->state, expected[i].state) != 0 ||
            strstr(link->detail, expected[i].detail) == NULL ||
            link->health != expected[i].health) {
            fail_msg("link %zu: %s | %s | %s | %s | %d", i, i < chain->count ? link->level : "-",
                     link->name, link->state, link->detail, (int)link->health);
        }
    }
}

/* What stands below every version here. The slot "offline" has opened the root only when made. */
#define PARENTS                                                                                    \
    { "keyring key", "hdfs, version 1", "open", "aes-256", HF_LINK_OPEN },                         \
        { "main key", "main, version 1", "system-managed", "rsa-2048", HF_LINK_OPEN },             \
    {                                                                                              \
        "root key", "generation 1", "unlocked", "", HF_LINK_OPEN                                   \
    }

static void no_slots(struct chain *chain)
{
    while (chain->count > 0 && strcmp(chain->links[chain->count - 1].level, "slot") == 0) {
        chain->count--;
    }
}

static void a_healthy_key_opens_down_to_the_slots(void **unused)
{
    static const char *const ways[] = { "hdfs/sales", "hdfs/sales@1" };
    static const struct expected expected[] = {
        { "key version", "hdfs/sales@1", "active", "opened now, check value ", HF_LINK_OPEN },
        PARENTS,
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(ways); i++) {
        struct chain chain = why(NULL, ways[i]);
        size_t slots = chain.count;

        no_slots(&chain);
        expect_chain(&chain, expected, HF_COUNT(expected));
        assert_int_equal(slots - chain.count, 2);
    }
    {
        struct chain chain = why(RING, "sales@1");

        no_slots(&chain);
        expect_chain(&chain, expected, HF_COUNT(expected));
    }
    assert_int_equal(
        world_lines(EVENT("why", "ok", CAROL), "\"key\":\"sales\",\"version\":1", NULL), 3);
}

static void a_wrapped_key_shows_that_it_carries_no_tag(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek edek;
    HF_AUTO(buf) json = hf_buf_new();
    static const struct expected expected[] = {
        { "ciphertext", "wrapped data key (Hadoop)", "carries no tag", "hdfs/sales@1",
          HF_LINK_OPEN },
        { "key version", "hdfs/sales@1", "active", "opened now", HF_LINK_OPEN },
        PARENTS,
    };
    struct chain chain;

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "sales", 1, &edek));
    hf_buf_add_text(json, " {\"versionName\":\"sales@1\",\"iv\":\"");
    hf_base64url_add(json, hf_bytes_of(edek.iv, sizeof edek.iv));
    hf_buf_add_text(json, "\",\"encryptedKeyVersion\":{\"name\":\"sales\",\"versionName\":\"EEK\","
                          "\"material\":\"");
    hf_base64url_add(json, hf_bytes_of(edek.wrapped, edek.len));
    hf_buf_add_text(json, "\"}}");
    chain = why(RING, hf_buf_text(json));
    no_slots(&chain);
    expect_chain(&chain, expected, HF_COUNT(expected));
}

/* Nothing is opened here; who does serve it has the word. */
static void what_other_nodes_serve_is_not_opened_here(void **unused)
{
    static const char *const nodes[] = { "node-2" };
    static const struct expected expected[] = {
        { "key version", "hdfs/sales@1", "active",
          "does not serve the keyring hdfs; ask one that "
          "does: node-2",
          HF_LINK_CLOSED },
        { "keyring key", "hdfs, version 1", "does not open", "does not serve", HF_LINK_CLOSED },
        { "main key", "main, version 1", "system-managed", "rsa-2048", HF_LINK_CLOSED },
        { "root key", "generation 1", "unlocked", "", HF_LINK_OPEN },
    };
    struct chain chain;

    (void)unused;
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    chain = why(NULL, "hdfs/sales");
    no_slots(&chain);
    expect_chain(&chain, expected, HF_COUNT(expected));
}

static void states_are_shown_as_they_are(void **unused)
{
    static const struct {
        enum hf_key_event event;
        const char *state;
        enum hf_link_health health;
    } steps[] = {
        { HF_KEY_SUSPEND, "suspended", HF_LINK_CLOSED },
        { HF_KEY_RESUME, "active", HF_LINK_OPEN },
        { HF_KEY_DEACTIVATE, "deactivated", HF_LINK_OPEN },
        { HF_KEY_COMPROMISE, "compromised", HF_LINK_OPEN },
    };
    struct hf_op root = world_as(ROOT);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        struct chain chain;

        assert_ok(&root,
                  hf_service_key_state(world.service, &root, RING, "sales", 1, steps[i].event, ""));
        chain = why(NULL, "hdfs/sales@1");
        if (strcmp(chain.links[0].state, steps[i].state) != 0 ||
            chain.links[0].health != steps[i].health) {
            fail_msg("%s: %s, %d", steps[i].state, chain.links[0].state,
                     (int)chain.links[0].health);
        }
    }
}

static void a_candidate_opens_and_is_closed_until_it_is_promoted(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128,
                                .first_version = 1,
                                .candidate = true };
    static const char *const ways[] = { "hdfs/unborn", "hdfs/unborn@1" };

    (void)unused;
    (void)world_key_planned("unborn", &plan);
    for (size_t i = 0; i < HF_COUNT(ways); i++) {
        struct chain chain = why(NULL, ways[i]);

        assert_string_equal(chain.links[0].name, "hdfs/unborn@1");
        assert_string_equal(chain.links[0].state, "pre-active");
        assert_int_equal(chain.links[0].health, HF_LINK_CLOSED);
        assert_non_null(strstr(chain.links[0].detail, "opened now; a candidate"));
        assert_int_equal(chain.links[1].health, HF_LINK_OPEN);
    }
}

static void what_is_destroyed_is_broken_and_says_why(void **unused)
{
    static const struct expected expected[] = {
        { "key version", "hdfs/sales@1", "destroyed", "destroyed 2027-", HF_LINK_BROKEN },
    };
    struct hf_op root = world_as(ROOT), carol = world_as(CAROL);
    struct chain chain = { 0 };
    uint32_t version;

    (void)unused;
    assert_ok(&root,
              hf_service_key_rotate(world.service, &root, RING, "sales", NULL, &version, NULL));
    assert_ok(&root,
              hf_service_key_state(world.service, &root, RING, "sales", 1, HF_KEY_DEACTIVATE, ""));
    assert_ok(&root, hf_service_key_destroy(world.service, &root, RING, "sales", 1, false, "old"));
    small_world_pass(31 * DAY);
    assert_ok(&root,
              hf_service_key_destroy(world.service, &root, RING, "sales", 1, false, "too old"));
    chain = why(NULL, "hdfs/sales@1");
    expect_chain(&chain, expected, HF_COUNT(expected));
    assert_non_null(strstr(chain.links[0].detail, "too old"));
    assert_int_equal(why(NULL, "hdfs/sales@2").links[0].health, HF_LINK_OPEN);

    assert_fails(&carol, hf_service_why(world.service, &carol, NULL, "hdfs/none", take, &chain),
                 HF_NOT_FOUND);
    assert_int_equal(carol.cause, HF_CAUSE_UNKNOWN_KEY);
    assert_fails(&carol, hf_service_why(world.service, &carol, NULL, "hdfs/sales@7", take, &chain),
                 HF_NOT_FOUND);
    assert_int_equal(carol.cause, HF_CAUSE_UNKNOWN_KEY);
}

static void a_deleted_key_is_closed_and_can_come_back(void **unused)
{
    static const struct expected expected[] = {
        { "key", "hdfs/sales", "deleted", "can be recovered until 2027-", HF_LINK_CLOSED },
    };
    struct hf_op root = world_as(ROOT);
    struct chain chain;

    (void)unused;
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "sales", ""));
    chain = why(NULL, "hdfs/sales");
    expect_chain(&chain, expected, HF_COUNT(expected));
}

static void what_was_altered_is_broken_where_it_was_altered(void **unused)
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
        struct chain chain;

        small_world_alter(cases[i].path);
        chain = why(NULL, "hdfs/sales");
        if (chain.count != 1 || strcmp(chain.links[0].level, cases[i].level) != 0 ||
            chain.links[0].health != HF_LINK_BROKEN ||
            strcmp(chain.links[0].state, "altered") != 0) {
            fail_msg("%s: %zu links, %s", cases[i].path, chain.count, chain.links[0].detail);
        }
    }
}

static void slots_are_green_only_when_proven_and_unattended(void **unused)
{
    struct hf_op root = world_as(ROOT);
    HF_AUTO(secret) passphrase = world_secret("correct horse", 13);
    struct hf_protector_settings settings = { .kind = "passphrase",
                                              .passphrase = passphrase,
                                              .argon2_memory_kib = 8192,
                                              .argon2_passes = 1 };
    struct hf_slot_info slot;
    struct chain chain;
    size_t seen = 0;

    (void)unused;
    assert_ok(&root, hf_service_slot_add(world.service, &root, "people", true, &settings, &slot));
    chain = why(NULL, "hdfs/sales");
    for (size_t i = 0; i < chain.count; i++) {
        const struct hf_why_link *link = &chain.links[i];

        if (strcmp(link->level, "slot") != 0) {
            continue;
        }
        seen++;
        if (strcmp(link->name, "people (passphrase)") == 0) {
            assert_int_equal(link->health, HF_LINK_CLOSED);
            assert_non_null(strstr(link->state, "needs a person"));
            assert_non_null(strstr(link->detail, "kept apart"));
        }
        assert_non_null(strstr(link->detail, "last proven "));
    }
    assert_int_equal(seen, 3);
}

static void what_cannot_be_read_is_refused_before_anything_is_opened(void **unused)
{
    static const struct {
        const char *keyring;
        const char *what;
    } cases[] = {
        { NULL, "" },
        { NULL, "sales" },
        { NULL, "/sales" },
        { NULL, "hdfs/" },
        { RING, "" },
        { NULL, "{\"versionName\":\"sales@1\"}" },
        { RING, "{" },
        { RING, "{}" },
        { RING, "{\"versionName\":\"sales\",\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                "\"encryptedKeyVersion\":{\"material\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}" },
        { RING, "{\"versionName\":\"sales@1\",\"iv\":\"AAAA\","
                "\"encryptedKeyVersion\":{\"material\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}" },
        { RING, "{\"versionName\":\"sales@1\",\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                "\"encryptedKeyVersion\":{\"material\":\"AAAA\"}}" },
        { RING, "{\"versionName\":\"sales@1\",\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\"}" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(CAROL);
        struct chain chain = { 0 };
        struct hf_status status =
            hf_service_why(world.service, &op, cases[i].keyring, cases[i].what, take, &chain);

        if (status.code != HF_INVALID || chain.count != 0) {
            fail_msg("'%s': got %s", cases[i].what, hf_code_name(status.code));
        }
    }
}

static void names_with_signs_in_them_are_found(void **unused)
{
    struct chain chain;

    (void)unused;
    (void)world_key("a/b", HF_ALG_AES_128);
    (void)world_key("mail@home", HF_ALG_AES_128);
    (void)world_key("c@5", HF_ALG_AES_128);
    chain = why(NULL, "hdfs/a/b@1");
    assert_string_equal(chain.links[0].name, "hdfs/a/b@1");
    chain = why(NULL, "hdfs/mail@home");
    assert_string_equal(chain.links[0].name, "hdfs/mail@home@1");
    chain = why(NULL, "hdfs/c@5");
    assert_string_equal(chain.links[0].name, "hdfs/c@5@1");
    chain = why(NULL, "hdfs/c@5@1");
    assert_string_equal(chain.links[0].name, "hdfs/c@5@1");
}

static void who_may_not_ask_learns_nothing(void **unused)
{
    static const char *const what[] = { "hdfs/sales", "hdfs/none", "none/none@3" };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(what); i++) {
        struct hf_op op = world_as(ALICE);
        struct chain chain = { 0 };

        assert_fails(&op, hf_service_why(world.service, &op, NULL, what[i], take, &chain),
                     HF_DENIED);
        assert_string_equal(op.text, hf_code_sentence(HF_DENIED));
        assert_int_equal(chain.count, 0);
    }
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(a_healthy_key_opens_down_to_the_slots),
        test_of(a_wrapped_key_shows_that_it_carries_no_tag),
        test_of(what_other_nodes_serve_is_not_opened_here),
        test_of(states_are_shown_as_they_are),
        test_of(a_candidate_opens_and_is_closed_until_it_is_promoted),
        test_of(what_is_destroyed_is_broken_and_says_why),
        test_of(a_deleted_key_is_closed_and_can_come_back),
        test_of(what_was_altered_is_broken_where_it_was_altered),
        test_of(slots_are_green_only_when_proven_and_unattended),
        test_of(what_cannot_be_read_is_refused_before_anything_is_opened),
        test_of(names_with_signs_in_them_are_found),
        test_of(who_may_not_ask_learns_nothing),
    };

    return cmocka_run_group_tests_name("service why", tests, world_start, world_stop);
}
