/* Errors of PostgreSQL as statuses, and values out of results. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
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

/* On one line; NULL when this is none that speaks of a host or one of its addresses. */
static char *reason_in(const char *line)
{
    static const char of_host[] = "connection to server ";
    static const char failed[] = " failed: ";
    HF_AUTO_STRING text = hf_strndup(line, strcspn(line, "\n"));
    const char *at = strstr(text, failed);

    if (strncmp(text, of_host, sizeof of_host - 1) != 0 || at == NULL) {
        return NULL;
    }
    return hf_strdup(at + sizeof failed - 1);
}

/*
 * It has a paragraph for each address, which begins with words that say again which host that is:
 * they would push the reason out of a text of ours.
 */
void hf_pg_reasons(const char *text, char *out, size_t room)
{
    const char *line = text;

    out[0] = '\0';
    while (*line != '\0') {
        HF_AUTO_STRING reason = reason_in(line);
        size_t used = strlen(out);

        if (reason != NULL && strstr(out, reason) == NULL) {
            (void)snprintf(out + used, room - used, "%s%s", used > 0 ? "; " : "", reason);
        }
        line += strcspn(line, "\n");
        line += *line == '\n' ? 1 : 0;
    }
    if (out[0] == '\0') {
        (void)snprintf(out, room, "%.*s", (int)strcspn(text, "\n"), text);
    }
}

/* UINT64_MAX for what is no number of ours: NULL, below zero, or not a BIGINT. */
static uint64_t number_at(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);
    uint64_t value = 0;

    if (PQgetlength(result, row, column) != 8) {
        return UINT64_MAX;
    }
    for (int i = 0; i < 8; i++) {
        value = value << 8 | (uint8_t)bytes[i];
    }
    return value <= INT64_MAX ? value : UINT64_MAX;
}

uint64_t hf_pg_u64(const PGresult *result, int row, int column)
{
    uint64_t value = number_at(result, row, column);

    return value != UINT64_MAX ? value : 0;
}

struct hf_status hf_pg_counter(struct hf_op *op, const PGresult *result, int row, int column,
                               uint64_t *out)
{
    uint64_t value = number_at(result, row, column);

    if (value > HF_PG_COUNTER_MOST) {
        return hf_fail(op, HF_CORRUPT, "the database has a %.60s that cannot be; restore a backup",
                       PQfname(result, column));
    }
    *out = value;
    return HF_SUCCESS;
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
