/*
 * Stores of the SQLite engine that come and go: one that arrives is arriving.db until it settles as
 * store.db, and one that has gone elsewhere has the file "moved" beside it, which says where to.
 */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"

/* The note: the store's id in a line of its own, then where it went. */
#define ID_LINE  (2 * HF_STORE_ID_LEN + 1)
#define NOTE_MAX 1024

static bool is_there(const char *file)
{
    struct stat about;

    return lstat(file, &about) == 0;
}

/* The beginning of a note, as text; a file that cannot be read still says that the store is gone.
 */
static void read_note(const char *file, char out[NOTE_MAX])
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = fd >= 0 ? pread(fd, out, NOTE_MAX - 1, 0) : 0;

    out[got > 0 ? got : 0] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
}

struct hf_status hf_sqlite_check_moved(struct hf_op *op, const struct hf_sqlite_engine *engine,
                                       bool create)
{
    char note[NOTE_MAX];
    const char *destination;

    if (!is_there(engine->moved_file)) {
        return HF_SUCCESS;
    }
    read_note(engine->moved_file, note);
    destination = note + (strlen(note) < ID_LINE ? 0 : ID_LINE);
    return hf_fail(op, create ? HF_EXISTS : HF_CONFLICT,
                   "the store at %.200s was moved to %.*s; use it there", engine->settled_file,
                   (int)strcspn(destination, "\n"), destination);
}

struct hf_status hf_sqlite_retired(struct hf_op *op, const struct hf_store_settings *settings,
                                   uint8_t out_store_id[HF_STORE_ID_LEN])
{
    HF_AUTO_STRING file = hf_format("%s/moved", settings->directory);
    HF_AUTO(buf) id = hf_buf_new();
    char note[NOTE_MAX];

    if (!is_there(file)) {
        return hf_fail(op, HF_NOT_FOUND, "no store in %.200s was retired", settings->directory);
    }
    read_note(file, note);
    note[strcspn(note, "\n")] = '\0';
    if (hf_hex_decode(op, hf_bytes_of_text(note), id).code != HF_OK || id->len != HF_STORE_ID_LEN) {
        return hf_fail(op, HF_NOT_FOUND, "%.200s does not say which store it was", file);
    }
    memcpy(out_store_id, id->data, HF_STORE_ID_LEN);
    return HF_SUCCESS;
}

/* The id of the store in a file that nobody has open, as hexadecimal text. */
static struct hf_status id_of(struct hf_op *op, const char *file, char *out, size_t len)
{
    struct hf_sqlite_connection connection = { 0 };
    struct hf_status status = hf_sqlite_connect_plain(op, file, &connection);

    if (status.code == HF_OK) {
        status = hf_sqlite_ask_text(&connection, op, "SELECT hex(store_id) FROM state", out, len);
    }
    hf_sqlite_disconnect(&connection, false);
    return status;
}

struct hf_status hf_sqlite_await_arrival(struct hf_op *op, const struct hf_sqlite_engine *engine,
                                         const struct hf_store_settings *settings)
{
    char expected[2 * HF_STORE_ID_LEN + 1] = "";
    char found[2 * HF_STORE_ID_LEN + 1] = "";

    if (is_there(engine->settled_file) && !is_there(engine->moved_file)) {
        return hf_fail(op, HF_EXISTS, "there is a store in %.200s already", settings->directory);
    }
    if (!is_there(engine->file)) {
        return HF_SUCCESS;
    }
    HF_TRY(id_of(op, settings->snapshot, expected, sizeof expected));
    HF_TRY(id_of(op, engine->file, found, sizeof found));
    /* It may be all there is of a store that was retired already. */
    if (strcmp(expected, found) != 0) {
        return hf_fail(op, HF_EXISTS,
                       "%.200s is another store on its way here (%s); end its migration, or remove "
                       "the file",
                       engine->file, found);
    }
    hf_sqlite_remove_copy(engine->file);
    return HF_SUCCESS;
}

/* The file appears with its text or not at all. */
static struct hf_status write_note(struct hf_op *op, const char *file, const uint8_t *store_id,
                                   const char *destination)
{
    HF_AUTO_STRING aside = hf_format("%s.new", file);
    HF_AUTO(buf) note = hf_buf_new();
    int fd;
    bool done;
    int number;

    hf_hex_add(note, hf_bytes_of(store_id, HF_STORE_ID_LEN));
    hf_buf_add_format(note, "\n%s\n", destination);
    fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    done = fd >= 0 && write(fd, note->data, note->len) == (ssize_t)note->len && fsync(fd) == 0;
    number = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (done && rename(aside, file) == 0) {
        return hf_sqlite_sync_directory_of(op, file);
    }
    number = done ? errno : number;
    return hf_fail(op, hf_sqlite_errno_code(number), "cannot write %.200s: %s", file,
                   strerror(number));
}

struct hf_status hf_sqlite_retire(struct hf_engine *base, struct hf_op *op, uint64_t seq,
                                  const char *destination)
{
    struct hf_sqlite_engine *engine = hf_sqlite_of(base);
    struct hf_store_state state;

    HF_TRY(hf_sqlite_state(base, op, &state, NULL));
    if (state.seq != seq) {
        return hf_fail(op, HF_CONFLICT, "the store stands at %" PRIu64 " and no longer at %" PRIu64,
                       state.seq, seq);
    }
    hf_sqlite_disconnect_all(engine);
    return write_note(op, engine->moved_file, state.store_id, destination);
}

static struct hf_status fail_settle(struct hf_op *op, const struct hf_sqlite_engine *engine)
{
    int number = errno;

    return hf_fail(op, hf_sqlite_errno_code(number), "cannot make the store %.200s: %s",
                   engine->settled_file, strerror(number));
}

/*
 * Takes away what is left of the store that went: its log would be taken for one of the store that
 * comes. The note goes last, so a crash leaves either it or a place without a store.
 */
static struct hf_status clear_place(struct hf_op *op, const struct hf_sqlite_engine *engine)
{
    hf_sqlite_remove_copy(engine->settled_file);
    HF_TRY(hf_sqlite_sync_directory_of(op, engine->settled_file));
    return unlink(engine->moved_file) == 0 ? HF_SUCCESS : fail_settle(op, engine);
}

struct hf_status hf_sqlite_settle(struct hf_engine *base, struct hf_op *op)
{
    struct hf_sqlite_engine *engine = hf_sqlite_of(base);

    hf_sqlite_disconnect_all(engine);
    if (is_there(engine->wal_file)) {
        return hf_fail(op, HF_WRONG_STATE, "another process has %.200s open", engine->file);
    }
    if (is_there(engine->moved_file)) {
        HF_TRY(clear_place(op, engine));
    }
    if (renameat2(AT_FDCWD, engine->file, AT_FDCWD, engine->settled_file, RENAME_NOREPLACE) != 0) {
        return fail_settle(op, engine);
    }
    return hf_sqlite_sync_directory_of(op, engine->settled_file);
}
