/* Every change of a key on a store whose disk may fail. */
#include "keys_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_files.h"
#include "store_vfs.h"
#include "world.h"

#define ASKED_BY "unix:root"

enum object { THE_RING, KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G };

static const char *const object_names[LEDGER_OBJECTS] = { RING, "a", "b", "c", "d", "e", "f", "g" };

static const struct hf_key_plan by_candidate = { .algorithm = HF_ALG_AES_256,
                                                 .first_version = 1,
                                                 .candidate = true };

static const struct step {
    const char *says; /* its audit note too */
    enum object object;
    struct change change; /* of the keyring: a rotation, whatever it says */
    bool imported;
} steps[LEDGER_STEPS] = {
    { "make a", KEY_A, { .kind = CHANGE_CREATE }, false },
    { "import b", KEY_B, { .kind = CHANGE_CREATE }, true },
    { "make c", KEY_C, { .kind = CHANGE_CREATE }, false },
    { "make d", KEY_D, { .kind = CHANGE_CREATE }, false },
    { "rotate a", KEY_A, { .kind = CHANGE_ROTATE }, false },
    { "import a version of b", KEY_B, { .kind = CHANGE_ROTATE }, true },
    { "rotate c", KEY_C, { .kind = CHANGE_ROTATE }, false },
    { "make a/1 primary", KEY_A, { .kind = CHANGE_SET_PRIMARY, .version = 1 }, false },
    { "suspend a/2",
      KEY_A,
      { .kind = CHANGE_STATE, .version = 2, .event = HF_KEY_SUSPEND },
      false },
    { "deactivate b/1",
      KEY_B,
      { .kind = CHANGE_STATE, .version = 1, .event = HF_KEY_DEACTIVATE },
      false },
    { "schedule the end of b/1", KEY_B, { .kind = CHANGE_DESTROY, .version = 1 }, false },
    { "keep b/1", KEY_B, { .kind = CHANGE_KEEP, .version = 1 }, false },
    { "delete d", KEY_D, { .kind = CHANGE_DELETE }, false },
    { "recover d", KEY_D, { .kind = CHANGE_RECOVER }, false },
    { "delete c", KEY_C, { .kind = CHANGE_DELETE }, false },
    { "destroy c", KEY_C, { .kind = CHANGE_DESTROY, .version = HF_LATEST, .force = true }, false },
    { "destroy b/1", KEY_B, { .kind = CHANGE_DESTROY, .version = 1, .force = true }, false },
    { "rotate the keyring", THE_RING, { .kind = CHANGE_ROTATE }, false },
    { "rewrap a", KEY_A, { .kind = CHANGE_REWRAP }, false },
    { "make c again", KEY_C, { .kind = CHANGE_CREATE }, false },
    { "rotate d", KEY_D, { .kind = CHANGE_ROTATE }, false },
    { "make e", KEY_E, { .kind = CHANGE_CREATE }, false },
    /* Both transactions of a version that is born proven, and a stop between them. */
    { "make f by candidate", KEY_F, { .kind = CHANGE_CREATE, .plan = &by_candidate }, false },
    { "promote f/1", KEY_F, { .kind = CHANGE_PROMOTE, .version = 1 }, false },
    { "rotate f by candidate", KEY_F, { .kind = CHANGE_ROTATE_CANDIDATE }, false },
    { "rotate f by another", KEY_F, { .kind = CHANGE_ROTATE_CANDIDATE }, true },
    { "promote f/3", KEY_F, { .kind = CHANGE_PROMOTE, .version = 3 }, false },
    { "abandon f/2",
      KEY_F,
      { .kind = CHANGE_ABANDON, .version = 2, .reason = "a node is silent" },
      false },
    { "make g by candidate", KEY_G, { .kind = CHANGE_CREATE, .plan = &by_candidate }, false },
    { "abandon g/1",
      KEY_G,
      { .kind = CHANGE_ABANDON, .version = 1, .reason = "a node is silent" },
      false },
    { "make g again by candidate", KEY_G, { .kind = CHANGE_CREATE, .plan = &by_candidate }, false },
    { "promote g/2", KEY_G, { .kind = CHANGE_PROMOTE, .version = 2 }, false },
};

static const uint8_t an_iv[16];
static const uint8_t a_data_key[LEDGER_DEK];

/* The run without faults. */
static struct {
    struct store_world begin;             /* what every run begins with */
    struct hf_buf pictures[LEDGER_STEPS]; /* of the step's object, after it */
    struct hf_buf at_first[LEDGER_OBJECTS];
    uint64_t looks[LEDGER_STEPS]; /* at the clock of deadlines */
} reference;

/* --- what an object looks like, as text --- */

static void add_version(void *context, const struct hf_version_info *info)
{
    hf_buf_add_format(context, " %u:%s/%u%s%s%s%s", info->version, hf_key_state_name(info->state),
                      info->keyring_key, info->primary ? "*" : "", info->imported ? "i" : "",
                      info->candidate ? "?" : "", info->destroy_at_ms != 0 ? "!" : "");
}

static void draw_ring(struct hf_buf *out)
{
    struct hf_keyring_info info;

    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, RING, &info));
    hf_buf_add_format(out, "key %u", info.key_version);
}

static void draw_key(const char *name, struct hf_buf *out)
{
    HF_AUTO(key_info) info = NULL;
    struct hf_status status = hf_key_get(world.keys, &world.op, RING, name, true, &info);

    if (status.code != HF_OK) {
        hf_buf_add_format(out, "%s %s", hf_code_name(status.code), hf_cause_name(world.op.cause));
        return;
    }
    hf_buf_add_format(out, "%s%s next %u", info->unborn ? "unborn " : "",
                      info->deleted ? "deleted" : "live", info->last_version + 1);
    if (!info->deleted) {
        assert_ok(&world.op, hf_key_versions(world.keys, &world.op, RING, name, add_version, out));
    }
}

static void draw(enum object object, struct hf_buf *out)
{
    if (object == THE_RING) {
        draw_ring(out);
    } else {
        draw_key(object_names[object], out);
    }
}

/* --- the steps --- */

static struct hf_status stage(const struct step *step, struct hf_txn *txn)
{
    static const char material[] = "an imported key of 32 bytes .....";
    HF_AUTO(secret) imported = NULL;
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    struct change change = step->change;
    uint32_t number = 0;

    if (step->object == THE_RING) {
        return hf_keyring_rotate(world.keys, &world.op, txn, RING, &number);
    }
    if (step->imported) {
        imported = secret_of(hf_bytes_of(material + (change.kind != CHANGE_CREATE), 32));
        plan.material = imported;
        change.material = imported;
    }
    change.name = object_names[step->object];
    change.plan = change.plan != NULL ? change.plan : &plan;
    return stage_change(&world.op, txn, &change, &number);
}

static struct hf_status take_step(size_t number)
{
    const struct step *step = &steps[number];
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(world.seal, &world.op, &txn));
    HF_TRY(stage(step, txn));
    hf_txn_asked(txn, ASKED_BY, hf_bytes_of_text(step->says));
    hf_txn_note(txn, hf_bytes_of_text(step->says));
    world.op.request_id = store_request_id((uint32_t)number + 1);
    HF_TRY(hf_txn_commit(txn, &world.op, &commit));
    hf_secret_free(commit.result);
    /* As the daemon does now and then; when it fails, nothing has failed but this. */
    (void)hf_seal_pin(world.seal, &world.op).code;
    return HF_SUCCESS;
}

/* Whether a version is primary that was not before. */
static bool makes_primary(const struct step *step)
{
    enum change_kind kind = step->change.kind;

    return step->object != THE_RING && step->change.plan == NULL &&
           (kind == CHANGE_CREATE || kind == CHANGE_ROTATE || kind == CHANGE_PROMOTE);
}

static void keep_wrapped(struct keys_ledger *ledger, enum object object)
{
    uint8_t wrapped[LEDGER_DEK];
    uint32_t version = 0;

    assert_ok(&world.op,
              hf_use_hadoop_wrap(world.keys, &world.op, RING, object_names[object], HF_LATEST,
                                 an_iv, hf_bytes_of(a_data_key, LEDGER_DEK), wrapped, &version));
    assert_true(version < LEDGER_VERSIONS && !ledger->has_wrapped[object][version]);
    ledger->has_wrapped[object][version] = true;
    memcpy(ledger->wrapped[object][version], wrapped, LEDGER_DEK);
}

/* A step builds on all before it on the same key; all keys hang on the keyring's rotation. */
static bool may_try(const struct keys_ledger *ledger, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        bool builds_on = steps[i].object == steps[number].object || steps[i].object == THE_RING ||
                         steps[number].object == THE_RING;

        if (builds_on && (!ledger->tried[i] || ledger->codes[i] != HF_OK)) {
            return false;
        }
    }
    return true;
}

static void run_step(struct keys_ledger *ledger, size_t number)
{
    if (!may_try(ledger, number)) {
        return;
    }
    /* Nobody waits long for a commit whose end was not seen. */
    world.looks = 0;
    world.looks_before_the_hour = reference.looks[number] != 0 ? reference.looks[number] + 2 : 0;
    ledger->tried[number] = true;
    ledger->under_way[number] = true;
    ledger->codes[number] = take_step(number).code;
    ledger->under_way[number] = false;
    if (ledger->codes[number] == HF_OK && makes_primary(&steps[number])) {
        keep_wrapped(ledger, steps[number].object);
    }
}

static struct hf_status open_all(struct store_world *store)
{
    HF_TRY(store_world_open(store, false));
    world.engine = store->engine;
    return world_open_keys();
}

static void close_all(struct store_world *store)
{
    world.looks_before_the_hour = 0;
    world_close_keys();
    world.engine = NULL;
    store_world_close(store);
}

static struct hf_status begin(struct store_world *store, char *pin)
{
    world.pin_file = pin;
    return open_all(store);
}

static void end(struct store_world *store)
{
    close_all(store);
    world.pin_file = NULL;
}

void keys_ledger_run(struct keys_ledger *ledger, struct store_world *store)
{
    HF_AUTO_STRING pin = keys_ledger_pin(store);

    memset(ledger, 0, sizeof *ledger);
    ledger->open_code = begin(store, pin).code;
    for (size_t i = 0; i < LEDGER_STEPS && ledger->open_code == HF_OK; i++) {
        run_step(ledger, i);
    }
    end(store);
}

/* --- the check --- */

/* What a caller was told, and what he may find. */
enum outcome { WAS_DONE, WAS_NOT_DONE, NOBODY_KNOWS };

static enum outcome outcome_of(const struct keys_ledger *ledger, size_t number)
{
    if (!ledger->tried[number]) {
        return WAS_NOT_DONE;
    }
    if (ledger->under_way[number]) {
        return NOBODY_KNOWS;
    }
    switch ((int)ledger->codes[number]) {
    case HF_OK:
        return WAS_DONE;
    case HF_NO_SPACE:
    case HF_UNAVAILABLE:
        return WAS_NOT_DONE;
    case HF_IN_DOUBT:
        return NOBODY_KNOWS;
    default:
        fail_msg("%s ended with %s", steps[number].says, hf_code_name(ledger->codes[number]));
        return WAS_NOT_DONE;
    }
}

struct wanted_note {
    const char *text;
    size_t found;
};

static struct hf_status count_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                   struct hf_bytes note)
{
    struct wanted_note *wanted = context;

    (void)seq;
    (void)realtime_ms;
    wanted->found += hf_bytes_equal(note, hf_bytes_of_text(wanted->text));
    return HF_SUCCESS;
}

/* The store's own memory of the request, with the audit record that belongs to it. */
static bool store_knows(size_t number)
{
    struct wanted_note wanted = { .text = steps[number].says };
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;

    world.op.request_id = store_request_id((uint32_t)number + 1);
    status =
        hf_seal_recall(world.seal, &world.op, ASKED_BY, hf_bytes_of_text(wanted.text), &commit);
    hf_secret_free(commit.result);
    if (status.code != HF_OK) {
        assert_int_equal(status.code, HF_NOT_FOUND);
    }
    assert_ok(&world.op, hf_seal_notes(world.seal, &world.op, 0, 1000, count_note, &wanted));
    assert_int_equal(wanted.found, status.code == HF_OK ? 1 : 0);
    return status.code == HF_OK;
}

static void expect_picture(enum object object, struct hf_buf *wanted, const char *what)
{
    HF_AUTO(buf) seen = hf_buf_new();

    draw(object, seen);
    if (strcmp(hf_buf_text(seen), hf_buf_text(wanted)) != 0) {
        fail_msg("%s: %s is \"%s\", not \"%s\"", what, object_names[object], hf_buf_text(seen),
                 hf_buf_text(wanted));
    }
}

/* The object is as its last step that happened has left it. */
static void check_object(const struct keys_ledger *ledger, enum object object, const char *what)
{
    struct hf_buf *wanted = &reference.at_first[object];

    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        enum outcome outcome = outcome_of(ledger, i);
        bool known = steps[i].object == object && store_knows(i);

        if (steps[i].object != object) {
            continue;
        }
        if (outcome != NOBODY_KNOWS && known != (outcome == WAS_DONE)) {
            fail_msg("%s: \"%s\" was %s", what, steps[i].says,
                     known ? "denied, and is there" : "acknowledged, and is lost");
        }
        wanted = known ? &reference.pictures[i] : wanted;
    }
    expect_picture(object, wanted, what);
}

static void check_wrapped(const struct keys_ledger *ledger, enum object object, uint32_t version,
                          enum hf_key_state state)
{
    uint8_t opened[LEDGER_DEK];

    if (!ledger->has_wrapped[object][version] || !hf_key_state_allows(state, HF_USE_PROCESS)) {
        return;
    }
    assert_ok(&world.op, hf_use_hadoop_unwrap(
                             world.keys, &world.op, RING, object_names[object], version, an_iv,
                             hf_bytes_of(ledger->wrapped[object][version], LEDGER_DEK), opened));
    assert_memory_equal(opened, a_data_key, LEDGER_DEK);
}

/* Every version opens, has its check value, and does what it did when it was acknowledged. */
static void check_versions(const struct keys_ledger *ledger, enum object object)
{
    const char *name = object_names[object];
    HF_AUTO(key_info) info = NULL;
    struct hf_status status = hf_key_get(world.keys, &world.op, RING, name, false, &info);

    if (status.code != HF_OK) {
        assert_int_equal(status.code, HF_NOT_FOUND);
        return;
    }
    for (uint32_t i = info->first_version; i <= info->last_version; i++) {
        enum hf_key_state state = version_of(name, i).state;

        if (state < HF_KEY_DESTROYED) {
            assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, name, i));
            check_wrapped(ledger, object, i, state);
        }
    }
}

/* What was not done can be done now, under the same request id. */
static void finish_steps(const char *what)
{
    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        struct hf_status status = HF_SUCCESS;

        if (!store_knows(i)) {
            status = take_step(i);
        }
        if (status.code != HF_OK) {
            fail_msg("%s: \"%s\" cannot be done afterwards: %s", what, steps[i].says,
                     world.op.text);
        }
    }
    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        bool last = true;

        for (size_t j = i + 1; j < LEDGER_STEPS; j++) {
            last = last && steps[j].object != steps[i].object;
        }
        if (last) {
            expect_picture(steps[i].object, &reference.pictures[i], what);
        }
    }
}

void keys_ledger_check(const struct keys_ledger *ledger, struct store_world *store,
                       const char *what)
{
    HF_AUTO_STRING pin = keys_ledger_pin(store);
    struct hf_status status = begin(store, pin);
    uint64_t batches = 0;

    if (status.code != HF_OK) {
        fail_msg("%s: the store does not open: %s %s", what, store->op.text, world.op.text);
    }
    assert_int_equal(hf_seal_damage(world.seal, NULL, NULL), 0);
    assert_ok(&world.op, hf_seal_verify_log(world.seal, &world.op, &batches));
    for (enum object object = 0; object < LEDGER_OBJECTS; object++) {
        check_object(ledger, object, what);
        if (object != THE_RING) {
            check_versions(ledger, object);
        }
    }
    finish_steps(what);
    end(store);
}

/* --- where every run begins --- */

char *keys_ledger_pin(const struct store_world *store)
{
    return hf_format("%s/pin", store->root);
}

void keys_ledger_prepare(struct store_world *store)
{
    HF_AUTO_STRING from = file_in(&reference.begin, "store.db");
    HF_AUTO_STRING from_pin = keys_ledger_pin(&reference.begin);
    HF_AUTO_STRING to = NULL;
    HF_AUTO_STRING to_pin = NULL;

    store_world_init_fast(store, store_kind_named("sqlite"));
    assert_int_equal(mkdir(store->directory, 0700), 0);
    to = file_in(store, "store.db");
    to_pin = keys_ledger_pin(store);
    copy_over(from, to);
    copy_over(from_pin, to_pin);
}

static void make_begin(void)
{
    struct store_world *store = &reference.begin;
    HF_AUTO_STRING pin = NULL;
    HF_AUTO_STRING log = NULL;

    store_world_init_fast(store, store_kind_named("sqlite"));
    pin = keys_ledger_pin(store);
    log = file_in(store, "store.db-wal");
    world.pin_file = pin;
    assert_ok(&store->op, store_world_open(store, true));
    world.engine = store->engine;
    world_fill_store();
    assert_ok(&world.op, hf_seal_pin(world.seal, &world.op));
    end(store);
    assert_int_equal(size_of(log), 0);
}

static void run_reference(void)
{
    struct keys_ledger ledger = { 0 };
    struct store_world store;
    HF_AUTO_STRING pin = NULL;

    keys_ledger_prepare(&store);
    pin = keys_ledger_pin(&store);
    assert_ok(&world.op, begin(&store, pin));
    for (enum object object = 0; object < LEDGER_OBJECTS; object++) {
        draw(object, &reference.at_first[object]);
    }
    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        run_step(&ledger, i);
        if (!ledger.tried[i] || ledger.codes[i] != HF_OK) {
            fail_msg("%s: %s", steps[i].says, world.op.text);
        }
        reference.looks[i] = world.looks;
        draw(steps[i].object, &reference.pictures[i]);
    }
    end(&store);
    keys_ledger_check(&ledger, &store, "nothing fails");
    store_world_done(&store);
}

int keys_ledger_start(void **unused)
{
    vfs_install();
    assert_int_equal(world_open(unused), 0);
    /* The store in memory makes room for ours. */
    world_close_keys();
    hf_engine_free(world.engine);
    world.engine = NULL;
    make_begin();
    run_reference();
    return 0;
}

int keys_ledger_stop(void **unused)
{
    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        hf_buf_done(&reference.pictures[i]);
    }
    for (size_t i = 0; i < LEDGER_OBJECTS; i++) {
        hf_buf_done(&reference.at_first[i]);
    }
    store_world_done(&reference.begin);
    assert_int_equal(world_close(unused), 0);
    vfs_remove();
    return 0;
}
