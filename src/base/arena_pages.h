/*
 * The kernel's side of secret memory: address space that is reserved once, and pages in it that are
 * locked, left out of core dumps and not inherited. Only secret.c and arena.c call this.
 *
 * Threads: hf_pages_start() comes first and alone; map and unmap may run in any thread on ranges
 * that do not overlap.
 */
#pragma once

#include "base/secret.h"

struct hf_pages {
    uint8_t *base; /* of the reserved range; nothing in it can be touched until it is mapped */
    size_t reserved;
    size_t page;
    size_t max_bytes; /* that may be mapped at a time: what was asked for, or may be locked */
    enum hf_secret_backing backing;
};

/* Reserves `reserve` bytes aligned to `align` (a power of two) and finds out how to lock them. */
HF_STATUS hf_pages_start(struct hf_op *op, const struct hf_secret_settings *settings,
                         size_t reserve, size_t align, struct hf_pages *out);

/* Zeroed, usable pages at an offset of the reserved range; false when the kernel refuses. */
bool hf_pages_map(const struct hf_pages *pages, size_t offset, size_t len);
/* Gives the pages back; the range stays reserved and faults when touched. */
void hf_pages_unmap(const struct hf_pages *pages, size_t offset, size_t len);

/* No core files, no ptrace by the same user. */
HF_STATUS hf_pages_forbid_dumps(struct hf_op *op);

/*
 * HF_NO_SPACE when the text of /proc/swaps names a swap area and the memory outside the arenas
 * cannot be locked either, unless that is allowed.
 */
HF_STATUS hf_pages_check_swap(struct hf_op *op, struct hf_bytes swaps, bool allow_unlocked);
