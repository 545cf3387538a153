/*
 * One operation in flight: who asks, until when, under which request id, and what went wrong.
 *
 * Threads: an operation belongs to one thread at a time.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/status.h"

#define HF_REQUEST_ID_LEN 16
#define HF_OP_TEXT_MAX    320

/* Why something could not be opened (promise P7); told only to those who may know. */
enum hf_cause {
    HF_CAUSE_NONE = 0,
    HF_CAUSE_UNKNOWN_KEY,
    HF_CAUSE_VERSION_DESTROYED,
    HF_CAUSE_PROTECTOR_UNAVAILABLE,
    HF_CAUSE_OTHER_STORE,
    HF_CAUSE_ALTERED,
    HF_CAUSE_NOT_PROVEN, /* a new version that not every node is known to open yet */
};

/* 16 random or derived bytes under which a write happens once. All zero means none. */
struct hf_request_id {
    uint8_t bytes[HF_REQUEST_ID_LEN];
};

struct hf_caller; /* identity/caller.h */
struct hf_fence;  /* seal/seal.h */

/* In a cluster: what entitles this node to answer. All zero where nobody has to be asked. */
struct hf_standing {
    bool stale;        /* without a lease: said in header, audit and metrics */
    uint64_t stale_ms; /* since the last fresh moment; UINT64_MAX: not known */
    uint64_t lease;    /* its number; 0 without */
    uint64_t until_ms; /* of a stale one, on the boottime clock */
    bool ahead;        /* the answer shows what is not in force on every node yet: said likewise */
    bool elsewhere;    /* refused: other nodes serve that keyring */
};

struct hf_op {
    struct hf_env *env;
    const struct hf_caller *caller; /* NULL: the server itself */
    const char *door;               /* static name of the door it came through; NULL: none */
    uint64_t arrived_ms;            /* realtime, of its request; 0: nobody's, or not known */
    uint64_t deadline_ms;           /* on the boottime clock; 0: none */
    const atomic_bool *stop;        /* once it is set, the time is over as well; NULL: never */
    struct hf_request_id request_id;
    struct hf_fence *fence; /* what every commit under it also has to get past; NULL: nothing */
    bool may_wait;          /* false on a loop thread: what would wait answers HF_LATER instead */
    unsigned lane;          /* the number of the thread that runs it; picks per-thread caches */
    struct hf_standing standing;
    unsigned proven_on; /* nodes that have opened the version which it made, */
    unsigned proven_of; /* of so many that serve it; 0: it made none, or nobody knows any more */
    enum hf_code code;  /* of the failure that text tells about */
    enum hf_cause cause;
    char text[HF_OP_TEXT_MAX]; /* for log, audit and those who may know; never key material */
};

/* An operation of the server itself, with no deadline, that may wait. */
void hf_op_init(struct hf_op *op, struct hf_env *env);

/*
 * Start a failure: keeps code and text in the operation and returns the status.
 * The text says what was wrong and what to do, without key material.
 */
HF_STATUS hf_fail(struct hf_op *op, enum hf_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with one of the five causes. */
HF_STATUS hf_fail_cause(struct hf_op *op, enum hf_code code, enum hf_cause cause,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Forget an earlier failure, so that the operation can go on or be tried again. */
void hf_op_clear(struct hf_op *op);

/* HF_UNAVAILABLE once the deadline has passed, or its thread is to stop. */
HF_STATUS hf_op_check_deadline(struct hf_op *op);
bool hf_op_is_stopped(const struct hf_op *op);

bool hf_request_id_is_set(const struct hf_request_id *id);

/* "unknown_key", "version_destroyed", ... as written in audit and the admin door. */
const char *hf_cause_name(enum hf_cause cause);
