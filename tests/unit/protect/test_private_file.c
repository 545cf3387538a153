/* Files that hold a secret: who may own them, who may read them, and how they come to be. */
#include "protect_world.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include "protect/private_file.h"

static struct hf_status read_file(const char *path, size_t max_len, struct hf_secret **out)
{
    return hf_private_file_read(&world.op, path, max_len, out);
}

static void a_file_of_ours_is_read_whole(void **unused)
{
    HF_AUTO_STRING path = in_directory("whole");
    HF_AUTO(secret) content = NULL;

    (void)unused;
    write_file(path, hf_bytes_of("a\0b\n", 4), 0400);
    assert_ok(&world.op, read_file(path, 4, &content));
    assert_true(hf_bytes_equal(hf_secret_bytes(content), hf_bytes_of("a\0b\n", 4)));
}

static void a_file_longer_than_allowed_is_too_large(void **unused)
{
    HF_AUTO_STRING path = in_directory("long");
    HF_AUTO(secret) content = NULL;

    (void)unused;
    write_file(path, hf_bytes_of_text("12345"), 0600);
    assert_fails(&world.op, read_file(path, 4, &content), HF_TOO_LARGE);
}

static void a_file_that_others_can_touch_is_refused(void **unused)
{
    static const mode_t modes[] = { 0640, 0620, 0610, 0604, 0602, 0601, 0666, 0777 };
    HF_AUTO_STRING path = in_directory("open");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(modes); i++) {
        HF_AUTO(secret) content = NULL;
        char octal[8];

        write_file(path, hf_bytes_of_text("secret"), modes[i]);
        assert_fails(&world.op, read_file(path, 64, &content), HF_INVALID);
        (void)snprintf(octal, sizeof octal, "%04o", (unsigned)modes[i]);
        assert_non_null(strstr(world.op.text, octal));
    }
}

/* Only root can give a file away; anybody else finds one of root's that is not private. */
static void a_file_of_somebody_else_is_refused(void **unused)
{
    HF_AUTO_STRING path = in_directory("theirs");
    HF_AUTO(secret) content = NULL;

    (void)unused;
    write_file(path, hf_bytes_of_text("secret"), 0600);
    if (geteuid() != 0) {
        assert_fails(&world.op, read_file("/etc/passwd", 1 << 20, &content), HF_INVALID);
        return;
    }
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_fails(&world.op, read_file(path, 64, &content), HF_INVALID);
    assert_non_null(strstr(world.op.text, "12345"));
}

static void what_is_no_file_is_refused_and_what_is_not_there_is_unavailable(void **unused)
{
    HF_AUTO_STRING missing = in_directory("missing");
    HF_AUTO(secret) content = NULL;

    (void)unused;
    assert_fails(&world.op, read_file(directory, 64, &content), HF_INVALID);
    assert_fails(&world.op, read_file("/dev/null", 64, &content), HF_INVALID);
    assert_fails(&world.op, read_file(missing, 64, &content), HF_UNAVAILABLE);
}

static void a_pipe_of_ours_is_read_to_its_end(void **unused)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(secret) content = NULL;
    int ends[2];

    (void)unused;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one", 3), 3);
    assert_int_equal(write(ends[1], "two", 3), 3);
    (void)close(ends[1]);
    path = hf_format("/dev/fd/%d", ends[0]);
    assert_ok(&world.op, read_file(path, 64, &content));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(content), "onetwo"));
    (void)close(ends[0]);
}

static size_t count_files(void)
{
    DIR *open_directory = opendir(directory);
    size_t count = 0;

    assert_non_null(open_directory);
    while (readdir(open_directory) != NULL) {
        count++;
    }
    (void)closedir(open_directory);
    return count;
}

static void a_new_file_is_whole_private_and_alone(void **unused)
{
    HF_AUTO_STRING path = in_directory("new");
    HF_AUTO(secret) content = NULL;
    size_t before = count_files();
    mode_t old_mask = umask(0);

    (void)unused;
    assert_ok(&world.op, hf_private_file_create(&world.op, path, hf_bytes_of_text("content")));
    (void)umask(old_mask);
    assert_ok(&world.op, read_file(path, 64, &content));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(content), "content"));
    assert_int_equal(count_files(), before + 1);
}

static void what_is_public_is_so_whatever_the_umask(void **unused)
{
    HF_AUTO_STRING path = in_directory("public");
    mode_t old_mask = umask(077);
    struct stat info;

    (void)unused;
    assert_ok(&world.op, hf_public_file_create(&world.op, path, hf_bytes_of_text("certificate")));
    (void)umask(old_mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    assert_fails(&world.op, hf_public_file_create(&world.op, path, hf_bytes_of_text("other")),
                 HF_EXISTS);
}

static void a_path_that_is_taken_is_left_as_it_is(void **unused)
{
    HF_AUTO_STRING path = in_directory("taken");
    HF_AUTO(secret) content = NULL;
    size_t before;

    (void)unused;
    write_file(path, hf_bytes_of_text("old"), 0600);
    before = count_files();
    assert_fails(&world.op, hf_private_file_create(&world.op, path, hf_bytes_of_text("new")),
                 HF_EXISTS);
    assert_ok(&world.op, read_file(path, 64, &content));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(content), "old"));
    assert_int_equal(count_files(), before);
}

static void a_directory_that_is_not_there_is_unavailable(void **unused)
{
    HF_AUTO_STRING path = in_directory("no/where");

    (void)unused;
    assert_fails(&world.op, hf_private_file_create(&world.op, path, hf_bytes_of_text("new")),
                 HF_UNAVAILABLE);
}

/* A limit on file sizes stands for a full disk: write(2) fails half way. */
static void a_write_that_fails_leaves_nothing_behind(void **unused)
{
    HF_AUTO_STRING path = in_directory("full");
    const struct rlimit small = { 4, RLIM_INFINITY };
    struct rlimit old;
    size_t before = count_files();

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_fails(&world.op,
                 hf_private_file_create(&world.op, path, hf_bytes_of_text("longer than four")),
                 HF_UNAVAILABLE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(count_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_ours_is_read_whole),
        cmocka_unit_test(a_file_longer_than_allowed_is_too_large),
        cmocka_unit_test(a_file_that_others_can_touch_is_refused),
        cmocka_unit_test(a_file_of_somebody_else_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused_and_what_is_not_there_is_unavailable),
        cmocka_unit_test(a_pipe_of_ours_is_read_to_its_end),
        cmocka_unit_test(what_is_public_is_so_whatever_the_umask),
        cmocka_unit_test(a_new_file_is_whole_private_and_alone),
        cmocka_unit_test(a_path_that_is_taken_is_left_as_it_is),
        cmocka_unit_test(a_directory_that_is_not_there_is_unavailable),
        cmocka_unit_test(a_write_that_fails_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
