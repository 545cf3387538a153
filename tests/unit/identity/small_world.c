/* See small_world.h. */
#include "small_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tamper.h"

struct small_world small_world;

static uint64_t realtime_ms(struct hf_env *env)
{
    (void)env;
    return small_world.now_ms;
}

static uint64_t boottime_ms(struct hf_env *env)
{
    (void)env;
    return small_world.boot_ms;
}

static void random_bytes(struct hf_env *env, void *out, size_t len)
{
    struct hf_env system;

    (void)env;
    hf_env_system(&system);
    hf_env_random(&system, out, len);
}

static const struct hf_env_ops env_ops = { realtime_ms, boottime_ms, random_bytes };

struct hf_op small_world_op(unsigned lane)
{
    struct hf_op op;

    hf_op_init(&op, &small_world.env);
    op.lane = lane;
    return op;
}

void small_world_pass(uint64_t ms)
{
    small_world.now_ms += ms;
    small_world.boot_ms += ms;
}

char *small_world_path(const char *name)
{
    return hf_format("%s/%s", small_world.directory, name);
}

static void make_protector(const char *name, struct hf_protector **out)
{
    HF_AUTO_STRING file = small_world_path(name);
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    struct hf_op *op = &small_world.op;

    assert_ok(op, hf_keyfile_create(small_world.crypto, op, file));
    assert_ok(op, hf_protector_open(small_world.crypto, op, &settings, out));
}

int small_world_start(void **unused)
{
    struct hf_secret_settings secrets = { .allow_unlocked = true };
    struct hf_op *op = &small_world.op;

    (void)unused;
    small_world.env.ops = &env_ops;
    small_world.now_ms = WORLD_START_MS;
    small_world.boot_ms = 10000;
    *op = small_world_op(0);
    assert_ok(op, hf_secret_start(op, &secrets));
    assert_ok(op, hf_crypto_start(op));
    assert_ok(op, hf_crypto_new(op, &small_world.crypto));
    (void)snprintf(small_world.directory, sizeof small_world.directory, "/tmp/holdfast-XXXXXX");
    assert_non_null(mkdtemp(small_world.directory));
    make_protector("node.key", &small_world.protector);
    make_protector("offline.key", &small_world.offline);
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int small_world_stop(void **unused)
{
    (void)unused;
    hf_protector_free(small_world.protector);
    hf_protector_free(small_world.offline);
    hf_crypto_free(small_world.crypto);
    return nftw(small_world.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void small_world_open_seal(void)
{
    assert_null(small_world.seal);
    assert_ok(&small_world.op, hf_seal_open(small_world.crypto, &small_world.op, small_world.engine,
                                            NULL, &small_world.seal));
}

void small_world_close_seal(void)
{
    hf_seal_free(small_world.seal);
    small_world.seal = NULL;
}

void small_world_new_store(void)
{
    struct hf_store_settings settings = { .engine = "memory", .create = true };
    struct hf_slot_plan slots[] = {
        { "node", small_world.protector, false },
        { "offline", small_world.offline, true },
    };
    struct hf_init_plan plan = { .slots = slots,
                                 .slot_count = HF_COUNT(slots),
                                 .main_key_kind = HF_PKEY_RSA_2048 };
    struct hf_op *op = &small_world.op;
    struct hf_engine *memory = NULL;

    memset(settings.store_id, 7, sizeof settings.store_id);
    assert_ok(op, hf_engine_open(op, &settings, &memory));
    small_world.tamper = tamper_new(memory);
    small_world.engine = hf_failing_new(small_world.tamper);
    assert_ok(op, hf_seal_create(small_world.crypto, op, small_world.engine, NULL, &plan,
                                 &small_world.seal));
    small_world_close_seal();
    small_world_open_seal();
}

void small_world_drop_store(void)
{
    small_world_close_seal();
    hf_engine_free(small_world.engine);
    small_world.engine = NULL;
}

void small_world_alter(const char *path)
{
    HF_AUTO(record) record = NULL;

    assert_ok(&small_world.op, hf_engine_get(small_world.engine, &small_world.op, path, &record));
    record->body.data[record->body.len - 1] ^= 1;
    tamper_show(small_world.tamper, path, record->revision, hf_buf_bytes(&record->body));
}

void small_world_restore(void)
{
    tamper_reset(small_world.tamper);
}

void small_world_unlock(void)
{
    struct hf_slot_info slot;

    assert_ok(&small_world.op,
              hf_seal_unlock(small_world.seal, &small_world.op, small_world.protector, &slot));
}

struct hf_status small_world_put(enum hf_kind kind, const char *path, uint64_t expected,
                                 struct hf_bytes plain)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_op *op = &small_world.op;
    struct hf_status status;

    HF_TRY(hf_txn_new(small_world.seal, op, &txn));
    HF_TRY(hf_txn_put(txn, op, kind, path, expected, plain));
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    return status;
}
