/*
 * Strangers: who fails before it is known who he is. He must not fill the trail, so his failures
 * are counted by door and address prefix, and told once per window.
 *
 * Threads: the lock of the trail guards the table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HF_AUDIT_STRANGERS          1024
#define HF_AUDIT_STRANGER_WINDOW_MS 10000
#define HF_AUDIT_PREFIX_MAX         64
#define HF_AUDIT_DOOR_MAX           16

struct hf_audit_stranger {
    bool used;
    char prefix[HF_AUDIT_PREFIX_MAX]; /* "192.0.2.0/24" */
    char door[HF_AUDIT_DOOR_MAX];
    uint64_t window_ends_ms; /* on the boottime clock */
    uint64_t count;          /* failures that no line tells yet */
};

struct hf_audit_strangers {
    struct hf_audit_stranger rows[HF_AUDIT_STRANGERS];
    struct hf_audit_stranger rest; /* of those who found no row */
};

/* The /24 or /64 an address belongs to; what is no address stands for itself. */
void hf_audit_prefix(const char *address, char out[HF_AUDIT_PREFIX_MAX]);

struct hf_audit;
struct hf_op;
/* Writes what is due: from the background, with the lock held. */
void hf_audit_flush_strangers_locked(struct hf_audit *audit, struct hf_op *op, bool all);
