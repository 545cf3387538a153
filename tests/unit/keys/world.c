/* See world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"

#define HOUR ((uint64_t)3600 * 1000)

struct world world;

static uint64_t realtime_ms(struct hf_env *env)
{
    (void)env;
    return world.now_ms;
}

static uint64_t boottime_ms(struct hf_env *env)
{
    struct hf_env system;

    (void)env;
    hf_env_system(&system);
    world.looks++;
    return hf_env_boottime_ms(&system) +
           (world.looks_before_the_hour != 0 && world.looks > world.looks_before_the_hour ? HOUR
                                                                                          : 0);
}

static void random_bytes(struct hf_env *env, void *out, size_t len)
{
    struct hf_env system;

    (void)env;
    hf_env_system(&system);
    hf_env_random(&system, out, len);
}

static const struct hf_env_ops env_ops = { realtime_ms, boottime_ms, random_bytes };

struct hf_op world_op(unsigned lane)
{
    struct hf_op op;

    hf_op_init(&op, &world.env);
    op.lane = lane;
    return op;
}

struct hf_status world_open_keys(void)
{
    struct hf_slot_info slot;

    HF_TRY(hf_seal_open(world.crypto, &world.op, world.engine, world.pin_file, &world.seal));
    world.keys = hf_keys_new(world.seal, LANES);
    return hf_seal_unlock(world.seal, &world.op, world.protector, &slot);
}

void world_close_keys(void)
{
    hf_keys_free(world.keys);
    hf_seal_free(world.seal);
    world.keys = NULL;
    world.seal = NULL;
}

void world_restart(void)
{
    world_close_keys();
    assert_ok(&world.op, world_open_keys());
}

static void use_memory(void)
{
    struct hf_store_settings settings = { .engine = "memory", .create = true };
    struct hf_engine *memory = NULL;

    memset(settings.store_id, 7, sizeof settings.store_id);
    assert_ok(&world.op, hf_engine_open(&world.op, &settings, &memory));
    world.engine = hf_failing_new(memory);
}

void world_fill_store(void)
{
    struct hf_keyring_settings ring = ring_settings();
    struct hf_slot_plan slot = { "node", world.protector, false };
    struct hf_init_plan plan = {
        .slots = &slot,
        .slot_count = 1,
        .allow_single_slot = true,
        .main_key_kind = HF_PKEY_RSA_2048,
    };

    assert_ok(&world.op, hf_seal_create(world.crypto, &world.op, world.engine, world.pin_file,
                                        &plan, &world.seal));
    hf_seal_free(world.seal);
    assert_ok(&world.op, world_open_keys());
    new_ring(RING, &ring);
}

int world_open(void **unused)
{
    struct hf_secret_settings secrets = { .allow_unlocked = true };
    struct hf_protector_settings settings = { .kind = "keyfile" };
    HF_AUTO_STRING file = NULL;

    (void)unused;
    world.env.ops = &env_ops;
    world.now_ms = 1800000000000;
    world.op = world_op(0);
    assert_ok(&world.op, hf_secret_start(&world.op, &secrets));
    assert_ok(&world.op, hf_crypto_start(&world.op));
    assert_ok(&world.op, hf_crypto_new(&world.op, &world.crypto));
    (void)snprintf(world.directory, sizeof world.directory, "/tmp/holdfast-keys-XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    file = hf_format("%s/key", world.directory);
    assert_ok(&world.op, hf_keyfile_create(world.crypto, &world.op, file));
    settings.file = file;
    assert_ok(&world.op, hf_protector_open(world.crypto, &world.op, &settings, &world.protector));
    use_memory();
    world_fill_store();
    return 0;
}

int world_close(void **unused)
{
    HF_AUTO_STRING file = hf_format("%s/key", world.directory);

    (void)unused;
    world_close_keys();
    hf_engine_free(world.engine);
    hf_protector_free(world.protector);
    hf_crypto_free(world.crypto);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(world.directory), 0);
    return 0;
}

static struct hf_status create(struct hf_op *op, struct hf_txn *txn, const struct change *change,
                               uint32_t *out)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };

    return hf_key_create(world.keys, op, txn, RING, change->name,
                         change->plan != NULL ? change->plan : &plan, out);
}

struct hf_status stage_change(struct hf_op *op, struct hf_txn *txn, const struct change *change,
                              uint32_t *out)
{
    struct hf_keys *keys = world.keys;
    const char *name = change->name;

    switch (change->kind) {
    case CHANGE_CREATE:
        return create(op, txn, change, out);
    case CHANGE_ROTATE:
        return hf_key_rotate(keys, op, txn, RING, name, change->material, out);
    case CHANGE_SET_PRIMARY:
        return hf_key_set_primary(keys, op, txn, RING, name, change->version);
    case CHANGE_REWRAP:
        return hf_key_rewrap(keys, op, txn, RING, name, out);
    case CHANGE_STATE:
        return hf_key_change_state(keys, op, txn, RING, name, change->version, change->event,
                                   change->reason);
    case CHANGE_DELETE:
        return hf_key_delete(keys, op, txn, RING, name, change->reason);
    case CHANGE_RECOVER:
        return hf_key_recover(keys, op, txn, RING, name);
    case CHANGE_DESTROY:
        return hf_key_destroy(keys, op, txn, RING, name, change->version, change->force,
                              change->reason);
    case CHANGE_KEEP:
        return hf_key_keep(keys, op, txn, RING, name, change->version);
    case CHANGE_ROTATE_CANDIDATE:
        return hf_key_rotate_candidate(keys, op, txn, RING, name, change->material, out);
    case CHANGE_PROMOTE:
        return hf_key_promote(keys, op, txn, RING, name, change->version, "");
    case CHANGE_ABANDON:
        return hf_key_abandon(keys, op, txn, RING, name, change->version, change->reason);
    }
    return hf_fail(op, HF_INTERNAL, "no such change");
}

struct hf_status do_change(struct hf_op *op, const struct change *change, uint32_t *out)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;
    uint32_t number = 0;

    HF_TRY(hf_txn_new(world.seal, op, &txn));
    HF_TRY(stage_change(op, txn, change, &number));
    memset(&op->request_id, 0, sizeof op->request_id);
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    if (out != NULL) {
        *out = number;
    }
    return status;
}

uint32_t must(const struct change *change)
{
    uint32_t number = 0;

    assert_ok(&world.op, do_change(&world.op, change, &number));
    return number;
}

uint32_t new_key(const char *name, enum hf_algorithm algorithm)
{
    struct hf_key_plan plan = { .algorithm = algorithm, .first_version = 1 };

    return must(&(struct change){ .kind = CHANGE_CREATE, .name = name, .plan = &plan });
}

uint32_t rotate(const char *name)
{
    return must(&(struct change){ .kind = CHANGE_ROTATE, .name = name });
}

void set_state(const char *name, uint32_t version, enum hf_key_event event)
{
    must(
        &(struct change){ .kind = CHANGE_STATE, .name = name, .version = version, .event = event });
}

struct hf_keyring_settings ring_settings(void)
{
    struct hf_keyring_settings settings;

    hf_keyring_settings_default(&settings);
    return settings;
}

void new_ring(const char *name, const struct hf_keyring_settings *settings)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_create(world.keys, &world.op, txn, name, settings));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
}

struct wanted_version {
    uint32_t number;
    bool found;
    struct hf_version_info info;
};

static void take_version(void *context, const struct hf_version_info *info)
{
    struct wanted_version *wanted = context;

    if (info->version == wanted->number) {
        wanted->found = true;
        wanted->info = *info;
    }
}

struct hf_version_info version_of(const char *name, uint32_t version)
{
    struct wanted_version wanted = { .number = version };

    assert_ok(&world.op, hf_key_versions(world.keys, &world.op, RING, name, take_version, &wanted));
    if (!wanted.found) {
        fail_msg("%s has no version %u", name, version);
    }
    return wanted.info;
}

struct hf_key_info *info_of(const char *name)
{
    struct hf_key_info *info = NULL;

    assert_ok(&world.op, hf_key_get(world.keys, &world.op, RING, name, true, &info));
    return info;
}

struct hf_buf *unhex(const char *text)
{
    struct hf_buf *buf = hf_buf_new();

    assert_ok(&world.op, hf_hex_decode(&world.op, hf_bytes_of_text(text), buf));
    return buf;
}

struct hf_secret *secret_of(struct hf_bytes bytes)
{
    struct hf_secret *secret = NULL;

    assert_ok(&world.op, hf_secret_copy(&world.op, bytes, &secret));
    return secret;
}

void expect(const char *says, struct hf_status status, enum hf_code code, enum hf_cause cause)
{
    if (status.code != code || (code != HF_OK && world.op.cause != cause)) {
        fail_msg("%s: got %s (%s), wanted %s (%s): %s", says, hf_code_name(status.code),
                 hf_cause_name(world.op.cause), hf_code_name(code), hf_cause_name(cause),
                 world.op.text);
    }
}
