/* Nodes that join: who approves them, what is asked of two people, what a removed one keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seal/authority.h"
#include "seal/join.h"
#include "world.h"

/* A machine of that name with a key of its own: its request and how it would open. */
struct machine {
    struct hf_join_request node;
    struct hf_buf *request;
    char fingerprint[HF_FINGERPRINT_LEN];     /* of the request */
    char key_fingerprint[HF_FINGERPRINT_LEN]; /* as the list shows it */
    char *file;
};

static struct machine machine(const char *name, const char *key)
{
    struct hf_op op = small_world_op(0);
    HF_AUTO_STRING file_name = hf_format("%s.node", key);
    struct machine machine = { .node = { .site = "east" }, .request = hf_buf_new() };

    machine.file = small_world_path(file_name);
    strcpy(machine.node.name, name);
    if (access(machine.file, F_OK) != 0) {
        assert_ok(&op, hf_node_key_create(small_world.crypto, &op, machine.file));
    }
    assert_ok(&op,
              hf_node_key_public(small_world.crypto, &op, machine.file, machine.node.public_key));
    assert_ok(&op, hf_node_fingerprint(small_world.crypto, &op, machine.node.public_key,
                                       machine.key_fingerprint));
    assert_ok(&op, hf_join_request_fingerprint(small_world.crypto, &op, &machine.node,
                                               machine.fingerprint));
    assert_ok(&op, hf_join_request_print(small_world.crypto, &op, &machine.node, machine.request));
    return machine;
}

static void print_anew(struct machine *machine)
{
    struct hf_op op = small_world_op(0);

    hf_buf_clear(machine->request);
    assert_ok(&op,
              hf_join_request_print(small_world.crypto, &op, &machine->node, machine->request));
}

/* It asks for a certificate, too. */
static void wish_for(struct machine *machine, const char *hosts)
{
    struct hf_op op = small_world_op(0);
    struct hf_join_wish *wish = &machine->node.wish;
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(buf) public_key = hf_buf_new();

    assert_ok(&op, hf_pkey_generate(small_world.crypto, &op, HF_PKEY_P256, &key));
    assert_ok(&op, hf_pkey_public(key, &op, public_key));
    memcpy(wish->key, public_key->data, public_key->len);
    wish->key_len = public_key->len;
    strcpy(wish->hosts, hosts);
    print_anew(machine);
}

static void machine_done(struct machine *machine)
{
    hf_buf_free(machine->request);
    free(machine->file);
}

#define MACHINE __attribute__((cleanup(machine_done))) struct machine

/* What was shown of the last node, and how many were shown. */
struct seen {
    size_t count;
    char name[65];
    char state[16];
    char slot[33];
    char fingerprint[HF_FINGERPRINT_LEN];
    char approved_by[64];
    uint64_t proven_ms;
};

static void see(void *context, const struct hf_node_info *node)
{
    struct seen *seen = context;

    seen->count++;
    (void)snprintf(seen->name, sizeof seen->name, "%s", node->member->node.name);
    (void)snprintf(seen->state, sizeof seen->state, "%s",
                   hf_member_state_name(node->member->state));
    (void)snprintf(seen->slot, sizeof seen->slot, "%s", node->member->slot);
    (void)snprintf(seen->fingerprint, sizeof seen->fingerprint, "%s", node->fingerprint);
    (void)snprintf(seen->approved_by, sizeof seen->approved_by, "%.60s", node->member->approved_by);
    seen->proven_ms = node->proven_ms;
}

static struct hf_status approve(struct hf_op *op, struct machine *machine, const char *fingerprint,
                                struct seen *out)
{
    HF_AUTO(buf) bundle = hf_buf_new();
    HF_AUTO(join_bundle) parsed = NULL;
    char bundle_fingerprint[HF_FINGERPRINT_LEN];

    *out = (struct seen){ 0 };
    HF_TRY(hf_service_node_approve(world.service, op, hf_buf_text(machine->request), fingerprint,
                                   see, out, bundle, bundle_fingerprint));
    assert_ok(op, hf_join_bundle_parse(small_world.crypto, op, hf_buf_bytes(bundle), &parsed));
    assert_string_equal(parsed->slot, out->slot);
    assert_memory_equal(parsed->store_id, hf_seal_store_id(small_world.seal).data, HF_STORE_ID_LEN);
    return HF_SUCCESS;
}

static struct hf_status remove_node(struct hf_op *op, const char *name, bool keep_root,
                                    uint32_t *out)
{
    return hf_service_node_remove(world.service, op, name, keep_root, out);
}

static struct seen list_now(void)
{
    struct hf_op carol = world_as(CAROL);
    struct seen seen = { 0 };

    assert_ok(&carol, hf_service_node_list(world.service, &carol, see, &seen));
    return seen;
}

static void count_slot(void *context, const struct hf_slot_info *slot)
{
    (void)slot;
    ++*(size_t *)context;
}

static size_t slots_now(void)
{
    struct hf_op carol = world_as(CAROL);
    size_t count = 0;

    assert_ok(&carol, hf_service_slots(world.service, &carol, count_slot, &count));
    return count;
}

/* The daemon's job, to its end. */
static void finish_rotation(void)
{
    world_jobs();
}

/* Locks the node and opens it with the machine's own key. */
static struct hf_status open_by(struct machine *machine)
{
    struct hf_protector_settings settings = { .kind = "node", .file = machine->file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;

    if (hf_seal_is_unlocked(small_world.seal)) {
        assert_ok(&root, hf_service_lock(world.service, &root));
    }
    return hf_service_unlock(world.service, &root, &settings, &slot);
}

static void open_again(void)
{
    HF_AUTO_STRING file = small_world_path("node.key");
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;

    assert_ok(&root, hf_service_unlock(world.service, &root, &settings, &slot));
}

static void an_approved_machine_opens_the_node_by_its_own_key(void **unused)
{
    MACHINE new = machine("node-2", "new");
    MACHINE other = machine("node-3", "other");
    struct hf_op root = world_as(ROOT);
    size_t slots = slots_now();
    struct seen seen;

    (void)unused;
    assert_int_equal(open_by(&new).code, HF_NOT_FOUND);
    open_again();
    assert_ok(&root, approve(&root, &new, new.fingerprint, &seen));
    assert_int_equal(slots_now(), slots + 1);
    assert_string_equal(seen.name, "node-2");
    assert_string_equal(seen.state, "approved");
    assert_string_equal(seen.fingerprint, new.key_fingerprint);
    assert_string_equal(seen.approved_by, ROOT);
    assert_true(seen.proven_ms == 0);
    assert_int_equal(world_notes(EVENT("node.approve", "ok", ROOT), new.key_fingerprint), 1);
    assert_int_equal(open_by(&other).code, HF_DENIED);
    assert_int_equal(open_by(&new).code, HF_OK);
    assert_true(list_now().proven_ms != 0);
}

static void another_fingerprint_approves_nothing(void **unused)
{
    MACHINE new = machine("node-2", "new");
    MACHINE other = machine("node-2", "other");
    struct hf_op root = world_as(ROOT);
    uint64_t before = world_seq();
    struct seen seen;

    (void)unused;
    assert_fails(&root, approve(&root, &new, other.fingerprint, &seen), HF_INVALID);
    assert_non_null(strstr(root.text, new.fingerprint));
    assert_fails(&root, approve(&root, &new, "", &seen), HF_INVALID);
    assert_true(world_seq() == before);
    assert_int_equal(world_lines(EVENT("node.approve", "invalid", ROOT), NULL, NULL), 2);
    assert_int_equal(list_now().count, 0);
    assert_ok(&root, approve(&root, &new, NULL, &seen));
}

static void approved_twice_is_one_slot(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_op root = world_as(ROOT);
    size_t slots = slots_now();
    struct seen first, again;

    (void)unused;
    root.request_id = world_request(1);
    assert_ok(&root, approve(&root, &new, NULL, &first));
    assert_ok(&root, approve(&root, &new, NULL, &again));
    assert_string_equal(again.slot, first.slot);
    root.request_id = world_request(2);
    assert_ok(&root, approve(&root, &new, NULL, &again));
    assert_string_equal(again.slot, first.slot);
    assert_int_equal(slots_now(), slots + 1);
    assert_int_equal(list_now().count, 1);
}

static void names_and_keys_that_are_taken_are_refused(void **unused)
{
    MACHINE first = machine("node-2", "first");
    MACHINE same_name = machine("node-2", "second");
    MACHINE same_key = machine("node-3", "first");
    MACHINE slot_name = machine("offline", "third");
    struct hf_op root = world_as(ROOT);
    size_t slots = slots_now();
    struct seen seen;

    (void)unused;
    assert_ok(&root, approve(&root, &first, NULL, &seen));
    assert_fails(&root, approve(&root, &same_name, NULL, &seen), HF_EXISTS);
    assert_fails(&root, approve(&root, &same_key, NULL, &seen), HF_EXISTS);
    assert_non_null(strstr(root.text, "node-2 already"));
    assert_fails(&root, approve(&root, &slot_name, NULL, &seen), HF_EXISTS);
    assert_int_equal(slots_now(), slots + 1);
}

static void texts_that_are_no_request_are_refused(void **unused)
{
    static const struct {
        const char *request;
        enum hf_code code;
    } cases[] = {
        { "", HF_INVALID },
        { "holdfast-join-2:AAAA", HF_INVALID },
        { "holdfast-join-7:AAAA", HF_UNSUPPORTED },
        { "holdfast-bundle-2:AAAA", HF_INVALID },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) text = hf_buf_new();
        struct machine none = { .request = text };
        struct hf_op root = world_as(ROOT);
        struct seen seen;

        hf_buf_add_text(text, cases[i].request);
        assert_fails(&root, approve(&root, &none, NULL, &seen), cases[i].code);
    }
}

static void a_key_of_small_order_gets_no_slot(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_op root = world_as(ROOT);
    uint64_t before = world_seq();
    struct seen seen;

    (void)unused;
    memset(new.node.public_key, 0, sizeof new.node.public_key);
    print_anew(&new);
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_INVALID);
    assert_true(world_seq() == before);
}

static void what_cannot_be_certified_changes_nothing(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_op root = world_as(ROOT);
    struct seen seen;
    uint64_t before;

    (void)unused;
    assert_ok(&root, hf_authority_make(small_world.seal, &root));
    wish_for(&new, "localhost");
    new.node.wish.key_len--;
    print_anew(&new);
    before = world_seq();
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_INVALID);
    assert_true(world_seq() == before);
    assert_int_equal(list_now().count, 0);
    new.node.wish.key_len++;
    print_anew(&new);
    assert_ok(&root, approve(&root, &new, NULL, &seen));
}

static void a_repeat_after_the_removal_gets_no_bundle(void **unused)
{
    MACHINE new = machine("node-2", "new");
    MACHINE successor = machine("node-2", "successor");
    struct hf_op root = world_as(ROOT);
    struct hf_op again = world_as(ROOT);
    struct seen seen;
    uint32_t generation = 0;

    (void)unused;
    again.request_id = world_request(1);
    assert_ok(&again, approve(&again, &new, NULL, &seen));
    assert_ok(&again, approve(&again, &new, NULL, &seen));
    assert_ok(&root, remove_node(&root, "node-2", true, &generation));
    assert_fails(&again, approve(&again, &new, NULL, &seen), HF_WRONG_STATE);
    assert_non_null(strstr(again.text, "it gets no bundle"));
    assert_ok(&root, approve(&root, &successor, NULL, &seen));
    assert_fails(&again, approve(&again, &new, NULL, &seen), HF_WRONG_STATE);
}

static void only_who_may_approves_and_removes(void **unused)
{
    static const char *const others[] = { MALLORY, ALICE, CAROL };
    MACHINE new = machine("node-2", "new");
    struct seen seen = { 0 };
    uint32_t generation = 0;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        struct hf_op op = world_as(others[i]);

        assert_fails(&op, approve(&op, &new, NULL, &seen), HF_DENIED);
        assert_fails(&op, hf_service_node_drain(world.service, &op, "node-2", true, see, &seen),
                     HF_DENIED);
        assert_fails(&op, remove_node(&op, "node-2", true, &generation), HF_DENIED);
    }
    struct hf_op alice = world_as(ALICE);
    assert_fails(&alice, hf_service_node_list(world.service, &alice, see, &seen), HF_DENIED);
    assert_int_equal(list_now().count, 0);
}

static void a_removed_machine_opens_nothing_and_never_comes_back(void **unused)
{
    MACHINE new = machine("node-2", "new");
    MACHINE successor = machine("node-2", "successor");
    MACHINE disguised = machine("node-4", "new");
    struct hf_op root = world_as(ROOT);
    size_t slots = slots_now();
    struct seen seen;
    uint32_t generation = 0;
    uint64_t before;

    (void)unused;
    assert_ok(&root, approve(&root, &new, NULL, &seen));
    before = world_seq();
    root.request_id = world_request(3);
    assert_ok(&root, remove_node(&root, "node-2", false, &generation));
    assert_int_equal(generation, 2);
    assert_true(world_seq() == before + 1);
    finish_rotation();
    /* Asked again, it is the first answer. */
    generation = 0;
    assert_ok(&root, remove_node(&root, "node-2", false, &generation));
    assert_int_equal(generation, 2);
    memset(&root.request_id, 0, sizeof root.request_id);
    assert_fails(&root, remove_node(&root, "node-2", false, &generation), HF_WRONG_STATE);
    assert_int_equal(slots_now(), slots);
    assert_string_equal(list_now().state, "removed");
    assert_int_equal(open_by(&new).code, HF_NOT_FOUND);
    open_again();
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_WRONG_STATE);
    assert_fails(&root, approve(&root, &disguised, NULL, &seen), HF_WRONG_STATE);
    assert_ok(&root, approve(&root, &successor, NULL, &seen));
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_WRONG_STATE);
    assert_int_equal(open_by(&new).code, HF_DENIED);
    assert_int_equal(open_by(&successor).code, HF_OK);
}

static void the_root_may_be_kept_when_a_node_goes(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_op root = world_as(ROOT);
    struct seen seen;
    uint32_t generation = 0;

    (void)unused;
    assert_ok(&root, approve(&root, &new, NULL, &seen));
    assert_ok(&root, remove_node(&root, "node-2", true, &generation));
    assert_int_equal(generation, 1);
    assert_int_equal(world_notes(EVENT("node.remove", "ok", ROOT), "the root kept"), 1);
    assert_int_equal(open_by(&new).code, HF_NOT_FOUND);
    open_again();
    assert_fails(&root, remove_node(&root, "nobody", true, &generation), HF_NOT_FOUND);
}

static void a_nodes_slot_is_made_and_removed_with_the_node_only(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_protector_settings settings = { .kind = "node", .file = new.file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;
    struct seen seen;
    uint32_t generation = 0;

    (void)unused;
    assert_fails(&root,
                 hf_service_slot_add(world.service, &root, "node-2", false, &settings, &slot),
                 HF_INVALID);
    assert_ok(&root, approve(&root, &new, NULL, &seen));
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "node-2", true, &generation),
                 HF_WRONG_STATE);
    assert_non_null(strstr(root.text, "holdfast node remove node-2"));
    assert_string_equal(list_now().state, "approved");
}

static void a_draining_node_is_not_ready_and_goes_on_opening(void **unused)
{
    /* This very node, as if it had joined. */
    MACHINE me = machine(world.service->node, "me");
    struct hf_op root = world_as(ROOT), alice = world_as(ALICE);
    HF_AUTO(secret) data_key = NULL;
    struct hf_edek edek;
    struct seen seen;
    uint32_t generation = 0;

    (void)unused;
    (void)world_key("k", HF_ALG_AES_256);
    assert_ok(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "k", 1, &edek));
    assert_fails(&root, hf_service_node_drain(world.service, &root, me.node.name, true, see, &seen),
                 HF_NOT_FOUND);
    assert_ok(&root, approve(&root, &me, NULL, &seen));
    assert_ok(&root, hf_service_ready(world.service, &root));
    assert_ok(&root, hf_service_node_drain(world.service, &root, me.node.name, true, see, &seen));
    assert_string_equal(seen.state, "draining");
    assert_fails(&root, hf_service_ready(world.service, &root), HF_WRONG_STATE);
    /* Approved again, it is drained still. */
    assert_ok(&root, approve(&root, &me, NULL, &seen));
    assert_string_equal(seen.state, "draining");
    assert_ok(&alice,
              hf_service_hadoop_decrypt(world.service, &alice, RING, "k", &edek, &data_key));
    assert_ok(&root, hf_service_node_drain(world.service, &root, me.node.name, false, see, &seen));
    assert_string_equal(seen.state, "approved");
    assert_ok(&root, hf_service_ready(world.service, &root));
    assert_ok(&root, remove_node(&root, me.node.name, true, &generation));
    assert_fails(&root, hf_service_node_drain(world.service, &root, me.node.name, true, see, &seen),
                 HF_WRONG_STATE);
}

struct waiting {
    const char *operation;
    size_t count;
    char id[33]; /* of the last one */
};

static void note_waiting(void *context, const struct hf_approval_info *info)
{
    struct waiting *waiting = context;

    if (strcmp(info->operation, waiting->operation) == 0) {
        waiting->count++;
        memcpy(waiting->id, info->id, sizeof waiting->id);
    }
}

static struct waiting waiting_for(const char *operation)
{
    struct hf_op admin = world_as(ADMIN);
    struct waiting waiting = { .operation = operation };

    assert_ok(&admin, hf_service_approval_list(world.service, &admin, note_waiting, &waiting));
    return waiting;
}

static void a_keyring_can_ask_for_two_people(void **unused)
{
    MACHINE new = machine("node-2", "new");
    MACHINE other = machine("node-2", "other");
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct hf_keyring_settings settings;
    struct waiting waiting;
    struct seen seen;
    uint32_t generation = 0;

    (void)unused;
    hf_keyring_settings_default(&settings);
    settings.approve_slot_removal = true;
    world_ring("careful", &settings);
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_WRONG_STATE);
    waiting = waiting_for("node.approve");
    assert_int_equal(waiting.count, 1);
    assert_int_equal(list_now().count, 0);
    assert_ok(&admin, hf_service_approve(world.service, &admin, waiting.id));
    /* It was for that key. */
    assert_fails(&root, approve(&root, &other, NULL, &seen), HF_WRONG_STATE);
    assert_ok(&root, approve(&root, &new, NULL, &seen));
    /* What is there needs nobody's word again. */
    assert_ok(&root, approve(&root, &new, NULL, &seen));

    assert_fails(&root, remove_node(&root, "nobody", false, &generation), HF_NOT_FOUND);
    assert_fails(&root, remove_node(&root, "node-2", false, &generation), HF_WRONG_STATE);
    waiting = waiting_for("node.remove");
    assert_int_equal(waiting.count, 1);
    assert_string_equal(list_now().state, "approved");
    assert_ok(&admin, hf_service_approve(world.service, &admin, waiting.id));
    assert_ok(&root, remove_node(&root, "node-2", false, &generation));
    assert_int_equal(generation, 2);
}

/* Who holds the new key could answer for all these hosts. */
static void a_certificate_for_a_member_asks_for_two_people_too(void **unused)
{
    MACHINE member = machine("node-2", "new");
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct hf_keyring_settings settings;
    struct waiting waiting;
    struct seen seen;

    (void)unused;
    assert_ok(&root, approve(&root, &member, NULL, &seen));
    hf_keyring_settings_default(&settings);
    settings.approve_slot_removal = true;
    world_ring("careful", &settings);
    /* Without a certificate nothing is given that it has not. */
    assert_ok(&root, approve(&root, &member, NULL, &seen));
    wish_for(&member, "kms.example.net");
    assert_fails(&root, approve(&root, &member, NULL, &seen), HF_WRONG_STATE);
    waiting = waiting_for("node.approve");
    assert_int_equal(waiting.count, 1);
    assert_ok(&admin, hf_service_approve(world.service, &admin, waiting.id));
    assert_ok(&root, approve(&root, &member, NULL, &seen));
    /* It was for once, and for that key and those hosts. */
    assert_fails(&root, approve(&root, &member, NULL, &seen), HF_WRONG_STATE);
}

static void nothing_happens_where_it_may_not_wait(void **unused)
{
    MACHINE new = machine("node-2", "new");
    struct hf_op root = world_as(ROOT);
    uint64_t before = world_seq();
    struct seen seen = { 0 };
    uint32_t generation = 0;

    (void)unused;
    root.may_wait = false;
    assert_fails(&root, approve(&root, &new, NULL, &seen), HF_LATER);
    assert_fails(&root, hf_service_node_list(world.service, &root, see, &seen), HF_LATER);
    assert_fails(&root, hf_service_node_drain(world.service, &root, "node-2", true, see, &seen),
                 HF_LATER);
    assert_fails(&root, remove_node(&root, "node-2", false, &generation), HF_LATER);
    assert_true(world_seq() == before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_approved_machine_opens_the_node_by_its_own_key),
        CASE(another_fingerprint_approves_nothing),
        CASE(approved_twice_is_one_slot),
        CASE(names_and_keys_that_are_taken_are_refused),
        CASE(texts_that_are_no_request_are_refused),
        CASE(a_key_of_small_order_gets_no_slot),
        CASE(what_cannot_be_certified_changes_nothing),
        CASE(a_repeat_after_the_removal_gets_no_bundle),
        CASE(only_who_may_approves_and_removes),
        CASE(a_removed_machine_opens_nothing_and_never_comes_back),
        CASE(the_root_may_be_kept_when_a_node_goes),
        CASE(a_nodes_slot_is_made_and_removed_with_the_node_only),
        CASE(a_draining_node_is_not_ready_and_goes_on_opening),
        CASE(a_keyring_can_ask_for_two_people),
        CASE(a_certificate_for_a_member_asks_for_two_people_too),
        CASE(nothing_happens_where_it_may_not_wait),
    };

    return cmocka_run_group_tests_name("member", tests, world_start, world_stop);
}
