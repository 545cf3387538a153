/*
 * The parts of the mirror, for its own files only.
 *
 * One call at a time follows (mirror_follow.c): it alone opens the engine behind, moves the copy
 * and, when the copy cannot be used any more, makes another (mirror_copy.c). Reads take the copy as
 * it is and never wait for the engine (mirror.c).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "store/sqlite_engine.h"

struct hf_mirror {
    struct hf_engine base;
    struct hf_env *env;
    struct hf_store_settings settings; /* of the engine behind, to open it; views of these: */
    char *behind_engine, *behind_directory, *behind_site;
    char **behind_hosts;
    char *directory;
    char *file; /* <directory>/store.db */

    pthread_rwlock_t copy_lock; /* for reading while copy is used, for writing to change it */
    struct hf_engine *copy;     /* NULL: there is none that works */
    uint8_t store_id[HF_STORE_ID_LEN]; /* of the copy; for who follows */

    struct hf_engine *_Atomic behind; /* NULL until it answered once; changed by who follows */
    _Atomic uint64_t seq;             /* of the copy; changed by who follows */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t freed;
    bool busy;         /* somebody follows */
    uint64_t tried_ms; /* boottime, when opening the engine behind last failed; 0: it has not */
    struct hf_mirror_info info;
    struct hf_mirror_guard guard; /* check is NULL: there is none */
};

static inline struct hf_mirror *hf_mirror_of(struct hf_engine *engine)
{
    return (struct hf_mirror *)engine;
}

/* store.c: an engine that is not counted, since the mirror is. */
HF_STATUS hf_engine_open_uncounted(struct hf_op *op, const struct hf_store_settings *settings,
                                   struct hf_engine **out);

/* mirror.c: the copy for one call; give it back. HF_UNAVAILABLE when there is none. */
HF_STATUS hf_mirror_use_copy(struct hf_mirror *mirror, struct hf_op *op, struct hf_engine **out);
void hf_mirror_release_copy(struct hf_mirror *mirror);

/* mirror_copy.c; all but the first are for who follows. */

/* The copy in the directory; HF_NOT_FOUND, HF_CORRUPT and HF_UNSUPPORTED call for another. */
HF_STATUS hf_mirror_open_copy(struct hf_mirror *mirror, struct hf_op *op);
/* Another copy from the engine behind, which must not stand before the one there is. */
HF_STATUS hf_mirror_make_copy(struct hf_mirror *mirror, struct hf_op *op, const char *why);

/* mirror_follow.c */

/* How long the engine may take to say where it stands, to begin, and to be opened beside a copy. */
#define HF_MIRROR_PROBE_MS 2000
/* The deadline is the earlier of the operation's own and that time from now on. */
void hf_mirror_limit(struct hf_op *op, uint64_t ms);
/* Where the engine stands; within that time, or HF_UNAVAILABLE. */
HF_STATUS hf_mirror_ask_stand(struct hf_engine *behind, struct hf_op *op, uint64_t ms,
                              struct hf_store_state *out, struct hf_buf *out_head);
/* The engine behind, opened if need be. HF_UNAVAILABLE. */
HF_STATUS hf_mirror_reach(struct hf_mirror *mirror, struct hf_op *op, struct hf_engine **out);
/* The copy stands at seq at least; 0: wherever the engine stands now. */
HF_STATUS hf_mirror_catch_up(struct hf_mirror *mirror, struct hf_op *op, uint64_t seq);
struct hf_status hf_mirror_accept(struct hf_engine *engine, struct hf_op *op);
/*
 * Makes another copy when reading this one failed so that it must be damaged: the one that was
 * there when so many had been made.
 */
HF_STATUS hf_mirror_replace(struct hf_mirror *mirror, struct hf_op *op, uint64_t copies,
                            const char *why);
/* May there be a write? Tries to mend what is wrong with the copy. */
HF_STATUS hf_mirror_check_writes(struct hf_mirror *mirror, struct hf_op *op);
