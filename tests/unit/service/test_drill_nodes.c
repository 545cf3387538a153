/* Drills of several nodes: who answers, who is silent, who signs, and what a receipt then tells. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "neighbour.h"
#include "service/receipt.h"

#define WAIT ((uint64_t)120 * 1000)

static struct neighbour second;
static struct neighbour third;

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    world.service->shared_store = true;
    world_take_part();
    (void)world_key("sales", HF_ALG_AES_256);
    neighbour_enlist("node-1", "east", HF_MEMBER_APPROVED);
    neighbour_enlist("node-2", "east", HF_MEMBER_APPROVED);
    neighbour_enlist("node-3", "west", HF_MEMBER_DRAINING);
    neighbour_enlist("node-4", "west", HF_MEMBER_REMOVED);
    neighbour_start(&second, "node-2");
    neighbour_start(&third, "node-3");
    return 0;
}

static int teardown(void **unused)
{
    neighbour_stop(&second);
    neighbour_stop(&third);
    world_leave();
    small_world_restore();
    return world_close(unused);
}

static void ask(const char *keyring, char id[HF_DRILL_ID])
{
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_drill(world.service, &op, keyring, 0, id));
}

/* As another node tells it. */
static bool has_ended(struct neighbour *node, const char *id, const char *state_of_third)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(CAROL);

    neighbour_follow(node);
    assert_ok(&op, hf_service_drill_show(node->service, &op, id, out));
    if (state_of_third != NULL) {
        HF_AUTO_STRING wanted =
            hf_format("\"node\":\"node-3\",\"site\":\"west\",\"state\":\"%s\"", state_of_third);

        if (strstr(hf_buf_text(out), wanted) == NULL) {
            fail_msg("%s is not in %s", wanted, hf_buf_text(out));
        }
    }
    return strstr(hf_buf_text(out), "\"state\":\"ended\"") != NULL;
}

static struct hf_buf *receipt_of(struct hf_service *service, const char *id)
{
    struct hf_buf *out = hf_buf_new();
    struct hf_op op = world_as(CAROL);

    assert_ok(&op, hf_service_drill_receipt(service, &op, id, out));
    return out;
}

/* The whole drill, where everybody answers and the third node ends it. */
static struct hf_buf *drill_all(const char *keyring)
{
    char id[HF_DRILL_ID];

    ask(keyring, id);
    world_turn();
    neighbour_turn(&second);
    neighbour_turn(&third);
    assert_true(has_ended(&second, id, "done"));
    return receipt_of(second.service, id);
}

static const char *light_of(const struct hf_buf *receipt, char out[16])
{
    HF_AUTO(json) json = NULL;
    const struct hf_json *drill = NULL;
    const char *light = NULL;

    assert_ok(&small_world.op, hf_json_parse(&small_world.op, hf_buf_bytes(receipt), &json));
    assert_ok(&small_world.op, hf_json_object_or(&small_world.op, json, "drill", &drill));
    assert_ok(&small_world.op, hf_json_text(&small_world.op, drill, "light", &light));
    (void)snprintf(out, 16, "%s", light);
    return out;
}

static void take_key(const struct hf_pkey *signer, struct hf_buf *out)
{
    assert_ok(&small_world.op, hf_pkey_public(signer, &small_world.op, out));
}

static struct hf_status verify(struct hf_bytes receipt, const struct hf_pkey *trusted,
                               struct hf_receipt_signers **out)
{
    struct hf_op op = small_world_op(0);
    HF_AUTO(buf) key = hf_buf_new();
    struct hf_bytes view;

    take_key(trusted, key);
    view = hf_buf_bytes(key);
    return hf_receipt_verify(small_world.crypto, &op, receipt, &view, 1, out);
}

/* --- who is asked --- */

/* Whom it has approved has no way to a store that is this node's own, and would be waited for. */
static void on_a_store_of_its_own_a_node_asks_itself_only(void **unused)
{
    char id[HF_DRILL_ID];
    struct hf_op op = world_as(CAROL);
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    world.service->shared_store = false;
    ask(NULL, id);
    world_turn();
    assert_ok(&op, hf_service_drill_show(world.service, &op, id, out));
    assert_non_null(strstr(hf_buf_text(out), "\"state\":\"ended\""));
    assert_non_null(strstr(hf_buf_text(out), "\"node\":\"node-1\""));
    assert_null(strstr(hf_buf_text(out), "\"node\":\"node-2\""));
}

/* --- everybody answers --- */

static void every_member_answers_and_signs_its_part(void **unused)
{
    static const char *const names[] = { "node-3", "node-1", "node-2", "node-3" };
    HF_AUTO(buf) receipt = drill_all(NULL);
    HF_AUTO(receipt_signers) signers = NULL;
    HF_AUTO(receipt_signers) none = NULL;
    char light[16];

    (void)unused;
    assert_string_equal(light_of(receipt, light), "green");
    assert_int_equal(verify(hf_buf_bytes(receipt), third.signer, &signers).code, HF_OK);
    assert_int_equal(signers->count, HF_COUNT(names));
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        assert_string_equal(signers->items[i].node, names[i]);
        assert_int_equal(signers->items[i].ended, i == 0);
        assert_int_equal(signers->items[i].trusted, i == 0 || i == 3);
    }
    /* Who signed a part only vouches for nobody else. */
    assert_int_equal(verify(hf_buf_bytes(receipt), second.signer, &none).code, HF_CORRUPT);
}

static void every_node_hands_out_the_same_receipt_and_keeps_the_proofs_of_all(void **unused)
{
    HF_AUTO(buf) receipt = drill_all(NULL);
    HF_AUTO(slot_proofs) proofs = NULL;
    HF_AUTO(buf) here = NULL;
    HF_AUTO(buf) there = NULL;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    world_follow();
    here = receipt_of(world.service, "last");
    there = receipt_of(third.service, "last");
    assert_string_equal(hf_buf_text(here), hf_buf_text(receipt));
    assert_string_equal(hf_buf_text(there), hf_buf_text(receipt));
    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &proofs));
    assert_int_equal(proofs->count, 3);
    assert_int_equal(world_notes("\"operation\":\"drill.run\"", "is asked of 3 nodes"), 1);
    assert_int_equal(world_notes("\"operation\":\"drill.run\"", "1 of 1 slots opened"), 3);
    assert_int_equal(world_notes("\"operation\":\"drill.run\"", "3 of 3 nodes answered, green"), 1);
}

/* Which opens as it should counts for all; of one keyring it is no proof of the day. */
static void a_drill_of_one_keyring_by_all_nodes_keeps_no_proof(void **unused)
{
    HF_AUTO(buf) receipt = drill_all(RING);
    HF_AUTO(slot_proofs) proofs = NULL;
    struct hf_op op = world_as(ROOT);
    char light[16];

    (void)unused;
    assert_string_equal(light_of(receipt, light), "green");
    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &proofs));
    assert_int_equal(proofs->count, 0);
}

/* --- what only some serve --- */

/* The cell of a node, up to its end. */
static char *cell_of(const struct hf_buf *receipt, const char *node)
{
    HF_AUTO_STRING start = hf_format("{\"node\":\"%s\",\"site\":\"\",\"slot\":", node);
    const char *cell = strstr(hf_buf_text((struct hf_buf *)receipt), start);

    if (cell == NULL) {
        fail_msg("no cell of %s in %s", node, hf_buf_text((struct hf_buf *)receipt));
    }
    return hf_strndup(cell, strcspn(cell, "}"));
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void who_does_not_serve_a_keyring_is_not_asked_for_it(void **unused)
{
    static const char *const nodes[] = { "node-1", "node-2" };
    HF_AUTO(buf) receipt = NULL;
    HF_AUTO(receipt_signers) signers = NULL;
    HF_AUTO_STRING here = NULL;
    HF_AUTO_STRING there = NULL;
    char light[16];

    (void)unused;
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    receipt = drill_all(RING);
    here = cell_of(receipt, "node-1");
    there = cell_of(receipt, "node-3");
    assert_true(has(here, "\"result\":\"opened\"") && has(here, "\"versions\":1"));
    assert_false(has(here, "not_asked"));
    assert_true(has(there, "\"result\":\"not asked\"") && has(there, "\"versions\":0"));
    assert_true(has(there, "\"not_asked\":[\"hdfs\"]"));
    assert_string_equal(light_of(receipt, light), "green");
    assert_int_equal(verify(hf_buf_bytes(receipt), third.signer, &signers).code, HF_OK);
}

static void ask_what_if(const char *lost, const char *expected)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(CAROL);

    assert_ok(&op, hf_service_what_if(world.service, &op, &lost, 1, out));
    if (!has(hf_buf_text(out), expected)) {
        fail_msg("without %s: %s", lost, hf_buf_text(out));
    }
}

/* The node that ended it knows nothing of the second keyring, and is asked for the first one. */
static void what_others_serve_is_known_by_their_proofs(void **unused)
{
    static const char *const nodes[] = { "node-2" };
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    struct hf_keyring_settings settings;
    struct hf_op op = world_as(ROOT);
    HF_AUTO(buf) receipt = NULL;
    HF_AUTO(buf) cut = hf_buf_new();
    HF_AUTO_STRING there = NULL;
    uint32_t version = 0;

    (void)unused;
    hf_keyring_settings_default(&settings);
    world_ring("payroll", &settings);
    assert_ok(&op,
              hf_service_key_create(world.service, &op, "payroll", "wages", &plan, &version, NULL));
    world.service->shared_store = true;
    world_serve_on("payroll", nodes, HF_COUNT(nodes));
    receipt = drill_all(NULL);
    there = cell_of(receipt, "node-3");
    assert_true(has(there, "\"result\":\"opened\"") && has(there, "\"versions\":1"));
    assert_true(has(there, "\"not_asked\":[\"payroll\"]"));
    assert_true(has(hf_buf_text(receipt), "{\"keyring\":\"payroll\",\"versions\":1,\"failed\":0,"
                                          "\"ways\":1"));
    world_follow();
    ask_what_if("node:node-2", "{\"keyring\":\"payroll\",\"versions\":1,\"unreadable\":1,"
                               "\"people_only\":0,\"all\":true");
    ask_what_if("node:node-2", "{\"keyring\":\"hdfs\",\"versions\":1,\"unreadable\":0,");
    ask_what_if("node:node-1", "{\"keyring\":\"payroll\",\"versions\":1,\"unreadable\":0,");
    op = world_as(CAROL);
    assert_ok(&op, hf_service_min_cut(world.service, &op, "payroll/wages", cut));
    assert_true(has(hf_buf_text(cut), "\"needs_people_after\":[\"node:node-2\"]"));
}

/* --- how many ways a keyring wants --- */

static void turn(size_t node)
{
    if (node == 0) {
        world_turn();
    } else {
        neighbour_turn(node == 1 ? &second : &third);
    }
}

static struct hf_service *service_of(size_t node)
{
    return node == 0 ? world.service : node == 1 ? second.service : third.service;
}

/* Asked on the first node; the one named is the last to do its part, so it ends the drill. */
static struct hf_buf *drill_ended_by(size_t node, const char *keyring)
{
    HF_AUTO_STRING ended_on = hf_format("\"ended_on\":\"node-%zu\"", node + 1);
    struct hf_buf *receipt;
    char id[HF_DRILL_ID];

    ask(keyring, id);
    for (size_t i = 1; i <= 3; i++) {
        turn((node + i) % 3);
    }
    receipt = receipt_of(service_of(node), id);
    assert_true(has(hf_buf_text(receipt), ended_on));
    world_follow();
    neighbour_follow(&second);
    neighbour_follow(&third);
    return receipt;
}

static void expect_light(const struct hf_buf *receipt, const char *expected)
{
    char light[16];

    if (strcmp(light_of(receipt, light), expected) != 0) {
        fail_msg("not %s: %s", expected, hf_buf_text((struct hf_buf *)receipt));
    }
}

static void want_ways(const char *keyring, uint64_t ways)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_info info;

    assert_ok(&op, hf_service_keyring_get(world.service, &op, keyring, &info));
    info.settings.min_ways = ways;
    assert_ok(&op, hf_service_keyring_change(world.service, &op, keyring, &info.settings));
    neighbour_follow(&second);
    neighbour_follow(&third);
}

static void expect_status(size_t node, enum hf_light light, const char *text)
{
    struct world_item item = { .name = "proofs" };
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_status(service_of(node), &op, world_take_item, &item));
    if (item.count != 1 || item.told.light != light || !has(item.told.text, text)) {
        fail_msg("node-%zu: %s", node + 1, item.told.text);
    }
}

/* One registry for all nodes: the last one has the word. */
static void expect_wanted(size_t node, const char *keyring, unsigned wanted)
{
    HF_AUTO_STRING line =
        hf_format("holdfast_open_paths_wanted{keyring=\"%s\"} %u\n", keyring, wanted);
    HF_AUTO(buf) metrics = hf_buf_new();

    assert_ok(&small_world.op, hf_service_proof_metrics(service_of(node), &small_world.op));
    hf_metrics_write(world.metrics, metrics);
    if (!has(hf_buf_text(metrics), line)) {
        fail_msg("node-%zu: no %s", node + 1, line);
    }
}

/* All nodes open by the same slot, so there is one way; and each is configured differently. */
static void open_payroll(uint64_t ways)
{
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    struct hf_keyring_settings settings;
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    hf_keyring_settings_default(&settings);
    settings.min_ways = ways;
    world_ring("payroll", &settings);
    assert_ok(&op,
              hf_service_key_create(world.service, &op, "payroll", "wages", &plan, &version, NULL));
    second.service->min_ways = 2;
    third.service->min_ways = 9;
}

static void each_keyring_wants_ways_of_its_own_whichever_node_ends_the_drill(void **unused)
{
    (void)unused;
    open_payroll(2);
    want_ways(RING, 1);
    for (size_t node = 0; node < 3; node++) {
        HF_AUTO(buf) all = drill_ended_by(node, NULL);
        HF_AUTO(buf) ring = drill_ended_by(node, RING);
        HF_AUTO(buf) payroll = drill_ended_by(node, "payroll");

        expect_light(all, "amber");
        assert_true(has(hf_buf_text(all), "{\"keyring\":\"hdfs\",\"versions\":1,\"failed\":0,"
                                          "\"ways\":1,\"wanted\":1}"));
        assert_true(has(hf_buf_text(all), "{\"keyring\":\"payroll\",\"versions\":1,\"failed\":0,"
                                          "\"ways\":1,\"wanted\":2}"));
        expect_light(ring, "green");
        expect_light(payroll, "amber");
        expect_status(node, HF_AMBER,
                      "keyring payroll open in 1 independent ways without a person, and 2 are");
        expect_wanted(node, RING, 1);
        expect_wanted(node, "payroll", 2);
    }
    want_ways("payroll", 1);
    for (size_t node = 0; node < 3; node++) {
        HF_AUTO(buf) all = drill_ended_by(node, NULL);

        expect_light(all, "green");
        expect_status(node, HF_GREEN, "every key version opened");
    }
}

static void a_keyring_that_does_not_say_wants_what_the_node_is_configured_to(void **unused)
{
    static const char *const lights[] = { "green", "amber", "amber" };
    static const unsigned wanted[] = { 1, 2, 9 };

    (void)unused;
    open_payroll(0);
    want_ways(RING, 1);
    for (size_t node = 0; node < 3; node++) {
        HF_AUTO(buf) all = drill_ended_by(node, NULL);

        expect_light(all, lights[node]);
        expect_status(node, node == 0 ? HF_GREEN : HF_AMBER, node == 0 ? "" : "keyring payroll");
        expect_wanted(node, RING, 1);
        expect_wanted(node, "payroll", wanted[node]);
    }
}

/* The one that lacks most is named. */
static void status_names_the_keyring_that_lacks_most(void **unused)
{
    (void)unused;
    open_payroll(4);
    want_ways(RING, 3);
    hf_buf_free(drill_ended_by(0, NULL));
    expect_status(0, HF_AMBER, "keyring payroll open in 1 ");
    want_ways(RING, 5);
    expect_status(0, HF_AMBER, "keyring hdfs open in 1 ");
}

/* --- who proved a key's chain --- */

struct proven {
    size_t count;
    struct hf_why_link links[8];
};

static void note_link(void *context, const struct hf_why_link *link)
{
    struct proven *proven = context;

    assert_true(proven->count < HF_COUNT(proven->links));
    proven->links[proven->count++] = *link;
}

/* Who proved each link, from the version down to the slots, and when; NULL: nobody. */
struct prover {
    const char *level;
    const char *who;
    uint64_t when_ms;
};

/* Slots come in the order of their ids, which are random. */
static void put_offline_last(struct proven *proven)
{
    struct hf_why_link *last = &proven->links[proven->count - 1];
    struct hf_why_link link = last[-1];

    if (has(link.name, "offline")) {
        last[-1] = *last;
        *last = link;
    }
}

static void expect_provers(const char *key, const struct prover *expected, size_t count)
{
    struct proven proven = { 0 };
    struct hf_op op = world_as(CAROL);

    assert_ok(&op, hf_service_why(world.service, &op, RING, key, note_link, &proven));
    assert_int_equal(proven.count, count);
    put_offline_last(&proven);
    for (size_t i = 0; i < count; i++) {
        const struct hf_why_link *link = &proven.links[i];
        const char *who = expected[i].who != NULL ? expected[i].who : "";

        if (strcmp(link->level, expected[i].level) != 0 || strcmp(link->proven_by, who) != 0 ||
            link->proven_ms != expected[i].when_ms) {
            fail_msg("%s: link %zu, %s: by \"%s\" at %llu, not by \"%s\" at %llu", key, i,
                     link->level, link->proven_by, (unsigned long long)link->proven_ms, who,
                     (unsigned long long)expected[i].when_ms);
        }
    }
}

/* What the others have proven, when they served it, is of no use any more. */
static void why_goes_by_the_proofs_of_those_who_serve_it(void **unused)
{
    static const char *const nodes[] = { "node-2" };
    HF_AUTO(buf) receipt = drill_all(NULL);
    uint64_t then_ms = small_world.now_ms;
    const struct prover all[] = {
        { "key version", "node-3 through slot node", then_ms },
        { "keyring key", "node-3 through slot node", then_ms },
        { "main key", "node-3 through slot node", then_ms },
        { "root key", "node-3 through slot node", then_ms },
        { "slot", "node-3 through slot node", then_ms },
        { "slot", "a node that opened it", small_world.now_ms },
    };
    /* The root is everybody's. */
    const struct prover served[] = {
        { "key version", "node-2 through slot node", then_ms },
        { "keyring key", "node-2 through slot node", then_ms },
        { "main key", "node-2 through slot node", then_ms },
        { "root key", "node-3 through slot node", then_ms },
        { "slot", "node-3 through slot node", then_ms },
        { "slot", "a node that opened it", small_world.now_ms },
    };

    (void)unused;
    world_follow();
    expect_provers("sales", all, HF_COUNT(all));
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    small_world_pass(1000);
    expect_provers("sales", served, HF_COUNT(served));
}

/* Who proves a version has opened all that it is under; who came later has proven it anew. */
static void the_last_drill_is_told_of_each_link(void **unused)
{
    HF_AUTO(buf) before = drill_all(NULL);
    uint64_t made_ms = small_world.now_ms;
    HF_AUTO(buf) receipt = NULL;
    char id[HF_DRILL_ID];

    (void)unused;
    small_world_pass(60000);
    /* Only the second node takes part this time. */
    ask(NULL, id);
    neighbour_turn(&second);
    small_world_pass(WAIT + 1000);
    neighbour_turn(&second);
    receipt = receipt_of(second.service, id);
    world_follow();
    {
        const struct prover again[] = {
            { "key version", "node-2 through slot node", made_ms + 60000 },
            { "keyring key", "node-2 through slot node", made_ms + 60000 },
            { "main key", "node-2 through slot node", made_ms + 60000 },
            { "root key", "node-2 through slot node", made_ms + 60000 },
            { "slot", "node-2 through slot node", made_ms + 60000 },
            { "slot", "a node that opened it", made_ms },
        };

        expect_provers("sales", again, HF_COUNT(again));
    }
}

/* Nobody has opened the version; what it is under was opened with others. */
static void what_a_young_version_is_under_was_proven_by_its_siblings(void **unused)
{
    HF_AUTO(buf) receipt = drill_all(NULL);
    uint64_t then_ms = small_world.now_ms;
    const struct prover young[] = {
        { "key version", NULL, 0 },
        { "keyring key", "node-3 through slot node", then_ms },
        { "main key", "node-3 through slot node", then_ms },
        { "root key", "node-3 through slot node", then_ms },
        { "slot", "node-3 through slot node", then_ms },
        { "slot", "a node that opened it", then_ms },
    };
    /* Of a keyring key that is young itself, nothing is known. */
    const struct prover younger[] = {
        { "key version", NULL, 0 },
        { "keyring key", NULL, 0 },
        { "main key", NULL, 0 },
        { "root key", "node-3 through slot node", then_ms },
        { "slot", "node-3 through slot node", then_ms },
        { "slot", "a node that opened it", then_ms },
    };
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    world_follow();
    small_world_pass(1000);
    (void)world_key("young", HF_ALG_AES_128);
    expect_provers("young", young, HF_COUNT(young));
    assert_ok(&op, hf_service_keyring_rotate(world.service, &op, RING, &version));
    (void)world_key("younger", HF_ALG_AES_128);
    expect_provers("younger", younger, HF_COUNT(younger));
    expect_provers("young", young, HF_COUNT(young));
}

/* What was drilled was the root of before. */
static void a_root_that_is_new_was_proven_by_nobody(void **unused)
{
    HF_AUTO(buf) receipt = drill_all(NULL);
    uint64_t then_ms = small_world.now_ms;
    const struct prover moving[] = {
        { "key version", "node-3 through slot node", then_ms },
        { "keyring key", "node-3 through slot node", then_ms },
        { "main key", "node-3 through slot node", then_ms },
        { "root key", NULL, 0 },
        { "slot", "node-3 through slot node", then_ms },
        { "slot", "a node that opened it", then_ms },
    };
    struct hf_op op = world_as(ROOT);
    uint32_t generation = 0;

    (void)unused;
    world_follow();
    small_world_pass(1000);
    assert_ok(&op, hf_service_root_rotate(world.service, &op, &generation));
    expect_provers("sales", moving, HF_COUNT(moving));
}

/* All three open the store by one slot; so what is left without two nodes is the third one's word.
 */
static void a_node_that_was_silent_is_no_way_to_what_it_has_not_seen(void **unused)
{
    static const char *const lost[] = { "node:node-1", "node:node-2" };
    HF_AUTO(buf) first = drill_all(NULL);
    HF_AUTO(buf) before = hf_buf_new();
    HF_AUTO(buf) after = hf_buf_new();
    struct hf_op op;
    char id[HF_DRILL_ID];

    (void)unused;
    world_follow();
    op = world_as(CAROL);
    assert_ok(&op, hf_service_what_if(world.service, &op, lost, HF_COUNT(lost), before));
    assert_true(has(hf_buf_text(before), "\"unreadable\":0,\"people_only\":0,\"opens\":true"));
    (void)world_key("later", HF_ALG_AES_256);
    ask(NULL, id);
    world_turn();
    neighbour_turn(&second);
    assert_false(has_ended(&second, id, "waiting"));
    small_world_pass(WAIT + 1000);
    neighbour_turn(&second);
    assert_true(has_ended(&second, id, "silent"));
    world_follow();
    op = world_as(CAROL);
    assert_ok(&op, hf_service_what_if(world.service, &op, lost, HF_COUNT(lost), after));
    assert_true(has(hf_buf_text(after), "\"unreadable\":2,\"people_only\":0,\"opens\":true"));
}

/* --- who does not --- */

static void who_is_silent_is_waited_for_named_and_never_green(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    HF_AUTO(receipt_signers) signers = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    ask(NULL, id);
    world_turn();
    neighbour_turn(&second);
    assert_false(has_ended(&second, id, "waiting"));
    small_world_pass(WAIT - 5000);
    world_turn();
    neighbour_turn(&second);
    assert_false(has_ended(&second, id, "waiting"));
    small_world_pass(10000);
    neighbour_turn(&second);
    assert_true(has_ended(&second, id, "silent"));
    receipt = receipt_of(second.service, id);
    assert_string_equal(light_of(receipt, light), "amber");
    assert_non_null(strstr(hf_buf_text(receipt),
                           "{\"node\":\"node-3\",\"site\":\"west\",\"result\":\"silent\"}"));
    assert_int_equal(verify(hf_buf_bytes(receipt), second.signer, &signers).code, HF_OK);
    assert_int_equal(signers->count, 3);
    assert_int_equal(world_notes("\"operation\":\"drill.run\"", "2 of 3 nodes answered, amber"), 1);
    assert_ok(&small_world.op, hf_service_proof_metrics(second.service, &small_world.op));
    {
        HF_AUTO(buf) metrics = hf_buf_new();

        hf_metrics_write(world.metrics, metrics);
        assert_non_null(strstr(hf_buf_text(metrics), "holdfast_drill_silent_nodes 1"));
    }
}

/* Two nodes do their part; for the third one is waited in vain. */
static void ends_without(const char *id)
{
    HF_AUTO(buf) receipt = NULL;
    char light[16];

    world_turn();
    neighbour_turn(&second);
    assert_false(has_ended(&second, id, "waiting"));
    small_world_pass(WAIT + 1000);
    neighbour_turn(&second);
    assert_true(has_ended(&second, id, "silent"));
    receipt = receipt_of(second.service, id);
    assert_string_equal(light_of(receipt, light), "amber");
}

/* That nobody waits for it with a change makes no proof of it, and it may be back in time. */
static void a_member_that_is_away_is_asked_too(void **unused)
{
    HF_AUTO(buf) again = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    neighbour_enlist("node-3", "west", HF_MEMBER_AWAY);
    ask(NULL, id);
    ends_without(id);
    again = drill_all(NULL);
    assert_string_equal(light_of(again, light), "green");
}

/* A node that is slow but tells how far it is, is not silent. */
static void who_tells_how_far_it_is_is_waited_for(void **unused)
{
    HF_AUTO(drill_run) run = NULL;
    struct hf_drill_part part = {
        .node = (char *)"node-3", .state = HF_PART_RUNS, .slots = 1, .text = (char *)""
    };
    char id[HF_DRILL_ID];

    (void)unused;
    ask(NULL, id);
    memcpy(part.id, id, sizeof part.id);
    world_turn();
    neighbour_turn(&second);
    assert_ok(&small_world.op, hf_drill_last(world.service, &small_world.op, &run));
    for (uint64_t i = 1; i < 4; i++) {
        struct hf_txn_commit commit = { 0 };
        HF_AUTO(txn) txn = NULL;

        small_world_pass(WAIT - 1000);
        part.versions_done = i;
        assert_ok(&small_world.op, hf_txn_new(small_world.seal, &small_world.op, &txn));
        assert_ok(&small_world.op,
                  hf_drill_part_stage(world.service, &small_world.op, txn, run, &part));
        assert_ok(&small_world.op, hf_txn_commit(txn, &small_world.op, &commit));
        neighbour_turn(&second);
        world_turn();
        assert_false(has_ended(&second, id, "runs"));
    }
    /* And one that says that it runs, and has died, does it anew when it comes back. */
    neighbour_turn(&third);
    assert_true(has_ended(&third, id, "done"));
}

static void any_node_ends_it_when_the_one_that_was_asked_is_gone(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    HF_AUTO(receipt_signers) signers = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    ask(NULL, id); /* and the node is gone */
    neighbour_turn(&second);
    neighbour_turn(&third);
    small_world_pass(WAIT + 1000);
    neighbour_turn(&third);
    receipt = receipt_of(third.service, id);
    assert_string_equal(light_of(receipt, light), "amber");
    assert_non_null(
        strstr(hf_buf_text(receipt), "\"asked_on\":\"node-1\",\"ended_on\":\"node-3\""));
    assert_int_equal(verify(hf_buf_bytes(receipt), third.signer, &signers).code, HF_OK);
}

static void a_part_that_comes_too_late_is_in_no_receipt(void **unused)
{
    HF_AUTO(buf) before = NULL;
    HF_AUTO(buf) after = NULL;
    HF_AUTO(drill_run) run = NULL;
    struct hf_drill_part part = { .node = (char *)"node-3",
                                  .state = HF_PART_DONE,
                                  .text = (char *)"" };
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;
    char id[HF_DRILL_ID];

    (void)unused;
    ask(NULL, id);
    neighbour_turn(&second);
    world_turn();
    small_world_pass(WAIT + 1000);
    world_turn();
    before = receipt_of(world.service, id);
    memcpy(part.id, id, sizeof part.id);
    hf_buf_add_text(&part.document, "{}");
    assert_ok(&small_world.op, hf_drill_last(world.service, &small_world.op, &run));
    assert_ok(&small_world.op, hf_txn_new(small_world.seal, &small_world.op, &txn));
    assert_ok(&small_world.op,
              hf_drill_part_stage(world.service, &small_world.op, txn, run, &part));
    assert_ok(&small_world.op, hf_txn_commit(txn, &small_world.op, &commit));
    hf_buf_done(&part.document);
    after = receipt_of(world.service, id);
    assert_string_equal(hf_buf_text(after), hf_buf_text(before));
    /* Nor does a node begin what has ended. */
    neighbour_turn(&third);
    assert_int_equal(world_notes("\"operation\":\"drill.run\"", "1 of 1 slots opened"), 2);
}

/* As a later release would write it, or nobody. */
static void make_unreadable(const char *path)
{
    static const uint8_t format = 2;
    struct hf_op *op = &small_world.op;
    HF_AUTO(record) record = NULL;

    assert_ok(op, hf_engine_get(small_world.engine, op, path, &record));
    assert_ok(op, small_world_put(HF_KIND_DRILL, path, record->revision, hf_bytes_of(&format, 1)));
}

static void a_part_that_cannot_be_read_counts_as_none(void **unused)
{
    HF_AUTO(buf) again = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    ask(NULL, id);
    world_turn();
    neighbour_turn(&third);
    neighbour_turn(&second);
    assert_true(has_ended(&second, id, "done"));
    ask(NULL, id);
    world_turn();
    neighbour_turn(&third);
    make_unreadable("drill/part/01/node-3");
    ends_without(id);
    /* The next one writes over it. */
    again = drill_all(NULL);
    assert_string_equal(light_of(again, light), "green");
}

static void a_drill_that_cannot_be_read_counts_as_none(void **unused)
{
    static const char *const paths[] = { "drill/run/00", "drill/last" };
    struct hf_op carol = world_as(CAROL);
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(paths); i++) {
        HF_AUTO(buf) again = NULL;
        char light[16];

        hf_buf_free(drill_all(NULL));
        make_unreadable(paths[i]);
        world_follow();
        assert_fails(&carol, hf_service_drill_show(world.service, &carol, "last", out),
                     HF_NOT_FOUND);
        assert_ok(&carol, hf_service_drill_list(world.service, &carol, out));
        again = drill_all(NULL);
        assert_string_equal(light_of(again, light), "green");
    }
}

static void more_nodes_than_a_drill_can_ask_are_told(void **unused)
{
    struct hf_op root = world_as(ROOT);
    char id[HF_DRILL_ID];

    (void)unused;
    /* The setup has three already. */
    for (size_t i = 3; i < HF_DRILL_NODES; i++) {
        HF_AUTO_STRING name = hf_format("more-%zu", i);

        neighbour_enlist(name, "west", HF_MEMBER_AWAY);
    }
    ask(NULL, id);
    world_turn();
    neighbour_turn(&second);
    small_world_pass(WAIT + 1000);
    neighbour_turn(&second);
    assert_true(has_ended(&second, id, NULL));
    neighbour_enlist("one-more", "west", HF_MEMBER_AWAY);
    assert_fails(&root, hf_service_drill(world.service, &root, NULL, 0, id), HF_LIMITED);
    assert_non_null(strstr(root.text, "the store has 257 nodes, and a drill asks 256 at most"));
    assert_int_equal(world_lines(EVENT("drill.run", "limited", ROOT), NULL, NULL), 1);
}

static void a_receipt_that_is_altered_is_not_told_as_a_drill_that_goes_on(void **unused)
{
    HF_AUTO(buf) receipt = drill_all(NULL);
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(CAROL);

    (void)unused;
    world_follow();
    small_world_alter("drill/end/00");
    assert_fails(&op, hf_service_drill_receipt(world.service, &op, "last", out), HF_CORRUPT);
    assert_non_null(strstr(op.text, "drill/end/00"));
}

/* A part of one node as if it had opened as many slots, and was asked for none of many keyrings. */
static void stage_large_part(const char *node, const char *id, size_t slots)
{
    struct hf_drill_part part = { .node = (char *)node,
                                  .state = HF_PART_DONE,
                                  .slots = slots,
                                  .slots_done = slots,
                                  .text = (char *)"" };
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(drill_run) run = NULL;
    HF_AUTO(txn) txn = NULL;

    memcpy(part.id, id, sizeof part.id);
    for (size_t i = 0; i < slots; i++) {
        struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

        proof->node = hf_strdup(node);
        proof->site = hf_strdup("");
        proof->slot = hf_format("%032zu", i);
        proof->slot_name = hf_format("%zu", i);
        proof->text = hf_strdup("");
        proof->opened = true;
        proof->whole = true;
        for (size_t j = 0; j < 4000; j++) {
            HF_AUTO_STRING name = hf_format("%059zu", j);

            hf_slot_proof_add_not_asked(proof, name);
        }
        hf_slot_proofs_add(&part.proofs, proof);
    }
    assert_ok(&small_world.op, hf_drill_last(world.service, &small_world.op, &run));
    assert_ok(&small_world.op, hf_txn_new(small_world.seal, &small_world.op, &txn));
    assert_ok(&small_world.op,
              hf_drill_part_stage(world.service, &small_world.op, txn, run, &part));
    assert_ok(&small_world.op, hf_txn_commit(txn, &small_world.op, &commit));
    for (size_t i = 0; i < slots; i++) {
        hf_slot_proof_free(part.proofs.items[i]);
    }
    free(part.proofs.items);
}

static struct hf_slot_proof *large_proof(size_t rows, size_t not_asked, size_t failures)
{
    struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

    proof->node = hf_strdup("node-1");
    proof->site = hf_strdup("");
    proof->slot = hf_strdup("00112233445566778899aabbccddeeff");
    proof->slot_name = hf_strdup("node");
    proof->text = hf_strdup("");
    proof->opened = true;
    proof->whole = true;
    for (size_t i = 0; i < rows; i++) {
        HF_AUTO_STRING name = hf_format("%063zu", i);

        proof->versions++;
        hf_slot_proof_add_keyring(proof, name, false);
    }
    for (size_t i = 0; i < not_asked; i++) {
        HF_AUTO_STRING name = hf_format("n%062zu", i);

        hf_slot_proof_add_not_asked(proof, name);
    }
    for (size_t i = 0; i < failures; i++) {
        HF_AUTO_STRING path = hf_format("version/hdfs/%0255zu/0000000001", i);

        proof->failed++;
        hf_slot_proof_add_failure(proof, path, HF_CAUSE_ALTERED, path);
    }
    return proof;
}

/* As a record, committed and read again. */
static struct hf_drill_part *stored(const struct hf_drill_run *run,
                                    const struct hf_drill_part *part)
{
    struct hf_drill_part *read = NULL;
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;

    assert_ok(&small_world.op, hf_txn_new(small_world.seal, &small_world.op, &txn));
    assert_ok(&small_world.op, hf_drill_part_stage(world.service, &small_world.op, txn, run, part));
    assert_ok(&small_world.op, hf_txn_commit(txn, &small_world.op, &commit));
    assert_ok(&small_world.op,
              hf_drill_part_read(world.service, &small_world.op, run, part->node, &read));
    assert_non_null(read);
    return read;
}

static void a_part_with_more_to_tell_than_fits_is_trimmed_and_counts_what_went(void **unused)
{
    static const struct {
        const char *says;
        size_t proofs, rows, not_asked, failures;
        bool trimmed, unlisted;
    } cases[] = {
        { "it fits", 2, 1000, 1000, 10, false, false },
        { "lists in the document", 2, 500, 3500, 10, true, false },
        { "failures in the document", 2, 4096, 0, 400, true, false },
        { "rows of many slots", 4, 4096, 0, 0, true, true },
        { "all of it", HF_DRILL_PROOFS, 4096, 5000, 100, true, true },
    };
    HF_AUTO(drill_run) run = NULL;
    char id[HF_DRILL_ID];

    (void)unused;
    ask(NULL, id);
    assert_ok(&small_world.op, hf_drill_last(world.service, &small_world.op, &run));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(drill_part) part = hf_alloc(sizeof *part);
        HF_AUTO(drill_part) read = NULL;
        const struct hf_slot_proof *first;

        memcpy(part->id, id, sizeof part->id);
        part->node = hf_strdup("node-1");
        part->text = hf_strdup("");
        part->state = HF_PART_DONE;
        for (size_t j = 0; j < cases[i].proofs; j++) {
            hf_slot_proofs_add(&part->proofs, large_proof(cases[i].rows, cases[i].not_asked,
                                                          cases[i].failures / cases[i].proofs));
        }
        hf_receipt_write_part(world.service, &small_world.op, run, 1, part);
        read = stored(run, part);
        first = read->proofs.items[0];
        if (has(hf_buf_text(&read->document), "\"trimmed\":true") != cases[i].trimmed ||
            has(hf_buf_text(&read->document), "\"unlisted\":") != cases[i].unlisted ||
            first->keyring_count + hf_slot_proof_unlisted(first) != cases[i].rows ||
            (first->not_asked_count > 0) != (cases[i].not_asked > 0)) {
            fail_msg("%s: %zu rows, %" PRIu64 " unlisted, %zu not asked", cases[i].says,
                     first->keyring_count, hf_slot_proof_unlisted(first), first->not_asked_count);
        }
    }
}

/* Of a slot that nobody shares the part with. */
static void the_largest_proof_finds_room_in_a_record(void **unused)
{
    HF_AUTO(slot_proof) proof = large_proof(4096, 5000, 2000);
    HF_AUTO(slot_proof) read = NULL;
    HF_AUTO(buf) content = hf_buf_new();

    (void)unused;
    hf_slot_proof_encode(proof, content);
    assert_ok(&small_world.op,
              small_world_put(HF_KIND_PROOF, "proof/node-1/large", 0, hf_buf_bytes(content)));
    assert_ok(&small_world.op, hf_slot_proof_decode(&small_world.op, hf_buf_bytes(content), &read));
    assert_int_equal(read->keyring_count, 4096);
    assert_int_equal(read->not_asked_count, 4096);
    assert_int_equal(read->failure_count + read->unnamed, 2000);
}

static void a_drill_with_more_to_tell_than_fits_ends_all_the_same(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    world.service->signer = NULL; /* and so nobody else signs */
    ask(NULL, id);
    stage_large_part("node-1", id, 3);
    stage_large_part("node-2", id, 3);
    stage_large_part("node-3", id, 1);
    world_turn();
    receipt = receipt_of(world.service, id);
    assert_true(has(hf_buf_text(receipt), "\"trimmed\":true"));
    assert_false(has(hf_buf_text(receipt), "not_asked"));
    assert_true(has(hf_buf_text(receipt), "{\"node\":\"node-3\",\"site\":\"\",\"slot\":\"0\""));
    assert_string_equal(light_of(receipt, light), "green");
}

/* --- what is found --- */

/* The store of one node only shows it: the others are as they should be. */
static void what_does_not_open_on_one_node_is_red_for_all(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    HF_AUTO(receipt_signers) signers = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    ask(NULL, id);
    neighbour_turn(&second);
    neighbour_turn(&third);
    small_world_alter("version/hdfs/sales/0000000001");
    world_turn();
    small_world_restore();
    receipt = receipt_of(world.service, id);
    assert_string_equal(light_of(receipt, light), "red");
    assert_non_null(strstr(hf_buf_text(receipt), "\"what\":\"hdfs/sales@1\",\"node\":\"node-1\""));
    assert_int_equal(verify(hf_buf_bytes(receipt), world.signer, &signers).code, HF_OK);
}

static void a_part_that_its_node_has_not_signed_counts_for_nothing(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    char id[HF_DRILL_ID];
    char light[16];

    (void)unused;
    ask(NULL, id);
    second.service->signer = NULL;
    neighbour_turn(&second);
    neighbour_turn(&third);
    world_turn();
    receipt = receipt_of(world.service, id);
    assert_string_equal(light_of(receipt, light), "amber");
    assert_non_null(strstr(hf_buf_text(receipt), "\"node\":\"node-2\",\"site\":\"east\",\"result\":"
                                                 "\"failed\",\"text\":\"its part is not signed"));
}

static void count_call(void *context, const char *name, const struct hf_json *value)
{
    (void)name;
    (void)value;
    ++*(size_t *)context;
}

/* --- what a receipt cannot be made to say --- */

/* The members "parts" and "signatures" of a receipt, and its beginning, put together anew. */
struct pieces {
    struct hf_json *json;
    const struct hf_json *parts;
    const struct hf_json *signatures;
    char *start; /* up to and with the value of "drill" */
};

static void take_pieces(const struct hf_buf *receipt, struct pieces *out)
{
    struct hf_op *op = &small_world.op;
    const char *text = hf_buf_text((struct hf_buf *)receipt);

    assert_ok(op, hf_json_parse(op, hf_buf_bytes(receipt), &out->json));
    assert_ok(op, hf_json_array_or(op, out->json, "parts", &out->parts));
    assert_ok(op, hf_json_array_or(op, out->json, "signatures", &out->signatures));
    out->start = hf_strndup(text, (size_t)(strstr(text, ",\"parts\":[") - text));
}

static void pieces_done(struct pieces *pieces)
{
    hf_json_free(pieces->json);
    free(pieces->start);
}

static enum hf_code verify_joined(const struct pieces *pieces, const struct hf_json *const *parts,
                                  size_t count)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(receipt_signers) signers = NULL;

    hf_buf_add_text(text, pieces->start);
    hf_buf_add_text(text, ",\"parts\":[");
    for (size_t i = 0; i < count; i++) {
        hf_buf_add_text(text, i > 0 ? "," : "");
        hf_json_add(text, parts[i]);
    }
    hf_buf_add_text(text, "],\"signatures\":");
    hf_json_add(text, pieces->signatures);
    hf_buf_add_text(text, "}");
    return verify(hf_buf_bytes(text), third.signer, &signers).code;
}

static void parts_cannot_be_left_out_doubled_or_taken_from_elsewhere(void **unused)
{
    __attribute__((cleanup(pieces_done))) struct pieces now = { 0 };
    __attribute__((cleanup(pieces_done))) struct pieces then = { 0 };
    HF_AUTO(buf) first = drill_all(NULL);
    HF_AUTO(buf) again = drill_all(NULL);
    const struct hf_json *parts[4];
    size_t members = 0;

    (void)unused;
    take_pieces(first, &then);
    take_pieces(again, &now);
    hf_json_each(now.json, count_call, &members);
    assert_int_equal(members, 3);
    for (size_t i = 0; i < 3; i++) {
        parts[i] = hf_json_at(now.parts, i);
    }
    assert_int_equal(verify_joined(&now, parts, 3), HF_OK);
    assert_int_equal(verify_joined(&now, parts, 2), HF_CORRUPT);
    parts[3] = parts[0];
    assert_int_equal(verify_joined(&now, parts, 4), HF_CORRUPT);
    parts[2] = parts[1];
    assert_int_equal(verify_joined(&now, parts, 3), HF_CORRUPT);
    parts[2] = hf_json_at(then.parts, 2);
    assert_int_equal(verify_joined(&now, parts, 3), HF_CORRUPT);
}

/* The node that ends a drill can be wrong, or worse: the others' parts are their own word. */
static void the_end_is_no_brighter_than_the_parts(void **unused)
{
    static const struct {
        const char *says;
        const char *light;
        const char *third; /* of its cell; NULL: it is silent */
        enum hf_code code;
    } cases[] = {
        { "all opened", "green", "opened", HF_OK },
        { "fewer ways", "amber", "opened", HF_OK },
        { "one failed", "green", "failed", HF_CORRUPT },
        { "one failed, told as fewer ways", "amber", "failed", HF_CORRUPT },
        { "one failed, as it is", "red", "failed", HF_OK },
        { "one is silent", "green", NULL, HF_CORRUPT },
        { "one is silent, as it is", "amber", NULL, HF_OK },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_drill_part part = { .node = (char *)"node-3", .state = HF_PART_DONE };
        struct hf_drill_part *parts[] = { &part };
        struct hf_drill_end end = { .node = (char *)"node-1" };
        HF_AUTO(buf) digest = hf_buf_new();
        HF_AUTO(buf) receipt = hf_buf_new();
        HF_AUTO(receipt_signers) signers = NULL;
        uint8_t hash[HF_SHA256_LEN];
        struct hf_op op = small_world_op(0);

        hf_buf_add_format(&part.document,
                          "{\"drill\":\"00\",\"store\":\"01\",\"node\":\"node-3\",\"cells\":["
                          "{\"result\":\"%s\"}]}",
                          cases[i].third != NULL ? cases[i].third : "");
        assert_ok(&op,
                  hf_receipt_sign(third.service, &op, HF_RECEIPT_PART, hf_buf_bytes(&part.document),
                                  &part.public_key, &part.signature));
        assert_ok(&op, hf_sha256(small_world.crypto, &op, hf_buf_bytes(&part.document), hash));
        hf_buf_add_format(&end.document,
                          "{\"id\":\"00\",\"store\":\"01\",\"ended_on\":\"node-1\","
                          "\"light\":\"%s\",\"nodes\":[{\"node\":\"node-3\",\"result\":\"%s\"",
                          cases[i].light, cases[i].third != NULL ? "answered" : "silent");
        hf_buf_add_text(&end.document, ",\"digest\":\"");
        hf_hex_add(&end.document, hf_bytes_of(hash, sizeof hash));
        hf_buf_add_text(&end.document, "\",\"key\":\"");
        hf_hex_add(&end.document, hf_buf_bytes(&part.public_key));
        hf_buf_add_text(&end.document, "\"}]}");
        assert_ok(&op,
                  hf_receipt_sign(world.service, &op, HF_RECEIPT_END, hf_buf_bytes(&end.document),
                                  &end.public_key, &end.signature));
        hf_receipt_join(&end, parts, cases[i].third != NULL ? 1 : 0, receipt);
        if (verify(hf_buf_bytes(receipt), world.signer, &signers).code != cases[i].code) {
            fail_msg("%s: %s", cases[i].says, hf_buf_text(receipt));
        }
        hf_buf_done(&part.document);
        hf_buf_done(&part.public_key);
        hf_buf_done(&part.signature);
        hf_buf_done(&end.document);
        hf_buf_done(&end.public_key);
        hf_buf_done(&end.signature);
    }
}

/* --- what a drill leaves alone --- */

static void no_data_key_of_a_customer_is_touched(void **unused)
{
    HF_AUTO(buf) receipt = NULL;
    struct hf_op root = world_as(ROOT);
    struct hf_op alice = world_as(ALICE);
    HF_AUTO(secret) opened = NULL;
    struct hf_edek edek;
    struct hf_usage before;
    struct hf_usage after;
    unsigned lines;

    (void)unused;
    assert_ok(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "sales", 1, &edek));
    assert_ok(&alice,
              hf_service_hadoop_decrypt(world.service, &alice, RING, "sales", &edek, &opened));
    assert_ok(&root, hf_service_key_usage(world.service, &root, RING, "sales", 1, &before));
    lines = world_lines("\"operation\":\"key.", NULL, NULL);
    receipt = drill_all(NULL);
    assert_int_equal(world_lines("\"operation\":\"key.", NULL, NULL), lines);
    assert_int_equal(world_lines("\"operation\":\"drill.run\"", "nodes answered", NULL), 1);
    assert_ok(&root, hf_service_key_usage(world.service, &root, RING, "sales", 1, &after));
    assert_int_equal(before.wraps, 1);
    assert_int_equal(before.unwraps, 1);
    assert_int_equal(after.wraps, before.wraps);
    assert_int_equal(after.unwraps, before.unwraps);
    assert_int_equal(after.caller_count, before.caller_count);
}

/* --- the records --- */

/* docs/formats/drill.md */
static const char vector[] =
    "01001122334455667703000001a3185c5000000000000001d4c0000000016100000009756e69783a726f6f7400"
    "0000000000000200000001610000000465617374000000016200000000000001a3185d3a600100000001";

static void a_drill_is_written_as_the_format_says_and_nothing_else_is_read(void **unused)
{
    HF_AUTO(buf) bytes = hf_buf_new();
    HF_AUTO(buf) again = hf_buf_new();
    HF_AUTO(drill_run) run = NULL;
    struct hf_op op = small_world_op(0);

    (void)unused;
    assert_ok(&op, hf_hex_decode(&op, hf_bytes_of_text(vector), bytes));
    assert_ok(&op, hf_drill_run_decode(&op, hf_buf_bytes(bytes), &run));
    assert_string_equal(run->id, "0011223344556677");
    assert_int_equal(run->node_count, 2);
    assert_string_equal(run->nodes[0].site, "east");
    assert_int_equal(run->light, HF_AMBER);
    hf_drill_run_encode(run, again);
    assert_true(hf_bytes_equal(hf_buf_bytes(bytes), hf_buf_bytes(again)));
    for (size_t len = 0; len < bytes->len; len++) {
        struct hf_drill_run *none = NULL;

        assert_int_not_equal(hf_drill_run_decode(&op, hf_bytes_of(bytes->data, len), &none).code,
                             HF_OK);
    }
    bytes->data[9] = HF_DRILL_PLACES;
    assert_fails(&op, hf_drill_run_decode(&op, hf_buf_bytes(bytes), &run), HF_CORRUPT);
    bytes->data[0] = 2;
    assert_fails(&op, hf_drill_run_decode(&op, hf_buf_bytes(bytes), &run), HF_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(on_a_store_of_its_own_a_node_asks_itself_only),
        TEST(every_member_answers_and_signs_its_part),
        TEST(every_node_hands_out_the_same_receipt_and_keeps_the_proofs_of_all),
        TEST(a_drill_of_one_keyring_by_all_nodes_keeps_no_proof),
        TEST(who_does_not_serve_a_keyring_is_not_asked_for_it),
        TEST(what_others_serve_is_known_by_their_proofs),
        TEST(each_keyring_wants_ways_of_its_own_whichever_node_ends_the_drill),
        TEST(a_keyring_that_does_not_say_wants_what_the_node_is_configured_to),
        TEST(status_names_the_keyring_that_lacks_most),
        TEST(why_goes_by_the_proofs_of_those_who_serve_it),
        TEST(the_last_drill_is_told_of_each_link),
        TEST(what_a_young_version_is_under_was_proven_by_its_siblings),
        TEST(a_root_that_is_new_was_proven_by_nobody),
        TEST(a_node_that_was_silent_is_no_way_to_what_it_has_not_seen),
        TEST(who_is_silent_is_waited_for_named_and_never_green),
        TEST(a_member_that_is_away_is_asked_too),
        TEST(who_tells_how_far_it_is_is_waited_for),
        TEST(any_node_ends_it_when_the_one_that_was_asked_is_gone),
        TEST(a_part_that_comes_too_late_is_in_no_receipt),
        TEST(a_part_that_cannot_be_read_counts_as_none),
        TEST(a_drill_that_cannot_be_read_counts_as_none),
        TEST(more_nodes_than_a_drill_can_ask_are_told),
        TEST(a_receipt_that_is_altered_is_not_told_as_a_drill_that_goes_on),
        TEST(a_part_with_more_to_tell_than_fits_is_trimmed_and_counts_what_went),
        TEST(the_largest_proof_finds_room_in_a_record),
        TEST(a_drill_with_more_to_tell_than_fits_ends_all_the_same),
        TEST(what_does_not_open_on_one_node_is_red_for_all),
        TEST(a_part_that_its_node_has_not_signed_counts_for_nothing),
        TEST(parts_cannot_be_left_out_doubled_or_taken_from_elsewhere),
        TEST(the_end_is_no_brighter_than_the_parts),
        TEST(no_data_key_of_a_customer_is_touched),
        TEST(a_drill_is_written_as_the_format_says_and_nothing_else_is_read),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
