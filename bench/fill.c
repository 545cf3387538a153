/*
 * Fills a node's store with many key versions, through the same code as the server, for the start
 * bench: fill DIR KEYS VERSIONS.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/keys.h"

#define PER_COMMIT 2000

static void must(struct hf_op *op, struct hf_status status)
{
    if (status.code != HF_OK) {
        (void)fprintf(stderr, "fill: %s\n", op->text);
        exit(1);
    }
}

static void stage(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn, unsigned long number,
                  unsigned long version)
{
    static const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 0 };
    HF_AUTO_STRING name = hf_format("bench-key-%08lx", number);
    uint32_t made;

    if (version == 0) {
        must(op, hf_key_create(keys, op, txn, "hadoop", name, &plan, &made));
    } else {
        must(op, hf_key_rotate(keys, op, txn, "hadoop", name, NULL, &made));
    }
}

static void fill(struct hf_keys *keys, struct hf_op *op, unsigned long count,
                 unsigned long versions)
{
    for (unsigned long version = 0; version < versions; version++) {
        for (unsigned long first = 0; first < count; first += PER_COMMIT) {
            HF_AUTO(txn) txn = NULL;
            struct hf_txn_commit commit = { 0 };

            must(op, hf_txn_new(hf_keys_seal(keys), op, &txn));
            for (unsigned long i = first; i < count && i < first + PER_COMMIT; i++) {
                stage(keys, op, txn, i, version);
            }
            must(op, hf_txn_commit(txn, op, &commit));
        }
    }
}

static void run(struct hf_op *op, const char *directory, unsigned long count,
                unsigned long versions)
{
    HF_AUTO_STRING store = hf_format("%s/store", directory);
    HF_AUTO_STRING pin = hf_format("%s/state/pin", directory);
    HF_AUTO_STRING key_file = hf_format("%s/secrets/node.key", directory);
    const struct hf_store_settings store_settings = { .engine = "sqlite", .directory = store };
    const struct hf_protector_settings slot = { .kind = "keyfile", .file = key_file };
    struct hf_slot_info opened;
    HF_AUTO(crypto) crypto = NULL;
    HF_AUTO(engine) engine = NULL;
    HF_AUTO(seal) seal = NULL;
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(keys) keys = NULL;

    must(op, hf_crypto_new(op, &crypto));
    must(op, hf_engine_open(op, &store_settings, &engine));
    must(op, hf_seal_open(crypto, op, engine, pin, &seal));
    keys = hf_keys_new(seal, 1);
    must(op, hf_protector_open(crypto, op, &slot, &protector));
    must(op, hf_seal_unlock(seal, op, protector, &opened));
    fill(keys, op, count, versions);
    must(op, hf_seal_pin(seal, op));
    hf_seal_lock(seal);
}

int main(int argc, char **argv)
{
    const struct hf_secret_settings memory = { .max_bytes = (size_t)256 << 20,
                                               .allow_unlocked = true };
    struct hf_env env;
    struct hf_op op;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: fill DIR KEYS VERSIONS\n");
        return 2;
    }
    hf_env_system(&env);
    hf_op_init(&op, &env);
    must(&op, hf_secret_start(&op, &memory));
    must(&op, hf_crypto_start(&op));
    run(&op, argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    return 0;
}
