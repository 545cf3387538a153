/* Errors of PostgreSQL as statuses, and values out of results. */
#include <inttypes.h>

#include "base/assert.h"
#include "store/postgres_engine.h"

/* The first row that begins the code counts; see appendix A of the PostgreSQL manual. */
static const struct {
    const char *begins;
    enum hf_pg_class class;
    enum hf_code code;
} rows[] = {
    { "40003", HF_PG_CLASS_LOST, HF_UNAVAILABLE }, /* the end of a statement is unknown */
    { "40", HF_PG_CLASS_RETRY, HF_UNAVAILABLE },
    { "55P03", HF_PG_CLASS_RETRY, HF_UNAVAILABLE },      /* waited too long for a lock */
    { "55", HF_PG_CLASS_RETRY, HF_UNAVAILABLE },         /* in use */
    { "25006", HF_PG_CLASS_WRONG_HOST, HF_UNAVAILABLE }, /* read-only: a standby */
    { "25P03", HF_PG_CLASS_LOST, HF_UNAVAILABLE },       /* idle for too long */
    { "57014", HF_PG_CLASS_RETRY, HF_UNAVAILABLE },      /* somebody cancelled it */
    { "57", HF_PG_CLASS_LOST, HF_UNAVAILABLE },          /* shutdown, crash, cannot connect now */
    { "08", HF_PG_CLASS_LOST, HF_UNAVAILABLE },
    { "53100", HF_PG_CLASS_DEFINITE, HF_NO_SPACE },
    { "53", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE },
    { "58", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE },
    { "54", HF_PG_CLASS_DEFINITE, HF_TOO_LARGE },
    { "23", HF_PG_CLASS_DEFINITE, HF_CORRUPT }, /* our checks came first: tables contradict */
    { "XX", HF_PG_CLASS_DEFINITE, HF_CORRUPT },
    { "42P01", HF_PG_CLASS_DEFINITE, HF_CORRUPT }, /* no such table, */
    { "42703", HF_PG_CLASS_DEFINITE, HF_CORRUPT }, /* no such column */
    { "42501", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE },
    { "28", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE },
    { "3D", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE },
    { "", HF_PG_CLASS_DEFINITE, HF_INTERNAL },
};

static size_t row_of(const char *sqlstate)
{
    size_t i = 0;

    while (strncmp(sqlstate, rows[i].begins, strlen(rows[i].begins)) != 0) {
        i++;
    }
    return i;
}

enum hf_pg_class hf_pg_class_of(const char *sqlstate)
{
    return rows[row_of(sqlstate)].class;
}

enum hf_code hf_pg_code_of(const char *sqlstate)
{
    return rows[row_of(sqlstate)].code;
}

/* Only a refused transaction or constraint says for certain that a commit did not happen. */
bool hf_pg_is_ambiguous(const char *sqlstate)
{
    return strcmp(sqlstate, "40003") == 0 ||
           (strncmp(sqlstate, "40", 2) != 0 && strncmp(sqlstate, "23", 2) != 0);
}

/* What an operator can do about it. */
static const char *advice(enum hf_code code)
{
    if (code == HF_NO_SPACE) {
        return "; make room on the database's disk";
    }
    if (code == HF_CORRUPT) {
        return "; the database is damaged or not ours: restore a backup";
    }
    if (code == HF_UNAVAILABLE) {
        return "; check the database server and the rights of our role";
    }
    return "";
}

struct hf_status hf_pg_fail(struct hf_op *op, const char *sqlstate, const char *text)
{
    enum hf_code code = hf_pg_code_of(sqlstate);

    return hf_fail(op, code, "the database says: %.180s (%s)%s", text, sqlstate, advice(code));
}

struct hf_status hf_pg_fail_went_back(struct hf_op *op, uint64_t stands, uint64_t seen)
{
    return hf_fail(op, HF_WRONG_STATE,
                   "the store went back in time: the database stands at commit %" PRIu64
                   ", and this node has seen %" PRIu64 " confirmed; bring the newer database back",
                   stands, seen);
}

uint64_t hf_pg_u64(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);
    uint64_t value = 0;

    hf_assert(PQgetisnull(result, row, column) || PQgetlength(result, row, column) == 8);
    for (int i = 0; i < PQgetlength(result, row, column); i++) {
        value = value << 8 | (uint8_t)bytes[i];
    }
    return value <= INT64_MAX ? value : 0;
}

struct hf_bytes hf_pg_bytes(const PGresult *result, int row, int column)
{
    return hf_bytes_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

struct hf_status hf_pg_exact(struct hf_op *op, const PGresult *result, int row, int column,
                             void *out, size_t len)
{
    struct hf_bytes bytes = hf_pg_bytes(result, row, column);

    if (bytes.len != len) {
        return hf_fail(op, HF_CORRUPT, "the database has %s of %zu bytes where %zu belong",
                       PQfname(result, column), bytes.len, len);
    }
    memcpy(out, bytes.data, len);
    return HF_SUCCESS;
}
