/*
 * What the tests of the audit trail start from: a directory, a signing key, a clock that stands
 * still, and a disk that fails where a test says so.
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>

#include "test.h"

#include "audit/trail.h"
#include "audit/walk.h"

/* Clocks and randomness that several threads may ask. */
struct fixture_env {
    struct hf_env env;
    _Atomic uint64_t realtime_ms;
    _Atomic uint64_t boottime_ms;
    _Atomic uint8_t next_random;
};

/* The calls of struct hf_audit_disk_ops, for those that are to fail. */
enum disk_call {
    DISK_WRITE,
    DISK_TRUNCATE,
    DISK_SYNC,
    DISK_SYNC_DIRECTORY,
    DISK_CREATE,
    DISK_RENAME,
    DISK_CALLS,
};

/* A disk that fails: the n-th call, or every call of a kind, or for want of space. */
struct fixture_disk {
    struct hf_audit_disk disk;   /* hand this on */
    struct hf_audit_disk system; /* what is behind it */
    _Atomic unsigned calls;      /* so far */
    _Atomic unsigned counts[DISK_CALLS];
    _Atomic int fail_kind[DISK_CALLS]; /* 0, or the errno every call of that kind gives */
    _Atomic unsigned fail_from;        /* the calls from this number on fail; 0: none */
    _Atomic unsigned fail_to;          /* up to this number */
    _Atomic int fail_errno;
    _Atomic uint64_t space;    /* bytes that can still be written; UINT64_MAX: enough */
    _Atomic bool short_writes; /* a write takes half of what it is given */
    pthread_mutex_t gate;      /* held by a test: calls of the kind wait behind it */
    _Atomic int gate_kind;     /* an enum disk_call; DISK_CALLS: none */
    _Atomic unsigned waiting;  /* calls at the gate */
};

struct fixture {
    struct fixture_env env;
    struct fixture_disk disk;
    struct hf_op op;
    struct hf_audit_settings settings;
    struct hf_buf public_key;
    char directory[64];
    struct hf_audit *audit;
};

extern struct hf_crypto *fixture_crypto;

/* For a whole program: secret memory and OpenSSL. */
int fixture_start(void **unused);
int fixture_stop(void **unused);

/* For each test: an empty directory and a closed trail in *state. */
int fixture_new(void **state);
int fixture_free(void **state);

/* Another key for checkpoints than the fixture's; the caller frees it. */
struct hf_pkey *fixture_other_key(void);

/* Opens the trail on the fixture's disk, or closes it. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* Leaves the trail without a word, as a killed process does; the disk takes nothing more. */
void fixture_kill(struct fixture *fixture);

/* A data event of a caller, appended or refused. */
struct hf_status fixture_append(struct fixture *fixture, struct hf_op *op, unsigned number);
/* That many events, written. */
void fixture_fill(struct fixture *fixture, unsigned count);
struct hf_status fixture_note(struct fixture *fixture, uint64_t seq);

/* The content of a file, NULL when there is none; the caller frees it. */
struct hf_buf *fixture_read(struct fixture *fixture, const char *name);
void fixture_replace(struct fixture *fixture, const char *name, struct hf_bytes content);
void fixture_remove(struct fixture *fixture, const char *name);
bool fixture_has(struct fixture *fixture, const char *name);

struct hf_status fixture_verify(struct fixture *fixture, const char *anchor,
                                struct hf_audit_report *out);
/* The trail must be whole. */
void fixture_assert_whole(struct fixture *fixture, struct hf_audit_report *out);
/* How often a text stands in all files of the trail. */
unsigned fixture_count(struct fixture *fixture, const char *text);
/* Where line number n (from 1) of a text begins, and its length with the newline. */
struct hf_bytes fixture_line(struct hf_bytes text, unsigned number);
/* Polls until the condition is true; the test fails after 20 seconds. */
void fixture_wait_until(bool (*condition)(struct fixture *fixture), struct fixture *fixture);
