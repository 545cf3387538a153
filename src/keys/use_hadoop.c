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

/* Where the counter of a data key begins: the bitwise NOT of its iv. */
static void first_counter(const uint8_t iv[16], uint8_t out[HF_AES_BLOCK_LEN])
{
    for (size_t i = 0; i < HF_AES_BLOCK_LEN; i++) {
        out[i] = (uint8_t)~iv[i];
    }
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

    first_counter(iv, counter);
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

/* Data keys at a time, and the counter blocks each gets: what the longest needs. */
#define RUN_MAX    64
#define KEY_BLOCKS 2
#define KEY_STREAM ((size_t)KEY_BLOCKS * HF_AES_BLOCK_LEN)

struct move {
    struct hf_keys *keys;
    struct hf_op *op;
    struct hf_name name;
    struct hf_hot_entry *from; /* NULL: none is lent */
    struct hf_hot_entry *to;
    struct hf_secret *streams; /* of the old version for a whole run, then of the new one */
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

/* How many from the first on are of its version, up to a whole run. */
static size_t run_of(const struct hf_edek *edeks, size_t count)
{
    size_t len = 1;

    while (len < count && len < RUN_MAX && edeks[len].version == edeks[0].version) {
        len++;
    }
    return len;
}

/* Off with the old stream and on with the new one: the data key itself is never there. */
static void change_stream(struct hf_edek *edek, const uint8_t *old, const uint8_t *new)
{
    for (size_t i = 0; i < edek->len; i++) {
        edek->wrapped[i] ^= old[i] ^ new[i];
    }
}

/* Of one version, and no more than a run. */
static struct hf_status move_run(struct move *move, struct hf_edek *edeks, size_t count)
{
    uint8_t counters[RUN_MAX * KEY_STREAM];
    struct hf_bytes blocks = hf_bytes_of(counters, count * KEY_STREAM);
    uint8_t *old = hf_secret_data(move->streams);
    uint8_t *new = old + sizeof counters;

    HF_TRY(lend(move, edeks[0].version, HF_NEED_PROCESS, &move->from));
    for (size_t i = 0; i < count; i++) {
        uint8_t *counter = counters + i * KEY_STREAM;

        HF_TRY(check_length(move->op, move->from->algorithm, edeks[i].len));
        first_counter(edeks[i].iv, counter);
        hf_ctr_count(counter, counter, KEY_BLOCKS);
    }
    HF_TRY(hf_ctr_stream(move->from->what.ctr, move->op, blocks, old));
    HF_TRY(hf_ctr_stream(move->to->what.ctr, move->op, blocks, new));
    for (size_t i = 0; i < count; i++) {
        change_stream(&edeks[i], old + i * KEY_STREAM, new + i *KEY_STREAM);
        edeks[i].version = move->to->number;
    }
    return HF_SUCCESS;
}

struct hf_status hf_use_hadoop_move(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                    const char *name, uint32_t target, struct hf_edek *edeks,
                                    size_t count)
{
    struct move move = { .keys = keys, .op = op, .name = { keyring, name } };
    struct hf_status status = hf_secret_new(op, 2 * RUN_MAX * KEY_STREAM, &move.streams);
    size_t len;

    if (status.code == HF_OK) {
        status = lend(&move, target, HF_NEED_PROTECT, &move.to);
    }
    for (size_t i = 0; i < count && status.code == HF_OK; i += len) {
        len = run_of(edeks + i, count - i);
        if (edeks[i].version != target) {
            status = move_run(&move, edeks + i, len);
        }
    }
    give_back(&move, &move.from);
    give_back(&move, &move.to);
    hf_secret_free(move.streams);
    return status;
}
