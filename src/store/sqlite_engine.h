/*
 * The parts of the SQLite engine, for its own files only.
 *
 * One file, store.db in WAL mode, is written through one connection (sqlite_write.c), read through
 * a small pool of connections (sqlite_read.c) and checkpointed by a thread with a connection of its
 * own (sqlite_checkpoint.c). Each connection is used by one thread at a time.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store/beats.h"
#include "store/store.h"
#include "store/wait.h"

#define HF_SQLITE_READERS 4

enum hf_sqlite_statement {
    /* of readers */
    HF_SQLITE_STATE,
    HF_SQLITE_SEQ,
    HF_SQLITE_GET,
    HF_SQLITE_LIST_FROM,
    HF_SQLITE_LIST_AFTER,
    HF_SQLITE_LOG,
    HF_SQLITE_LOG_CHANGES,
    HF_SQLITE_RECALL,
    HF_SQLITE_LATEST_REQUESTS,
    HF_SQLITE_READ_BEGIN,
    HF_SQLITE_READER_STATEMENTS,

    /* of the writer */
    HF_SQLITE_BEGIN = HF_SQLITE_READER_STATEMENTS,
    HF_SQLITE_POSITION,
    HF_SQLITE_COMMIT,
    HF_SQLITE_FIND_REQUEST,
    HF_SQLITE_FIND_RECORD,
    HF_SQLITE_INSERT_RECORD,
    HF_SQLITE_UPDATE_RECORD,
    HF_SQLITE_INSERT_BATCH,
    HF_SQLITE_INSERT_CHANGE,
    HF_SQLITE_INSERT_REQUEST,
    HF_SQLITE_UPDATE_STATE,
    HF_SQLITE_UPDATE_EPOCH,
    HF_SQLITE_FIND_BATCH,
    HF_SQLITE_TOUCH_STATE,
    HF_SQLITE_FIND_LEASE,
    HF_SQLITE_PUT_LEASE,
    HF_SQLITE_FORGET_REQUESTS,
    HF_SQLITE_FORGET_CHANGES,
    HF_SQLITE_FORGET_BATCHES,
    HF_SQLITE_STATEMENTS,
};

struct hf_sqlite_connection {
    sqlite3 *db;
    sqlite3_stmt *statements[HF_SQLITE_STATEMENTS]; /* those of its kind; the others are NULL */
    int failure; /* the result code of the last failed step; the writer clears and asks it */
};

/* What the writer knows of the row in table state. */
struct hf_sqlite_position {
    uint64_t seq;
    uint64_t epoch;
    struct hf_buf head;
};

struct hf_sqlite_job;
struct hf_sqlite_engine;

/* What a call asks of the writer: run inside the transaction of its group. */
typedef struct hf_status (*hf_sqlite_run)(struct hf_sqlite_engine *engine,
                                          struct hf_sqlite_job *job);

enum hf_sqlite_stage { HF_SQLITE_QUEUED, HF_SQLITE_TAKEN, HF_SQLITE_ENDED };

/* Callers put this first in the struct that holds their arguments and results. */
struct hf_sqlite_job {
    hf_sqlite_run run;
    struct hf_op *op;
    const struct hf_request_id *request_id; /* NULL: not an apply */
    struct hf_status status;
    enum hf_sqlite_stage stage;
    pthread_cond_t ended;
    struct hf_sqlite_job *next;
};

struct hf_sqlite_writer {
    /* These four are of the thread that has set busy. */
    struct hf_sqlite_connection connection;
    struct hf_sqlite_position durable; /* as committed */
    struct hf_sqlite_position current; /* inside the open transaction */
    bool moved;                        /* current differs from durable */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;
    bool busy; /* somebody writes: the writer thread, or a caller by itself */
    struct hf_sqlite_job *first;
    struct hf_sqlite_job **last;
    bool stop;
    char refusal[HF_OP_TEXT_MAX];   /* why no write is taken any more; empty: writes are taken */
    struct hf_request_id *doubtful; /* requests whose end was not seen before the refusal */
    size_t doubtful_count;
};

struct hf_sqlite_readers {
    pthread_mutex_t lock; /* guards free, free_count */
    pthread_cond_t returned;
    struct hf_sqlite_connection connections[HF_SQLITE_READERS];
    struct hf_sqlite_connection *free[HF_SQLITE_READERS];
    size_t free_count;
    /* For snapshots, opened early: a file by that name may be another one by then. */
    struct hf_sqlite_connection snapshot;
    pthread_mutex_t snapshot_lock; /* guards snapshot */
};

struct hf_sqlite_checkpointer {
    struct hf_sqlite_connection connection; /* of the checkpoint thread */
    pthread_mutex_t gate; /* held by the writer during a transaction, or to keep it out */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;
    int frames; /* in the write-ahead log since it was last copied to the end */
    bool stop;
};

struct hf_sqlite_engine {
    struct hf_engine base;
    struct hf_env *env; /* of the operation that opened it */
    char *file;         /* <directory>/store.db, or arriving.db */
    char *wal_file;     /* <file>-wal */
    char *settled_file; /* <directory>/store.db */
    char *moved_file;   /* <directory>/moved: there is none unless the store was retired */
    int lock_fd;
    uint64_t opening; /* random; leases of another opening are over */
    struct hf_file_identity {
        uint64_t device;
        uint64_t inode;
    } identity, wal_identity;
    /* Committed through this engine, or found at the opening: no reader may see less. */
    _Atomic uint64_t committed;
    struct hf_sqlite_writer writer;
    struct hf_sqlite_readers readers;
    struct hf_sqlite_checkpointer checkpointer;
    pthread_mutex_t beats_lock; /* guards beats */
    struct hf_kept_beats beats;
};

static inline struct hf_sqlite_engine *hf_sqlite_of(struct hf_engine *engine)
{
    return (struct hf_sqlite_engine *)engine;
}

/* sqlite_status.c: results of SQLite as statuses, and statements. */

/* The code for a result of SQLite; HF_OK for SQLITE_OK, SQLITE_ROW and SQLITE_DONE. */
enum hf_code hf_sqlite_code(int result);
/* Fails with the code and text of a result; what says what was being done. */
HF_STATUS hf_sqlite_fail(struct hf_sqlite_connection *connection, struct hf_op *op, int result,
                         const char *what);
/* Run one or more statements that give no rows of interest. */
HF_STATUS hf_sqlite_run_text(struct hf_sqlite_connection *connection, struct hf_op *op,
                             const char *sql);
/* The first column of the first row, as a number or as text (out_text holds up to len bytes). */
HF_STATUS hf_sqlite_ask(struct hf_sqlite_connection *connection, struct hf_op *op, const char *sql,
                        int64_t *out);
HF_STATUS hf_sqlite_ask_text(struct hf_sqlite_connection *connection, struct hf_op *op,
                             const char *sql, char *out_text, size_t len);
/* One step; *out_row says whether there is a row. A failure resets the statement. */
HF_STATUS hf_sqlite_step(struct hf_sqlite_connection *connection, struct hf_op *op,
                         sqlite3_stmt *statement, bool *out_row);
/* A step that gives no row, then a reset. */
HF_STATUS hf_sqlite_do(struct hf_sqlite_connection *connection, struct hf_op *op,
                       enum hf_sqlite_statement statement);
/* Ends a read transaction, which a failure may have ended already. */
void hf_sqlite_end_read(struct hf_sqlite_connection *connection);
void hf_sqlite_reset(sqlite3_stmt *statement);
/* Bound bytes and texts must live until the statement is reset. */
void hf_sqlite_bind_bytes(sqlite3_stmt *statement, int at, struct hf_bytes bytes);
void hf_sqlite_bind_text(sqlite3_stmt *statement, int at, const char *text);
void hf_sqlite_bind_u64(sqlite3_stmt *statement, int at, uint64_t value);
struct hf_bytes hf_sqlite_column_bytes(sqlite3_stmt *statement, int at);
const char *hf_sqlite_column_text(sqlite3_stmt *statement, int at);
uint64_t hf_sqlite_column_u64(sqlite3_stmt *statement, int at);
/* Copies a blob of exactly len bytes; HF_CORRUPT if it is not that. */
HF_STATUS hf_sqlite_column_exact(struct hf_op *op, sqlite3_stmt *statement, int at, void *out,
                                 size_t len);

/* sqlite_schema.c: making and opening the file. */

/* A new store at engine->file, all or nothing; HF_EXISTS when there is one. */
HF_STATUS hf_sqlite_create(struct hf_sqlite_engine *engine, struct hf_op *op,
                           const struct hf_store_settings *settings);
/*
 * HF_CORRUPT or HF_UNSUPPORTED for a file that is not ours or newer, HF_WRONG_STATE for one whose
 * log is another's; nothing is changed.
 */
HF_STATUS hf_sqlite_check_header(struct hf_sqlite_engine *engine, struct hf_op *op);
/* Opens the file in the ways every connection shares and prepares the statements of its kind. */
HF_STATUS hf_sqlite_connect_writer(struct hf_sqlite_engine *engine, struct hf_op *op,
                                   struct hf_sqlite_connection *out);
HF_STATUS hf_sqlite_connect_reader(struct hf_sqlite_engine *engine, struct hf_op *op,
                                   struct hf_sqlite_connection *out);
/* Without statements of its own. */
HF_STATUS hf_sqlite_connect_plain(struct hf_op *op, const char *file,
                                  struct hf_sqlite_connection *out);
/* Safe on a connection that was never opened. keep_wal leaves the write-ahead log as it is. */
void hf_sqlite_disconnect(struct hf_sqlite_connection *connection, bool keep_wal);

/* sqlite_write.c: the writer thread. */
void hf_sqlite_writer_init(struct hf_sqlite_writer *writer);
void hf_sqlite_writer_done(struct hf_sqlite_writer *writer);
/* Connects, makes durable what is found in the log and loads the position. */
HF_STATUS hf_sqlite_writer_open(struct hf_sqlite_engine *engine, struct hf_op *op);
HF_STATUS hf_sqlite_writer_start(struct hf_sqlite_engine *engine, struct hf_op *op);
void hf_sqlite_writer_stop(struct hf_sqlite_engine *engine);
/* Runs the job, or queues it behind others and waits until it ended; gives its status. */
HF_STATUS hf_sqlite_submit(struct hf_sqlite_engine *engine, struct hf_sqlite_job *job);
/* From now on no write is taken, for the reason in text. Callable from any thread. */
void hf_sqlite_refuse_writes(struct hf_sqlite_engine *engine, const char *text);
bool hf_sqlite_refuses_writes(struct hf_sqlite_engine *engine);

/* sqlite_batch.c: what jobs do inside a transaction. */
struct hf_status hf_sqlite_apply(struct hf_engine *engine, struct hf_op *op,
                                 const struct hf_batch *batch, struct hf_commit *out);
struct hf_status hf_sqlite_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq);
struct hf_status hf_sqlite_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                 const char *holder, uint64_t duration_ms, uint64_t *out_fence);
struct hf_status hf_sqlite_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq);

/* What the first time gave, from a row that the request id was found at. HF_CONFLICT. */
HF_STATUS hf_sqlite_read_first(struct hf_op *op, sqlite3_stmt *find, const struct hf_batch *batch,
                               struct hf_commit *out);

/* sqlite_follow.c: the file as the copy of another engine's store. */

/* Shows the log after from: as changes of an engine does. */
struct hf_sqlite_source {
    struct hf_status (*changes)(void *context, struct hf_op *op, uint64_t from,
                                hf_log_visitor visit, void *visitor);
    void *context;
};
/*
 * Takes over what the source has logged after the last batch of the file, as it was committed
 * there: all of it, up to where the source stands, or nothing. HF_WRONG_STATE when the source's log
 * does not go on from the file's last batch, HF_NOT_FOUND when it no longer reaches back that far.
 */
HF_STATUS hf_sqlite_follow(struct hf_engine *engine, struct hf_op *op,
                           const struct hf_sqlite_source *source, uint64_t *out_seq);

/* sqlite_request.c */
struct hf_status hf_sqlite_recall(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_batch *batch, struct hf_commit *out);
struct hf_status hf_sqlite_find(struct hf_engine *engine, struct hf_op *op,
                                const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                uint64_t up_to_seq, struct hf_request_id *out);

/* sqlite_read.c */

/* A reader for one call; give it back. */
HF_STATUS hf_sqlite_borrow(struct hf_engine *engine, struct hf_op *op,
                           struct hf_sqlite_connection **out);
void hf_sqlite_give_back(struct hf_engine *engine, struct hf_sqlite_connection *connection);
/*
 * A reader in a read transaction of its own, which shows all that was committed before; give it
 * back with hf_sqlite_end_view(). HF_CORRUPT when the file shows less.
 */
HF_STATUS hf_sqlite_view(struct hf_engine *engine, struct hf_op *op,
                         struct hf_sqlite_connection **out);
void hf_sqlite_end_view(struct hf_engine *engine, struct hf_sqlite_connection *connection);
/* HF_CORRUPT when the file stands before what was committed to it. */
HF_STATUS hf_sqlite_check_seq(struct hf_op *op, uint64_t seq, uint64_t committed);
/* The same of what the connection shows now; which: a statement that gives seq first. */
HF_STATUS hf_sqlite_check_position(struct hf_sqlite_connection *connection, struct hf_op *op,
                                   enum hf_sqlite_statement which, uint64_t committed);
void hf_sqlite_readers_init(struct hf_sqlite_readers *readers);
void hf_sqlite_readers_done(struct hf_sqlite_readers *readers);
HF_STATUS hf_sqlite_readers_open(struct hf_sqlite_engine *engine, struct hf_op *op);
void hf_sqlite_readers_close(struct hf_sqlite_engine *engine, bool keep_wal);
struct hf_status hf_sqlite_state(struct hf_engine *engine, struct hf_op *op,
                                 struct hf_store_state *out, struct hf_buf *out_head);
struct hf_status hf_sqlite_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                               struct hf_record **out);
struct hf_status hf_sqlite_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                const char *after, hf_record_visitor visit, void *context);
struct hf_status hf_sqlite_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                   size_t max_batches, hf_log_visitor visit, void *context);

/* sqlite_beat.c: heartbeats end with the process, as leases do; so they are not in the file. */
struct hf_status hf_sqlite_beat(struct hf_engine *engine, struct hf_op *op,
                                const struct hf_beat *beat, bool synchronous, uint64_t *out_seq);
struct hf_status hf_sqlite_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                                 void *context, uint64_t *out_seq);

/* sqlite_checkpoint.c */
void hf_sqlite_checkpointer_init(struct hf_sqlite_checkpointer *checkpointer);
void hf_sqlite_checkpointer_done(struct hf_sqlite_checkpointer *checkpointer);
HF_STATUS hf_sqlite_checkpointer_open(struct hf_sqlite_engine *engine, struct hf_op *op);
void hf_sqlite_checkpointer_stop(struct hf_sqlite_engine *engine);
/* Tells it how long the write-ahead log has grown. */
void hf_sqlite_checkpointer_tell(struct hf_sqlite_engine *engine, int frames);

/*
 * For snapshots, of other engines too, in a new empty file: the tables of a new store, with the
 * statements of the writer to fill them.
 */
HF_STATUS hf_sqlite_fill_copy(struct hf_op *op, const char *file, const uint8_t *store_id,
                              struct hf_sqlite_connection *out);

/* sqlite_snapshot.c */

/* The closed file is whole, stands at seq and is durable. */
HF_STATUS hf_sqlite_prove_copy(struct hf_op *op, const char *file, int64_t seq);
/* Copies a snapshot into a file that is a database or empty, and proves the copy. */
HF_STATUS hf_sqlite_copy_snapshot(struct hf_op *op, const char *snapshot, const char *file);
/* Removes the file and what SQLite puts beside it. */
void hf_sqlite_remove_copy(const char *file);
struct hf_status hf_sqlite_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                    uint64_t *out_seq);

/* sqlite_move.c: stores that come and go. */

/* HF_CONFLICT, or HF_EXISTS for one who makes a store, when the store of this place was retired. */
HF_STATUS hf_sqlite_check_moved(struct hf_op *op, const struct hf_sqlite_engine *engine,
                                bool create);
/* Makes room for a store that is to arrive out of settings->snapshot. HF_EXISTS. */
HF_STATUS hf_sqlite_await_arrival(struct hf_op *op, const struct hf_sqlite_engine *engine,
                                  const struct hf_store_settings *settings);
struct hf_status hf_sqlite_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                                  const char *destination);
struct hf_status hf_sqlite_settle(struct hf_engine *engine, struct hf_op *op);
struct hf_status hf_sqlite_retired(struct hf_op *op, const struct hf_store_settings *settings,
                                   uint8_t out_store_id[HF_STORE_ID_LEN]);
/* Closes all connections of the engine; a log that has to stay is kept. */
void hf_sqlite_disconnect_all(struct hf_sqlite_engine *engine);

/* sqlite_files.c: what the engine does with files beside SQLite. */

/* Takes <directory>/lock for this process; HF_WRONG_STATE names the process that has it. */
HF_STATUS hf_sqlite_lock(struct hf_op *op, const char *directory, int *out_fd);
HF_STATUS hf_sqlite_identify(struct hf_op *op, const char *file, struct hf_file_identity *out);
/* Is it still the file that was identified? */
bool hf_sqlite_is_same_file(const char *file, const struct hf_file_identity *identity);
/* A new empty file with mode 0600; HF_EXISTS. */
HF_STATUS hf_sqlite_make_file(struct hf_op *op, const char *file);
/* Makes a file, or the directory it is in, durable. */
HF_STATUS hf_sqlite_sync_file(struct hf_op *op, const char *file);
HF_STATUS hf_sqlite_sync_directory_of(struct hf_op *op, const char *file);
/* The code for an errno value. */
enum hf_code hf_sqlite_errno_code(int number);
