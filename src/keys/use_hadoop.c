/*
 * Hadoop's wrapped data keys: AES-CTR under the raw key with the bitwise NOT of the iv as first
 * counter block. The one use of an AES version's own bytes besides export.
 */
#include "keys/algorithm.h"
#include "keys/lane.h"

/* Data keys are as long as the key that wraps them. */
static struct hf_status check_length(struct hf_op *op, enum hf_algorithm algorithm, size_t len)
{
    const struct hf_algorithm_row *row = hf_algorithm_row(algorithm);

    if (row->family == HF_FAMILY_AES && len != row->min_len) {
        return hf_fail(op, HF_INVALID,
                       "a data key under a key of the kind %s has %u bytes, but got %zu", row->name,
                       row->min_len, len);
    }
    return HF_SUCCESS;
}

/* By a context made for this use, which stays for the next. */
static struct hf_status crypt_cold(struct hf_keys *keys, struct hf_op *op,
                                   const struct hf_hot_ask *ask,
                                   const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in,
                                   uint8_t *out, uint32_t *out_version)
{
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(hf_hot_borrow(keys, op, ask, &entry));
    status = check_length(op, entry->algorithm, in.len);
    if (status.code == HF_OK) {
        status = hf_ctr_crypt(entry->what.ctr, op, counter, in, out);
    }
    *out_version = entry->number;
    hf_hot_return(keys, op, entry, true);
    return status;
}

static struct hf_status crypt(struct hf_keys *keys, struct hf_op *op, const struct hf_hot_ask *ask,
                              const uint8_t iv[16], struct hf_bytes in, uint8_t *out,
                              uint32_t *out_version)
{
    uint8_t counter[HF_AES_BLOCK_LEN];
    struct hf_status status;

    for (size_t i = 0; i < sizeof counter; i++) {
        counter[i] = (uint8_t)~iv[i];
    }
    if (hf_hot_crypt(keys, op, ask, counter, in, out, out_version, &status)) {
        return status;
    }
    return crypt_cold(keys, op, ask, counter, in, out, out_version);
}

struct hf_status hf_use_hadoop_wrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                    const char *name, uint32_t version, const uint8_t iv[16],
                                    struct hf_bytes dek, uint8_t *out, uint32_t *out_version)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROTECT,
        .kind = HF_HOT_HADOOP,
    };

    return crypt(keys, op, &ask, iv, dek, out, out_version);
}

struct hf_status hf_use_hadoop_unwrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                      const char *name, uint32_t version, const uint8_t iv[16],
                                      struct hf_bytes wrapped, uint8_t *out)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_HADOOP,
    };
    uint32_t used = 0;

    return crypt(keys, op, &ask, iv, wrapped, out, &used);
}

/* --- many at once: versions are looked up once in a run, not once a key --- */

struct move {
    struct hf_keys *keys;
    struct hf_op *op;
    struct hf_name name;
    struct hf_hot_entry *from; /* NULL: none is lent */
    struct hf_hot_entry *to;
    struct hf_secret *plain;
};

static void give_back(struct move *move, struct hf_hot_entry **entry)
{
    if (*entry != NULL) {
        hf_hot_return(move->keys, move->op, *entry, true);
        *entry = NULL;
    }
}

static struct hf_status lend(struct move *move, uint32_t version, enum hf_need need,
                             struct hf_hot_entry **entry)
{
    struct hf_hot_ask ask = {
        .name = move->name,
        .version = version,
        .need = need,
        .kind = HF_HOT_HADOOP,
    };

    if (*entry != NULL && (*entry)->number == version) {
        return HF_SUCCESS;
    }
    give_back(move, entry);
    return hf_hot_borrow(move->keys, move->op, &ask, entry);
}

static struct hf_status move_one(struct move *move, struct hf_edek *edek)
{
    uint8_t *plain = hf_secret_data(move->plain);
    uint8_t counter[HF_AES_BLOCK_LEN];

    for (size_t i = 0; i < sizeof counter; i++) {
        counter[i] = (uint8_t)~edek->iv[i];
    }
    HF_TRY(lend(move, edek->version, HF_NEED_PROCESS, &move->from));
    HF_TRY(check_length(move->op, move->from->algorithm, edek->len));
    HF_TRY(hf_ctr_crypt(move->from->what.ctr, move->op, counter,
                        hf_bytes_of(edek->wrapped, edek->len), plain));
    HF_TRY(hf_ctr_crypt(move->to->what.ctr, move->op, counter, hf_bytes_of(plain, edek->len),
                        edek->wrapped));
    edek->version = move->to->number;
    return HF_SUCCESS;
}

struct hf_status hf_use_hadoop_move(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                    const char *name, uint32_t target, struct hf_edek *edeks,
                                    size_t count)
{
    struct move move = { .keys = keys, .op = op, .name = { keyring, name } };
    struct hf_status status = hf_secret_new(op, sizeof edeks->wrapped, &move.plain);

    if (status.code == HF_OK) {
        status = lend(&move, target, HF_NEED_PROTECT, &move.to);
    }
    for (size_t i = 0; i < count && status.code == HF_OK; i++) {
        if (edeks[i].version != target) {
            status = move_one(&move, &edeks[i]);
        }
    }
    give_back(&move, &move.from);
    give_back(&move, &move.to);
    hf_secret_free(move.plain);
    return status;
}
