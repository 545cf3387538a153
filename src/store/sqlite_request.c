/* Remembered requests of the SQLite engine: recalled by id, found by what was asked. */
#include "store/sqlite_engine.h"

/* Requests looked at between two looks at the clock. */
#define STRIDE 1024

static struct hf_status recall(struct hf_sqlite_connection *connection, struct hf_op *op,
                               const struct hf_batch *batch, struct hf_commit *out)
{
    sqlite3_stmt *find = connection->statements[HF_SQLITE_RECALL];
    struct hf_status status;
    bool row;

    hf_sqlite_bind_bytes(find, 1, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    HF_TRY(hf_sqlite_step(connection, op, find, &row));
    if (row) {
        hf_buf_clear(&out->result);
        status = hf_sqlite_read_first(op, find, batch, out);
    } else {
        status = hf_fail(op, HF_NOT_FOUND, "this request has not happened");
    }
    hf_sqlite_reset(find);
    return status;
}

struct hf_status hf_sqlite_recall(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_sqlite_connection *connection;
    struct hf_status status;

    HF_TRY(hf_sqlite_view(engine, op, &connection));
    status = recall(connection, op, batch, out);
    hf_sqlite_end_view(engine, connection);
    return status;
}

/* Goes back from the latest until the digest or until the time is over. */
static struct hf_status look_back(struct hf_sqlite_connection *connection, struct hf_op *op,
                                  const uint8_t *digest, uint64_t since_ms,
                                  struct hf_request_id *out)
{
    sqlite3_stmt *latest = connection->statements[HF_SQLITE_LATEST_REQUESTS];
    uint8_t asked[HF_DIGEST_LEN];

    for (size_t seen = 1;; seen++) {
        bool row;

        HF_TRY(hf_sqlite_step(connection, op, latest, &row));
        if (!row || hf_sqlite_column_u64(latest, 2) < since_ms) {
            return hf_fail(op, HF_NOT_FOUND, "nothing of the kind was asked lately");
        }
        HF_TRY(hf_sqlite_column_exact(op, latest, 1, asked, sizeof asked));
        if (memcmp(asked, digest, sizeof asked) == 0) {
            return hf_sqlite_column_exact(op, latest, 0, out->bytes, sizeof out->bytes);
        }
        if (seen % STRIDE == 0) {
            HF_TRY(hf_op_check_deadline(op));
        }
    }
}

struct hf_status hf_sqlite_find(struct hf_engine *engine, struct hf_op *op,
                                const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                uint64_t up_to_seq, struct hf_request_id *out)
{
    struct hf_sqlite_connection *connection;
    struct hf_status status;

    HF_TRY(hf_sqlite_view(engine, op, &connection));
    hf_sqlite_bind_u64(connection->statements[HF_SQLITE_LATEST_REQUESTS], 1,
                       up_to_seq != 0 && up_to_seq < INT64_MAX ? up_to_seq : INT64_MAX);
    status = look_back(connection, op, digest, since_ms, out);
    hf_sqlite_reset(connection->statements[HF_SQLITE_LATEST_REQUESTS]);
    hf_sqlite_end_view(engine, connection);
    return status;
}
