/*
 * Staging changes of keys and versions in a transaction. For the files of this folder.
 */
#pragma once

#include "keys/algorithm.h"
#include "keys/lane.h"

/* A key's record as the store has it; record views into opened. */
struct hf_stored_key {
    struct hf_opened *opened;
    struct hf_key_record record;
};
void hf_stored_key_free(struct hf_stored_key *stored);
HF_DEFINE_CLEANUP(stored_key)
#define HF_LIVE       0U
#define HF_OR_DELETED 1U
#define HF_OR_UNBORN  2U
/*
 * Reads it. HF_NOT_FOUND, in the words of hf_find_live, unless it is live or what else is allowed.
 * Waits.
 */
HF_STATUS hf_stored_key_read(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                             unsigned allowed, struct hf_stored_key **out);

struct hf_stored_version {
    struct hf_opened *opened;
    struct hf_version_record record;
};
void hf_stored_version_free(struct hf_stored_version *stored);
HF_DEFINE_CLEANUP(stored_version)
/* A destroyed version is given too, as its tombstone tells of it. HF_NOT_FOUND. Waits. */
HF_STATUS hf_stored_version_read(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                                 uint32_t number, struct hf_stored_version **out);

HF_STATUS hf_stage_key(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                       uint64_t expected, const struct hf_key_record *record);
HF_STATUS hf_stage_version(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                           uint32_t number, uint64_t expected,
                           const struct hf_version_record *record);

/*
 * Wraps material and proves the wrapping: what it opens to must be the same and have the same
 * check value.
 */
HF_STATUS hf_wrap_proven(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                         uint32_t number, uint32_t keyring_key, const struct hf_secret *material,
                         uint8_t out_check_value[HF_CHECK_VALUE_LEN], struct hf_buf *out);

struct hf_new_version {
    const struct hf_algorithm_row *algorithm;
    const struct hf_secret *material; /* imported; NULL: made here */
    uint32_t material_len;
    bool pre_active;
    bool candidate; /* Pre-Active until it is promoted, then what pre_active says */
    uint32_t number;
};
/* Makes or takes the material, wraps it, proves it, stages it. */
HF_STATUS hf_stage_new_version(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const struct hf_name *name, const struct hf_new_version *wanted);

/* HF_WRONG_STATE for a candidate: it is promoted or abandoned first. */
HF_STATUS hf_candidate_refuse(struct hf_op *op, const struct hf_name *name, uint32_t number,
                              const struct hf_version_record *record);
/* Turns it into what is left of a version: all but its material. */
void hf_version_bury(struct hf_version_record *record, uint64_t now_ms, struct hf_bytes reason);

/* HF_INVALID unless it fits where reasons are kept. NULL counts as empty. */
HF_STATUS hf_reason_check(struct hf_op *op, const char *reason, struct hf_bytes *out);
