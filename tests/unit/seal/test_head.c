/* The chain, the sum over all records, the sealed head, and the linker that keeps them. */
#include "plain_world.h"

#include <stdlib.h>
#include <string.h>

/* docs/formats/head.md */
static const char link_note[] = "906ac577820080cd6d02d3b0f362757364beb6893921f336a0d848d388fd77c1";
static const char link_a[] = "339781e32375c17ba7a1fc6b211fa3ba2a64740b9e0503edf334873353b053e3";
static const char link_b[] = "55aacfd844c407d8df7688782dc1dd56c6fc9683612a125a9050e57374f3ce43";
static const char sum_1[] = "80a872519e9845cbcf279aaf60fc4967f55312950400e738ef157f1ac675aef9";
static const char head_2[] =
    "010000000000000002969b30ddc97258c0656da44be2bcda34ea9f6cdbdc5e42daa56f54788ecd269a"
    "40d5a9d25f42b35678c9c1faf65053060711c2724bfe57ab76035358c87e3d3b0000000000000002";
static const char sealed_head_2[] =
    "01ff0000000001404142434445464748494a4b4c4d4e4f606162636465666768696a6b00000000"
    "014ce6d81d42b2dd18e8ddfa003a0be33a7584ba51c423ca812bc67acd6ff4764565104b3a628fb738695b63"
    "f97e4e84f28e7d6090a28154b678e57d09a2011bc53cc07c31dcb0751fb5bffa47e3c0875191e577d81d1949"
    "768cd86ff6a8ee68d4";

static struct hf_linked change(struct plain_world *world, const char *path, uint64_t revision,
                               const char *body, const char *old_body)
{
    struct hf_linked linked = { .path = path, .revision = revision };

    assert_ok(&world->op,
              hf_sha256(world->crypto, &world->op, hf_bytes_of_text(body), linked.digest));
    if (old_body != NULL) {
        linked.replaces = true;
        linked.old_revision = revision - 1;
        assert_ok(&world->op, hf_sha256(world->crypto, &world->op, hf_bytes_of_text(old_body),
                                        linked.old_digest));
    }
    return linked;
}

static struct hf_status link_batch(struct plain_world *world, uint64_t seq, struct hf_buf *head,
                                   const char *note, struct hf_linked *changes, size_t count)
{
    struct hf_link_job job = { .unlocked = world->unlocked };
    HF_AUTO(buf) next = hf_buf_new();

    HF_TRY(hf_link_batch(&job, &world->op, seq, hf_buf_bytes(head), hf_bytes_of_text(note), changes,
                         count, next));
    assert_int_equal(job.seq, seq);
    hf_buf_clear(head);
    hf_buf_add_bytes(head, hf_buf_bytes(next));
    return HF_SUCCESS;
}

static void chain_sum_and_head_are_as_documented(void **state)
{
    struct plain_world *world = *state;
    struct hf_linked first[] = { change(world, "key/a", 1, "first body", NULL),
                                 change(world, "key/b", 1, "second body", NULL) };
    struct hf_linked second[] = { change(world, "key/a", 2, "third body", "first body") };
    uint8_t link[HF_DIGEST_LEN] = { 0 };
    uint8_t sum[HF_DIGEST_LEN];
    HF_AUTO(buf) sealed = hf_buf_new();
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_head head;

    assert_ok(&world->op,
              hf_chain_note(world->unlocked, &world->op, 1, hf_bytes_of_text("sealed note"), link));
    expect_hex("link after the note", hf_bytes_of(link, sizeof link), link_note);

    assert_ok(&world->op, link_batch(world, 1, sealed, "sealed note", first, 2));
    expect_hex("link after a", hf_bytes_of(first[0].link, HF_DIGEST_LEN), link_a);
    expect_hex("link after b", hf_bytes_of(first[1].link, HF_DIGEST_LEN), link_b);
    assert_ok(&world->op,
              hf_head_open(world->unlocked, &world->op, 1, hf_buf_bytes(sealed), &head));
    hf_sum_bytes(&head.digest, sum);
    expect_hex("sum", hf_bytes_of(sum, sizeof sum), sum_1);
    assert_int_equal(head.count, 2);

    assert_ok(&world->op, link_batch(world, 2, sealed, "", second, 1));
    assert_ok(&world->op,
              hf_head_open(world->unlocked, &world->op, 2, hf_buf_bytes(sealed), &head));
    hf_head_encode(&head, content);
    expect_hex("head", hf_buf_bytes(content), head_2);
    assert_memory_equal(head.link, second[0].link, HF_DIGEST_LEN);
}

static void the_documented_head_opens(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) sealed = bytes_of_hex(sealed_head_2);
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_head head;

    assert_ok(&world->op,
              hf_head_open(world->unlocked, &world->op, 2, hf_buf_bytes(sealed), &head));
    hf_head_encode(&head, content);
    expect_hex("head", hf_buf_bytes(content), head_2);
}

static void every_flipped_bit_of_a_head_is_found(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) sealed = bytes_of_hex(sealed_head_2);
    struct hf_head head;

    for (size_t bit = 0; bit < 8 * sealed->len; bit++) {
        sealed->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_fails(&world->op,
                     hf_head_open(world->unlocked, &world->op, 2, hf_buf_bytes(sealed), &head),
                     HF_CORRUPT);
        sealed->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t len = 0; len < sealed->len; len++) {
        assert_fails(
            &world->op,
            hf_head_open(world->unlocked, &world->op, 2, hf_bytes_of(sealed->data, len), &head),
            HF_CORRUPT);
    }
}

/* A head of another commit, another store, or another kind is none. */
static void a_head_opens_at_its_own_commit_only(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) sealed = bytes_of_hex(sealed_head_2);
    HF_AUTO(unlocked) other_store = plain_other(world, 0, 0xa1);
    HF_AUTO(unlocked) other_root = plain_other(world, 1, 0xa0);
    struct hf_record_place place = { "head", 2 };
    HF_AUTO(buf) imposter = hf_buf_new();
    HF_AUTO(buf) odd_seq = hf_buf_new();
    struct hf_head head = { .seq = 1 };
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_op *op = &world->op;
    struct hf_bytes bytes = hf_buf_bytes(sealed);

    assert_ok(op, hf_head_open(world->unlocked, op, 2, bytes, &head));
    assert_fails(op, hf_head_open(world->unlocked, op, 1, bytes, &head), HF_CORRUPT);
    assert_fails(op, hf_head_open(world->unlocked, op, 3, bytes, &head), HF_CORRUPT);
    assert_fails(op, hf_head_open(other_store, op, 2, bytes, &head), HF_CORRUPT);
    assert_fails(op, hf_head_open(other_root, op, 2, bytes, &head), HF_CORRUPT);
    assert_fails(op, hf_head_open(world->unlocked, op, 2, HF_BYTES_NONE, &head), HF_CORRUPT);

    hf_head_encode(&head, content);
    assert_ok(op, hf_record_seal(world->unlocked, op, HF_KIND_KEY, 0, &place, hf_buf_bytes(content),
                                 imposter));
    assert_fails(op, hf_head_open(world->unlocked, op, 2, hf_buf_bytes(imposter), &head),
                 HF_CORRUPT);
    head.seq = 7;
    hf_buf_clear(content);
    hf_head_encode(&head, content);
    assert_ok(op, hf_record_seal(world->unlocked, op, HF_KIND_HEAD, 0, &place,
                                 hf_buf_bytes(content), odd_seq));
    assert_fails(op, hf_head_open(world->unlocked, op, 2, hf_buf_bytes(odd_seq), &head),
                 HF_CORRUPT);
}

static void the_linker_refuses_a_head_that_is_not_the_one_before(void **state)
{
    struct plain_world *world = *state;
    struct hf_linked changes[] = { change(world, "key/a", 1, "body", NULL) };
    HF_AUTO(buf) head = hf_buf_new();
    HF_AUTO(buf) older = hf_buf_new();

    assert_fails(&world->op, link_batch(world, 2, head, "", changes, 1), HF_CORRUPT);
    assert_ok(&world->op, link_batch(world, 1, head, "", changes, 1));
    hf_buf_add_bytes(older, hf_buf_bytes(head));
    assert_fails(&world->op, link_batch(world, 1, head, "", changes, 1), HF_CORRUPT);
    changes[0] = change(world, "key/a", 2, "body 2", "body");
    assert_ok(&world->op, link_batch(world, 2, head, "", changes, 1));
    changes[0] = change(world, "key/a", 3, "body 3", "body 2");
    assert_fails(&world->op, link_batch(world, 3, older, "", changes, 1), HF_CORRUPT);
    head->data[head->len - 1] ^= 1;
    assert_fails(&world->op, link_batch(world, 3, head, "", changes, 1), HF_CORRUPT);
    head->data[head->len - 1] ^= 1;
    assert_ok(&world->op, link_batch(world, 3, head, "", changes, 1));
}

/* Whatever way records came to where they are, the sum is that of the records there are. */
static void the_sum_does_not_depend_on_the_way(void **state)
{
    struct plain_world *world = *state;
    struct hf_linked one_by_one[] = { change(world, "key/a", 1, "x", NULL),
                                      change(world, "key/b", 1, "b", NULL),
                                      change(world, "key/a", 2, "y", "x"),
                                      change(world, "key/a", 3, "z", "y") };
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_record_place a = { "key/a", 3 };
    struct hf_record_place b = { "key/b", 1 };
    uint8_t term[HF_DIGEST_LEN];
    struct hf_sum sum = { { 0 } };
    struct hf_head head;

    for (size_t i = 0; i < HF_COUNT(one_by_one); i++) {
        assert_ok(&world->op, link_batch(world, i + 1, sealed, "", &one_by_one[i], 1));
    }
    assert_ok(&world->op,
              hf_head_open(world->unlocked, &world->op, 4, hf_buf_bytes(sealed), &head));
    assert_ok(&world->op,
              hf_digest_term(world->unlocked, &world->op, &b, one_by_one[1].digest, term));
    hf_sum_add(&sum, term);
    assert_ok(&world->op,
              hf_digest_term(world->unlocked, &world->op, &a, one_by_one[3].digest, term));
    hf_sum_add(&sum, term);
    assert_true(hf_sum_equal(&sum, &head.digest));
    assert_int_equal(head.count, 2);
}

static const struct {
    const char *a;
    const char *b;
    const char *sum;
} sums[] = {
    { "0000000000000000000000000000000000000000000000000000000000000001",
      "0000000000000000000000000000000000000000000000000000000000000002",
      "0000000000000000000000000000000000000000000000000000000000000003" },
    { "000000000000000000000000000000000000000000000000ffffffffffffffff",
      "0000000000000000000000000000000000000000000000000000000000000001",
      "0000000000000000000000000000000000000000000000010000000000000000" },
    { "0000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff",
      "0000000000000000000000000000000000000000000000000000000000000001",
      "0000000000000001000000000000000000000000000000000000000000000000" },
    { "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "0000000000000000000000000000000000000000000000000000000000000001",
      "0000000000000000000000000000000000000000000000000000000000000000" },
    { "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe" },
};

static void sums_carry_and_borrow_through_all_limbs(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(sums); i++) {
        HF_AUTO(buf) a = bytes_of_hex(sums[i].a);
        HF_AUTO(buf) b = bytes_of_hex(sums[i].b);
        uint8_t out[HF_DIGEST_LEN];
        struct hf_sum sum;

        hf_sum_from(&sum, a->data);
        hf_sum_add(&sum, b->data);
        hf_sum_bytes(&sum, out);
        expect_hex("a + b", hf_bytes_of(out, sizeof out), sums[i].sum);
        hf_sum_subtract(&sum, b->data);
        hf_sum_bytes(&sum, out);
        expect_hex("a + b - b", hf_bytes_of(out, sizeof out), sums[i].a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chain_sum_and_head_are_as_documented, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(the_documented_head_opens, plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_of_a_head_is_found, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_head_opens_at_its_own_commit_only, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(the_linker_refuses_a_head_that_is_not_the_one_before,
                                        plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(the_sum_does_not_depend_on_the_way, plain_setup,
                                        plain_teardown),
        cmocka_unit_test(sums_carry_and_borrow_through_all_limbs),
    };

    world_start_process((size_t)8 << 20);
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
