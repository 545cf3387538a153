/* Two snapshots, whatever engines wrote them: do they hold the same? */
#include "store/sqlite_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

/*
 * Which rows a and b of a table are the same; the key comes first, so that b is found by its index.
 * Who holds a lease ends with the process that opened the store, so it is not compared.
 */
static const struct part {
    const char *table;
    const char *same;
    size_t count_at; /* in struct hf_store_counts */
} parts[] = {
    { "state",
      "a.one = b.one AND a.store_id = b.store_id AND a.seq = b.seq AND a.epoch = b.epoch"
      " AND a.head = b.head",
      SIZE_MAX },
    { "record",
      "a.path = b.path AND a.revision = b.revision AND a.seq = b.seq AND a.digest = b.digest"
      " AND a.body = b.body",
      offsetof(struct hf_store_counts, records) },
    { "batch",
      "a.seq = b.seq AND a.epoch = b.epoch AND a.realtime_ms = b.realtime_ms"
      " AND a.request_id = b.request_id AND a.principal = b.principal AND a.digest = b.digest"
      " AND a.note = b.note AND a.result = b.result",
      offsetof(struct hf_store_counts, batches) },
    { "change",
      "a.seq = b.seq AND a.ordinal = b.ordinal AND a.path = b.path AND a.revision = b.revision"
      " AND a.digest = b.digest AND a.link = b.link",
      offsetof(struct hf_store_counts, changes) },
    { "request", "a.request_id = b.request_id AND a.seq = b.seq",
      offsetof(struct hf_store_counts, requests) },
    { "lease", "a.name = b.name AND a.fence = b.fence", offsetof(struct hf_store_counts, leases) },
};

static struct hf_status attach(struct hf_op *op, struct hf_sqlite_connection *connection,
                               const char *other)
{
    char *sql = sqlite3_mprintf("ATTACH DATABASE %Q AS other", other);
    struct hf_status status = hf_sqlite_run_text(connection, op, sql);

    sqlite3_free(sql);
    return status;
}

static struct hf_status count(struct hf_sqlite_connection *connection, struct hf_op *op,
                              const char *schema, const char *table, int64_t *out)
{
    HF_AUTO_STRING sql = hf_format("SELECT count(*) FROM %s.%s", schema, table);

    return hf_sqlite_ask(connection, op, sql, out);
}

/* Keys differ within a table, so when each row has its equal and they are as many, they are all. */
static struct hf_status compare_part(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     const struct part *part, struct hf_store_counts *out)
{
    HF_AUTO_STRING differ = hf_format("SELECT count(*) FROM main.%s a WHERE NOT EXISTS"
                                      " (SELECT 1 FROM other.%s b WHERE %s)",
                                      part->table, part->table, part->same);
    int64_t ours = 0;
    int64_t theirs = 0;
    int64_t different = 0;

    HF_TRY(hf_op_check_deadline(op));
    HF_TRY(count(connection, op, "main", part->table, &ours));
    HF_TRY(count(connection, op, "other", part->table, &theirs));
    HF_TRY(hf_sqlite_ask(connection, op, differ, &different));
    if (ours != theirs || different != 0) {
        return hf_fail(op, HF_CORRUPT,
                       "the copy differs: %" PRId64 " rows of %s in place of %" PRId64 ", %" PRId64
                       " of them others",
                       theirs, part->table, ours, different);
    }
    if (part->count_at != SIZE_MAX) {
        memcpy((char *)out + part->count_at, &ours, sizeof ours);
    }
    return HF_SUCCESS;
}

struct hf_status hf_store_compare(struct hf_op *op, const char *file, const char *other,
                                  struct hf_store_counts *out)
{
    struct hf_sqlite_connection connection = { 0 };
    struct hf_store_counts counts = { 0 };
    struct hf_status status = hf_sqlite_connect_plain(op, file, &connection);

    if (status.code == HF_OK) {
        status = attach(op, &connection, other);
    }
    for (size_t i = 0; i < HF_COUNT(parts) && status.code == HF_OK; i++) {
        status = compare_part(&connection, op, &parts[i], &counts);
    }
    hf_sqlite_disconnect(&connection, false);
    if (status.code == HF_OK) {
        *out = counts;
    }
    return status;
}
