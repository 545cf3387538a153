/* Members: their bytes, and that a member and its slot come and go together. */
#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seal/member.h"

/* docs/formats/member.md */
static const char vector[] = "01000000066e6f64652d320000000465617374"
                             "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d"
                             "101112131415161718191a1b1c1d1e1f000001a20072e79b"
                             "00000009756e69783a726f6f7402000001a20072e8e8"
                             "00000020202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c"
                             "3d3e3f";

/* --- bytes --- */

static void the_documented_bytes_are_a_member(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) content = bytes_of_hex(vector);
    HF_AUTO(buf) again = hf_buf_new();
    HF_AUTO(member) member = NULL;
    uint8_t former[HF_X25519_LEN];

    assert_ok(&world->op, hf_member_parse(&world->op, hf_buf_bytes(content), &member));
    assert_string_equal(member->node.name, "node-2");
    assert_string_equal(member->node.site, "east");
    assert_string_equal(member->slot, "101112131415161718191a1b1c1d1e1f");
    assert_string_equal(member->approved_by, "unix:root");
    assert_string_equal(hf_member_state_name(member->state), "draining");
    assert_true(member->approved_ms == 1795303860123 && member->changed_ms == 1795303860456);
    for (size_t i = 0; i < sizeof former; i++) {
        former[i] = (uint8_t)(0x20 + i);
    }
    assert_true(hf_member_had_key(member, former));
    assert_false(hf_member_had_key(member, member->node.public_key));
    assert_ok(&world->op, hf_member_encode(&world->op, member, again));
    expect_hex("member", hf_buf_bytes(again), vector);
}

static void a_member_cut_short_or_continued_is_none(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) content = bytes_of_hex(vector);
    HF_AUTO(member) more = NULL;

    for (size_t len = 0; len < content->len; len++) {
        HF_AUTO(member) member = NULL;

        assert_fails(&world->op,
                     hf_member_parse(&world->op, hf_bytes_of(content->data, len), &member),
                     HF_CORRUPT);
    }
    hf_put_u8(content, 0);
    assert_fails(&world->op, hf_member_parse(&world->op, hf_buf_bytes(content), &more), HF_CORRUPT);
}

static void a_member_of_an_unknown_form_is_none(void **state)
{
    static const struct {
        const char *says;
        size_t at;
        uint8_t value;
        enum hf_code code;
    } changes[] = {
        { "nothing changed", 0, 1, HF_OK },
        { "another format", 0, 2, HF_CORRUPT },
        { "a slash in the name", 5, '/', HF_CORRUPT },
        { "a line feed in the site", 15, '\n', HF_CORRUPT },
        { "no state", 88, 0, HF_CORRUPT },
        { "approved", 88, 1, HF_OK },
        { "removed", 88, 3, HF_OK },
        { "away", 88, 4, HF_OK },
        { "away and draining", 88, 5, HF_OK },
        { "an unknown state", 88, 6, HF_CORRUPT },
    };
    struct world *world = *state;

    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        HF_AUTO(buf) content = bytes_of_hex(vector);
        HF_AUTO(member) member = NULL;
        struct hf_status status;

        content->data[changes[i].at] = changes[i].value;
        status = hf_member_parse(&world->op, hf_buf_bytes(content), &member);
        if (status.code != changes[i].code) {
            fail_msg("%s: %s", changes[i].says, hf_code_name(status.code));
        }
    }
}

static void being_away_and_draining_are_told_apart(void **state)
{
    static const struct {
        uint8_t state;
        bool away, draining;
        const char *name;
    } cases[] = {
        { 1, false, false, "approved" },    { 2, false, true, "draining" },
        { 3, false, false, "removed" },     { 4, true, false, "away" },
        { 5, true, true, "away-draining" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) content = bytes_of_hex(vector);
        HF_AUTO(member) member = NULL;

        content->data[88] = cases[i].state;
        assert_ok(&world->op, hf_member_parse(&world->op, hf_buf_bytes(content), &member));
        assert_string_equal(hf_member_state_name(member->state), cases[i].name);
        if (hf_member_is_away(member) != cases[i].away ||
            hf_member_is_draining(member) != cases[i].draining) {
            fail_msg("%s", cases[i].name);
        }
        assert_true(member->state == HF_MEMBER_REMOVED ||
                    hf_member_state_of(cases[i].away, cases[i].draining) == member->state);
    }
}

/* --- in a store --- */

static struct hf_protector *node_key(struct world *world, const char *name,
                                     struct hf_join_request *out)
{
    HF_AUTO_STRING file = hf_format("%s/%s.node", world->directory, name);
    const struct hf_protector_settings settings = { .kind = "node", .file = file };
    struct hf_protector *protector = NULL;

    *out = (struct hf_join_request){ .site = "east" };
    strcpy(out->name, name);
    assert_ok(&world->op, hf_node_key_create(world->crypto, &world->op, file));
    assert_ok(&world->op, hf_node_key_public(world->crypto, &world->op, file, out->public_key));
    assert_ok(&world->op, hf_protector_open(world->crypto, &world->op, &settings, &protector));
    assert_int_equal(unlink(file), 0);
    return protector;
}

static struct hf_status add(struct world *world, const struct hf_join_request *node,
                            struct hf_member *member)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_member_add_stage(world->seal, &world->op, txn, node, "unix:root", member));
    status = hf_txn_commit(txn, &world->op, &commit);
    hf_secret_free(commit.result);
    return status;
}

static struct hf_status take_out(struct world *world, const char *name, bool keep_root)
{
    HF_AUTO(member) member = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;

    HF_TRY(hf_member_get(world->seal, &world->op, name, &member));
    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_seal_slot_remove_stage(world->seal, &world->op, txn, member->slot, keep_root));
    HF_TRY(hf_member_change_stage(&world->op, txn, HF_MEMBER_REMOVED, member));
    status = hf_txn_commit(txn, &world->op, &commit);
    hf_secret_free(commit.result);
    return status;
}

struct search {
    const char *id;
    size_t slots;
    bool found;
    struct hf_slot_info info;
};

static void match(void *context, const struct hf_slot_info *slot)
{
    struct search *search = context;

    search->slots++;
    if (strcmp(slot->id, search->id) == 0) {
        search->found = true;
        search->info = *slot;
    }
}

static struct search find(struct world *world, const char *id)
{
    struct search search = { .id = id };

    assert_ok(&world->op, hf_seal_slots(world->seal, &world->op, match, &search));
    return search;
}

static void a_node_opens_the_store_by_the_slot_made_with_its_public_key(void **state)
{
    struct world *world = *state;
    struct hf_join_request node;
    HF_AUTO(protector) own = node_key(world, "node-2", &node);
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    struct hf_slot_info opened;
    struct search slot;

    assert_ok(&world->op, add(world, &node, member));
    slot = find(world, member->slot);
    assert_true(slot.found && slot.info.verified && !slot.info.needs_human);
    assert_string_equal(slot.info.protector, "node");
    assert_string_equal(slot.info.name, "node-2");
    assert_false(hf_slot_is_proven(&slot.info, 1));
    world_reopen(world);
    assert_ok(&world->op, hf_seal_unlock(world->seal, &world->op, own, &opened));
    assert_string_equal(opened.id, member->slot);
    assert_ok(&world->op, hf_seal_slot_proven(world->seal, &world->op, opened.id));
    slot = find(world, member->slot);
    assert_true(hf_slot_is_proven(&slot.info, 1));
}

static void a_key_that_was_not_approved_opens_nothing(void **state)
{
    struct world *world = *state;
    struct hf_join_request node, stranger;
    HF_AUTO(protector) own = node_key(world, "node-2", &node);
    HF_AUTO(protector) other = node_key(world, "node-3", &stranger);
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    struct hf_slot_info opened;

    world_reopen(world);
    assert_fails(&world->op, hf_seal_unlock(world->seal, &world->op, own, &opened), HF_NOT_FOUND);
    assert_ok(&world->op, world_unlock(world));
    assert_ok(&world->op, add(world, &node, member));
    world_reopen(world);
    assert_fails(&world->op, hf_seal_unlock(world->seal, &world->op, other, &opened), HF_DENIED);
    assert_ok(&world->op, world_unlock(world));
}

static void a_removed_key_opens_nothing_and_is_remembered(void **state)
{
    struct world *world = *state;
    struct hf_join_request node, next;
    HF_AUTO(protector) own = node_key(world, "node-2", &node);
    HF_AUTO(protector) successor = NULL;
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    HF_AUTO(member) removed = NULL;
    HF_AUTO(member) replaced = NULL;
    HF_AUTO_STRING old_slot = NULL;
    struct hf_slot_info opened;
    bool done = false;

    assert_ok(&world->op, add(world, &node, member));
    old_slot = hf_strdup(member->slot);
    assert_ok(&world->op, take_out(world, "node-2", false));
    while (!done) {
        assert_ok(&world->op, hf_seal_root_move(world->seal, &world->op, 100, &done));
    }
    assert_false(find(world, old_slot).found);
    assert_ok(&world->op, hf_member_get(world->seal, &world->op, "node-2", &removed));
    assert_int_equal(removed->state, HF_MEMBER_REMOVED);
    world_reopen(world);
    assert_fails(&world->op, hf_seal_unlock(world->seal, &world->op, own, &opened), HF_NOT_FOUND);
    assert_ok(&world->op, world_unlock(world));

    /* Another machine takes the name. */
    successor = node_key(world, "node-2", &next);
    assert_ok(&world->op, add(world, &next, removed));
    assert_ok(&world->op, hf_member_get(world->seal, &world->op, "node-2", &replaced));
    assert_int_equal(replaced->state, HF_MEMBER_APPROVED);
    assert_true(hf_member_had_key(replaced, node.public_key));
    assert_false(hf_member_had_key(replaced, next.public_key));
    world_reopen(world);
    assert_ok(&world->op, hf_seal_unlock(world->seal, &world->op, successor, &opened));
}

static void members_are_listed_by_name(void **state)
{
    struct world *world = *state;
    static const char *const names[] = { "c", "a", "b.1" };
    HF_AUTO(members) members = NULL;

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        struct hf_join_request node;
        HF_AUTO(protector) own = node_key(world, names[i], &node);
        HF_AUTO(member) member = hf_alloc(sizeof *member);

        assert_non_null(own);
        assert_ok(&world->op, add(world, &node, member));
    }
    assert_ok(&world->op, hf_members_read(world->seal, &world->op, &members));
    assert_int_equal(members->count, 3);
    assert_string_equal(members->items[0]->node.name, "a");
    assert_string_equal(members->items[1]->node.name, "b.1");
    assert_string_equal(members->items[2]->node.name, "c");
}

static void a_record_at_another_name_is_not_taken(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) content = bytes_of_hex(vector);
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(member) member = NULL;
    HF_AUTO(members) members = NULL;
    struct hf_txn_commit commit;

    assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
    assert_ok(&world->op, hf_txn_put(txn, &world->op, HF_KIND_MEMBER, "member/node-9", 0,
                                     hf_buf_bytes(content)));
    assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
    assert_fails(&world->op, hf_member_get(world->seal, &world->op, "node-9", &member), HF_CORRUPT);
    assert_fails(&world->op, hf_members_read(world->seal, &world->op, &members), HF_CORRUPT);
    assert_fails(&world->op, hf_member_get(world->seal, &world->op, "../slot", &member),
                 HF_NOT_FOUND);
}

/* --- faults --- */

static const struct {
    const char *says;
    enum hf_fault fault;
    enum hf_code code;
} faults[] = {
    { "unavailable before", HF_FAULT_BEFORE, HF_UNAVAILABLE },
    { "no space before", HF_FAULT_BEFORE, HF_NO_SPACE },
    { "in doubt, nothing happened", HF_FAULT_BEFORE, HF_IN_DOUBT },
    { "in doubt, it happened", HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
};

/* After a crash: member and slot, or neither; gives whether they are there. */
static bool are_there(struct world *world, const char *name, const char *says)
{
    HF_AUTO(member) member = NULL;
    struct search slot;
    struct hf_status status;

    world_reopen(world);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    status = hf_member_get(world->seal, &world->op, name, &member);
    if (status.code == HF_NOT_FOUND) {
        assert_int_equal(find(world, "").slots, 2);
        return false;
    }
    assert_ok(&world->op, status);
    slot = find(world, member->slot);
    if (slot.found != (member->state != HF_MEMBER_REMOVED) ||
        slot.slots != (slot.found ? 3U : 2U)) {
        fail_msg("%s: of member and slot only one is there", says);
    }
    return slot.found;
}

static struct hf_status add_one(struct world *world, const struct hf_join_request *node)
{
    HF_AUTO(member) member = hf_alloc(sizeof *member);

    return add(world, node, member);
}

static struct hf_status take_one(struct world *world, const struct hf_join_request *node)
{
    return take_out(world, node->name, true);
}

/* One change with one fault at one call, on a node that is there before unless it is added. */
static bool run_once(struct world *world, unsigned number, size_t fault, uint64_t at,
                     struct hf_status (*change)(struct world *, const struct hf_join_request *))
{
    HF_AUTO_STRING name = hf_format("n%u", number);
    struct hf_join_request node;
    HF_AUTO(protector) own = node_key(world, name, &node);
    bool adds = change == add_one;
    struct hf_status status;
    bool happened;

    assert_non_null(own);
    if (!adds) {
        assert_ok(&world->op, add_one(world, &node));
    }
    hf_failing_set(world->engine, faults[fault].fault, faults[fault].code, at);
    status = change(world, &node);
    happened = hf_failing_faults(world->engine) > 0;
    hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
    assert_true(happened || status.code == HF_OK);
    if (are_there(world, name, faults[fault].says)) {
        assert_true(adds || status.code != HF_OK);
        assert_ok(&world->op, take_one(world, &node));
    } else {
        assert_true(!adds || status.code != HF_OK);
    }
    return happened;
}

static void a_fault_at_any_call_changes_member_and_slot_or_neither(void **state)
{
    struct hf_status (*const changes[])(struct world *, const struct hf_join_request *) = {
        add_one,
        take_one,
    };
    struct world *world = *state;
    unsigned number = 0;

    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        for (size_t fault = 0; fault < HF_COUNT(faults); fault++) {
            uint64_t at = 1;

            while (run_once(world, number++, fault, at, changes[i])) {
                at++;
            }
            assert_true(at > 1);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_documented_bytes_are_a_member),
        CASE(a_member_cut_short_or_continued_is_none),
        CASE(a_member_of_an_unknown_form_is_none),
        CASE(being_away_and_draining_are_told_apart),
        CASE(a_node_opens_the_store_by_the_slot_made_with_its_public_key),
        CASE(a_key_that_was_not_approved_opens_nothing),
        CASE(a_removed_key_opens_nothing_and_is_remembered),
        CASE(members_are_listed_by_name),
        CASE(a_record_at_another_name_is_not_taken),
        CASE(a_fault_at_any_call_changes_member_and_slot_or_neither),
    };

    world_start_process((size_t)64 << 20);
    return cmocka_run_group_tests_name("member", tests, NULL, NULL);
}
