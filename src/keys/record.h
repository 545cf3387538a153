/*
 * The contents of our records (docs/formats/key.md): encode and decode. A decoded record holds
 * views into the content it came from. For the files of this folder, their tests and fuzz targets.
 */
#pragma once

#include "base/codec.h"
#include "keys/keys.h"

struct hf_keyring_record {
    uint32_t key_version; /* of the keyring key in force */
    uint64_t created_ms;
    bool approve_destroy;
    bool approve_export;
    bool approve_slot_removal;
    uint64_t destroy_wait_ms;
    uint64_t dark_window_ms;
    uint64_t max_stale_ms;
    uint64_t max_stale_wrap_ms;
    struct hf_bytes main_key;
    uint64_t rotate_every_ms;    /* 0: never */
    struct hf_serve_on serve_on; /* in the order of the names; none: all */
    uint32_t min_ways;           /* 0: what the nodes are configured to want */
};
void hf_keyring_record_encode(const struct hf_keyring_record *record, struct hf_buf *out);
HF_STATUS hf_keyring_record_decode(struct hf_op *op, struct hf_bytes content,
                                   struct hf_keyring_record *out);

struct hf_key_record {
    enum hf_algorithm algorithm;
    bool exportable;
    bool deleted;   /* soft: can be recovered */
    bool destroyed; /* the tombstone: nothing is left but what is written here */
    bool unborn; /* its first version is a candidate, its only one, and never was anything else */
    bool has_description;
    bool has_cipher;
    uint32_t primary; /* HF_LATEST: none */
    uint32_t first_version;
    uint32_t next_version; /* the number no version has had yet */
    uint64_t created_ms;
    uint64_t deleted_ms;
    uint64_t destroy_at_ms;
    uint64_t destroyed_ms;
    struct hf_bytes reason; /* of the deletion */
    struct hf_bytes description;
    struct hf_bytes cipher;
    uint32_t attribute_count;
    struct hf_bytes attributes;   /* pairs of texts, one after another */
    uint32_t check_value_count;   /* tombstones: */
    struct hf_bytes check_values; /* number (4) and check value (16), one after another */
};
void hf_key_record_encode(const struct hf_key_record *record, struct hf_buf *out);
HF_STATUS hf_key_record_decode(struct hf_op *op, struct hf_bytes content,
                               struct hf_key_record *out);
/* The next attribute at *rest, which moves on; false after the last. */
bool hf_key_record_attribute(struct hf_bytes *rest, struct hf_bytes *out_name,
                             struct hf_bytes *out_value);
void hf_attribute_put(struct hf_buf *buf, struct hf_bytes name, struct hf_bytes value);

struct hf_version_record {
    enum hf_key_state state;
    bool imported;
    bool candidate;        /* Pre-Active until every node has opened it */
    bool stays_pre_active; /* a candidate: also when they have */
    uint64_t created_ms;
    uint64_t activated_ms;
    uint64_t deactivated_ms;
    uint64_t compromised_ms;
    uint64_t destroyed_ms;
    uint64_t destroy_at_ms; /* 0: no destruction is due */
    uint8_t check_value[HF_CHECK_VALUE_LEN];
    struct hf_bytes reason;      /* of the last change of state */
    struct hf_bytes public_half; /* SPKI; empty unless a key pair */
    struct hf_bytes wrapped;     /* empty when destroyed */
};
void hf_version_record_encode(const struct hf_version_record *record, struct hf_buf *out);
HF_STATUS hf_version_record_decode(struct hf_op *op, struct hf_bytes content,
                                   struct hf_version_record *out);

void hf_usage_encode(const struct hf_usage *usage, struct hf_buf *out);
HF_STATUS hf_usage_decode(struct hf_op *op, struct hf_bytes content, struct hf_usage *out);
