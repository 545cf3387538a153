/*
 * The parts of the PostgreSQL engine, for its own files only.
 *
 * A watcher thread keeps one connection to every database host and probes its role
 * (postgres_watch.c). A writer thread has a connection to the host that is the primary and runs all
 * writes that are queued in one transaction (postgres_write.c). Readers borrow a connection each
 * (postgres_read.c). All SQL is in postgres_sql.c. Every wait has a limit of ours: libpq is used
 * through its asynchronous calls only (postgres_link.c).
 */
#pragma once

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/store.h"
#include "store/wait.h"

#define HF_PG_READERS 4
#define HF_PG_HOSTS   16
/* How long one step may take; an operation's own deadline may end it sooner. */
#define HF_PG_CONNECT_MS 2000
#define HF_PG_PROBE_MS   1000
#define HF_PG_READ_MS    1000
/* For operations without a deadline of their own. */
#define HF_PG_PATIENCE_MS 30000

enum hf_pg_statement {
    /* of readers */
    HF_PG_STATE,
    HF_PG_GET,
    HF_PG_LIST_FROM,
    HF_PG_LIST_AFTER,
    HF_PG_LOG,
    HF_PG_LOG_CHANGES,
    HF_PG_RECALL,
    HF_PG_LATEST_REQUESTS,
    HF_PG_COPY_RECORDS,
    HF_PG_COPY_BATCHES,
    HF_PG_COPY_LEASES,
    HF_PG_BEATS,
    HF_PG_READ_BEGIN,
    HF_PG_SHARED,

    /* of both */
    HF_PG_ROLLBACK = HF_PG_SHARED,
    HF_PG_READER_STATEMENTS,

    /* of the writer */
    HF_PG_BEGIN = HF_PG_READER_STATEMENTS,
    HF_PG_LOCK_STATE,
    HF_PG_FIND_REQUEST,
    HF_PG_FIND_RECORD,
    HF_PG_FIND_LEASE,
    HF_PG_INSERT_RECORD,
    HF_PG_UPDATE_RECORD,
    HF_PG_INSERT_BATCH,
    HF_PG_INSERT_CHANGE,
    HF_PG_IMPORT_CHANGE,
    HF_PG_INSERT_REQUEST,
    HF_PG_PUT_LEASE,
    HF_PG_PUT_BEAT,
    HF_PG_COMMIT_LOCALLY,
    HF_PG_FORGET_REQUESTS,
    HF_PG_FORGET_CHANGES,
    HF_PG_FORGET_BATCHES,
    HF_PG_UPDATE_STATE,
    HF_PG_COMMIT,
    HF_PG_NAMES,
    HF_PG_STATEMENTS,
};

/* postgres_sql.c: every word of SQL. */
struct hf_pg_sql {
    const char *name; /* of the prepared statement */
    const char *text;
};
extern const struct hf_pg_sql hf_pg_sql[HF_PG_STATEMENTS];
/* Settings of a session; gives one row. The other is for a store that arrives. */
extern const char hf_pg_sql_session[];
extern const char hf_pg_sql_session_arriving[];
/* What a host is; the columns are those of enum hf_pg_probe_column. */
extern const char hf_pg_sql_probe[];
enum hf_pg_probe_column {
    HF_PG_PROBE_RECOVERY,
    HF_PG_PROBE_SYSTEM,
    HF_PG_PROBE_TIMELINE,
    HF_PG_PROBE_NAMES,
    HF_PG_PROBE_STANDBYS,
    HF_PG_PROBE_MAY_SEE,
    HF_PG_PROBE_COMMIT,
    HF_PG_PROBE_FSYNC,
    HF_PG_PROBE_STARTED,
    HF_PG_PROBE_REPLAYED,
    HF_PG_PROBE_RECEIVED,
    HF_PG_PROBE_COLUMNS,
};
/* How many of our tables are there; then version, min_reader, min_writer. */
extern const char hf_pg_sql_has_schema[];
extern const char hf_pg_sql_read_schema[];
extern const char hf_pg_sql_lock_schema[];
extern const char hf_pg_sql_begin[];
extern const char hf_pg_sql_commit[];
extern const char hf_pg_sql_put_schema[];   /* version, min_reader, min_writer */
extern const char hf_pg_sql_insert_state[]; /* store id, epoch, timeline, started */
extern const char hf_pg_sql_store_id[];
extern const char hf_pg_sql_set_epoch[];
/* Of a standby: seq, watermark, time and request id of the last commit. */
extern const char hf_pg_sql_stand[];
extern const char hf_pg_sql_promote[];
/* The current schema, and whether beside it there is one of a store that arrives, or of one that
 * was moved away. */
extern const char hf_pg_sql_look_beside[];
extern const char hf_pg_sql_list_tables[]; /* of the schema given */
/* With a name in place of each %, in this order. */
extern const char hf_pg_sql_in_store_id[];         /* schema */
extern const char hf_pg_sql_in_destination[];      /* schema */
extern const char hf_pg_sql_make_schema[];         /* schema */
extern const char hf_pg_sql_drop_schema[];         /* schema */
extern const char hf_pg_sql_use_schema[];          /* schema */
extern const char hf_pg_sql_make_moved[];          /* schema */
extern const char hf_pg_sql_put_destination[];     /* schema; its parameter is the destination */
extern const char hf_pg_sql_drop_table[];          /* schema, table */
extern const char hf_pg_sql_move_table[];          /* schema, table, schema */
extern const char *const hf_pg_sql_door_tables[2]; /* without which no store is open */
struct hf_pg_migration {
    uint64_t min_reader, min_writer; /* the oldest versions that may use the store afterwards */
    const char *const *steps;        /* NULL-terminated */
};
/* Migration n makes version n + 1 out of version n. */
extern const struct hf_pg_migration hf_pg_migrations[];
extern const size_t hf_pg_migration_count;

/* What a host said it is. */
struct hf_pg_role {
    bool primary;
    uint64_t timeline;
    uint64_t system;            /* identifies the database cluster */
    unsigned names_demand;      /* standbys that synchronous_standby_names waits for */
    unsigned standbys;          /* synchronous ones that are connected and streaming */
    bool may_see;               /* the role may see the standbys */
    bool commits_synchronously; /* in our session */
    bool syncs_disk;
    char started[48];  /* when the server was started */
    uint64_t replayed; /* where its log is in force up to; of a primary: where it ends */
    uint64_t received; /* the same, of what a standby has of it */
};

struct hf_pg_host {
    char *name;    /* "db1:5432", for texts */
    char *site;    /* NULL: not told */
    char *patroni; /* the address of its REST API; NULL: not told */
    bool is_near;  /* of our own site */
    const char **keywords, **values;
    PQconninfoOption *options; /* own the values */
    /* of the view; its lock guards them */
    bool tried;
    bool answers;
    bool quarantined;
    bool lags;              /* a standby: behind what the primary had a second before */
    struct hf_pg_role role; /* the last one heard */
    char problem[160];
};

/* What the watcher knows of all hosts. */
struct hf_pg_view {
    pthread_mutex_t lock; /* guards everything below, and the hosts' part of it */
    pthread_cond_t changed;
    int primary; /* index of a host; -1: none */
    uint64_t timeline;
    uint64_t system; /* 0: no host has answered yet */
    bool fewer;      /* synchronous standbys than required */
    struct {
        uint64_t position, at_ms;
    } mark, next_mark; /* where the primary's log stood, a second ago or more, and since */
    /* Until when writes wait for the standbys to come back, rather than being refused. */
    uint64_t lenient_until_ms;
    bool had_enough; /* standbys, at any time */
    char why[240];   /* why there is no primary that may be written to */
};

enum hf_pg_failure {
    HF_PG_FINE,
    HF_PG_LOST,    /* the connection broke */
    HF_PG_LATE,    /* no answer within the limit; the socket was closed */
    HF_PG_REFUSED, /* an error that the server told; sqlstate says which */
};

struct hf_pg_link {
    PGconn *db; /* NULL: not connected */
    size_t host;
    struct hf_pg_role role; /* when it was connected */
    enum hf_pg_failure failure;
    char sqlstate[6];
    size_t failed_at; /* the statement of the exchange that was refused */
    bool warned;      /* the server sent a warning since this was cleared */
    char warning[160];
    bool unsent; /* a statement could not be sent: none after it is, until it is disconnected */
    bool mixed;  /* a statement of the next exchange gives more than BIGINT and BYTEA */
};

/* Until when a wait lasts: the earliest of these. */
struct hf_pg_limit {
    struct hf_op *op;             /* its deadline; NULL: none */
    uint64_t until_ms;            /* on the monotonic clock; 0: none */
    uint64_t quiet_ms;            /* without a byte from the server; 0: any time */
    const atomic_bool *stop;      /* the engine is closed; NULL: it is not */
    bool (*go_on)(void *context); /* asked now and then; NULL: go on */
    void *context;
};

struct hf_pg_engine;

enum hf_pg_stage {
    HF_PG_QUEUED,
    HF_PG_BUSY,    /* the writer uses what the caller lent: he has to wait */
    HF_PG_ASKED,   /* nothing has happened yet */
    HF_PG_WRITTEN, /* the commit is on its way */
    HF_PG_ENDED,
};

/* Callers put this first in the struct, of the heap, that holds their arguments and results. */
struct hf_pg_job {
    /* Sends what it has to know; gives the number of statements. */
    size_t (*ask)(struct hf_pg_job *job, struct hf_pg_link *link);
    /*
     * Looks at the answers to what it asked, decides, and sends what it writes; adds the number of
     * statements to *out_sent. A job that fails has sent nothing.
     */
    struct hf_status (*write)(struct hf_pg_engine *engine, struct hf_pg_job *job,
                              PGresult *const *answers, size_t *out_sent);
    void (*free)(struct hf_pg_job *job);
    struct hf_op *op;
    const struct hf_request_id *request_id; /* NULL: not an apply */
    const char *lease;                      /* the name of the lease it asks for; NULL: none */
    size_t size;                            /* bytes it sends, about */
    bool writes;                            /* in this transaction it sent something */
    bool needs_commit;                      /* its answer counts after a commit only */
    bool doubtful;                          /* an earlier transaction with it may have happened */
    bool abandoned;                         /* the caller is gone: the writer frees it */
    size_t asked;
    uint64_t until_ms; /* on the monotonic clock, for operations without a deadline */
    struct hf_status status;
    enum hf_pg_stage stage;
    pthread_cond_t ended;
    struct hf_pg_job *next;
};

#define HF_PG_GROUP_MAX   256
#define HF_PG_GROUP_BYTES ((size_t)8 << 20)

/* Jobs of one transaction. */
struct hf_pg_group {
    struct hf_pg_job *jobs[HF_PG_GROUP_MAX];
    size_t count;
};

/* The row in table state, inside the open transaction. */
struct hf_pg_position {
    uint64_t seq;
    uint64_t epoch;
    struct hf_buf head;
};

/* A record that an earlier batch of the same group has changed. */
struct hf_pg_pending {
    uint64_t hash;
    const char *path;
    uint64_t revision;
    const uint8_t *digest;
};

struct hf_pg_writer {
    struct hf_pg_link link; /* of the writer thread, as all up to the lock */
    struct hf_pg_position position;
    struct hf_pg_pending *pending;
    size_t pending_count;
    size_t pending_room;
    size_t alone; /* jobs to run one by one, since they failed together */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards everything below, and the stages of jobs */
    pthread_cond_t work;
    struct hf_pg_job *first;
    struct hf_pg_job **last;
};

struct hf_pg_readers {
    pthread_mutex_t lock; /* guards free, free_count */
    pthread_cond_t returned;
    struct hf_pg_link links[HF_PG_READERS];
    struct hf_pg_link *free[HF_PG_READERS];
    size_t free_count;
};

/* For heartbeats that wait for no standby. */
struct hf_pg_beater {
    pthread_mutex_t lock; /* guards link; held while a heartbeat is on its way */
    struct hf_pg_link link;
};

struct hf_pg_watcher {
    pthread_t thread;
    bool started;
    int wake_fd; /* an eventfd */
};

struct hf_pg_engine {
    struct hf_engine base;
    struct hf_env *env;
    struct hf_pg_host *hosts;
    size_t host_count;
    unsigned synchronous; /* standbys that must confirm a commit */
    bool allow_fewer;
    atomic_bool arriving; /* its tables are in a schema beside the store's */
    uint64_t opening;     /* random; leases of another opening are over */
    uint8_t store_id[HF_STORE_ID_LEN];
    atomic_bool stop;
    _Atomic uint64_t confirmed;  /* the highest seq known to be durable as required */
    pthread_mutex_t leases_lock; /* guards leases, lease_count */
    struct hf_pg_seen_lease *leases;
    size_t lease_count;
    struct hf_metric *standbys_metric, *weak_metric, *doubt_metric;
    struct hf_pg_view view;
    struct hf_pg_watcher watcher;
    struct hf_pg_writer writer;
    struct hf_pg_readers readers;
    struct hf_pg_beater beater;
};

static inline struct hf_pg_engine *hf_pg_of(struct hf_engine *engine)
{
    return (struct hf_pg_engine *)engine;
}

/* postgres.c */

/* Hosts that are watched, and nothing else yet; for postgres_sites.c. */
HF_STATUS hf_pg_watch(struct hf_op *op, const struct hf_store_settings *settings,
                      struct hf_pg_engine **out);
/* Also for one that was opened in part only. */
void hf_pg_close(struct hf_pg_engine *engine);

/* postgres_settings.c */

/* Parses and checks the hosts of the settings. HF_INVALID. */
HF_STATUS hf_pg_settings_take(struct hf_pg_engine *engine, struct hf_op *op,
                              const struct hf_store_settings *settings);
void hf_pg_settings_done(struct hf_pg_engine *engine);
/* What libpq is told of a host; "" for nothing. */
const char *hf_pg_setting(const struct hf_pg_host *host, const char *keyword);

/* postgres_link.c */

uint64_t hf_pg_now_ms(void);
/* HF_UNAVAILABLE when the limit is over. */
HF_STATUS hf_pg_limit_check(const struct hf_pg_limit *limit, struct hf_op *op);
/* Starts to connect; the caller drives PQconnectPoll(). NULL when memory is gone. */
PGconn *hf_pg_start_connect(const struct hf_pg_host *host);
/* Connects, sets the session up, asks the role and prepares statements from up to to. */
HF_STATUS hf_pg_connect(struct hf_pg_engine *engine, struct hf_op *op,
                        const struct hf_pg_limit *limit, size_t host, enum hf_pg_statement from,
                        enum hf_pg_statement to, struct hf_pg_link *out);
/* Closes the socket; never sends a cancel. Safe when it is not connected. */
void hf_pg_disconnect(struct hf_pg_link *link);

/* Parameters of a statement; bytes must live until it was sent. */
struct hf_pg_params {
    int count;
    const char *values[8];
    int lengths[8];
    int formats[8];
    uint8_t numbers[8][8];
};
void hf_pg_param_u64(struct hf_pg_params *params, uint64_t value);
void hf_pg_param_bytes(struct hf_pg_params *params, struct hf_bytes bytes);

/*
 * Puts a statement into the pipeline; params may be NULL. What fails shows in the exchange, and
 * nothing is sent after it: what follows must not happen without it.
 */
void hf_pg_send(struct hf_pg_link *link, enum hf_pg_statement statement,
                const struct hf_pg_params *params);
void hf_pg_send_text(struct hf_pg_link *link, const char *sql, const struct hf_pg_params *params);
void hf_pg_send_prepare(struct hf_pg_link *link, enum hf_pg_statement statement);
/*
 * Sends what is in the pipeline and waits for count results, which the caller clears. On a failure
 * there are none, and link->failure says more; after HF_PG_LOST and HF_PG_LATE it is disconnected.
 */
HF_STATUS hf_pg_exchange(struct hf_pg_link *link, struct hf_op *op, const struct hf_pg_limit *limit,
                         PGresult **results, size_t count);
/* One statement and its result. */
HF_STATUS hf_pg_ask(struct hf_pg_link *link, struct hf_op *op, const struct hf_pg_limit *limit,
                    enum hf_pg_statement statement, const struct hf_pg_params *params,
                    PGresult **out);
void hf_pg_clear(PGresult **results, size_t count);
/* Ends an open transaction, if there is one. */
void hf_pg_roll_back(struct hf_pg_link *link, const struct hf_pg_limit *limit);

/* postgres_status.c */

/* What an error of the server means for what was being done. */
enum hf_pg_class {
    HF_PG_CLASS_RETRY,      /* nothing has happened; the same may work now */
    HF_PG_CLASS_WRONG_HOST, /* nothing has happened; this host takes no writes */
    HF_PG_CLASS_LOST,       /* the connection is over; a commit may have happened */
    HF_PG_CLASS_DEFINITE,   /* nothing has happened, and a repeat would end the same */
};
enum hf_pg_class hf_pg_class_of(const char *sqlstate);
/* Whether a commit that was answered with this may have happened all the same. */
bool hf_pg_is_ambiguous(const char *sqlstate);
enum hf_code hf_pg_code_of(const char *sqlstate);
/* Fails with the code and text of an error; text is the server's. */
HF_STATUS hf_pg_fail(struct hf_op *op, const char *sqlstate, const char *text);
HF_STATUS hf_pg_fail_went_back(struct hf_op *op, uint64_t stands, uint64_t seen);
/* Why a host cannot be connected to, out of what libpq says of that. */
void hf_pg_reasons(const char *text, char *out, size_t room);
/* Counters that are raised by one: what is far beyond any that is in use is damage. */
#define HF_PG_COUNTER_MOST ((uint64_t)1 << 62)
/* 0 for NULL, and for what is no number of ours. */
uint64_t hf_pg_u64(const PGresult *result, int row, int column);
/* The same for a counter; HF_CORRUPT for what cannot be one. */
HF_STATUS hf_pg_counter(struct hf_op *op, const PGresult *result, int row, int column,
                        uint64_t *out);
struct hf_bytes hf_pg_bytes(const PGresult *result, int row, int column);
/* Copies a value of exactly len bytes; HF_CORRUPT if it is not that. */
HF_STATUS hf_pg_exact(struct hf_op *op, const PGresult *result, int row, int column, void *out,
                      size_t len);

/* postgres_schema.c */

/* Makes the tables and the state of a new store. HF_EXISTS. */
HF_STATUS hf_pg_create(struct hf_pg_engine *engine, struct hf_op *op,
                       const struct hf_store_settings *settings);
/* A statement that is not prepared; out may be NULL. */
HF_STATUS hf_pg_run(struct hf_pg_link *link, struct hf_op *op, const struct hf_pg_limit *limit,
                    const char *sql, const struct hf_pg_params *params, PGresult **out);
/* How many of the tables without which no store is open are in the current schema. */
HF_STATUS hf_pg_look(struct hf_pg_link *link, struct hf_op *op, const struct hf_pg_limit *limit,
                     uint64_t *out_count);
/* A commit that has to be known to be durable as the settings require. HF_IN_DOUBT. */
HF_STATUS hf_pg_commit(const struct hf_pg_engine *engine, struct hf_pg_link *link, struct hf_op *op,
                       const struct hf_pg_limit *limit);
HF_STATUS hf_pg_connect_primary(struct hf_pg_engine *engine, struct hf_op *op,
                                const struct hf_pg_limit *limit, struct hf_pg_link *out);
struct hf_pg_limit hf_pg_limit_of(struct hf_pg_engine *engine, struct hf_op *op);

/* postgres_import.c */

/* In the open transaction: fills new empty tables of the current schema with a snapshot. */
HF_STATUS hf_pg_import(struct hf_pg_link *link, struct hf_op *op, const struct hf_pg_limit *limit,
                       const char *snapshot);
/* The id of the store in a snapshot. */
HF_STATUS hf_pg_import_id(struct hf_op *op, const char *snapshot, uint8_t out[HF_STORE_ID_LEN]);

/* postgres_move.c: stores that come and go. */

/* In the open transaction: the current schema becomes a new one for a store that arrives. */
HF_STATUS hf_pg_make_room(struct hf_pg_link *link, struct hf_op *op,
                          const struct hf_pg_limit *limit, const uint8_t *store_id);
/* Fails with the code, saying where to, when the store of the current schema was moved away. */
HF_STATUS hf_pg_check_moved(struct hf_pg_link *link, struct hf_op *op,
                            const struct hf_pg_limit *limit, enum hf_code code);
struct hf_status hf_pg_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                              const char *destination);
struct hf_status hf_pg_settle(struct hf_engine *engine, struct hf_op *op);
struct hf_status hf_pg_retired(struct hf_op *op, const struct hf_store_settings *settings,
                               uint8_t out_store_id[HF_STORE_ID_LEN]);
/* Checks the version, migrates, and reads the store's id. HF_NOT_FOUND, HF_UNSUPPORTED. */
HF_STATUS hf_pg_check_schema(struct hf_pg_engine *engine, struct hf_op *op);

/* postgres_role.c: what hosts are, and which of them counts. */

/* Whether a standby has what the other has not: what is longer on a timeline that was left is no
 * more. While no primary answers, nobody has said yet that it was left: who chooses has to ask. */
bool hf_pg_is_further(const struct hf_pg_role *role, const struct hf_pg_role *than);

HF_STATUS hf_pg_role_read(struct hf_op *op, const PGresult *probe, struct hf_pg_role *out);
/* May this session commit what must not be lost? HF_UNAVAILABLE. */
HF_STATUS hf_pg_check_link(struct hf_op *op, const struct hf_pg_link *link);
/*
 * Of HF_PG_NAMES right after a commit. A setting that is lowered while a commit waits ends its
 * wait: then it is not where it has to be. HF_IN_DOUBT.
 */
HF_STATUS hf_pg_check_names(const struct hf_pg_engine *engine, struct hf_op *op,
                            const PGresult *row);
/* How many standbys a value of synchronous_standby_names waits for. */
unsigned hf_pg_names_demand(const char *names);
void hf_pg_view_init(struct hf_pg_view *view);
void hf_pg_view_done(struct hf_pg_view *view);
/* role NULL: the host does not answer, for the reason in problem. */
void hf_pg_publish(struct hf_pg_engine *engine, size_t host, const struct hf_pg_role *role,
                   const char *problem);
/* Is this still what the host is, as far as is known? */
bool hf_pg_is_current(struct hf_pg_engine *engine, const struct hf_pg_link *link);
/* The host to write to; HF_UNAVAILABLE says why there is none. */
HF_STATUS hf_pg_primary(struct hf_pg_engine *engine, struct hf_op *op, size_t *out_host);
/* Is there a primary that policy forbids to write to, and not just since a moment ago? */
bool hf_pg_policy_refuses(struct hf_pg_engine *engine);
/* The best host to read from that is not in the set of bits, for newest the primary before all
 * others; false: none. */
bool hf_pg_reader_host(struct hf_pg_engine *engine, uint32_t without, bool newest,
                       size_t *out_host);
void hf_pg_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context);
/* Waits, at most for about ms, for news of the watcher. */
void hf_pg_await_news(struct hf_pg_engine *engine, uint64_t ms);
bool hf_pg_all_tried(struct hf_pg_engine *engine);

/* postgres_watch.c */
HF_STATUS hf_pg_watcher_start(struct hf_pg_engine *engine, struct hf_op *op);
void hf_pg_watcher_stop(struct hf_pg_engine *engine);
/* Something is wrong: look now. */
void hf_pg_watcher_wake(struct hf_pg_engine *engine);

/* postgres_queue.c */
void hf_pg_writer_init(struct hf_pg_writer *writer);
void hf_pg_writer_done(struct hf_pg_writer *writer);
/*
 * Queues the job and waits until it ended, or until the deadline of its operation: then a job that
 * is under way stays with the writer, *out_gone is set, and the caller must not touch it any more.
 * Otherwise he frees it with hf_pg_job_free().
 */
HF_STATUS hf_pg_submit(struct hf_pg_engine *engine, struct hf_pg_job *job, bool *out_gone);
void hf_pg_job_free(struct hf_pg_job *job);
/* For the writer: waits for a job; false when it is to stop. */
bool hf_pg_queue_await(struct hf_pg_engine *engine);
/* The next jobs, whose callers now wait without a limit; perhaps none. */
void hf_pg_queue_take(struct hf_pg_writer *writer, struct hf_pg_group *out);
/* While the writer waits, callers may go; then it takes back those whose callers stayed. */
void hf_pg_queue_lend(struct hf_pg_writer *writer, struct hf_pg_group *group,
                      enum hf_pg_stage stage);
void hf_pg_queue_reclaim(struct hf_pg_writer *writer, struct hf_pg_group *group);
/* Their statuses are set. */
void hf_pg_queue_end(struct hf_pg_writer *writer, struct hf_pg_group *group);
/* Back to the front of the queue; doubtful: those that wrote may have happened. */
void hf_pg_queue_return(struct hf_pg_writer *writer, struct hf_pg_group *group, bool doubtful);
/* Ends all that are queued with this failure, but for the doubtful. */
void hf_pg_queue_refuse(struct hf_pg_writer *writer, const struct hf_op *why);
/* Does anybody still wait for one of these? */
bool hf_pg_queue_is_awaited(struct hf_pg_writer *writer, const struct hf_pg_group *group);

/* postgres_write.c */
HF_STATUS hf_pg_writer_start(struct hf_pg_engine *engine, struct hf_op *op);
void hf_pg_writer_stop(struct hf_pg_engine *engine);
/* Everything up to seq is durable. */
void hf_pg_confirm(struct hf_pg_engine *engine, uint64_t seq);

/* postgres_batch.c: jobs. */
struct hf_status hf_pg_apply(struct hf_engine *engine, struct hf_op *op,
                             const struct hf_batch *batch, struct hf_commit *out);
struct hf_status hf_pg_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq);
/* The same, with the timeline it was made on. */
HF_STATUS hf_pg_barrier_on(struct hf_pg_engine *engine, struct hf_op *op, uint64_t *out_seq,
                           uint64_t *out_timeline);
struct hf_status hf_pg_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq);
/* What the first time gave, from a row that the request id was found at. HF_CONFLICT. */
HF_STATUS hf_pg_read_first(struct hf_op *op, const PGresult *row, const struct hf_batch *batch,
                           struct hf_commit *out);

/* postgres_beat.c */
struct hf_status hf_pg_beat(struct hf_engine *engine, struct hf_op *op, const struct hf_beat *beat,
                            bool synchronous, uint64_t *out_seq);
struct hf_status hf_pg_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                             void *context, uint64_t *out_seq);

/* postgres_lease.c */
struct hf_status hf_pg_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                             const char *holder, uint64_t duration_ms, uint64_t *out_fence);
void hf_pg_leases_done(struct hf_pg_engine *engine);

/* postgres_read.c */

/* One read: it may be made again on another host as long as nothing of it was shown. */
struct hf_pg_reading {
    struct hf_pg_engine *engine;
    struct hf_op *op;
    struct hf_pg_link *link;
    struct hf_pg_limit limit;
    bool newest;        /* the primary is asked first, wherever it stands */
    uint64_t confirmed; /* when the call began: a host that shows less is behind */
    bool shown;         /* a visitor was called: hf_pg_note_shown() */
    bool again;         /* set with a failure: another host, or the same later, may do */
};
typedef struct hf_status (*hf_pg_read_call)(struct hf_pg_reading *reading, void *context);
HF_STATUS hf_pg_read(struct hf_pg_engine *engine, struct hf_op *op, hf_pg_read_call call,
                     void *context);
/* The same, for what is not there: a standby may only not have it yet. */
HF_STATUS hf_pg_read_newest(struct hf_pg_engine *engine, struct hf_op *op, hf_pg_read_call call,
                            void *context);
/*
 * A visitor is called: the read is not made again elsewhere, and has all the time that the
 * operation allows it, as long as the server does not fall silent.
 */
void hf_pg_note_shown(struct hf_pg_reading *reading);
/*
 * May what was read be shown? stands is the host's counter, watermark what all nodes have
 * confirmed, and needed the highest seq in what was read, which a barrier proves if need be.
 */
HF_STATUS hf_pg_check_stand(struct hf_pg_reading *reading, uint64_t stands, uint64_t watermark,
                            uint64_t needed);
/* The row of HF_PG_STATE, if it may be shown. */
HF_STATUS hf_pg_take_state(struct hf_pg_reading *reading, const PGresult *row,
                           struct hf_store_state *out, struct hf_buf *out_head);
/* One read transaction: its first statement gives the state. End it with hf_pg_end_reading(). */
HF_STATUS hf_pg_begin_reading(struct hf_pg_reading *reading, PGresult **out_state);
void hf_pg_end_reading(struct hf_pg_reading *reading);
void hf_pg_readers_init(struct hf_pg_readers *readers);
void hf_pg_readers_done(struct hf_pg_readers *readers);
void hf_pg_readers_close(struct hf_pg_readers *readers);
struct hf_status hf_pg_state(struct hf_engine *engine, struct hf_op *op, struct hf_store_state *out,
                             struct hf_buf *out_head);
struct hf_status hf_pg_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                           struct hf_record **out);
struct hf_status hf_pg_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                            const char *after, hf_record_visitor visit, void *context);

/* postgres_log.c */
struct hf_status hf_pg_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                               size_t max_batches, hf_log_visitor visit, void *context);
struct hf_status hf_pg_recall(struct hf_engine *engine, struct hf_op *op,
                              const struct hf_batch *batch, struct hf_commit *out);
struct hf_status hf_pg_find(struct hf_engine *engine, struct hf_op *op,
                            const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                            uint64_t up_to_seq, struct hf_request_id *out);

/* postgres_sites.c */
struct hf_sites {
    struct hf_pg_engine *engine; /* of which only the watcher runs */
};
struct hf_status hf_pg_accept(struct hf_engine *engine, struct hf_op *op);

/* postgres_snapshot.c */
struct hf_status hf_pg_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                uint64_t *out_seq);
