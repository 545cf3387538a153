/* The mirror's copy: opening it, and making it anew from the engine behind. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "store/mirror_engine.h"

/* How long making a copy may take once it has begun, for operations without a deadline. */
#define MAKE_MS 1800000
/* How long the engine may take to say where it stands when there is nothing else to go on with. */
#define ALONE_MS 30000

static struct hf_status open_file(struct hf_mirror *mirror, struct hf_op *op,
                                  struct hf_engine **out, struct hf_store_state *out_state)
{
    const struct hf_store_settings settings = { .engine = "sqlite",
                                                .directory = mirror->directory };
    HF_AUTO(engine) copy = NULL;

    HF_TRY(hf_engine_open_uncounted(op, &settings, &copy));
    HF_TRY(hf_engine_state(copy, op, out_state, NULL));
    *out = HF_TAKE(copy);
    return HF_SUCCESS;
}

/* With copy_lock held for writing, or before anybody else has the mirror. */
static struct hf_status open_there(struct hf_mirror *mirror, struct hf_op *op)
{
    struct hf_store_state state;

    HF_TRY(open_file(mirror, op, &mirror->copy, &state));
    memcpy(mirror->store_id, state.store_id, sizeof mirror->store_id);
    atomic_store(&mirror->seq, state.seq);
    return HF_SUCCESS;
}

struct hf_status hf_mirror_open_copy(struct hf_mirror *mirror, struct hf_op *op)
{
    struct hf_status status;

    hf_assert(pthread_rwlock_wrlock(&mirror->copy_lock) == 0);
    status = open_there(mirror, op);
    hf_assert(pthread_rwlock_unlock(&mirror->copy_lock) == 0);
    return status;
}

static struct hf_status make_directory(struct hf_op *op, const char *directory)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        int number = errno;

        return hf_fail(op, hf_sqlite_errno_code(number), "cannot make the directory %.200s: %s",
                       directory, strerror(number));
    }
    return HF_SUCCESS;
}

/* An engine that writes no snapshots: from nothing, through its whole log. */
static struct hf_status begin_empty(struct hf_op *op, const char *file,
                                    const struct hf_store_state *state)
{
    struct hf_sqlite_connection empty = { 0 };
    struct hf_status status;

    if (state->oldest_seq > 1) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "the engine writes no snapshots, and its change log begins at commit "
                       "%" PRIu64 " only",
                       state->oldest_seq);
    }
    HF_TRY(hf_sqlite_make_file(op, file));
    status = hf_sqlite_fill_copy(op, file, state->store_id, &empty);
    hf_sqlite_disconnect(&empty, false);
    HF_TRY(status);
    return hf_sqlite_prove_copy(op, file, 0);
}

static struct hf_status write_new(struct hf_mirror *mirror, struct hf_op *op,
                                  struct hf_engine *behind, const char *file, uint64_t *out_seq)
{
    uint64_t ms = mirror->copy != NULL ? HF_MIRROR_PROBE_MS : ALONE_MS;
    struct hf_store_state state;
    struct hf_status status;

    HF_TRY(hf_mirror_ask_stand(behind, op, ms, &state, NULL));
    if (state.seq < atomic_load(&mirror->seq)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store went back in time: it stands at commit %" PRIu64
                       ", and this node has copied commit %" PRIu64,
                       state.seq, atomic_load(&mirror->seq));
    }
    hf_sqlite_remove_copy(file);
    status = hf_engine_snapshot(behind, op, file, out_seq);
    if (status.code == HF_UNSUPPORTED) {
        hf_op_clear(op);
        *out_seq = 0;
        status = begin_empty(op, file, &state);
    }
    return status;
}

/*
 * The old copy is given up only when the new one is whole and durable. Its log goes first: SQLite
 * would apply it to any file of that name.
 */
static struct hf_status put_in_place(struct hf_mirror *mirror, struct hf_op *op, const char *file)
{
    static const char *const endings[] = { "-journal", "-wal", "-shm" };

    hf_engine_free(mirror->copy);
    mirror->copy = NULL;
    for (size_t i = 0; i < HF_COUNT(endings); i++) {
        HF_AUTO_STRING beside = hf_format("%s%s", mirror->file, endings[i]);

        (void)unlink(beside);
    }
    if (rename(file, mirror->file) != 0) {
        int number = errno;

        return hf_fail(op, hf_sqlite_errno_code(number), "cannot put %.200s in place: %s", file,
                       strerror(number));
    }
    HF_TRY(hf_sqlite_sync_directory_of(op, mirror->file));
    return open_there(mirror, op);
}

static void count_copy(struct hf_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    mirror->info.copies++;
    pthread_mutex_unlock(&mirror->lock);
}

static struct hf_status make_from(struct hf_mirror *mirror, struct hf_op *op,
                                  struct hf_engine *behind)
{
    HF_AUTO_STRING file = hf_format("%s.new", mirror->file);
    struct hf_status status;
    uint64_t seq = 0;

    status = write_new(mirror, op, behind, file, &seq);
    if (status.code == HF_OK) {
        hf_assert(pthread_rwlock_wrlock(&mirror->copy_lock) == 0);
        status = put_in_place(mirror, op, file);
        hf_assert(pthread_rwlock_unlock(&mirror->copy_lock) == 0);
    }
    if (status.code != HF_OK) {
        hf_sqlite_remove_copy(file);
        return status;
    }
    count_copy(mirror);
    HF_INFO(mirror->env, "the copy of the store in %s is made anew, as of commit %" PRIu64,
            mirror->directory, seq);
    return HF_SUCCESS;
}

/* Nobody else has the directory: a daemon that was left over, perhaps. */
static struct hf_status make_alone(struct hf_mirror *mirror, struct hf_op *op,
                                   struct hf_engine *behind)
{
    int lock = -1;

    /* The copy that is open has the lock of the directory. */
    if (mirror->copy == NULL) {
        HF_TRY(make_directory(op, mirror->directory));
        HF_TRY(hf_sqlite_lock(op, mirror->directory, &lock));
        (void)close(lock);
    }
    return make_from(mirror, op, behind);
}

/* Keeps what failed, and says what it was for. */
static struct hf_status fail_making(struct hf_op *op, struct hf_status failed, const char *why)
{
    HF_AUTO_STRING reason = hf_strdup(op->text);

    return hf_fail(op, failed.code, "%.140s; it could not be made anew: %.140s", why, reason);
}

struct hf_status hf_mirror_make_copy(struct hf_mirror *mirror, struct hf_op *op, const char *why)
{
    uint64_t deadline_ms = op->deadline_ms;
    struct hf_engine *behind = NULL;
    struct hf_status status = hf_mirror_reach(mirror, op, &behind);

    if (status.code == HF_OK) {
        HF_WARNING(mirror->env, "%s; making it anew", why);
        if (op->deadline_ms == 0) {
            op->deadline_ms = hf_env_boottime_ms(op->env) + MAKE_MS;
        }
        status = make_alone(mirror, op, behind);
        op->deadline_ms = deadline_ms;
    }
    return status.code == HF_OK || status.code == HF_WRONG_STATE ? status
                                                                 : fail_making(op, status, why);
}
