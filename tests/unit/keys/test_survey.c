/*
 * A keyring is surveyed page by page: here things happen each time that the lane is let go, as
 * another thread would bring them about.
 */
#include "world.h"

#include "base/text.h"

#define KEYS 600 /* three pages */

/* The linker puts ours in place of the lane's, and names the lane's own so. */
void __real_hf_lane_unlock(struct hf_lane *lane);
void __wrap_hf_lane_unlock(struct hf_lane *lane);

static void (*between)(void); /* NULL: nothing happens */
static unsigned pages;

void __wrap_hf_lane_unlock(struct hf_lane *lane)
{
    void (*happens)(void) = between;

    __real_hf_lane_unlock(lane);
    pages++;
    if (happens != NULL) {
        between = NULL; /* once, and not within itself */
        happens();
    }
}

static void delete_key(const char *name)
{
    must(&(struct change){ .kind = CHANGE_DELETE, .name = name });
}

static void recover_key(const char *name)
{
    must(&(struct change){ .kind = CHANGE_RECOVER, .name = name });
}

static void destroy_key(const char *name)
{
    delete_key(name);
    must(&(struct change){
        .kind = CHANGE_DESTROY, .name = name, .version = HF_LATEST, .force = true });
}

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    for (size_t i = 0; i < KEYS; i++) {
        HF_AUTO_STRING name = hf_format("k%04zu", i);

        new_key(name, HF_ALG_AES_256);
    }
    return 0;
}

static struct hf_keyring_content survey(void (*meanwhile)(void))
{
    struct hf_keyring_content content;

    pages = 0;
    between = meanwhile;
    hf_keyring_survey(world.keys, &world.op, RING, &content);
    between = NULL;
    return content;
}

static void a_keyring_of_several_pages_is_surveyed_in_full(void **unused)
{
    struct hf_keyring_content content;
    uint64_t before;

    (void)unused;
    content = survey(NULL);
    assert_int_equal(content.versions, KEYS);
    assert_int_equal(pages, 3);
    before = content.changed;
    rotate("k0599"); /* the last one */
    delete_key("k0300");
    content = survey(NULL);
    assert_int_equal(content.versions, KEYS + 1);
    assert_true(content.changed > before);
    recover_key("k0300");
}

static void a_keyring_that_is_not_there_has_nothing(void **unused)
{
    struct hf_keyring_content content = { 1, 1 };

    (void)unused;
    hf_keyring_survey(world.keys, &world.op, "nowhere", &content);
    assert_int_equal(content.versions, 0);
    assert_int_equal(content.changed, 0);
}

/* The first page ends with k0255. */
static void the_place_goes_and_one_comes_before_it(void)
{
    destroy_key("k0255");
    new_key("a", HF_ALG_AES_256);
}

static void one_behind_it_goes_and_one_comes(void)
{
    destroy_key("k0400");
    new_key("z1", HF_ALG_AES_256);
    new_key("z2", HF_ALG_AES_256);
}

static void keys_change_sides(void)
{
    delete_key("k0010");
    delete_key("k0011");
    recover_key("k0012");
    delete_key("k0500");
    recover_key("k0501");
}

static void what_happens_between_pages_does_no_harm(void **unused)
{
    uint64_t there = survey(NULL).versions;

    (void)unused;
    /* Both are on the page that was counted: one of them was there. */
    assert_int_equal(survey(the_place_goes_and_one_comes_before_it).versions, there);
    assert_int_equal(survey(NULL).versions, there);
    assert_int_equal(survey(one_behind_it_goes_and_one_comes).versions, there + 1);
    assert_int_equal(survey(NULL).versions, there + 1);
    /* Each is counted once, on whichever side it is. */
    delete_key("k0012");
    delete_key("k0501");
    assert_int_equal(survey(keys_change_sides).versions, there + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyring_of_several_pages_is_surveyed_in_full),
        cmocka_unit_test(a_keyring_that_is_not_there_has_nothing),
        cmocka_unit_test(what_happens_between_pages_does_no_harm),
    };

    return cmocka_run_group_tests(tests, setup, world_close);
}
