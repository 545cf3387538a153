/* Every change of a key under every failure of the store, and two writers at once. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- what a key looks like, as text --- */

static void add_version(void *context, const struct hf_version_info *info)
{
    hf_buf_add_format(context, " %u:%s/%u%s%s%s", info->version, hf_key_state_name(info->state),
                      info->keyring_key, info->primary ? "*" : "", info->candidate ? "?" : "",
                      info->destroy_at_ms != 0 ? "!" : "");
}

/* Everything about a key that a restarted server knows; every version must open. */
static struct hf_buf *picture_of(const char *name)
{
    struct hf_buf *picture = hf_buf_new();
    HF_AUTO(key_info) info = NULL;
    struct hf_status status = hf_key_get(world.keys, &world.op, RING, name, true, &info);

    if (status.code != HF_OK) {
        hf_buf_add_format(picture, "%s %s", hf_code_name(status.code),
                          hf_cause_name(world.op.cause));
        return picture;
    }
    hf_buf_add_format(picture, "%s%s next %u primary %d", info->unborn ? "unborn " : "",
                      info->deleted ? "deleted" : "live", info->last_version + 1,
                      info->primary == HF_LATEST ? -1 : (int)info->primary);
    if (!info->deleted) {
        assert_ok(&world.op,
                  hf_key_versions(world.keys, &world.op, RING, name, add_version, picture));
        for (uint32_t i = info->first_version; i <= info->last_version; i++) {
            if (version_of(name, i).state < HF_KEY_DESTROYED) {
                assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, name, i));
            }
        }
    }
    return picture;
}

/* --- the changes, each from where it can be made --- */

static void rotate_ring(void)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    uint32_t version = 0;

    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_rotate(world.keys, &world.op, txn, RING, &version));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
}

static const struct hf_key_plan aes_candidate = { .algorithm = HF_ALG_AES_256,
                                                  .first_version = 1,
                                                  .candidate = true };

static const struct fault_case {
    const char *says;
    struct change change;
    bool is_there;   /* the key exists, with two versions */
    bool deactivate; /* version 1 */
    bool schedule;   /* and its destruction */
    bool delete;
    bool destroy;
    bool rotate_ring;
    bool unborn;         /* the key's first version is a candidate, and its only one */
    unsigned candidates; /* of a key that is there, after its two versions */
} cases[] = {
    { .says = "create", .change = { .kind = CHANGE_CREATE } },
    { .says = "create over a tombstone",
      .change = { .kind = CHANGE_CREATE },
      .is_there = true,
      .delete = true,
      .destroy = true },
    { .says = "rotate", .change = { .kind = CHANGE_ROTATE }, .is_there = true },
    { .says = "set primary",
      .change = { .kind = CHANGE_SET_PRIMARY, .version = 1 },
      .is_there = true },
    { .says = "rewrap",
      .change = { .kind = CHANGE_REWRAP },
      .is_there = true,
      .rotate_ring = true },
    { .says = "suspend",
      .change = { .kind = CHANGE_STATE, .version = 2, .event = HF_KEY_SUSPEND },
      .is_there = true },
    { .says = "delete", .change = { .kind = CHANGE_DELETE }, .is_there = true },
    { .says = "recover", .change = { .kind = CHANGE_RECOVER }, .is_there = true, .delete = true },
    { .says = "destroy a version",
      .change = { .kind = CHANGE_DESTROY, .version = 1, .force = true },
      .is_there = true,
      .deactivate = true },
    { .says = "schedule a version",
      .change = { .kind = CHANGE_DESTROY, .version = 1 },
      .is_there = true,
      .deactivate = true },
    { .says = "keep a version",
      .change = { .kind = CHANGE_KEEP, .version = 1 },
      .is_there = true,
      .deactivate = true,
      .schedule = true },
    { .says = "destroy a key",
      .change = { .kind = CHANGE_DESTROY, .version = HF_LATEST, .force = true },
      .is_there = true,
      .delete = true },
    { .says = "create by candidate", .change = { .kind = CHANGE_CREATE, .plan = &aes_candidate } },
    { .says = "rotate by candidate",
      .change = { .kind = CHANGE_ROTATE_CANDIDATE },
      .is_there = true },
    { .says = "promote",
      .change = { .kind = CHANGE_PROMOTE, .version = 3 },
      .is_there = true,
      .candidates = 1 },
    { .says = "promote a first version",
      .change = { .kind = CHANGE_PROMOTE, .version = 1 },
      .unborn = true },
    { .says = "abandon",
      .change = { .kind = CHANGE_ABANDON, .version = 3, .reason = "silent" },
      .is_there = true,
      .candidates = 1 },
    { .says = "abandon a first version",
      .change = { .kind = CHANGE_ABANDON, .version = 1, .reason = "silent" },
      .unborn = true },
    { .says = "rewrap candidates",
      .change = { .kind = CHANGE_REWRAP },
      .is_there = true,
      .rotate_ring = true,
      .candidates = 2 },
};

static void add_candidates(const char *name, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        must(&(struct change){ .kind = CHANGE_ROTATE_CANDIDATE, .name = name });
    }
}

static void prepare(const struct fault_case *row, const char *name)
{
    if (row->is_there) {
        new_key(name, HF_ALG_AES_256);
        rotate(name);
    }
    if (row->unborn) {
        must(&(struct change){ .kind = CHANGE_CREATE, .name = name, .plan = &aes_candidate });
    }
    add_candidates(name, row->candidates);
    if (row->deactivate) {
        set_state(name, 1, HF_KEY_DEACTIVATE);
    }
    if (row->schedule) {
        must(&(struct change){ .kind = CHANGE_DESTROY, .name = name, .version = 1 });
    }
    if (row->delete) {
        must(&(struct change){ .kind = CHANGE_DELETE, .name = name });
    }
    if (row->destroy) {
        must(&(struct change){
            .kind = CHANGE_DESTROY, .name = name, .version = HF_LATEST, .force = true });
    }
    if (row->rotate_ring) {
        rotate_ring();
    }
}

struct pictures {
    struct hf_buf *before;
    struct hf_buf *after;
};

/* What the key may look like: before, and after the change without any failure. */
static void draw(const struct fault_case *row, const char *name, struct pictures *out)
{
    struct change change = row->change;

    change.name = name;
    prepare(row, name);
    out->before = picture_of(name);
    must(&change);
    out->after = picture_of(name);
    assert_false(strcmp(hf_buf_text(out->before), hf_buf_text(out->after)) == 0);
}

/* Keyring keys have moved on between two keys, so their numbers are taken out of the comparison. */
static void strip_ring_keys(const char *from, char *to)
{
    while (*from != '\0') {
        if (*from == '/') {
            from++;
            while (*from >= '0' && *from <= '9') {
                from++;
            }
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static bool same(struct hf_buf *a, struct hf_buf *b, bool with_ring_keys)
{
    char one[500];
    char two[500];

    assert_true(a->len < sizeof one && b->len < sizeof two);
    if (with_ring_keys) {
        return strcmp(hf_buf_text(a), hf_buf_text(b)) == 0;
    }
    strip_ring_keys(hf_buf_text(a), one);
    strip_ring_keys(hf_buf_text(b), two);
    return strcmp(one, two) == 0;
}

/* One failure at call number at. False when the change needs fewer calls. */
static bool fail_at(const struct fault_case *row, const struct pictures *wanted,
                    enum hf_fault fault, enum hf_code code, uint64_t at)
{
    HF_AUTO_STRING name = hf_format("%s %d %d %" PRIu64, row->says, (int)fault, (int)code, at);
    struct change change = row->change;
    struct hf_op op = world_op(1);
    struct hf_status status;
    HF_AUTO(buf) before = NULL;
    bool changed = false;
    uint64_t faults = 0;

    change.name = name;
    prepare(row, name);
    before = picture_of(name);
    hf_failing_set(world.engine, fault, code, at);
    status = do_change(&op, &change, NULL);
    faults = hf_failing_faults(world.engine);
    hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
    for (int restarted = 0; restarted < 2; restarted++) {
        HF_AUTO(buf) seen = picture_of(name);

        changed = !same(seen, before, true);
        if (changed && !same(seen, wanted->after, false)) {
            fail_msg("%s: neither before nor after: %s", name, hf_buf_text(seen));
        }
        if ((status.code == HF_OK) != changed) {
            fail_msg("%s, restarted %d: answered %s, but now: %s", name, restarted,
                     hf_code_name(status.code), hf_buf_text(seen));
        }
        if (restarted == 0) {
            world_restart();
        }
    }
    return faults > 0;
}

static void every_change_happens_whole_or_not_at_all(void **unused)
{
    static const struct {
        enum hf_fault fault;
        enum hf_code code;
    } faults[] = {
        { HF_FAULT_BEFORE, HF_UNAVAILABLE },
        { HF_FAULT_BEFORE, HF_CONFLICT },
        { HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct pictures wanted;

        draw(&cases[i], cases[i].says, &wanted);
        for (size_t j = 0; j < HF_COUNT(faults); j++) {
            uint64_t at = 1;

            while (fail_at(&cases[i], &wanted, faults[j].fault, faults[j].code, at)) {
                at++;
            }
            /* There was a call to fail at least: the commit. */
            assert_true(at > 1);
        }
        hf_buf_free(wanted.before);
        hf_buf_free(wanted.after);
    }
}

/* Creation is held to a commit of its own, so it reads nothing that the index knows. */
static void a_new_key_is_one_call_to_the_store(void **unused)
{
    (void)unused;
    /* The first one opens the keyring's key. */
    new_key("the first", HF_ALG_AES_256);
    hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
    new_key("never there before", HF_ALG_AES_256);
    assert_int_equal(hf_failing_calls(world.engine), 1);

    must(&(struct change){ .kind = CHANGE_DELETE, .name = "never there before" });
    must(&(struct change){ .kind = CHANGE_DESTROY,
                           .name = "never there before",
                           .version = HF_LATEST,
                           .force = true });
    hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
    new_key("never there before", HF_ALG_AES_256);
    /* The tombstone says where its versions go on. */
    assert_int_equal(hf_failing_calls(world.engine), 2);
    assert_int_equal(version_of("never there before", 2).state, HF_KEY_ACTIVE);
}

/* --- two writers --- */

static const struct {
    const char *says;
    struct change first;
    struct change second;
    bool delete;
    enum hf_code second_code;
} races[] = {
    { "two rotations", { .kind = CHANGE_ROTATE }, { .kind = CHANGE_ROTATE }, false, HF_CONFLICT },
    { "rotate and delete",
      { .kind = CHANGE_ROTATE },
      { .kind = CHANGE_DELETE },
      false,
      HF_CONFLICT },
    { "delete and rotate",
      { .kind = CHANGE_DELETE },
      { .kind = CHANGE_ROTATE },
      false,
      HF_CONFLICT },
    { "two changes of a version's state",
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_SUSPEND },
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_DEACTIVATE },
      false,
      HF_CONFLICT },
    { "states of two versions",
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_SUSPEND },
      { .kind = CHANGE_STATE, .version = 2, .event = HF_KEY_DEACTIVATE },
      false,
      HF_OK },
    { "suspend and make primary",
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_SUSPEND },
      { .kind = CHANGE_SET_PRIMARY, .version = 1 },
      false,
      HF_CONFLICT },
    { "make primary and rotate",
      { .kind = CHANGE_SET_PRIMARY, .version = 1 },
      { .kind = CHANGE_ROTATE },
      false,
      HF_CONFLICT },
    { "rotate and suspend",
      { .kind = CHANGE_ROTATE },
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_SUSPEND },
      false,
      HF_OK },
    { "recover and destroy",
      { .kind = CHANGE_RECOVER },
      { .kind = CHANGE_DESTROY, .version = HF_LATEST, .force = true },
      true,
      HF_CONFLICT },
    { "destroy and recover",
      { .kind = CHANGE_DESTROY, .version = HF_LATEST, .force = true },
      { .kind = CHANGE_RECOVER },
      true,
      HF_CONFLICT },
    { "two promotions",
      { .kind = CHANGE_PROMOTE, .version = 3 },
      { .kind = CHANGE_PROMOTE, .version = 4 },
      false,
      HF_CONFLICT },
    { "promote and abandon another",
      { .kind = CHANGE_PROMOTE, .version = 4 },
      { .kind = CHANGE_ABANDON, .version = 3, .reason = "silent" },
      false,
      HF_OK },
    { "promote and rotate",
      { .kind = CHANGE_PROMOTE, .version = 3 },
      { .kind = CHANGE_ROTATE_CANDIDATE },
      false,
      HF_CONFLICT },
    { "delete and promote",
      { .kind = CHANGE_DELETE },
      { .kind = CHANGE_PROMOTE, .version = 3 },
      false,
      HF_CONFLICT },
    { "promote and delete",
      { .kind = CHANGE_PROMOTE, .version = 3 },
      { .kind = CHANGE_DELETE },
      false,
      HF_CONFLICT },
};

static struct hf_status commit(struct hf_txn *txn, struct hf_op *op)
{
    struct hf_txn_commit done = { 0 };
    struct hf_status status = hf_txn_commit(txn, op, &done);

    hf_secret_free(done.result);
    return status;
}

static void the_second_of_two_writers_starts_again(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(races); i++) {
        struct change first = races[i].first;
        struct change second = races[i].second;
        struct hf_op one = world_op(1);
        struct hf_op two = world_op(2);
        HF_AUTO(txn) first_txn = NULL;
        HF_AUTO(txn) second_txn = NULL;
        HF_AUTO(buf) after_first = NULL;
        HF_AUTO(buf) after_second = NULL;
        uint32_t number = 0;
        enum hf_code code;

        first.name = races[i].says;
        second.name = races[i].says;
        new_key(races[i].says, HF_ALG_AES_256);
        rotate(races[i].says);
        add_candidates(races[i].says, 2);
        if (races[i].delete) {
            must(&(struct change){ .kind = CHANGE_DELETE, .name = races[i].says });
        }
        assert_ok(&one, hf_txn_new(world.seal, &one, &first_txn));
        assert_ok(&two, hf_txn_new(world.seal, &two, &second_txn));
        assert_ok(&one, stage_change(&one, first_txn, &first, &number));
        assert_ok(&two, stage_change(&two, second_txn, &second, &number));
        assert_ok(&one, commit(first_txn, &one));
        after_first = picture_of(races[i].says);
        code = commit(second_txn, &two).code;
        if (code != races[i].second_code) {
            fail_msg("%s: got %s", races[i].says, hf_code_name(code));
        }
        world_restart();
        after_second = picture_of(races[i].says);
        assert_int_equal(strcmp(hf_buf_text(after_first), hf_buf_text(after_second)) == 0,
                         code != HF_OK);
    }
}

static void two_creations_of_a_name_make_one_key(void **unused)
{
    struct change create = { .kind = CHANGE_CREATE, .name = "raced" };
    struct hf_op one = world_op(1);
    struct hf_op two = world_op(2);
    HF_AUTO(txn) first = NULL;
    HF_AUTO(txn) second = NULL;
    uint32_t number = 0;
    struct hf_version_info info;

    (void)unused;
    assert_ok(&one, hf_txn_new(world.seal, &one, &first));
    assert_ok(&two, hf_txn_new(world.seal, &two, &second));
    assert_ok(&one, stage_change(&one, first, &create, &number));
    assert_ok(&two, stage_change(&two, second, &create, &number));
    assert_ok(&one, commit(first, &one));
    info = version_of("raced", 1);
    assert_fails(&two, commit(second, &two), HF_CONFLICT);
    assert_fails(&two, do_change(&two, &create, NULL), HF_EXISTS);
    assert_memory_equal(version_of("raced", 1).check_value, info.check_value, HF_CHECK_VALUE_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_happens_whole_or_not_at_all),
        cmocka_unit_test(a_new_key_is_one_call_to_the_store),
        cmocka_unit_test(the_second_of_two_writers_starts_again),
        cmocka_unit_test(two_creations_of_a_name_make_one_key),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
