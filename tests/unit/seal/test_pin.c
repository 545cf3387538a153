/* The pin file: its text, how it is written, and what it refuses. */
#include "world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_LINE "store a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\n"
#define HEX32      "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define WHOLE                                                                                      \
    "holdfast pin 1\n" STORE_LINE "root 2 " HEX32 "\nhead 18446744073709551615 " HEX32             \
    "\naccept-history\n"

/* docs/formats/pin.md */
#define DOCUMENTED                                                                                 \
    "holdfast pin 1\n" STORE_LINE                                                                  \
    "root 1 03809d9cb837f30708b79112a72abed18486bef782c210b9d636e3923cc859c5\n"                    \
    "head 2 969b30ddc97258c0656da44be2bcda34ea9f6cdbdc5e42daa56f54788ecd269a\n"

static const struct {
    const char *says;
    const char *text;
    enum hf_code code;
} texts[] = {
    { "the documented one", DOCUMENTED, HF_OK },
    { "everything", WHOLE, HF_OK },
    { "the store alone", "holdfast pin 1\n" STORE_LINE, HF_OK },
    { "store and root", "holdfast pin 1\n" STORE_LINE "root 1 " HEX32 "\n", HF_OK },
    { "nothing", "", HF_CORRUPT },
    { "a title alone", "holdfast pin 1\n", HF_CORRUPT },
    { "another version", "holdfast pin 2\n" STORE_LINE, HF_CORRUPT },
    { "no store", "holdfast pin 1\nroot 1 " HEX32 "\n", HF_CORRUPT },
    { "two stores", "holdfast pin 1\n" STORE_LINE STORE_LINE, HF_CORRUPT },
    { "two heads", "holdfast pin 1\n" STORE_LINE "head 1 " HEX32 "\nhead 2 " HEX32 "\n",
      HF_CORRUPT },
    { "two roots", "holdfast pin 1\n" STORE_LINE "root 1 " HEX32 "\nroot 1 " HEX32 "\n",
      HF_CORRUPT },
    { "a line that is cut", "holdfast pin 1\n" STORE_LINE "head 1 " HEX32, HF_CORRUPT },
    { "a short link", "holdfast pin 1\n" STORE_LINE "head 1 0011\n", HF_CORRUPT },
    { "a link that is not hex", "holdfast pin 1\n" STORE_LINE "head 1 zz" HEX32 "\n", HF_CORRUPT },
    { "a seq that is no number", "holdfast pin 1\n" STORE_LINE "head x " HEX32 "\n", HF_CORRUPT },
    { "a generation that is too large", "holdfast pin 1\n" STORE_LINE "root 4294967296 " HEX32 "\n",
      HF_CORRUPT },
    { "a word too many", "holdfast pin 1\n" STORE_LINE "head 1 " HEX32 " x\n", HF_CORRUPT },
    { "an unknown line", "holdfast pin 1\n" STORE_LINE "tail 1\n", HF_CORRUPT },
    { "an empty line", "holdfast pin 1\n" STORE_LINE "\n", HF_CORRUPT },
    { "a word after the acceptance", "holdfast pin 1\n" STORE_LINE "accept-history now\n",
      HF_CORRUPT },
};

static void a_pin_has_one_form(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        struct hf_pin pin;
        HF_AUTO(buf) again = hf_buf_new();
        struct hf_status status = hf_pin_parse(&world->op, hf_bytes_of_text(texts[i].text), &pin);

        if (status.code != texts[i].code) {
            fail_msg("%s: %s", texts[i].says, hf_code_name(status.code));
        }
        if (status.code == HF_OK) {
            hf_pin_print(&pin, again);
            assert_string_equal(hf_buf_text(again), texts[i].text);
        }
    }
}

static void a_pin_with_a_zero_byte_is_none(void **state)
{
    static const char text[] = "holdfast pin 1\n" STORE_LINE "\0accept-history\n";
    struct world *world = *state;
    struct hf_pin pin;

    assert_fails(&world->op, hf_pin_parse(&world->op, hf_bytes_of(text, sizeof text - 1), &pin),
                 HF_CORRUPT);
}

static void a_pin_is_written_for_its_owner_only_and_leaves_nothing_beside(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING left = hf_format("%s.new", world->pin_file);
    struct hf_pin pin;
    struct stat file;
    mode_t mask = umask(0);

    assert_ok(&world->op, hf_pin_parse(&world->op, hf_bytes_of_text(WHOLE), &pin));
    assert_ok(&world->op, hf_pin_write(&world->op, world->pin_file, &pin));
    (void)umask(mask);
    assert_int_equal(stat(world->pin_file, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_not_equal(access(left, F_OK), 0);
    memset(&pin, 0, sizeof pin);
    assert_ok(&world->op, hf_pin_read(&world->op, world->pin_file, &pin));
    assert_true(pin.has_root && pin.has_head && pin.accept_history && pin.seq == UINT64_MAX);
}

static void a_pin_that_cannot_be_read_or_written_says_which(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING file = hf_format("%s/absent/pin", world->directory);
    HF_AUTO_STRING empty = hf_format("%s/empty", world->directory);
    struct hf_pin pin = { .seq = 0 };
    int fd = open(empty, O_WRONLY | O_CREAT, 0600);

    close(fd);
    assert_fails(&world->op, hf_pin_read(&world->op, file, &pin), HF_NOT_FOUND);
    assert_fails(&world->op, hf_pin_write(&world->op, file, &pin), HF_UNAVAILABLE);
    assert_non_null(strstr(world->op.text, file));
    assert_fails(&world->op, hf_pin_read(&world->op, world->directory, &pin), HF_UNAVAILABLE);
    assert_fails(&world->op, hf_pin_read(&world->op, empty, &pin), HF_CORRUPT);
    assert_non_null(strstr(world->op.text, empty));
}

static struct hf_pin read_pin(struct world *world)
{
    struct hf_pin pin;

    assert_ok(&world->op, hf_pin_read(&world->op, world->pin_file, &pin));
    return pin;
}

static void the_pin_follows_the_head(void **state)
{
    struct world *world = *state;
    struct hf_pin first = read_pin(world);
    struct hf_pin second;
    struct stat before;
    struct stat after;

    assert_true(first.has_root && first.has_head && first.seq == 1 && first.generation == 1);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 1, "two"));
    assert_int_equal(read_pin(world).seq, 1);
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    second = read_pin(world);
    assert_int_equal(second.seq, 3);
    assert_memory_equal(first.commitment, second.commitment, HF_SHA256_LEN);
    assert_memory_not_equal(first.link, second.link, HF_DIGEST_LEN);

    /* Nothing new: the file is left alone. */
    assert_int_equal(stat(world->pin_file, &before), 0);
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    assert_int_equal(stat(world->pin_file, &after), 0);
    assert_true(before.st_ino == after.st_ino);
}

static void a_missing_pin_is_made_at_the_first_unlock(void **state)
{
    struct world *world = *state;

    assert_int_equal(unlink(world->pin_file), 0);
    world_reopen(world);
    assert_int_not_equal(access(world->pin_file, F_OK), 0);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(read_pin(world).seq, 1);
}

static void keys_open_even_if_the_pin_cannot_be_kept(void **state)
{
    struct world *world = *state;

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    hf_seal_free(world->seal);
    world->seal = NULL;
    free(world->pin_file);
    world->pin_file = hf_format("%s/absent/pin", world->directory);
    assert_ok(&world->op, hf_seal_open(world->crypto, &world->op, world->engine, world->pin_file,
                                       &world->seal));
    assert_ok(&world->op, world_unlock(world));
    world_expect(world, HF_KIND_KEY, "key/a", 1, "one");
    assert_fails(&world->op, hf_seal_pin(world->seal, &world->op), HF_UNAVAILABLE);
}

static void no_store_is_made_where_it_cannot_be_pinned(void **state)
{
    struct world *world = *state;
    struct hf_store_state store;
    HF_AUTO(buf) head = hf_buf_new();

    free(world->pin_file);
    world->pin_file = hf_format("%s/absent/pin", world->directory);
    assert_fails(&world->op, world_create(world), HF_UNAVAILABLE);
    assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &store, head));
    assert_int_equal(store.seq, 0);
}

static void put_pin(struct world *world, const struct hf_pin *pin)
{
    assert_ok(&world->op, hf_pin_write(&world->op, world->pin_file, pin));
}

static void a_pin_of_another_store_or_root_refuses(void **state)
{
    struct world *world = *state;
    struct hf_pin pin = read_pin(world);
    struct hf_pin other = pin;
    struct hf_op *op = &world->op;

    hf_seal_free(world->seal);
    world->seal = NULL;
    other.store_id[5] ^= 1;
    put_pin(world, &other);
    assert_fails(op, hf_seal_open(world->crypto, op, world->engine, world->pin_file, &world->seal),
                 HF_CORRUPT);
    assert_int_equal(op->cause, HF_CAUSE_OTHER_STORE);

    other = pin;
    other.commitment[31] ^= 1;
    put_pin(world, &other);
    assert_ok(op, hf_seal_open(world->crypto, op, world->engine, world->pin_file, &world->seal));
    assert_fails(op, world_unlock(world), HF_CORRUPT);
    assert_int_equal(op->cause, HF_CAUSE_OTHER_STORE);

    put_pin(world, &pin);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
}

static void a_store_below_the_pin_went_back_in_time(void **state)
{
    struct world *world = *state;
    struct hf_pin pin = read_pin(world);
    struct hf_op *op = &world->op;

    pin.seq = 40;
    put_pin(world, &pin);
    world_reopen(world);
    assert_fails(op, world_unlock(world), HF_WRONG_STATE);
    assert_non_null(strstr(op->text, "back in time"));
    assert_non_null(strstr(op->text, "commit 1,"));
    assert_non_null(strstr(op->text, "seen 40"));
    assert_non_null(strstr(op->text, "accept-history"));

    /* The operator's way past lasts over a restart, and is used up by the next unlock. */
    assert_ok(op, hf_seal_accept_history(world->seal, op));
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    pin = read_pin(world);
    assert_true(pin.seq == 1 && pin.has_head && !pin.accept_history);
    assert_fails(op, hf_seal_accept_history(world->seal, op), HF_WRONG_STATE);
}

static void another_history_of_the_same_length_is_refused(void **state)
{
    struct world *world = *state;
    struct hf_pin pin = read_pin(world);

    pin.link[0] ^= 1;
    put_pin(world, &pin);
    world_reopen(world);
    assert_fails(&world->op, world_unlock(world), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "another history"));
    assert_ok(&world->op, hf_seal_accept_history(world->seal, &world->op));
    assert_ok(&world->op, world_unlock(world));
}

static void another_history_that_has_gone_on_is_refused(void **state)
{
    struct world *world = *state;
    struct hf_pin pin = read_pin(world);
    struct hf_pin other = pin;

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 1, "two"));
    other.link[0] ^= 1;
    put_pin(world, &other);
    world_reopen(world);
    assert_fails(&world->op, world_unlock(world), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "another history"));

    put_pin(world, &pin);
    world_reopen(world);
    assert_ok(&world->op, world_unlock(world));
}

/* The way from the pin to the head is not there any more: what can be checked is. */
static void a_log_that_was_shortened_is_no_other_history(void **state)
{
    struct world *world = *state;

    for (uint64_t i = 0; i < 4; i++) {
        assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", i, "x"));
    }
    assert_ok(&world->op, hf_engine_forget(world->engine, &world->op, 4));
    world_reopen(world);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(read_pin(world).seq, 5);
}

static void a_demanded_seq_is_a_checkpoint_that_acceptance_does_not_pass(void **state)
{
    struct world *world = *state;

    world_reopen(world);
    hf_seal_require_seq(world->seal, 2);
    assert_fails(&world->op, world_unlock(world), HF_WRONG_STATE);
    assert_ok(&world->op, hf_seal_accept_history(world->seal, &world->op));
    assert_fails(&world->op, world_unlock(world), HF_WRONG_STATE);
    hf_seal_require_seq(world->seal, 1);
    assert_ok(&world->op, world_unlock(world));
}

/* While it runs, too: the store may be changed under it. */
static void a_running_seal_does_not_pin_an_older_store(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state store;

    assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &store, head));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    tamper_head(world->tamper, 1, hf_buf_bytes(head));
    assert_fails(&world->op, hf_seal_pin(world->seal, &world->op), HF_WRONG_STATE);
    assert_int_equal(read_pin(world).seq, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pin_has_one_form, world_setup_empty, world_teardown),
        cmocka_unit_test_setup_teardown(a_pin_with_a_zero_byte_is_none, world_setup_empty,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(
            a_pin_is_written_for_its_owner_only_and_leaves_nothing_beside, world_setup_empty,
            world_teardown),
        cmocka_unit_test_setup_teardown(a_pin_that_cannot_be_read_or_written_says_which,
                                        world_setup_empty, world_teardown),
        cmocka_unit_test_setup_teardown(the_pin_follows_the_head, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_missing_pin_is_made_at_the_first_unlock, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(keys_open_even_if_the_pin_cannot_be_kept, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(no_store_is_made_where_it_cannot_be_pinned,
                                        world_setup_empty, world_teardown),
        cmocka_unit_test_setup_teardown(a_pin_of_another_store_or_root_refuses, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_store_below_the_pin_went_back_in_time, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(another_history_of_the_same_length_is_refused, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(another_history_that_has_gone_on_is_refused, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_log_that_was_shortened_is_no_other_history, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(
            a_demanded_seq_is_a_checkpoint_that_acceptance_does_not_pass, world_setup,
            world_teardown),
        cmocka_unit_test_setup_teardown(a_running_seal_does_not_pin_an_older_store, world_setup,
                                        world_teardown),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("pin", tests, NULL, NULL);
}
