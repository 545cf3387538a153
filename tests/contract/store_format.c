/*
 * What docs/formats/store.md says, tried on the file: its tables are those the engine makes, and
 * its vector opens as the store it says. Takes the path of the document.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store_files.h"

static const char *document;

/* The text of the n-th fenced block of the document that begins so. */
static char *block_of(const char *fence, size_t number)
{
    HF_AUTO(buf) whole = hf_buf_new();
    HF_AUTO_STRING opening = hf_format("\n```%s\n", fence);
    const char *at;
    const char *end;

    read_whole(document, whole);
    at = hf_buf_text(whole);
    for (size_t i = 0; i < number; i++) {
        at = strstr(at, opening);
        assert_non_null(at);
        at += strlen(opening);
        end = strstr(at, "\n```\n");
        assert_non_null(end);
        if (i + 1 == number) {
            return hf_strndup(at, (size_t)(end - at) + 1);
        }
        at = end + strlen("\n```");
    }
    return NULL;
}

static int add_row(void *context, int count, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < count; i++) {
        hf_buf_add_format(context, "%s ", values[i] != NULL ? values[i] : "-");
    }
    hf_buf_add_text(context, "\n");
    return 0;
}

/* Every column of every table, and whether the table has row numbers of its own. */
static char *describe(const char *file)
{
    HF_AUTO(buf) text = hf_buf_new();
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "SELECT m.name, m.sql LIKE '%WITHOUT ROWID%', m.sql LIKE '%UNIQUE%',"
                     " m.sql LIKE '%CHECK%', c.cid, c.name, c.type, c.\"notnull\", c.pk"
                     " FROM sqlite_schema m, pragma_table_info(m.name) c"
                     " WHERE m.type = 'table' ORDER BY m.name, c.cid",
                     add_row, text, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return hf_strdup(hf_buf_text(text));
}

static void the_engine_makes_the_tables_of_the_document(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING sql = block_of("sql", 1);
    HF_AUTO_STRING written = hf_format("%s/document.db", world->root);
    HF_AUTO_STRING made = file_in(world, "store.db");
    HF_AUTO_STRING expected = NULL;
    HF_AUTO_STRING found = NULL;

    store_world_close(world);
    run_sql(written, sql);
    expected = describe(written);
    found = describe(made);
    assert_true(strlen(found) > 500);
    assert_string_equal(found, expected);
}

static void the_vector_opens_as_the_store_it_says(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING tables = block_of("sql", 1);
    HF_AUTO_STRING rows = block_of("sql", 2);
    HF_AUTO_STRING expected = block_of("text", 1);
    HF_AUTO_STRING sql = hf_format(
        "PRAGMA application_id = 0x48464b53; PRAGMA user_version = 1; %s %s", tables, rows);
    HF_AUTO_STRING found = NULL;
    struct hf_batch repeat = store_batch(0, NULL, 0);
    struct store_world vector;
    struct hf_commit commit;
    uint64_t fence;

    (void)world;
    store_world_init(&vector, store_kind_named("sqlite"));
    assert_int_equal(mkdir(vector.directory, 0700), 0);
    {
        HF_AUTO_STRING file = file_in(&vector, "store.db");

        run_sql(file, sql);
    }
    assert_ok(&vector.op, store_world_open(&vector, false));
    found = store_dump(vector.engine, &vector.op);
    assert_string_equal(found, expected);

    hf_commit_init(&commit);
    memset(&repeat.request_id, 1, sizeof repeat.request_id);
    memset(repeat.digest, 0xd1, sizeof repeat.digest);
    repeat.principal = "cert:one";
    assert_ok(&vector.op, hf_engine_apply(vector.engine, &vector.op, &repeat, &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, 1);
    assert_true(hf_bytes_equal_text(hf_buf_bytes(&commit.result), "r1"));
    hf_commit_done(&commit);
    assert_ok(&vector.op, hf_engine_lease(vector.engine, &vector.op, "rotate", "n2", 1000, &fence));
    assert_int_equal(fence, 8);
    store_world_done(&vector);
}

#define FORMAT(test) cmocka_unit_test_setup_teardown(test, store_world_setup, store_world_teardown)

int main(int argc, char **argv)
{
    struct CMUnitTest tests[] = {
        FORMAT(the_engine_makes_the_tables_of_the_document),
        FORMAT(the_vector_opens_as_the_store_it_says),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s docs/formats/store.md\n", argv[0]);
        return 2;
    }
    document = argv[1];
    for (size_t i = 0; i < HF_COUNT(tests); i++) {
        tests[i].initial_state = (void *)(uintptr_t)store_kind_named("sqlite");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
