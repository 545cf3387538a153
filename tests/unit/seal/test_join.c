/* Requests, bundles and fingerprints: their vectors, and whatever is cut, edited or of a later day.
 */
#include "plain_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "seal/join.h"

/* docs/formats/join.md */
#define REQUEST                                                                                    \
    "holdfast-join-2:"                                                                             \
    "AAAABm5vZGUtMgAAAARlYXN0ST6C/HRGSlkmiBdiPSBTxeuOLMSpiLT+4XnsawENUx0AAAAHdGxzLWtleQAAABNs"     \
    "b2NhbGhvc3QsMTkyLjAuMi4yCzWLlm+S44s="
#define BUNDLE                                                                                     \
    "holdfast-bundle-2:"                                                                           \
    "AAAABm5vZGUtMgAAAARlYXN0ST6C/HRGSlkmiBdiPSBTxeuOLMSpiLT+4XnsawENUx0QERITFBUWFxgZGhscHR4f"     \
    "oKGio6SlpqeoqaqrrK2urwAAAAEDgJ2cuDfzBwi3kRKnKr7RhIa+94LCELnWNuOSPMhZxQAAAAlhdXRob3JpdHkA"     \
    "AAALY2VydGlmaWNhdGVD0byFEjBS1Q=="
#define PUBLIC_KEY  "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d"
#define COMMITMENT  "03809d9cb837f30708b79112a72abed18486bef782c210b9d636e3923cc859c5"
#define FINGERPRINT "5FTD-Q7JR-G2BF-CT7T-VKRD"

static struct hf_join_request documented_request(void)
{
    struct hf_join_request request = { .name = "node-2", .site = "east" };
    HF_AUTO(buf) key = bytes_of_hex(PUBLIC_KEY);

    memcpy(request.public_key, key->data, sizeof request.public_key);
    request.wish.key_len = strlen("tls-key");
    memcpy(request.wish.key, "tls-key", request.wish.key_len);
    strcpy(request.wish.hosts, "localhost,192.0.2.2");
    return request;
}

static struct hf_join_bundle *documented_bundle(void)
{
    struct hf_join_bundle *bundle = hf_alloc(sizeof *bundle);
    HF_AUTO(buf) commitment = bytes_of_hex(COMMITMENT);

    bundle->node = documented_request();
    strcpy(bundle->slot, "101112131415161718191a1b1c1d1e1f");
    for (size_t i = 0; i < HF_STORE_ID_LEN; i++) {
        bundle->store_id[i] = (uint8_t)(0xa0 + i);
    }
    bundle->root_generation = 1;
    memcpy(bundle->root_commitment, commitment->data, HF_SHA256_LEN);
    hf_buf_add_text(&bundle->authority, "authority");
    hf_buf_add_text(&bundle->certificate, "certificate");
    return bundle;
}

static void request_and_fingerprint_are_as_documented(void **state)
{
    struct plain_world *world = *state;
    const struct hf_join_request request = documented_request();
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_join_request back;
    char fingerprint[HF_FINGERPRINT_LEN];

    assert_ok(&world->op, hf_join_request_print(world->crypto, &world->op, &request, text));
    assert_string_equal(hf_buf_text(text), REQUEST);
    assert_ok(&world->op,
              hf_join_request_parse(world->crypto, &world->op, hf_bytes_of_text(REQUEST), &back));
    assert_memory_equal(&back, &request, sizeof back);
    assert_ok(&world->op,
              hf_node_fingerprint(world->crypto, &world->op, request.public_key, fingerprint));
    assert_string_equal(fingerprint, FINGERPRINT);
    assert_ok(&world->op,
              hf_join_request_fingerprint(world->crypto, &world->op, &request, fingerprint));
    assert_string_equal(fingerprint, "VK7H-DQET-ZVF7-21ZH-71V2");
}

/* Whoever changes any of it on the way shows another fingerprint. */
static void a_requests_fingerprint_covers_all_that_is_asked_for(void **state)
{
    struct plain_world *world = *state;
    struct hf_join_request changed[] = { documented_request(), documented_request(),
                                         documented_request(), documented_request(),
                                         documented_request() };
    const struct hf_join_request request = documented_request();
    char right[HF_FINGERPRINT_LEN];
    char wrong[HF_FINGERPRINT_LEN];

    changed[0].name[0] = 'm';
    changed[1].site[0] = 'w';
    changed[2].public_key[0] ^= 1;
    changed[3].wish.key[0] ^= 1;
    changed[4].wish.hosts[0] = 'm';
    assert_ok(&world->op, hf_join_request_fingerprint(world->crypto, &world->op, &request, right));
    for (size_t i = 0; i < HF_COUNT(changed); i++) {
        assert_ok(&world->op,
                  hf_join_request_fingerprint(world->crypto, &world->op, &changed[i], wrong));
        assert_string_not_equal(right, wrong);
    }
}

static void hosts_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *hosts;
        bool valid;
    } cases[] = {
        { "a", true },          { "kms1.example.net,192.0.2.1,2001:db8::1", true },
        { ",a", false },        { "a,", false },
        { "a,,b", false },      { "a b", false },
        { "*.example", false }, { "a\n", false },
        { "a/b", false },       { "192.0.2.1:9600", false },
        { "a:9600", false },    { "192.0.2.256", false },
        { "192.0.2", false },   { "2001:db8::g", false },
        { "a,1.2", false },     { "192.0.2.1.example", true },
    };
    struct plain_world *world = *state;
    HF_AUTO_STRING name = hf_format("x%0252d", 0);
    HF_AUTO_STRING long_name = hf_format("x%0253d", 0);
    HF_AUTO_STRING longest = hf_format("%s,%s,%s,%s,seven77", name, name, name, name);
    HF_AUTO_STRING longer = hf_format("%s7", longest);

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_join_request request = documented_request();
        HF_AUTO(buf) text = hf_buf_new();
        struct hf_status status;

        assert_int_equal(hf_join_hosts_are_valid(cases[i].hosts), cases[i].valid);
        strcpy(request.wish.hosts, cases[i].hosts);
        status = hf_join_request_print(world->crypto, &world->op, &request, text);
        assert_int_equal(status.code, cases[i].valid ? HF_OK : HF_INVALID);
    }
    assert_true(hf_join_hosts_are_valid(name));
    assert_false(hf_join_hosts_are_valid(long_name));
    assert_int_equal(strlen(longest), HF_JOIN_HOSTS_MAX - 1);
    assert_true(hf_join_hosts_are_valid(longest));
    assert_false(hf_join_hosts_are_valid(longer));
    assert_false(hf_join_hosts_are_valid(""));
}

/* A certificate is for a key and for hosts, or there is none. */
static void half_a_wish_is_refused(void **state)
{
    struct plain_world *world = *state;
    struct hf_join_request request = documented_request();
    HF_AUTO(buf) text = hf_buf_new();

    request.wish.hosts[0] = '\0';
    assert_fails(&world->op, hf_join_request_print(world->crypto, &world->op, &request, text),
                 HF_INVALID);
    request.wish.key_len = 0;
    assert_ok(&world->op, hf_join_request_print(world->crypto, &world->op, &request, text));
    strcpy(request.wish.hosts, "a");
    assert_fails(&world->op, hf_join_request_print(world->crypto, &world->op, &request, text),
                 HF_INVALID);
}

static void bundle_and_fingerprint_are_as_documented(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(join_bundle) bundle = documented_bundle();
    HF_AUTO(join_bundle) back = NULL;
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) again = hf_buf_new();
    char fingerprint[HF_FINGERPRINT_LEN];

    assert_ok(&world->op, hf_join_bundle_print(world->crypto, &world->op, bundle, text));
    assert_string_equal(hf_buf_text(text), BUNDLE);
    assert_ok(&world->op,
              hf_join_bundle_fingerprint(world->crypto, &world->op, bundle, fingerprint));
    assert_string_equal(fingerprint, "YR3Y-CGTT-GE5N-58GD-QJJB");
    assert_ok(&world->op,
              hf_join_bundle_parse(world->crypto, &world->op, hf_bytes_of_text(BUNDLE), &back));
    assert_ok(&world->op, hf_join_bundle_print(world->crypto, &world->op, back, again));
    assert_string_equal(hf_buf_text(again), BUNDLE);
    assert_string_equal(back->slot, bundle->slot);
    assert_int_equal(back->root_generation, 1);
}

/* Parses either kind by its beginning. */
static struct hf_status parse(struct plain_world *world, struct hf_bytes text)
{
    HF_AUTO(join_bundle) bundle = NULL;
    struct hf_join_request request;

    return text.len > 9 && text.data[9] == 'b'
               ? hf_join_bundle_parse(world->crypto, &world->op, text, &bundle)
               : hf_join_request_parse(world->crypto, &world->op, text, &request);
}

static const char *const documented[] = { REQUEST, BUNDLE };

static void what_is_cut_is_refused_at_every_length(void **state)
{
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(documented); i++) {
        for (size_t len = 0; len < strlen(documented[i]); len++) {
            /* Of that very length, so that a read behind its end is seen. */
            HF_AUTO_STRING cut = hf_strndup(documented[i], len);
            struct hf_status status = parse(world, hf_bytes_of(cut, len));

            /* Up to the colon it could be another version. */
            if (status.code != HF_INVALID && status.code != HF_UNSUPPORTED) {
                fail_msg("%.*s: %s", (int)len, documented[i], hf_code_name(status.code));
            }
        }
    }
}

static void any_other_sign_at_any_place_is_refused(void **state)
{
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(documented); i++) {
        for (size_t at = 0; documented[i][at] != '\0'; at++) {
            HF_AUTO_STRING edited = hf_strdup(documented[i]);

            edited[at] = edited[at] == 'A' ? 'B' : 'A';
            if (parse(world, hf_bytes_of_text(edited)).code == HF_OK) {
                fail_msg("%s passes", edited);
            }
        }
    }
}

static void other_texts_are_told_apart(void **state)
{
    static const struct {
        const char *says;
        const char *text;
        enum hf_code code;
        const char *words;
    } cases[] = {
        { "as it is", REQUEST, HF_OK, "" },
        { "with a line end", REQUEST "\r\n", HF_OK, "" },
        { "broken into lines",
          " holdfast-join-2:\n  AAAABm5vZGUtMgAAAARlYXN0ST6C/HRGSlkm\n"
          "  iBdiPSBTxeuOLMSpiLT+4XnsawENUx0AAAAHdGxzLWtleQAAABNs\n"
          "b2NhbGhvc3QsMTkyLjAuMi4yCzWLlm+S44s=",
          HF_OK, "" },
        { "another version", "holdfast-join-1:AAAA", HF_UNSUPPORTED, "the same Holdfast" },
        { "a much newer one", "holdfast-join-12:AAAA", HF_UNSUPPORTED, "the same Holdfast" },
        { "something else", "ssh-ed25519 AAAA", HF_INVALID, "begins with \"holdfast-join-\"" },
        { "nothing", "", HF_INVALID, "begins with" },
        { "nothing but the beginning", "holdfast-join-2:", HF_INVALID, "cut or was edited" },
        { "no base64", "holdfast-join-2:!!!!", HF_INVALID, "cut or was edited" },
        { "twice", REQUEST REQUEST, HF_INVALID, "cut or was edited" },
    };
    struct plain_world *world = *state;
    struct hf_join_request request;
    HF_AUTO(buf) long_text = hf_buf_new();

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        hf_op_clear(&world->op);
        status = hf_join_request_parse(world->crypto, &world->op, hf_bytes_of_text(cases[i].text),
                                       &request);
        if (status.code != cases[i].code || strstr(world->op.text, cases[i].words) == NULL) {
            fail_msg("%s: %s: %s", cases[i].says, hf_code_name(status.code), world->op.text);
        }
    }
    memset(hf_buf_reserve(long_text, 4097), ' ', 4097);
    hf_buf_grew(long_text, 4097);
    assert_fails(
        &world->op,
        hf_join_request_parse(world->crypto, &world->op, hf_buf_bytes(long_text), &request),
        HF_TOO_LARGE);
    assert_fails(
        &world->op,
        hf_join_request_parse(world->crypto, &world->op, hf_bytes_of_text(BUNDLE), &request),
        HF_INVALID);
}

static void names_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } names[] = {
        { "a", true },     { "node-2.example_1", true },
        { "", false },     { "a/b", false },
        { "a b", false },  { "a\n", false },
        { "n\"x", false }, { "n\xc3\xb6", false },
        { "a%2f", false },
    };
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        struct hf_join_request request = documented_request();
        HF_AUTO(buf) text = hf_buf_new();
        struct hf_status status;

        assert_int_equal(hf_node_name_is_valid(names[i].name), names[i].valid);
        strcpy(request.name, names[i].name);
        status = hf_join_request_print(world->crypto, &world->op, &request, text);
        assert_int_equal(status.code, names[i].valid ? HF_OK : HF_INVALID);
        strcpy(request.name, "node-2");
        strcpy(request.site, names[i].name);
        status = hf_join_request_print(world->crypto, &world->op, &request, text);
        /* A site may be left out. */
        assert_int_equal(status.code,
                         names[i].valid || names[i].name[0] == '\0' ? HF_OK : HF_INVALID);
    }
    HF_AUTO_STRING longest = hf_format("%064d", 0);
    HF_AUTO_STRING longer = hf_format("%065d", 0);
    assert_true(hf_node_name_is_valid(longest));
    assert_false(hf_node_name_is_valid(longer));
}

static void a_fingerprint_is_taken_as_people_type_it(void **unused)
{
    static const struct {
        const char *typed;
        bool matches;
    } cases[] = {
        { "5FTD-Q7JR-G2BF-CT7T-VKR0", true },  { "5ftdq7jrg2bfct7tvkr0", true },
        { "5FTD Q7JR G2BF CT7T VKRO", true },  { "", false },
        { "5FTD-Q7JR-G2BF-CT7T-VKR", false },  { "5FTD-Q7JR-G2BF-CT7T-VKR00", false },
        { "5FTD-Q7JR-G2BF-CT7T-VKR1", false }, { "6FTD-Q7JR-G2BF-CT7T-VKR0", false },
        { "5FTD-Q7JR-G2BF-CT7T-VKR0-", true }, { "-", false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_fingerprint_matches("5FTD-Q7JR-G2BF-CT7T-VKR0", cases[i].typed) !=
            cases[i].matches) {
            fail_msg("\"%s\"", cases[i].typed);
        }
    }
    assert_true(hf_fingerprint_matches("1100-0000-0000-0000-0000", "il00 oooo 0000 0000 0000"));
}

static void a_bundle_pins_its_store_and_no_second_one(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(join_bundle) bundle = documented_bundle();
    char directory[] = "/tmp/holdfast-join-XXXXXX";
    HF_AUTO_STRING file = NULL;
    struct hf_pin pin = { 0 };

    assert_non_null(mkdtemp(directory));
    file = hf_format("%s/pin", directory);
    assert_ok(&world->op, hf_join_bundle_pin(&world->op, bundle, file));
    assert_ok(&world->op, hf_pin_read(&world->op, file, &pin));
    assert_memory_equal(pin.store_id, bundle->store_id, HF_STORE_ID_LEN);
    assert_true(pin.has_root && !pin.has_head && pin.generation == 1);
    expect_hex("commitment", hf_bytes_of(pin.commitment, HF_SHA256_LEN), COMMITMENT);
    /* What the node has seen since is not forgotten for an older bundle. */
    pin.has_head = true;
    pin.seq = 7;
    assert_ok(&world->op, hf_pin_write(&world->op, file, &pin));
    assert_ok(&world->op, hf_join_bundle_pin(&world->op, bundle, file));
    assert_ok(&world->op, hf_pin_read(&world->op, file, &pin));
    assert_true(pin.has_head && pin.seq == 7);
    bundle->store_id[0] ^= 1;
    assert_fails(&world->op, hf_join_bundle_pin(&world->op, bundle, file), HF_EXISTS);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_and_fingerprint_are_as_documented),
        cmocka_unit_test(bundle_and_fingerprint_are_as_documented),
        cmocka_unit_test(a_requests_fingerprint_covers_all_that_is_asked_for),
        cmocka_unit_test(hosts_that_cannot_be_are_refused),
        cmocka_unit_test(half_a_wish_is_refused),
        cmocka_unit_test(what_is_cut_is_refused_at_every_length),
        cmocka_unit_test(any_other_sign_at_any_place_is_refused),
        cmocka_unit_test(other_texts_are_told_apart),
        cmocka_unit_test(names_that_cannot_be_are_refused),
        cmocka_unit_test(a_fingerprint_is_taken_as_people_type_it),
        cmocka_unit_test(a_bundle_pins_its_store_and_no_second_one),
    };

    world_start_process((size_t)64 << 20);
    return cmocka_run_group_tests_name("join", tests, plain_setup, plain_teardown);
}
