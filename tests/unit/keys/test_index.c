/* The index against a simple model: names in order, versions by number, what needs no store. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/index.h"

#define MODEL_KEYS 3000
#define ROUNDS     30000

static struct hf_index *index_of_test;
static unsigned dropped;

static void count_drop(void *context, const struct hf_index_version *version)
{
    (void)context;
    (void)version;
    dropped++;
}

static int open_index(void **unused)
{
    struct hf_index_watcher watcher = { count_drop, NULL };

    (void)unused;
    dropped = 0;
    index_of_test = hf_index_new(&watcher);
    return 0;
}

static int close_index(void **unused)
{
    (void)unused;
    hf_index_free(index_of_test);
    return 0;
}

static void put_ring(const char *name)
{
    struct hf_keyring_record record = { .main_key = hf_bytes_of_text("main") };

    hf_index_put_keyring(index_of_test, name, 1, &record);
}

static void put_key(const char *keyring, const char *name, bool deleted)
{
    struct hf_key_record record = { .algorithm = HF_ALG_AES_256, .deleted = deleted };

    hf_index_put_key(index_of_test, keyring, hf_bytes_of_text(name), 1, &record);
}

static void put_version(const char *name, uint32_t number, enum hf_key_state state, size_t len,
                        bool due)
{
    uint8_t wrapped[300];
    struct hf_version_record record = {
        .state = state,
        .wrapped = hf_bytes_of(wrapped, len),
        .destroy_at_ms = due ? 1 : 0,
    };

    memset(wrapped, (int)number, sizeof wrapped);
    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text(name), 1, number, &record);
}

/* --- names in order, against arrays --- */

enum model_state { MODEL_NONE, MODEL_LIVE, MODEL_DELETED, MODEL_GONE };

static struct {
    char name[24];
    enum model_state state;
} model[MODEL_KEYS];

static int by_name(const void *a, const void *b)
{
    return strcmp((const char *)a, (const char *)b);
}

static void fill_model(void)
{
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        /* Bytes above 127, shared beginnings, and names that begin other names all matter. */
        if (i % 2 == 0) {
            (void)snprintf(model[i].name, sizeof model[i].name, "%s%zu",
                           i % 3 == 0 ? "\xc3\xa9" : "k", i);
        } else {
            (void)snprintf(model[i].name, sizeof model[i].name, "k%.*s%ld", (int)(i % 5), "aaaaa",
                           random() % 1000000 * MODEL_KEYS + (long)i);
        }
        model[i].state = MODEL_NONE;
    }
    qsort(model, MODEL_KEYS, sizeof model[0], by_name);
}

static void check_order(const struct hf_sorted *sorted, enum model_state state, size_t from)
{
    struct hf_bytes after = hf_bytes_of_text(model[from].name);
    struct hf_sorted_place place = hf_sorted_after(sorted, from > 0 ? &after : NULL);
    size_t count = 0;

    for (size_t i = from > 0 ? from + 1 : 0; i < MODEL_KEYS; i++) {
        if (model[i].state == state) {
            const struct hf_index_key *key = hf_sorted_next(sorted, &place);

            if (key == NULL || strcmp(key->name, model[i].name) != 0) {
                fail_msg("wanted %s, got %s", model[i].name, key != NULL ? key->name : "nothing");
            }
        }
    }
    assert_null(hf_sorted_next(sorted, &place));
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        count += model[i].state == state;
    }
    assert_int_equal(sorted->count, count);
}

static void change_one(size_t i)
{
    switch (random() % 4) {
    case 0:
    case 1:
        put_key("ring", model[i].name, false);
        model[i].state = MODEL_LIVE;
        break;
    case 2:
        put_key("ring", model[i].name, true);
        model[i].state = MODEL_DELETED;
        break;
    default:
        if (model[i].state != MODEL_NONE) {
            hf_index_put_key(index_of_test, "ring", hf_bytes_of_text(model[i].name), 1, NULL);
            model[i].state = MODEL_GONE;
        }
        break;
    }
}

static void names_come_in_byte_order_after_any_name(void **unused)
{
    const struct hf_index_keyring *ring = NULL;

    (void)unused;
    srandom(4711);
    fill_model();
    put_ring("ring");
    ring = hf_index_keyring(index_of_test, "ring");
    for (size_t round = 0; round < ROUNDS; round++) {
        change_one((size_t)random() % MODEL_KEYS);
        if (round % 1000 == 0) {
            size_t from = (size_t)random() % MODEL_KEYS;

            check_order(&ring->live, MODEL_LIVE, from);
            check_order(&ring->deleted, MODEL_DELETED, from);
            check_order(&ring->live, MODEL_LIVE, 0);
        }
    }
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        const struct hf_index_key *key = hf_index_key(index_of_test, "ring", model[i].name);

        assert_int_equal(key != NULL, model[i].state != MODEL_NONE);
        assert_null(hf_index_key(index_of_test, "other", model[i].name));
    }
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        put_key("ring", model[i].name, true);
        model[i].state = MODEL_DELETED;
    }
    check_order(&ring->live, MODEL_LIVE, 0);
    check_order(&ring->deleted, MODEL_DELETED, 0);
}

/* --- keyrings --- */

static void keys_may_come_before_their_keyring(void **unused)
{
    (void)unused;
    put_key("ring-b", "early", false);
    assert_null(hf_index_keyring(index_of_test, "ring-b"));
    assert_non_null(hf_index_key(index_of_test, "ring-b", "early"));
    put_ring("ring-c");
    put_ring("ring-b");
    put_ring("ring-a");
    assert_int_equal(hf_index_keyring(index_of_test, "ring-b")->live.count, 1);
    assert_string_equal(hf_index_keyring_at(index_of_test, 0)->name, "ring-a");
    assert_string_equal(hf_index_keyring_at(index_of_test, 1)->name, "ring-b");
    assert_string_equal(hf_index_keyring_at(index_of_test, 2)->name, "ring-c");
    assert_null(hf_index_keyring_at(index_of_test, 3));
}

static void the_same_name_in_two_keyrings_is_two_keys(void **unused)
{
    (void)unused;
    put_ring("a");
    put_ring("ab");
    put_key("a", "bc", false);
    assert_null(hf_index_key(index_of_test, "ab", "c"));
    put_key("ab", "bc", false);
    assert_ptr_not_equal(hf_index_key(index_of_test, "a", "bc"),
                         hf_index_key(index_of_test, "ab", "bc"));
}

/* --- versions --- */

static void versions_may_come_in_any_order(void **unused)
{
    static const uint32_t order[] = { 7, 3, 4, 0, 2000000000, 5, 1, 6, 2, 9 };
    static const uint32_t sorted[] = { 0, 1, 2, 3, 4, 5, 6, 7, 9, 2000000000 };
    const struct hf_index_key *key = NULL;

    (void)unused;
    put_ring("ring");
    for (size_t i = 0; i < HF_COUNT(order); i++) {
        put_version("k", order[i], HF_KEY_ACTIVE, 81, false);
        key = hf_index_key(index_of_test, "ring", "k");
        for (size_t j = 0; j < HF_COUNT(order); j++) {
            const struct hf_index_version *version = hf_index_version(key, order[j]);

            assert_int_equal(version != NULL, j <= i);
            assert_true(version == NULL || version->blob[80] == (uint8_t)order[j]);
        }
    }
    assert_int_equal(key->presence, HF_PRESENCE_AWAITED);
    put_key("ring", "k", false);
    assert_int_equal(key->presence, HF_PRESENCE_LIVE);
    for (uint32_t i = 0; i < HF_COUNT(sorted); i++) {
        assert_int_equal(hf_index_version_at(key, i)->number, sorted[i]);
    }
    assert_null(hf_index_version(key, 8));
    assert_null(hf_index_version(key, HF_LATEST));
}

static void large_blobs_stay_in_the_store(void **unused)
{
    const struct hf_index_key *key = NULL;

    (void)unused;
    put_ring("ring");
    put_version("k", 1, HF_KEY_ACTIVE, HF_INDEX_BLOB_MAX, false);
    put_version("k", 2, HF_KEY_ACTIVE, HF_INDEX_BLOB_MAX + 1, false);
    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text("k"), 1, 3, NULL);
    key = hf_index_key(index_of_test, "ring", "k");
    assert_int_equal(hf_index_version(key, 1)->blob_len, HF_INDEX_BLOB_MAX);
    assert_false(hf_index_version(key, 1)->elsewhere);
    assert_int_equal(hf_index_version(key, 2)->blob_len, 0);
    assert_true(hf_index_version(key, 2)->elsewhere);
    assert_int_equal(hf_index_version(key, 3)->state, HF_KEY_DESTROYED);
    assert_false(hf_index_version(key, 3)->elsewhere);
}

static void a_changed_version_is_dropped_where_it_was_hot(void **unused)
{
    struct hf_index_key *key = NULL;
    uint64_t changes = 0;

    (void)unused;
    put_ring("ring");
    put_key("ring", "k", false);
    put_version("k", 1, HF_KEY_ACTIVE, 81, false);
    put_version("k", 2, HF_KEY_ACTIVE, 81, false);
    key = hf_index_key(index_of_test, "ring", "k");
    changes = hf_index_changes(index_of_test);
    put_version("k", 1, HF_KEY_SUSPENDED, 81, false);
    assert_int_equal(dropped, 0);
    assert_true(hf_index_changes(index_of_test) > changes);
    hf_index_version(key, 1)->hot = 1;
    hf_index_version(key, 2)->hot = 1;
    put_version("k", 1, HF_KEY_ACTIVE, 81, false);
    assert_int_equal(dropped, 1);
    /* Rotation touches the key only, so what is hot stays hot. */
    put_key("ring", "k", false);
    assert_int_equal(dropped, 1);
    put_key("ring", "k", true);
    assert_int_equal(dropped, 2);
}

static void keys_with_due_versions_are_listed_while_they_live(void **unused)
{
    const struct hf_index_keyring *ring = NULL;

    (void)unused;
    put_ring("ring");
    ring = hf_index_keyring(index_of_test, "ring");
    put_version("k", 1, HF_KEY_DEACTIVATED, 81, true);
    assert_int_equal(ring->waiting.count, 0);
    put_key("ring", "k", false);
    assert_int_equal(ring->waiting.count, 1);
    put_version("k", 2, HF_KEY_DEACTIVATED, 81, true);
    put_version("k", 1, HF_KEY_DEACTIVATED, 81, false);
    assert_int_equal(ring->waiting.count, 1);
    put_key("ring", "k", true);
    assert_int_equal(ring->waiting.count, 0);
    put_key("ring", "k", false);
    assert_int_equal(ring->waiting.count, 1);
    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text("k"), 1, 2, NULL);
    assert_int_equal(ring->waiting.count, 0);
}

static void put_candidate_of(uint64_t seq, uint32_t number, bool candidate)
{
    static const uint8_t wrapped[81];
    struct hf_version_record record = {
        .state = HF_KEY_PRE_ACTIVE,
        .candidate = candidate,
        .wrapped = hf_bytes_of(wrapped, sizeof wrapped),
    };

    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text("k"), seq, number, &record);
}

static void put_candidate(uint32_t number, bool candidate)
{
    put_candidate_of(1, number, candidate);
}

/* The commit of the oldest one that nothing is decided on. */
static void the_commit_of_a_candidate_is_known_until_all_are_settled(void **unused)
{
    const struct hf_index_key *key = NULL;

    (void)unused;
    assert_false(hf_index_has_candidates(index_of_test));
    put_candidate_of(7, 1, true);
    key = hf_index_key(index_of_test, "ring", "k");
    assert_int_equal(key->candidate_seq, 7);
    assert_true(hf_index_has_candidates(index_of_test));
    assert_int_equal(hf_index_seq(index_of_test), 0);
    put_candidate_of(9, 2, true);
    assert_int_equal(key->candidate_seq, 7);
    put_candidate_of(8, 1, true);
    assert_int_equal(key->candidate_seq, 7);
    put_candidate_of(10, 1, false);
    assert_int_equal(key->candidate_seq, 7);
    assert_true(hf_index_has_candidates(index_of_test));
    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text("k"), 11, 2, NULL);
    assert_int_equal(key->candidate_seq, 0);
    assert_false(hf_index_has_candidates(index_of_test));
    /* They come in any order when the store is loaded. */
    put_candidate_of(14, 3, true);
    put_candidate_of(13, 4, true);
    assert_int_equal(key->candidate_seq, 13);
    hf_index_clear(index_of_test);
    assert_false(hf_index_has_candidates(index_of_test));
}

static void keys_with_candidates_are_listed_until_all_are_settled(void **unused)
{
    struct hf_key_record unborn = {
        .algorithm = HF_ALG_AES_256, .unborn = true, .primary = HF_LATEST, .next_version = 1
    };
    const struct hf_index_keyring *ring = NULL;

    (void)unused;
    put_ring("ring");
    ring = hf_index_keyring(index_of_test, "ring");
    put_candidate(0, true);
    assert_int_equal(ring->waiting.count, 0);
    hf_index_put_key(index_of_test, "ring", hf_bytes_of_text("k"), 1, &unborn);
    assert_int_equal(hf_index_key(index_of_test, "ring", "k")->presence, HF_PRESENCE_UNBORN);
    assert_int_equal(ring->waiting.count, 1);
    assert_int_equal(ring->live.count, 1);
    put_key("ring", "k", false);
    assert_int_equal(ring->waiting.count, 1);
    assert_int_equal(ring->live.count, 1);
    put_candidate(1, true);
    put_candidate(0, false);
    assert_int_equal(ring->waiting.count, 1);
    put_candidate(1, false);
    assert_int_equal(ring->waiting.count, 0);
    put_candidate(2, true);
    put_key("ring", "k", true);
    assert_int_equal(ring->waiting.count, 0);
    put_key("ring", "k", false);
    assert_int_equal(ring->waiting.count, 1);
    hf_index_put_version(index_of_test, "ring", hf_bytes_of_text("k"), 1, 2, NULL);
    assert_int_equal(ring->waiting.count, 0);
}

static void clearing_forgets_everything(void **unused)
{
    (void)unused;
    put_ring("ring");
    put_key("ring", "k", false);
    put_version("k", 1, HF_KEY_ACTIVE, 81, false);
    hf_index_clear(index_of_test);
    assert_null(hf_index_keyring(index_of_test, "ring"));
    assert_null(hf_index_key(index_of_test, "ring", "k"));
    put_ring("ring");
    put_key("ring", "k", false);
    assert_int_equal(hf_index_key(index_of_test, "ring", "k")->version_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_index, close_index)
    const struct CMUnitTest tests[] = {
        TEST(names_come_in_byte_order_after_any_name),
        TEST(keys_may_come_before_their_keyring),
        TEST(the_same_name_in_two_keyrings_is_two_keys),
        TEST(versions_may_come_in_any_order),
        TEST(large_blobs_stay_in_the_store),
        TEST(a_changed_version_is_dropped_where_it_was_hot),
        TEST(keys_with_due_versions_are_listed_while_they_live),
        TEST(the_commit_of_a_candidate_is_known_until_all_are_settled),
        TEST(keys_with_candidates_are_listed_until_all_are_settled),
        TEST(clearing_forgets_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
