/* Results of SQLite and of the kernel, as the codes that callers act on. */
#include <errno.h>
#include <sqlite3.h>

#include "store/sqlite_engine.h"
#include "test.h"

static void each_result_of_sqlite_has_its_code(void **state)
{
    static const struct {
        int result;
        enum hf_code code;
    } cases[] = {
        { SQLITE_OK, HF_OK },
        { SQLITE_ROW, HF_OK },
        { SQLITE_DONE, HF_OK },
        { SQLITE_FULL, HF_NO_SPACE },
        { SQLITE_IOERR, HF_UNAVAILABLE },
        { SQLITE_IOERR_WRITE, HF_UNAVAILABLE },
        { SQLITE_IOERR_FSYNC, HF_UNAVAILABLE },
        { SQLITE_IOERR_NOMEM, HF_UNAVAILABLE },
        { SQLITE_IOERR_SHORT_READ, HF_CORRUPT },
        { SQLITE_IOERR_CORRUPTFS, HF_CORRUPT },
        { SQLITE_CORRUPT, HF_CORRUPT },
        { SQLITE_CORRUPT_INDEX, HF_CORRUPT },
        { SQLITE_NOTADB, HF_CORRUPT },
        { SQLITE_CONSTRAINT_PRIMARYKEY, HF_CORRUPT },
        { SQLITE_BUSY, HF_UNAVAILABLE },
        { SQLITE_READONLY_DBMOVED, HF_UNAVAILABLE },
        { SQLITE_CANTOPEN, HF_UNAVAILABLE },
        { SQLITE_NOMEM, HF_UNAVAILABLE },
        { SQLITE_TOOBIG, HF_TOO_LARGE },
        { SQLITE_MISUSE, HF_INTERNAL },
        { SQLITE_ERROR, HF_INTERNAL },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        enum hf_code code = hf_sqlite_code(cases[i].result);

        if (code != cases[i].code) {
            fail_msg("SQLite %d: got %s", cases[i].result, hf_code_name(code));
        }
    }
}

static void each_errno_has_its_code(void **state)
{
    static const struct {
        int number;
        enum hf_code code;
    } cases[] = {
        { ENOSPC, HF_NO_SPACE },   { EDQUOT, HF_NO_SPACE },    { EEXIST, HF_EXISTS },
        { ENOENT, HF_NOT_FOUND },  { ENOTDIR, HF_NOT_FOUND },  { EACCES, HF_UNAVAILABLE },
        { EROFS, HF_UNAVAILABLE }, { EMFILE, HF_UNAVAILABLE }, { EIO, HF_UNAVAILABLE },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        enum hf_code code = hf_sqlite_errno_code(cases[i].number);

        if (code != cases[i].code) {
            fail_msg("errno %d: got %s", cases[i].number, hf_code_name(code));
        }
    }
}

static void a_failure_tells_what_to_do(void **state)
{
    static const struct {
        int result;
        const char *advice;
    } cases[] = {
        { SQLITE_FULL, "make room" },
        { SQLITE_CORRUPT, "restore a backup" },
        { SQLITE_IOERR_READ, "check the disk" },
    };
    struct hf_sqlite_connection connection = { 0 };
    struct hf_env env;
    struct hf_op op;

    (void)state;
    hf_env_system(&env);
    hf_op_init(&op, &env);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        assert_fails(&op, hf_sqlite_fail(&connection, &op, cases[i].result, "INSERT"),
                     hf_sqlite_code(cases[i].result));
        assert_non_null(strstr(op.text, cases[i].advice));
        assert_non_null(strstr(op.text, "INSERT"));
        assert_int_equal(connection.failure, cases[i].result);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_result_of_sqlite_has_its_code),
        cmocka_unit_test(each_errno_has_its_code),
        cmocka_unit_test(a_failure_tells_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
