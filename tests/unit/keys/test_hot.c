/* The lanes' caches: bounded, coherent, and empty of what is gone. */
#include "world.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "keys/ciphertext.h"

static const uint8_t zeros[32];

static struct hf_status wrap(struct hf_op *op, const char *name, uint32_t *version)
{
    uint8_t out[32];

    return hf_use_hadoop_wrap(world.keys, op, RING, name, HF_LATEST, zeros, hf_bytes_of(zeros, 32),
                              out, version);
}

static size_t hot_count(unsigned lane)
{
    return world.keys->lanes[lane].hot.count;
}

static void a_lane_keeps_as_many_contexts_as_it_may(void **unused)
{
    struct hf_op op = world_op(1);
    uint32_t version = 0;

    (void)unused;
    world_restart();
    hf_keys_set_hot_limit(world.keys, 1, 10);
    for (int i = 0; i < 40; i++) {
        HF_AUTO_STRING name = hf_format("many-%d", i);

        new_key(name, HF_ALG_AES_256);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            HF_AUTO_STRING name = hf_format("many-%d", i);

            assert_ok(&op, wrap(&op, name, &version));
            assert_int_equal(hot_count(1), round == 0 && i < 10 ? (size_t)i + 1 : 10);
        }
    }
    assert_int_equal(hot_count(0), 0);
    assert_int_equal(hot_count(2), 0);
    hf_keys_set_hot_limit(world.keys, 1, 3);
    assert_int_equal(hot_count(1), 3);
    hf_keys_set_hot_limit(world.keys, 1, 0);
    assert_ok(&op, wrap(&op, "many-1", &version));
    assert_int_equal(hot_count(1), 0);
}

static void the_least_recently_used_goes_first(void **unused)
{
    struct hf_op op = world_op(2);
    uint32_t version = 0;
    const struct hf_hot *hot = NULL;

    (void)unused;
    world_restart();
    hot = &world.keys->lanes[2].hot;
    hf_keys_set_hot_limit(world.keys, 2, 2);
    new_key("lru-a", HF_ALG_AES_256);
    new_key("lru-b", HF_ALG_AES_256);
    new_key("lru-c", HF_ALG_AES_256);
    assert_ok(&op, wrap(&op, "lru-a", &version));
    assert_ok(&op, wrap(&op, "lru-b", &version));
    assert_ok(&op, wrap(&op, "lru-a", &version));
    assert_ok(&op, wrap(&op, "lru-c", &version));
    assert_int_equal(hot->count, 2);
    for (const struct hf_hot_entry *entry = hot->order.older; entry != &hot->order;
         entry = entry->older) {
        assert_ptr_not_equal(entry->version,
                             hf_index_version(hf_index_key(world.keys->index, RING, "lru-b"), 1));
    }
}

static void changes_empty_the_caches_of_all_lanes(void **unused)
{
    static const enum change_kind kinds[] = { CHANGE_STATE, CHANGE_DELETE };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        HF_AUTO_STRING name = hf_format("dropped-%zu", i);
        uint32_t version = 0;
        HF_AUTO(buf) ciphertext = hf_buf_new();

        world_restart();
        new_key(name, HF_ALG_AES_256);
        for (unsigned lane = 0; lane < LANES + 3; lane++) {
            struct hf_op op = world_op(lane);

            assert_ok(&op, wrap(&op, name, &version));
            assert_ok(&op, hf_use_encrypt(world.keys, &op, RING, name, 1, HF_BYTES_NONE,
                                          HF_BYTES_NONE, ciphertext));
        }
        /* Lanes beyond the last share one, and under one salt they share the context too. */
        for (unsigned lane = 0; lane <= LANES; lane++) {
            assert_int_equal(hot_count(lane), 2);
        }
        rotate(name);
        assert_int_equal(hot_count(LANES), 2);
        must(&(struct change){
            .kind = kinds[i], .name = name, .version = 1, .event = HF_KEY_SUSPEND });
        for (unsigned lane = 0; lane <= LANES; lane++) {
            assert_int_equal(hot_count(lane), 0);
        }
    }
}

static void locking_empties_the_caches(void **unused)
{
    struct hf_op op = world_op(1);
    struct hf_slot_info slot;
    uint32_t version = 0;

    (void)unused;
    new_key("lock", HF_ALG_AES_256);
    assert_ok(&op, wrap(&op, "lock", &version));
    assert_true(hot_count(1) > 0);
    hf_seal_lock(world.seal);
    assert_int_equal(hot_count(1), 0);
    assert_fails(&op, wrap(&op, "lock", &version), HF_WRONG_STATE);
    assert_ok(&world.op, hf_seal_unlock(world.seal, &world.op, world.protector, &slot));
    assert_ok(&op, wrap(&op, "lock", &version));
}

static void a_lent_context_is_freed_when_it_comes_back_stale(void **unused)
{
    struct hf_op op = world_op(1);
    struct hf_hot_ask ask = {
        .name = { RING, "lent" },
        .version = 1,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_HADOOP,
    };
    struct hf_hot_entry *kept = NULL;
    struct hf_hot_entry *fresh = NULL;
    uint32_t version = 0;

    (void)unused;
    world_restart();
    new_key("lent", HF_ALG_AES_256);
    assert_ok(&op, wrap(&op, "lent", &version));
    assert_ok(&op, hf_hot_borrow(world.keys, &op, &ask, &kept));
    assert_true(kept->kept);
    /* While it is lent, another use makes one of its own. */
    assert_ok(&op, hf_hot_borrow(world.keys, &op, &ask, &fresh));
    assert_false(fresh->kept);
    assert_ok(&op, wrap(&op, "lent", &version));
    set_state("lent", 1, HF_KEY_SUSPEND);
    set_state("lent", 1, HF_KEY_RESUME);
    hf_hot_return(world.keys, &op, kept, true);
    hf_hot_return(world.keys, &op, fresh, true);
    assert_int_equal(hot_count(1), 0);
    assert_ok(&op, wrap(&op, "lent", &version));
    assert_int_equal(hot_count(1), 1);
}

static void invented_salts_are_not_kept(void **unused)
{
    struct hf_op op = world_op(1);
    HF_AUTO(buf) ciphertext = hf_buf_new();

    (void)unused;
    world_restart();
    new_key("salts", HF_ALG_AES_256);
    assert_ok(&op, hf_use_encrypt(world.keys, &op, RING, "salts", 1, HF_BYTES_NONE, HF_BYTES_NONE,
                                  ciphertext));
    assert_int_equal(hot_count(1), 1);
    for (int i = 0; i < 100; i++) {
        HF_AUTO(secret) plain = NULL;
        uint32_t version = 0;

        ciphertext->data[5]++;
        assert_fails(&op,
                     hf_use_decrypt(world.keys, &op, RING, "salts", HF_BYTES_NONE,
                                    hf_buf_bytes(ciphertext), &plain, &version),
                     HF_INVALID);
    }
    assert_int_equal(hot_count(1), 1);
}

/* Takes secret memory in blocks of that size until there is none. */
static size_t exhaust(void **blocks, size_t room, size_t len)
{
    size_t count = 0;

    while (count < room) {
        void *block = hf_arena_alloc(len);

        if (block == NULL) {
            break;
        }
        blocks[count++] = block;
    }
    return count;
}

static void without_secret_memory_a_lane_gives_up_what_it_keeps_warm(void **unused)
{
    enum { ROOM = 1 << 20, WARM = 400 };
    void **blocks = hf_alloc_array(ROOM, sizeof *blocks);
    struct hf_op op = world_op(1);
    size_t count = 0;
    uint32_t version = 0;

    (void)unused;
    world_restart();
    for (int i = 0; i < WARM; i++) {
        HF_AUTO_STRING name = hf_format("warm-%d", i);

        new_key(name, HF_ALG_AES_256);
        assert_ok(&op, wrap(&op, name, &version));
    }
    new_key("wanted", HF_ALG_AES_256);
    assert_int_equal(hot_count(1), WARM);
    for (size_t len = 1 << 16; len >= 16; len /= 2) {
        count += exhaust(blocks + count, ROOM - count, len);
    }
    assert_ok(&op, wrap(&op, "wanted", &version));
    assert_int_equal(hot_count(1), 1);
    for (size_t i = 0; i < count; i++) {
        hf_arena_free(blocks[i]);
    }
    free(blocks);
}

static struct hf_buf *salt_of_next_ciphertext(struct hf_op *op, const char *name)
{
    HF_AUTO(buf) ciphertext = hf_buf_new();
    struct hf_buf *salt = hf_buf_new();

    assert_ok(op, hf_use_encrypt(world.keys, op, RING, name, 1, HF_BYTES_NONE, HF_BYTES_NONE,
                                 ciphertext));
    hf_buf_add(salt, ciphertext->data + 5, HF_SALT_LEN);
    return salt;
}

static void a_salt_serves_so_many_uses_and_no_longer(void **unused)
{
    struct hf_op op = world_op(1);
    struct hf_op other = world_op(2);
    HF_AUTO(buf) first = NULL;
    HF_AUTO(buf) second = NULL;
    HF_AUTO(buf) third = NULL;
    HF_AUTO(buf) of_other_lane = NULL;

    (void)unused;
    new_key("salt-a", HF_ALG_AES_256);
    new_key("salt-b", HF_ALG_AES_256);
    first = salt_of_next_ciphertext(&op, "salt-a");
    assert_true(world.keys->lanes[1].salt_left < HF_SALT_USES);
    world.keys->lanes[1].salt_left = 1;
    second = salt_of_next_ciphertext(&op, "salt-b");
    third = salt_of_next_ciphertext(&op, "salt-a");
    of_other_lane = salt_of_next_ciphertext(&other, "salt-a");
    assert_true(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(second)));
    assert_false(hf_bytes_equal(hf_buf_bytes(second), hf_buf_bytes(third)));
    assert_false(hf_bytes_equal(hf_buf_bytes(third), hf_buf_bytes(of_other_lane)));
    assert_int_equal(world.keys->lanes[1].salt_left, HF_SALT_USES - 1);
}

/* --- what is acknowledged is in force for every use that starts afterwards --- */

#define USERS  LANES
#define ROUNDS 40

/* What users must see, as a number that counts changes: even while one is being made. */
enum truth { TRUTH_ACTIVE, TRUTH_SUSPENDED, TRUTH_DELETED };

static struct {
    _Atomic uint64_t begun; /* changes */
    _Atomic uint64_t acknowledged;
    _Atomic int truth; /* after the last acknowledged one */
    _Atomic uint32_t primary;
    _Atomic uint64_t checked; /* uses that were between two changes */
    _Atomic bool stop;
    _Atomic int wrong; /* the first surprise */
} play;

static bool is_as_wanted(int truth, struct hf_status status, uint32_t version, uint32_t primary)
{
    switch ((enum truth)truth) {
    case TRUTH_ACTIVE:
        return status.code == HF_OK && version == primary;
    case TRUTH_SUSPENDED:
        return status.code == HF_WRONG_STATE;
    case TRUTH_DELETED:
        return status.code == HF_NOT_FOUND;
    }
    return false;
}

/* A use of one of several kinds, chosen by turn. */
static struct hf_status use_in_turn(struct hf_op *op, uint64_t turn, uint32_t *version)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_status status;

    if (turn % 3 == 0) {
        status = hf_use_encrypt(world.keys, op, RING, "play", HF_LATEST, HF_BYTES_NONE,
                                HF_BYTES_NONE, out);
        *version = out->len > 4 ? out->data[4] | (uint32_t)out->data[3] << 8 : 0;
        return status;
    }
    if (turn % 3 == 1) {
        return hf_use_mac(world.keys, op, RING, "play", HF_LATEST, HF_HASH_SHA256, HF_BYTES_NONE,
                          out, version);
    }
    return wrap(op, "play", version);
}

static void *use_until_told(void *context)
{
    struct hf_op op = world_op((unsigned)(uintptr_t)context);

    for (uint64_t turn = 0; !play.stop; turn++) {
        uint64_t acknowledged = play.acknowledged;
        int truth = play.truth;
        uint32_t primary = play.primary;
        uint32_t version = 0;
        struct hf_status status = use_in_turn(&op, turn, &version);

        /* If no change has begun since what we know was acknowledged, it must have been so. */
        if (play.begun == acknowledged) {
            play.checked++;
            if (!is_as_wanted(truth, status, version, primary)) {
                play.wrong = (int)status.code + 1;
            }
        }
    }
    return NULL;
}

static void change_truth(const struct change *change, enum truth truth)
{
    uint32_t version = 0;
    uint64_t checked = 0;

    play.begun++;
    assert_ok(&world.op, do_change(&world.op, change, &version));
    play.truth = truth;
    if (change->kind == CHANGE_ROTATE) {
        play.primary = version;
    }
    play.acknowledged = play.begun;
    /* Users must get somewhere before the next change. */
    checked = play.checked;
    while (play.checked < checked + USERS && play.wrong == 0) {
        sched_yield();
    }
}

static void acknowledged_changes_are_in_force_on_every_lane(void **unused)
{
    pthread_t threads[USERS];
    struct change suspend = { .kind = CHANGE_STATE, .name = "play", .event = HF_KEY_SUSPEND };
    struct change resume = { .kind = CHANGE_STATE, .name = "play", .event = HF_KEY_RESUME };

    (void)unused;
    play.primary = new_key("play", HF_ALG_AES_256);
    for (uintptr_t i = 0; i < USERS; i++) {
        /* One of them in the lane that threads share. */
        assert_int_equal(pthread_create(&threads[i], NULL, use_until_told, (void *)(i + 1)), 0);
    }
    for (int round = 0; round < ROUNDS && play.wrong == 0; round++) {
        change_truth(&(struct change){ .kind = CHANGE_ROTATE, .name = "play" }, TRUTH_ACTIVE);
        suspend.version = play.primary;
        resume.version = play.primary;
        change_truth(&suspend, TRUTH_SUSPENDED);
        change_truth(&resume, TRUTH_ACTIVE);
        change_truth(&(struct change){ .kind = CHANGE_DELETE, .name = "play" }, TRUTH_DELETED);
        change_truth(&(struct change){ .kind = CHANGE_RECOVER, .name = "play" }, TRUTH_ACTIVE);
    }
    change_truth(&(struct change){ .kind = CHANGE_DELETE, .name = "play" }, TRUTH_DELETED);
    change_truth(
        &(struct change){
            .kind = CHANGE_DESTROY, .name = "play", .version = HF_LATEST, .force = true },
        TRUTH_DELETED);
    play.stop = true;
    for (size_t i = 0; i < USERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    if (play.wrong != 0) {
        fail_msg("a use after an acknowledged change gave %s",
                 hf_code_name((enum hf_code)(play.wrong - 1)));
    }
}

/* --- many keys, many threads, everything at once --- */

static void *use_many(void *context)
{
    struct hf_op op = world_op((unsigned)(uintptr_t)context);

    for (uint64_t turn = 0; !play.stop; turn++) {
        HF_AUTO_STRING name = hf_format("crowd-%d", (int)(turn * 7 % 13));
        uint32_t version = 0;
        struct hf_status status = wrap(&op, name, &version);

        if (status.code != HF_OK && status.code != HF_NOT_FOUND && status.code != HF_WRONG_STATE) {
            play.wrong = (int)status.code + 1;
        }
        hf_usage_count(world.keys, &op, RING, name, version, "crowd", 1, 0);
        play.checked++;
    }
    return NULL;
}

static void threads_that_share_lanes_disturb_nobody(void **unused)
{
    pthread_t threads[USERS * 2];

    (void)unused;
    play.stop = false;
    play.wrong = 0;
    hf_keys_set_hot_limit(world.keys, 1, 4);
    for (int i = 0; i < 13; i++) {
        HF_AUTO_STRING name = hf_format("crowd-%d", i);

        new_key(name, HF_ALG_AES_256);
    }
    for (uintptr_t i = 0; i < HF_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_many, (void *)(i % 3)), 0);
    }
    for (int round = 0; round < 40; round++) {
        HF_AUTO_STRING name = hf_format("crowd-%d", round % 13);
        uint64_t checked = play.checked;

        must(&(struct change){ .kind = CHANGE_DELETE, .name = name });
        if (round % 5 == 0) {
            must(&(struct change){
                .kind = CHANGE_DESTROY, .name = name, .version = HF_LATEST, .force = true });
            must(&(struct change){ .kind = CHANGE_CREATE, .name = name });
        } else {
            must(&(struct change){ .kind = CHANGE_RECOVER, .name = name });
        }
        if (round % 10 == 0) {
            assert_ok(&world.op, hf_usage_merge(world.keys, &world.op));
        }
        while (play.checked < checked + 20) {
            sched_yield();
        }
    }
    play.stop = true;
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(play.wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_keeps_as_many_contexts_as_it_may),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(changes_empty_the_caches_of_all_lanes),
        cmocka_unit_test(locking_empties_the_caches),
        cmocka_unit_test(a_lent_context_is_freed_when_it_comes_back_stale),
        cmocka_unit_test(invented_salts_are_not_kept),
        cmocka_unit_test(without_secret_memory_a_lane_gives_up_what_it_keeps_warm),
        cmocka_unit_test(a_salt_serves_so_many_uses_and_no_longer),
        cmocka_unit_test(acknowledged_changes_are_in_force_on_every_lane),
        cmocka_unit_test(threads_that_share_lanes_disturb_nobody),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
