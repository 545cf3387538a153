/* What counts as a way, what does not any more, and the fewest losses that end all of them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "neighbour.h"
#include "service/receipt.h"

static char *node_file;
static char *offline_file;
static struct hf_drill_slot configured[2];

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    node_file = small_world_path("node.key");
    offline_file = small_world_path("offline.key");
    (void)world_key("sales", HF_ALG_AES_256);
    configured[0] = (struct hf_drill_slot){ "node", { .kind = "keyfile", .file = node_file } };
    configured[1] =
        (struct hf_drill_slot){ "offline", { .kind = "keyfile", .file = offline_file } };
    world.service->slots = configured;
    world.service->slot_count = 1;
    world.service->signer = world.signer;
    return 0;
}

static int teardown(void **unused)
{
    free(node_file);
    free(offline_file);
    small_world_restore();
    return world_close(unused);
}

/* --- proofs by hand --- */

static void forget_rows(struct hf_slot_proof *proof)
{
    for (size_t i = 0; i < proof->keyring_count; i++) {
        free(proof->keyrings[i].name);
    }
    proof->keyring_count = 0;
}

/* Of a version of RING that opened. */
static struct hf_slot_proof *proof_of(const char *node, const char *site, const char *slot)
{
    struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

    proof->node = hf_strdup(node);
    proof->site = hf_strdup(site);
    proof->slot = hf_strdup(slot);
    proof->slot_name = hf_strdup(slot);
    proof->text = hf_strdup("");
    proof->root_generation = 1;
    proof->seq = world_seq();
    proof->opened = true;
    proof->whole = true;
    proof->versions = 1;
    hf_slot_proof_add_keyring(proof, RING, false);
    return proof;
}

/* As if all proofs from that commit on were of the last drill. Takes them over. */
static struct hf_ways *ways_since(struct hf_slot_proof **items, size_t count, uint64_t since)
{
    struct hf_slot_proofs *proofs = hf_alloc(sizeof *proofs);
    struct hf_ways *ways = NULL;
    struct hf_op op = small_world_op(0);

    for (size_t i = 0; i < count; i++) {
        hf_slot_proofs_add(proofs, items[i]);
    }
    assert_ok(&op, hf_ways_new_since(world.service, &op, &proofs, since, &ways));
    return ways;
}

static size_t least_since(struct hf_slot_proof **items, size_t count, uint64_t since)
{
    HF_AUTO(ways) ways = ways_since(items, count, since);

    return hf_ways_least(ways, RING);
}

static void take_slot_id(void *context, const struct hf_slot_info *slot)
{
    if (strcmp(slot->name, "node") == 0) {
        memcpy(context, slot->id, sizeof slot->id);
    }
}

/* Kept in the store, through a slot that is there. Takes it over. */
static void keep(struct hf_slot_proof *proof)
{
    struct hf_op op = small_world_op(0);
    char id[sizeof((struct hf_slot_info *)0)->id];
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO_STRING path = NULL;

    assert_ok(&op, hf_seal_slots(small_world.seal, &op, take_slot_id, id));
    free(proof->slot);
    proof->slot = hf_strdup(id);
    path = hf_slot_proof_path(proof->node, proof->slot);
    hf_slot_proof_encode(proof, content);
    assert_ok(&op, small_world_put(HF_KIND_PROOF, path, 0, hf_buf_bytes(content)));
    hf_slot_proof_free(proof);
}

static size_t kept(void)
{
    HF_AUTO(slot_proofs) proofs = NULL;
    struct hf_op op = small_world_op(0);

    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &proofs));
    return proofs->count;
}

static void drill(void)
{
    struct hf_op op = world_as(ROOT);
    struct hf_op system = small_world_op(7);
    char id[HF_DRILL_ID];

    assert_ok(&op, hf_service_drill(world.service, &op, NULL, 0, id));
    assert_ok(&system, hf_service_drill_part(world.service, &system));
    world_jobs();
    small_world_pass(121000); /* whoever is a member, and is not there */
    world_jobs();
}

static void expect_what_if(const char *lost, const char *expected)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(CAROL);

    assert_ok(&op, hf_service_what_if(world.service, &op, &lost, 1, out));
    if (strstr(hf_buf_text(out), expected) == NULL) {
        fail_msg("without %s: %s is not in %s", lost, expected, hf_buf_text(out));
    }
}

/* --- what is no proof any more --- */

static void a_removed_node_proves_nothing_nor_does_the_next_one_of_its_name(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t generation = 0;

    (void)unused;
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    keep(proof_of("node-2", "", "node"));
    assert_int_equal(kept(), 1);
    neighbour_enlist("node-2", "", HF_MEMBER_REMOVED);
    assert_int_equal(kept(), 0);
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    assert_int_equal(kept(), 1);
    assert_ok(&op, hf_service_node_remove(world.service, &op, "node-2", true, &generation));
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    assert_int_equal(kept(), 0);
}

static void what_a_node_opens_no_more_is_gone_with_its_next_drill(void **unused)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    struct hf_op op = world_as(ROOT);

    (void)unused;
    world.service->slot_count = 2;
    drill();
    assert_int_equal(kept(), 2);
    world.service->slot_count = 1;
    drill();
    assert_int_equal(kept(), 1);
    assert_ok(&op, hf_service_drill_receipt(world.service, &op, "last", receipt));
    assert_non_null(strstr(hf_buf_text(receipt), "\"slot\":\"offline\""));
    assert_non_null(strstr(hf_buf_text(receipt), "\"result\":\"elsewhere\""));
}

static void an_old_proof_says_nothing_of_a_keyring_that_was_changed_since(void **unused)
{
    const uint64_t before = world_seq();
    struct hf_slot_proof *same[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    struct hf_slot_proof *late[2];
    struct hf_slot_proof *drilled[2];

    (void)unused;
    assert_int_equal(least_since(same, 2, before + 1), 2);
    (void)world_key("later", HF_ALG_AES_256);
    late[0] = proof_of("a", "", "1");
    late[1] = proof_of("b", "", "2");
    late[1]->seq = before;
    drilled[0] = proof_of("a", "", "1");
    drilled[1] = proof_of("b", "", "2");
    drilled[1]->seq = before;
    assert_int_equal(least_since(late, 2, world_seq()), 1);
    /* Both were of the last drill: what is younger than that is nobody's. */
    assert_int_equal(least_since(drilled, 2, before), 2);
}

static void an_old_proof_opens_the_store_whatever_keyring_was_changed_since(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    const struct hf_way by_people = { .node = "b", .needs_people = true };
    const struct hf_way by_itself = { .node = "b", .proof = items[1] };
    HF_AUTO(ways) ways = NULL;

    (void)unused;
    (void)world_key("later", HF_ALG_AES_256);
    items[0]->seq = world_seq();
    ways = ways_since(items, 2, world_seq());
    assert_false(hf_way_opens(ways, &by_itself, RING, NULL));
    assert_true(hf_way_opens(ways, &by_itself, NULL, NULL));
    assert_true(hf_way_opens(ways, &by_people, NULL, NULL));
}

/* It goes through all keys. */
static void keyrings_are_surveyed_only_where_that_tells_something(void **unused)
{
    struct hf_slot_proof *fresh[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    struct hf_slot_proof *late[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    HF_AUTO(ways) of_the_last_drill = NULL;
    HF_AUTO(ways) of_others_too = NULL;
    struct hf_op op = small_world_op(0);

    (void)unused;
    fresh[1]->opened = false;
    fresh[1]->seq = 0;
    of_the_last_drill = ways_since(fresh, 2, world_seq());
    assert_false(of_the_last_drill->is_surveyed);
    hf_ways_survey(of_the_last_drill, world.service, &op);
    assert_int_equal(of_the_last_drill->rings[0].content.versions, 1);
    late[1]->seq--;
    of_others_too = ways_since(late, 2, world_seq());
    assert_true(of_others_too->is_surveyed);
}

static void a_proof_without_a_word_of_the_keyring_is_no_way_to_it(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    HF_AUTO(ways) ways = NULL;
    const struct hf_cut_question path = { .path = "version/hdfs/sales/0000000001" };

    (void)unused;
    forget_rows(items[1]);
    hf_slot_proof_add_keyring(items[1], "other", false);
    ways = ways_since(items, 2, 0);
    assert_int_equal(hf_ways_least(ways, RING), 1);
    assert_int_equal(hf_ways_cut(ways, &path, NULL), 1);
}

static void a_slot_counts_by_the_root_in_force(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };

    (void)unused;
    items[1]->root_generation = 0;
    assert_int_equal(least_since(items, 2, 0), 1);
}

static void the_newest_proof_is_that_of_the_latest_commit_whatever_clocks_say(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    HF_AUTO(ways) ways = NULL;

    (void)unused;
    items[0]->when_ms = 2000;
    items[1]->when_ms = 1000;
    items[1]->seq++;
    ways = ways_since(items, 2, 0);
    assert_string_equal(hf_ways_newest(ways)->node, "b");
}

/* --- more failures than names --- */

static void fail_versions(struct hf_slot_proof *proof, const char *keyring, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        HF_AUTO_STRING path = hf_format("version/%s/k%zu/0000000001", keyring, i);

        proof->versions++;
        proof->failed++;
        hf_slot_proof_add_keyring(proof, keyring, true);
        hf_slot_proof_add_failure(proof, path, HF_CAUSE_ALTERED, path);
    }
}

static void failures_that_found_no_room_for_their_names_count_all_the_same(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    struct hf_slot_proof *named[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
    HF_AUTO(ways) ways = NULL;
    const struct hf_cut_question any = { .keyring = RING };

    (void)unused;
    forget_rows(items[1]);
    fail_versions(items[1], "aaa", 3000);
    hf_slot_proof_add_keyring(items[1], RING, false);
    fail_versions(items[1], RING, 10);
    assert_int_equal(items[1]->unnamed, 1010);
    assert_int_equal(least_since(items, 2, 0), 1);
    /* Where all of them are named, the others open. */
    fail_versions(named[1], RING, 10);
    ways = ways_since(named, 2, 0);
    assert_int_equal(hf_ways_cut(ways, &any, NULL), 2);
    assert_int_equal(hf_ways_least(ways, RING), 1);
}

static void more_versions_are_counted_than_are_named(void **unused)
{
    struct hf_slot_proof *proof = proof_of("node-1", "", "node");

    (void)unused;
    fail_versions(proof, RING, 1500);
    keep(proof);
    expect_what_if("slot:offline", "\"unreadable\":1500,");
}

static void keyrings_that_found_no_room_are_counted(void **unused)
{
    struct hf_slot_proof *proof = proof_of("a", "", "1");

    (void)unused;
    for (size_t i = 0; i < HF_SLOT_PROOF_KEYRINGS + 5; i++) {
        HF_AUTO_STRING name = hf_format("ring-%zu", i);

        proof->versions++;
        hf_slot_proof_add_keyring(proof, name, false);
    }
    assert_int_equal(proof->keyring_count, HF_SLOT_PROOF_KEYRINGS);
    assert_int_equal(hf_slot_proof_unlisted(proof), 6);
    hf_slot_proof_free(proof);
}

/* Every listed one opens in as many ways as are wanted; of the others nobody knows. */
static void a_drill_with_keyrings_that_found_no_room_is_amber(void **unused)
{
    struct hf_slot_proof *items[] = { proof_of("a", "", "1") };
    HF_AUTO(ways) ways = ways_since(items, 1, 0);
    const struct hf_drill ended = { .service = world.service,
                                    .proofs = *ways->proofs,
                                    .ways = ways };

    (void)unused;
    assert_int_equal(hf_drill_light(&ended), HF_GREEN);
    items[0]->versions++;
    assert_int_equal(hf_drill_light(&ended), HF_AMBER);
}

static void status_with_keyrings_that_found_no_room_is_amber(void **unused)
{
    struct hf_slot_proof *proof = proof_of("node-1", "", "node");
    struct world_item item = { .name = "proofs" };
    struct hf_op op = world_as(ROOT);

    (void)unused;
    proof->when_ms = small_world.now_ms;
    proof->versions += 7;
    keep(proof);
    assert_ok(&op, hf_service_status(world.service, &op, world_take_item, &item));
    assert_int_equal(item.told.light, HF_AMBER);
    assert_non_null(strstr(item.told.text, "on node-1 through slot node 7 key versions opened"));
}

static unsigned asked(void)
{
    return world_notes("\"operation\":\"drill.run\"", "is asked of");
}

static void a_new_root_is_drilled_without_waiting_for_the_day(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint32_t generation = 0;

    (void)unused;
    world.service->drill_every_ms = DAY;
    drill();
    small_world_pass(2 * 3600 * 1000);
    world_jobs();
    assert_int_equal(asked(), 1);
    assert_ok(&op, hf_service_root_rotate(world.service, &op, &generation));
    small_world_pass(2 * 60 * 1000);
    world_jobs(); /* moves all records */
    small_world_pass(2 * 60 * 1000);
    world_jobs();
    assert_int_equal(asked(), 2);
}

/* --- what if --- */

static void what_nobody_has_opened_is_not_readable(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_settings settings;
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    HF_AUTO_STRING nowhere = small_world_path("nowhere.key");
    uint32_t version = 0;

    (void)unused;
    drill();
    expect_what_if("slot:offline", "\"unreadable\":0,\"people_only\":0,\"opens\":true");
    hf_keyring_settings_default(&settings);
    world_ring("empty", &settings);
    expect_what_if("slot:offline", "\"unreadable\":0,\"people_only\":0,\"opens\":true");
    world_ring("young", &settings);
    assert_ok(&op,
              hf_service_key_create(world.service, &op, "young", "one", &plan, &version, NULL));
    expect_what_if("slot:offline", "{\"keyring\":\"young\",\"versions\":1,\"unreadable\":1,"
                                   "\"people_only\":0,\"all\":true,\"proven\":false");
    expect_what_if("slot:offline", "\"unreadable\":1,\"people_only\":0,\"opens\":true");
    /* Nothing opens at all: every version that there is, is lost. */
    configured[0].protector.file = nowhere;
    drill();
    expect_what_if("slot:offline", "\"unreadable\":2,\"people_only\":0,\"opens\":false");
}

static void people_open_nothing_where_the_records_are_altered(void **unused)
{
    static const struct {
        enum hf_cause cause;
        bool opens;
    } cases[] = {
        { HF_CAUSE_PROTECTOR_UNAVAILABLE, true },
        { HF_CAUSE_ALTERED, false },
    };
    const struct hf_way by_people = { .node = "b", .needs_people = true };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_slot_proof *items[] = { proof_of("a", "", "1"), proof_of("b", "", "2") };
        HF_AUTO(ways) ways = NULL;

        items[1]->opened = false;
        items[1]->cause = cases[i].cause;
        ways = ways_since(items, 2, 0);
        assert_int_equal(hf_way_opens(ways, &by_people, RING, NULL), cases[i].opens);
        assert_int_equal(hf_way_opens(ways, &by_people, NULL, NULL), cases[i].opens);
    }
}

/* --- why --- */

static void take_keyring_key(void *context, const struct hf_why_link *link)
{
    if (strcmp(link->level, "keyring key") == 0) {
        memcpy(context, link, sizeof *link);
    }
}

/* The first one did not open last time; another one did, under the same keyring key. */
static void a_keyring_key_was_proven_by_the_sibling_that_opened_last(void **unused)
{
    struct hf_slot_proof *proofs[3];
    struct hf_why_link link = { .level = "" };
    struct hf_op op = world_as(CAROL);

    (void)unused;
    (void)world_key("aaa", HF_ALG_AES_256);
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    neighbour_enlist("node-3", "", HF_MEMBER_APPROVED);
    for (size_t i = 0; i < HF_COUNT(proofs); i++) {
        HF_AUTO_STRING node = hf_format("node-%zu", i + 1);

        proofs[i] = proof_of(node, "", "node");
        proofs[i]->when_ms = 1000 * (i + 1);
    }
    hf_slot_proof_add_failure(proofs[1], "version/" RING "/aaa/0000000001", HF_CAUSE_ALTERED, "");
    proofs[2]->opened = false;
    for (size_t i = 0; i < HF_COUNT(proofs); i++) {
        keep(proofs[i]);
    }
    (void)world_key("young", HF_ALG_AES_256);
    assert_ok(&op, hf_service_why(world.service, &op, RING, "young", take_keyring_key, &link));
    assert_non_null(strstr(link.proven_by, "node-2 through"));
    assert_int_equal(link.proven_ms, 2000);
}

/* --- metrics --- */

static void expect_paths(const char *says, unsigned paths)
{
    HF_AUTO_STRING line = hf_format("holdfast_open_paths{keyring=\"" RING "\"} %u\n", paths);
    struct hf_op op = small_world_op(7);
    HF_AUTO(buf) metrics = hf_buf_new();

    assert_ok(&op, hf_service_proof_metrics(world.service, &op));
    hf_metrics_write(world.metrics, metrics);
    if (strstr(hf_buf_text(metrics), line) == NULL) {
        fail_msg("%s: no %s in %s", says, line, hf_buf_text(metrics));
    }
}

static void no_way_is_left_in_the_metrics_when_nothing_opens_any_more(void **unused)
{
    HF_AUTO_STRING nowhere = small_world_path("nowhere.key");

    (void)unused;
    drill();
    expect_paths("a slot opens", 1);
    configured[0].protector.file = nowhere;
    drill();
    expect_paths("no slot opens", 0);
    configured[0].protector.file = node_file;
    drill();
    expect_paths("it opens again", 1);
    world.service->slot_count = 0;
    drill();
    expect_paths("there is no slot to open", 0);
}

/* --- the smallest cut --- */

static const struct hf_cut_question unattended = { .keyring = RING };
static const struct hf_cut_question with_sites = { .keyring = RING, .with_sites = true };

/* That many nodes, each with as many slots; a slot is of that many neighbouring nodes. */
static struct hf_ways *many(size_t nodes, size_t slots, size_t shared, size_t to_a_site)
{
    struct hf_slot_proof **items = hf_alloc_array(nodes * slots, sizeof(struct hf_slot_proof *));
    struct hf_ways *ways;

    for (size_t i = 0; i < nodes * slots; i++) {
        HF_AUTO_STRING node = hf_format("n%zu", i / slots);
        HF_AUTO_STRING site =
            to_a_site > 0 ? hf_format("s%zu", i / slots / to_a_site) : hf_strdup("");
        HF_AUTO_STRING slot = hf_format("k%zu-%zu", i / slots / shared, i % slots);

        items[i] = proof_of(node, site, slot);
    }
    ways = ways_since(items, nodes * slots, 0);
    free(items);
    return ways;
}

static void a_large_cluster_is_counted_exactly(void **unused)
{
    static const struct {
        size_t nodes, slots, shared, to_a_site;
        size_t ways, cut;
    } cases[] = {
        { 64, 1, 1, 0, 64, 64 }, { 64, 3, 1, 0, 64, 64 },   { 64, 1, 4, 0, 16, 16 },
        { 64, 3, 4, 0, 48, 48 }, { 64, 1, 1, 2, 64, 32 },   { 64, 2, 1, 64, 64, 1 },
        { 64, 1, 1, 1, 64, 64 }, { 256, 2, 1, 8, 256, 32 },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(ways) ways =
            many(cases[i].nodes, cases[i].slots, cases[i].shared, cases[i].to_a_site);
        size_t cut = hf_ways_cut(ways, &with_sites, NULL);

        if (hf_ways_least(ways, RING) != cases[i].ways || cut != cases[i].cut) {
            fail_msg("case %zu: %zu ways, a cut of %zu", i, hf_ways_least(ways, RING), cut);
        }
    }
}

/* Whether none is left; it is a cut. */
static bool ends_all(const struct hf_ways *ways, const bool *lost)
{
    for (size_t i = 0; i < ways->count; i++) {
        if (hf_way_survives(&ways->items[i], lost)) {
            return false;
        }
    }
    return true;
}

static bool is_cut(const struct hf_ways *ways, const size_t *things, size_t count)
{
    bool *lost = hf_alloc_array(ways->thing_count + 1, sizeof *lost);
    bool ended;

    for (size_t i = 0; i < count; i++) {
        lost[things[i]] = true;
    }
    ended = ends_all(ways, lost);
    free(lost);
    return ended;
}

/* By trying each set of things. */
static size_t smallest(const struct hf_ways *ways, bool sites)
{
    size_t best = ways->thing_count;

    assert_true(ways->thing_count < 16);
    for (unsigned set = 0; set < 1U << ways->thing_count; set++) {
        bool lost[16] = { false };
        bool is_allowed = true;
        size_t size = 0;

        for (size_t i = 0; i < ways->thing_count; i++) {
            lost[i] = (set >> i & 1U) != 0;
            size += lost[i];
            is_allowed = is_allowed && (sites || !lost[i] || ways->things[i].kind != HF_THING_SITE);
        }
        if (is_allowed && size < best && ends_all(ways, lost)) {
            best = size;
        }
    }
    return best;
}

static uint32_t next_number(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 16;
}

static struct hf_ways *random_ways(uint32_t *state)
{
    static const char *const nodes[] = { "a", "b", "c", "d", "e" };
    static const char *const sites[] = { "s", "s", "t", "t", "" };
    static const char *const slots[] = { "1", "2", "3", "4" };
    struct hf_slot_proof *items[HF_COUNT(nodes) * HF_COUNT(slots)];
    size_t count = 0;

    for (size_t i = 0; i < HF_COUNT(items); i++) {
        if (next_number(state) % 3 == 0) {
            items[count++] = proof_of(nodes[i % HF_COUNT(nodes)], sites[i % HF_COUNT(nodes)],
                                      slots[i / HF_COUNT(nodes)]);
        }
    }
    return ways_since(items, count, 0);
}

static void the_cut_is_as_small_as_any_set_that_ends_all(void **unused)
{
    uint32_t state = 1;

    (void)unused;
    for (size_t i = 0; i < 200; i++) {
        HF_AUTO(ways) ways = random_ways(&state);
        size_t things[16];
        size_t size = hf_ways_cut(ways, &unattended, things);

        assert_int_equal(size, smallest(ways, false));
        assert_true(is_cut(ways, things, size));
        size = hf_ways_cut(ways, &with_sites, things);
        assert_int_equal(size, smallest(ways, true));
        assert_true(is_cut(ways, things, size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_removed_node_proves_nothing_nor_does_the_next_one_of_its_name),
        TEST(what_a_node_opens_no_more_is_gone_with_its_next_drill),
        TEST(an_old_proof_says_nothing_of_a_keyring_that_was_changed_since),
        TEST(an_old_proof_opens_the_store_whatever_keyring_was_changed_since),
        TEST(keyrings_are_surveyed_only_where_that_tells_something),
        TEST(a_proof_without_a_word_of_the_keyring_is_no_way_to_it),
        TEST(a_slot_counts_by_the_root_in_force),
        TEST(the_newest_proof_is_that_of_the_latest_commit_whatever_clocks_say),
        TEST(failures_that_found_no_room_for_their_names_count_all_the_same),
        TEST(more_versions_are_counted_than_are_named),
        TEST(keyrings_that_found_no_room_are_counted),
        TEST(a_drill_with_keyrings_that_found_no_room_is_amber),
        TEST(status_with_keyrings_that_found_no_room_is_amber),
        TEST(a_new_root_is_drilled_without_waiting_for_the_day),
        TEST(what_nobody_has_opened_is_not_readable),
        TEST(people_open_nothing_where_the_records_are_altered),
        TEST(a_keyring_key_was_proven_by_the_sibling_that_opened_last),
        TEST(no_way_is_left_in_the_metrics_when_nothing_opens_any_more),
        TEST(a_large_cluster_is_counted_exactly),
        TEST(the_cut_is_as_small_as_any_set_that_ends_all),
    };

    return cmocka_run_group_tests_name("service ways", tests, world_start, world_stop);
}
