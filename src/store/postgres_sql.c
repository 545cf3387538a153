/*
 * All SQL of the PostgreSQL engine, so that another engine that speaks its protocol can be tried by
 * changing one file. Statements keep to what such engines share: no LISTEN, no advisory locks, no
 * functions in the database. Only hf_pg_sql_session, hf_pg_sql_probe, hf_pg_sql_promote and the
 * statements "commit_locally" and "names" use what PostgreSQL alone knows. Everything of ours is
 * BIGINT or BYTEA: paths are bytes, sorted by byte.
 */
#include "store/postgres_engine.h"

/* What all nodes have confirmed, whoever shows it: it speaks of commits that were acknowledged. */
#define WATERMARK "coalesce((SELECT max(confirmed_seq) FROM hb), 0)"

const struct hf_pg_sql hf_pg_sql[HF_PG_STATEMENTS] = {
    [HF_PG_STATE] = { "state",
                      "SELECT store_id, seq, epoch, head,"
                      " coalesce((SELECT min(seq) FROM batch), 0), " WATERMARK " FROM state" },
    [HF_PG_GET] = { "get", "SELECT s.seq, " WATERMARK ", r.revision, r.seq, r.body"
                           " FROM state s LEFT JOIN record r ON r.path = $1" },
    [HF_PG_LIST_FROM] = { "list_from", "SELECT path, revision, seq, body FROM record"
                                       " WHERE path >= $1 ORDER BY path LIMIT $2" },
    [HF_PG_LIST_AFTER] = { "list_after", "SELECT path, revision, seq, body FROM record"
                                         " WHERE path > $1 ORDER BY path LIMIT $2" },
    [HF_PG_LOG] = { "log", "SELECT seq, epoch, realtime_ms, note, request_id, principal, digest,"
                           " result FROM batch WHERE seq > $1 ORDER BY seq LIMIT $2" },
    /* No join: a planner that expects many changes would read all records for a few. */
    [HF_PG_LOG_CHANGES] = { "log_changes",
                            "SELECT c.seq, c.path, c.revision, c.digest, c.link,"
                            " (SELECT r.body FROM record r"
                            "  WHERE r.path = c.path AND r.revision = c.revision)"
                            " FROM change c"
                            " WHERE c.seq > $1 AND c.seq <= $2 ORDER BY c.seq, c.ordinal" },
    [HF_PG_RECALL] = { "recall", "SELECT b.seq, b.epoch, b.principal, b.digest, b.result,"
                                 " s.seq, " WATERMARK " FROM state s"
                                 " LEFT JOIN request r ON r.request_id = $1"
                                 " LEFT JOIN batch b ON b.seq = r.seq" },
    /* The last seconds are looked through: an index would cost every commit. */
    [HF_PG_LATEST_REQUESTS] = { "latest", "SELECT request_id, digest, realtime_ms, seq FROM batch"
                                          " WHERE seq <= $1 ORDER BY seq DESC LIMIT $2" },
    [HF_PG_COPY_RECORDS] = { "copy_records", "SELECT path, revision, seq, digest, body FROM record"
                                             " WHERE path > $1 ORDER BY path LIMIT $2" },
    [HF_PG_COPY_BATCHES] = { "copy_batches",
                             "SELECT seq, epoch, realtime_ms, request_id, principal, digest, note,"
                             " result FROM batch WHERE seq > $1 ORDER BY seq LIMIT $2" },
    [HF_PG_COPY_LEASES] = { "copy_leases", "SELECT name, holder, fence FROM lease ORDER BY name" },
    /* One statement, so that counter and heartbeats are of one moment. */
    [HF_PG_BEATS] = { "beats", "SELECT s.seq, " WATERMARK ", h.node, h.n, h.confirmed_seq,"
                               " h.applied_seq, h.body FROM state s LEFT JOIN hb h ON true"
                               " ORDER BY h.node" },
    [HF_PG_READ_BEGIN] = { "read_begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" },

    [HF_PG_ROLLBACK] = { "rollback", "ROLLBACK" },

    [HF_PG_BEGIN] = { "begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" },
    /* Held until the commit has ended: it makes all writers of all nodes one after the other. */
    [HF_PG_LOCK_STATE] = { "lock_state", "SELECT store_id, seq, epoch, head, timeline, started"
                                         " FROM state FOR UPDATE" },
    [HF_PG_FIND_REQUEST] = { "find_request",
                             "SELECT b.seq, b.epoch, b.principal, b.digest, b.result FROM request r"
                             " LEFT JOIN batch b ON b.seq = r.seq WHERE r.request_id = $1" },
    [HF_PG_FIND_RECORD] = { "find_record", "SELECT revision, digest FROM record WHERE path = $1" },
    [HF_PG_FIND_LEASE] = { "find_lease", "SELECT holder, fence, opening, renewals, duration_ms"
                                         " FROM lease WHERE name = $1" },
    [HF_PG_INSERT_RECORD] = { "insert_record", "INSERT INTO record"
                                               " (path, revision, seq, digest, body)"
                                               " VALUES ($1, $2, $3, $4, $5)" },
    [HF_PG_UPDATE_RECORD] = { "update_record", "UPDATE record SET revision = $2, seq = $3,"
                                               " digest = $4, body = $5 WHERE path = $1" },
    [HF_PG_INSERT_BATCH] = { "insert_batch", "INSERT INTO batch (seq, epoch, realtime_ms,"
                                             " request_id, principal, digest, note, result)"
                                             " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)" },
    /* Only beside the record as it says: without one there is no digest, which is refused. */
    [HF_PG_INSERT_CHANGE] = { "insert_change",
                              "INSERT INTO change (seq, ordinal, path, revision, digest, link)"
                              " VALUES ($1, $2, $3, $4, (SELECT r.digest FROM record r WHERE"
                              " r.path = $3 AND r.revision = $4 AND r.digest = $5), $6)" },
    [HF_PG_IMPORT_CHANGE] = { "import_change", "INSERT INTO change"
                                               " (seq, ordinal, path, revision, digest, link)"
                                               " VALUES ($1, $2, $3, $4, $5, $6)" },
    [HF_PG_INSERT_REQUEST] = { "insert_request",
                               "INSERT INTO request (request_id, seq) VALUES ($1, $2)" },
    [HF_PG_PUT_LEASE] = { "put_lease",
                          "INSERT INTO lease"
                          " (name, holder, fence, opening, renewals, duration_ms)"
                          " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET"
                          " holder = excluded.holder, fence = excluded.fence,"
                          " opening = excluded.opening, renewals = excluded.renewals,"
                          " duration_ms = excluded.duration_ms" },
    [HF_PG_PUT_BEAT] = { "put_beat", "INSERT INTO hb (node, n, confirmed_seq, applied_seq, body)"
                                     " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (node) DO UPDATE"
                                     " SET n = excluded.n, confirmed_seq = excluded.confirmed_seq,"
                                     " applied_seq = excluded.applied_seq, body = excluded.body" },
    /* For this transaction alone. */
    [HF_PG_COMMIT_LOCALLY] = { "commit_locally", "SET LOCAL synchronous_commit = local" },
    [HF_PG_FORGET_REQUESTS] = { "forget_requests",
                                "DELETE FROM request WHERE request_id IN"
                                " (SELECT request_id FROM batch WHERE seq < $1)" },
    [HF_PG_FORGET_CHANGES] = { "forget_changes", "DELETE FROM change WHERE seq < $1" },
    [HF_PG_FORGET_BATCHES] = { "forget_batches", "DELETE FROM batch WHERE seq < $1" },
    /* A commit that changes nothing does not wait for standbys, so each one counts itself. */
    [HF_PG_UPDATE_STATE] = { "update_state", "UPDATE state SET seq = $1, epoch = $2, head = $3,"
                                             " timeline = $4, started = $5,"
                                             " barriers = barriers + 1" },
    [HF_PG_COMMIT] = { "commit", "COMMIT" },
    /*
     * After a commit: which standbys it waited for. A session is told of a new setting before those
     * who end its wait are, and takes it over between two statements.
     */
    [HF_PG_NAMES] = { "names",
                      "SELECT convert_to(current_setting('synchronous_standby_names'), 'UTF8')" },
};

/*
 * Commits wait for standbys whatever the role or the database is set to, or for more if they are;
 * warnings are sent, since one during a commit tells that it did not wait. lock_timeout ends the
 * wait for the counter behind a commit that hangs; it does not end the wait for a standby.
 */
#define SESSION                                                                                    \
    "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"           \
    " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),"                              \
    " set_config('client_min_messages', 'warning', false),"                                        \
    " set_config('lock_timeout', '2000', false),"                                                  \
    " set_config('statement_timeout', '0', false),"                                                \
    " set_config('idle_in_transaction_session_timeout', '10000', false)"
#define ARRIVING "current_schema() || '_arriving'"
#define MOVED    "current_schema() || '_moved'"

const char hf_pg_sql_session[] = SESSION;
const char hf_pg_sql_session_arriving[] =
    SESSION ", set_config('search_path', quote_ident(" ARRIVING "), false)";

/* The name of the current log file begins with the timeline; the control file lags behind. */
const char hf_pg_sql_probe[] =
    "SELECT pg_is_in_recovery(),"
    " (SELECT system_identifier FROM pg_control_system()),"
    " CASE WHEN pg_is_in_recovery() THEN"
    "  greatest(coalesce((SELECT received_tli FROM pg_stat_wal_receiver), 0),"
    "   (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::text"
    " ELSE pg_walfile_name(pg_current_wal_lsn()) END,"
    " current_setting('synchronous_standby_names'),"
    " (SELECT count(*) FROM pg_stat_replication"
    "  WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'),"
    " pg_has_role('pg_read_all_stats', 'USAGE'),"
    " current_setting('synchronous_commit'),"
    " current_setting('fsync'),"
    " extract(epoch FROM pg_postmaster_start_time()),"
    " CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')"
    "  ELSE pg_current_wal_lsn() END - '0/0',"
    " CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), '0/0')"
    "  ELSE pg_current_wal_lsn() END - '0/0'";

const char hf_pg_sql_has_schema[] =
    "SELECT count(*) FROM information_schema.tables"
    " WHERE table_schema = current_schema() AND table_name IN ('schema', 'state')";
const char hf_pg_sql_read_schema[] = "SELECT version, min_reader, min_writer FROM schema";
const char hf_pg_sql_lock_schema[] = "SELECT version, min_reader, min_writer FROM schema"
                                     " FOR UPDATE";
const char hf_pg_sql_begin[] = "BEGIN";
const char hf_pg_sql_commit[] = "COMMIT";
const char hf_pg_sql_put_schema[] =
    "INSERT INTO schema (one, version, min_reader, min_writer) VALUES (1, $1, $2, $3)"
    " ON CONFLICT (one) DO UPDATE SET version = excluded.version,"
    " min_reader = excluded.min_reader, min_writer = excluded.min_writer";
const char hf_pg_sql_insert_state[] =
    "INSERT INTO state (one, store_id, seq, epoch, head, barriers, timeline, started)"
    " VALUES (1, $1, 0, $2, ''::bytea, 0, $3, $4)";
const char hf_pg_sql_store_id[] = "SELECT store_id FROM state";
const char hf_pg_sql_set_epoch[] = "UPDATE state SET seq = $1, epoch = $2, head = $3";

const char hf_pg_sql_stand[] =
    "SELECT s.seq, " WATERMARK ", coalesce(b.realtime_ms, 0), s.store_id, least(s.seq, $1),"
    " coalesce(c.request_id, ''::bytea)"
    " FROM state s LEFT JOIN batch b ON b.seq = s.seq"
    " LEFT JOIN batch c ON c.seq = least(s.seq, $1)";
/* Of PostgreSQL alone; it answers once the server takes writes, or after so many seconds. */
const char hf_pg_sql_promote[] = "SELECT pg_promote(true, 30)";

const char hf_pg_sql_look_beside[] =
    "SELECT current_schema(),"
    " (SELECT count(*) FROM information_schema.tables"
    "  WHERE table_schema = " ARRIVING " AND table_name = 'state'),"
    " (SELECT count(*) FROM information_schema.tables"
    "  WHERE table_schema = " MOVED " AND table_name = 'moved')";
const char hf_pg_sql_list_tables[] =
    "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 ORDER BY table_name";
const char hf_pg_sql_in_store_id[] = "SELECT store_id FROM %.state";
const char hf_pg_sql_in_destination[] = "SELECT destination FROM %.moved";
const char hf_pg_sql_make_schema[] = "CREATE SCHEMA %";
const char hf_pg_sql_drop_schema[] = "DROP SCHEMA IF EXISTS % CASCADE";
const char hf_pg_sql_use_schema[] = "SET LOCAL search_path = %";
const char hf_pg_sql_make_moved[] = "CREATE TABLE %.moved (destination BYTEA NOT NULL)";
const char hf_pg_sql_put_destination[] = "INSERT INTO %.moved (destination) VALUES ($1)";
const char hf_pg_sql_drop_table[] = "DROP TABLE IF EXISTS %.%";
const char hf_pg_sql_move_table[] = "ALTER TABLE %.% SET SCHEMA %";
const char *const hf_pg_sql_door_tables[2] = { "schema", "state" };

static const char *const make_store[] = {
    "CREATE TABLE schema ("
    " one BIGINT PRIMARY KEY CHECK (one = 1),"
    " version BIGINT NOT NULL,"
    " min_reader BIGINT NOT NULL,"
    " min_writer BIGINT NOT NULL)",
    "CREATE TABLE state ("
    " one BIGINT PRIMARY KEY CHECK (one = 1),"
    " store_id BYTEA NOT NULL,"
    " seq BIGINT NOT NULL,"
    " epoch BIGINT NOT NULL,"
    " head BYTEA NOT NULL,"
    " barriers BIGINT NOT NULL,"
    " timeline BIGINT NOT NULL,"
    " started BYTEA NOT NULL)",
    "CREATE TABLE record ("
    " path BYTEA PRIMARY KEY,"
    " revision BIGINT NOT NULL,"
    " seq BIGINT NOT NULL,"
    " digest BYTEA NOT NULL,"
    " body BYTEA NOT NULL)",
    "CREATE TABLE batch ("
    " seq BIGINT PRIMARY KEY,"
    " epoch BIGINT NOT NULL,"
    " realtime_ms BIGINT NOT NULL,"
    " request_id BYTEA NOT NULL,"
    " principal BYTEA NOT NULL,"
    " digest BYTEA NOT NULL,"
    " note BYTEA NOT NULL,"
    " result BYTEA NOT NULL)",
    "CREATE TABLE change ("
    " seq BIGINT NOT NULL,"
    " ordinal BIGINT NOT NULL,"
    " path BYTEA NOT NULL,"
    " revision BIGINT NOT NULL,"
    " digest BYTEA NOT NULL,"
    " link BYTEA NOT NULL,"
    " PRIMARY KEY (seq, ordinal))",
    "CREATE TABLE request ("
    " request_id BYTEA PRIMARY KEY,"
    " seq BIGINT NOT NULL)",
    "CREATE TABLE lease ("
    " name BYTEA PRIMARY KEY,"
    " holder BYTEA NOT NULL,"
    " fence BIGINT NOT NULL,"
    " opening BIGINT NOT NULL,"
    " renewals BIGINT NOT NULL,"
    " duration_ms BIGINT NOT NULL)",
    NULL,
};

/* Heartbeats of nodes: n is the echo, the others speak of what has happened. */
static const char *const add_heartbeats[] = {
    "CREATE TABLE hb ("
    " node BYTEA PRIMARY KEY,"
    " n BIGINT NOT NULL,"
    " confirmed_seq BIGINT NOT NULL,"
    " applied_seq BIGINT NOT NULL)",
    NULL,
};

/* What nodes tell each other beyond the numbers; rows of before say nothing. */
static const char *const add_heartbeat_bodies[] = {
    "ALTER TABLE hb ADD COLUMN body BYTEA NOT NULL DEFAULT ''::bytea",
    NULL,
};

const struct hf_pg_migration hf_pg_migrations[] = {
    { 1, 1, make_store },
    { 1, 1, add_heartbeats },
    { 1, 1, add_heartbeat_bodies },
};
const size_t hf_pg_migration_count = HF_COUNT(hf_pg_migrations);
