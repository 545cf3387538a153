/* The drill: what it finds when something is altered, gone or wrong, and what is made of proofs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/json.h"
#include "base/text.h"
#include "neighbour.h"
#include "seal/join.h"
#include "service/receipt.h"
#include "tamper.h"

static char *node_file;
static char *offline_file;
static struct hf_drill_slot configured[2];

static void configure(const char *file)
{
    configured[0] = (struct hf_drill_slot){ "node", { .kind = "keyfile", .file = file } };
    world.service->slots = configured;
    world.service->slot_count = 1;
    world.service->signer = world.signer;
    world.service->drill_every_ms = DAY;
}

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    node_file = small_world_path("node.key");
    offline_file = small_world_path("offline.key");
    (void)world_key("sales", HF_ALG_AES_256);
    (void)world_key("other", HF_ALG_AES_256);
    (void)world_key("pair", HF_ALG_P256);
    configure(node_file);
    return 0;
}

static int teardown(void **unused)
{
    free(node_file);
    free(offline_file);
    small_world_restore();
    return world_close(unused);
}

/* --- one drill, as its receipt tells --- */

/* Asked for, done and ended by this node alone, as its daemon does it. */
static struct hf_json *run_drill(const char *keyring, struct hf_buf *receipt)
{
    struct hf_op op = world_as(ROOT);
    struct hf_op system = small_world_op(7);
    struct hf_json *json = NULL;
    char id[HF_DRILL_ID];

    assert_ok(&op, hf_service_drill(world.service, &op, keyring, 0, id));
    assert_fails(&op, hf_service_drill_receipt(world.service, &op, id, receipt), HF_WRONG_STATE);
    assert_ok(&system, hf_service_drill_part(world.service, &system));
    world_jobs();
    /* Longer than a silent member is waited for. */
    small_world_pass(121000);
    world_jobs();
    assert_ok(&op, hf_service_drill_receipt(world.service, &op, id, receipt));
    assert_ok(&op, hf_json_parse(&op, hf_buf_bytes(receipt), &json));
    return json;
}

static const struct hf_json *drill_of(const struct hf_json *json)
{
    const struct hf_json *drill = NULL;

    assert_ok(&small_world.op, hf_json_object_or(&small_world.op, json, "drill", &drill));
    return drill;
}

static const struct hf_json *array_of(const struct hf_json *object, const char *name)
{
    const struct hf_json *array = NULL;

    assert_ok(&small_world.op, hf_json_array_or(&small_world.op, object, name, &array));
    assert_non_null(array);
    return array;
}

static const char *text_of(const struct hf_json *object, const char *name)
{
    const char *text = NULL;

    assert_ok(&small_world.op, hf_json_text_or(&small_world.op, object, name, "", &text));
    return text;
}

static uint64_t number_of(const struct hf_json *object, const char *name)
{
    uint64_t number = 0;

    assert_ok(&small_world.op, hf_json_u64_or(&small_world.op, object, name, 99, &number));
    return number;
}

struct finding {
    const char *says;
    const char *altered; /* NULL: nothing */
    const char *hidden;
    const char *light;
    const char *result;
    const char *what; /* the first that failed; NULL: nothing did */
    const char *cause;
    const char *record;
    uint64_t failed;
};

static void check_finding(const struct finding *finding, const struct hf_json *drill)
{
    const struct hf_json *cell = hf_json_at(array_of(drill, "cells"), 0);
    const struct hf_json *failed = array_of(drill, "failed");
    const struct hf_json *first = hf_json_at(failed, 0);
    bool as_told = strcmp(text_of(drill, "light"), finding->light) == 0 &&
                   strcmp(text_of(cell, "result"), finding->result) == 0 &&
                   number_of(cell, "failed") == finding->failed &&
                   (first != NULL) == (finding->what != NULL);

    if (as_told && first != NULL) {
        as_told = strcmp(text_of(first, "what"), finding->what) == 0 &&
                  strcmp(text_of(first, "cause"), finding->cause) == 0 &&
                  strcmp(text_of(first, "record"), finding->record) == 0;
    }
    if (!as_told) {
        HF_AUTO(buf) text = hf_buf_new();

        hf_json_add(text, drill);
        fail_msg("%s: %s", finding->says, hf_buf_text(text));
    }
}

static void what_is_altered_or_gone_is_named_with_its_cause(void **unused)
{
#define V1(name) "version/hdfs/" name "/0000000001"
#define RING_KEY "keyring-key/hdfs/0000000001"
#define MAIN     "main/main/0000000001"
    static const struct finding cases[] = {
        { "nothing", NULL, NULL, "green", "opened", NULL, NULL, NULL, 0 },
        { "a version", V1("sales"), NULL, "red", "failed", "hdfs/sales@1", "altered", V1("sales"),
          1 },
        { "a key pair", V1("pair"), NULL, "red", "failed", "hdfs/pair@1", "altered", V1("pair"),
          1 },
        { "a version is gone", NULL, V1("sales"), "red", "failed", "hdfs/sales@1", "altered",
          V1("sales"), 1 },
        { "the keyring key", RING_KEY, NULL, "red", "failed", RING_KEY, "altered", RING_KEY, 3 },
        { "the keyring key is gone", NULL, RING_KEY, "red", "failed", "hdfs/other@1", "unknown_key",
          RING_KEY, 3 },
        { "the main key", MAIN, NULL, "red", "failed", MAIN, "altered", MAIN, 3 },
        { "the main key is gone", NULL, MAIN, "red", "failed", "hdfs/other@1", "unknown_key", MAIN,
          3 },
        { "a key", "key/hdfs/sales", NULL, "red", "failed", "key/hdfs/sales", "altered",
          "key/hdfs/sales", 0 },
        { "the keyring", "keyring/hdfs", NULL, "red", "failed", "keyring/hdfs", "altered",
          "keyring/hdfs", 0 },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) receipt = hf_buf_new();
        HF_AUTO(json) json = NULL;

        if (cases[i].altered != NULL) {
            small_world_alter(cases[i].altered);
        }
        if (cases[i].hidden != NULL) {
            tamper_hide(small_world.tamper, cases[i].hidden);
        }
        json = run_drill(NULL, receipt);
        check_finding(&cases[i], drill_of(json));
        small_world_restore();
    }
}

static void a_slot_with_the_wrong_file_is_red_and_one_that_nobody_has_is_never_green(void **unused)
{
    static const char *const files[] = { "offline", "none" };
    HF_AUTO_STRING nowhere = small_world_path("nowhere.key");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(files); i++) {
        HF_AUTO(buf) receipt = hf_buf_new();
        HF_AUTO(json) json = NULL;
        const struct hf_json *cells;

        configure(i == 0 ? offline_file : nowhere);
        json = run_drill(NULL, receipt);
        cells = array_of(drill_of(json), "cells");
        assert_string_equal(text_of(drill_of(json), "light"), "red");
        assert_string_equal(text_of(hf_json_at(cells, 0), "slot"), "node");
        assert_string_equal(text_of(hf_json_at(cells, 0), "result"), "failed");
        assert_string_equal(text_of(hf_json_at(cells, 0), "cause"), "protector_unavailable");
        assert_string_equal(text_of(hf_json_at(cells, 1), "slot"), "offline");
        assert_string_equal(text_of(hf_json_at(cells, 1), "result"), "elsewhere");
    }
}

static void visit_nothing(void *context, const struct hf_node_info *node)
{
    (void)context;
    (void)node;
}

/* A member with a key pair of its own, in that file. */
static void approve(const char *name, const char *file)
{
    struct hf_op root = world_as(ROOT);
    struct hf_join_request request = { .site = "" };
    char fingerprint[HF_FINGERPRINT_LEN];
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) bundle = hf_buf_new();

    (void)snprintf(request.name, sizeof request.name, "%s", name);
    assert_ok(&root, hf_node_key_create(small_world.crypto, &root, file));
    assert_ok(&root, hf_node_key_public(small_world.crypto, &root, file, request.public_key));
    assert_ok(&root, hf_join_request_print(small_world.crypto, &root, &request, text));
    assert_ok(&root, hf_service_node_approve(world.service, &root, hf_buf_text(text), NULL,
                                             visit_nothing, NULL, bundle, fingerprint));
}

static const struct hf_json *cell_of(const struct hf_json *json, const char *slot)
{
    const struct hf_json *cells = array_of(drill_of(json), "cells");
    const struct hf_json *cell = NULL;

    for (size_t i = 0; (cell = hf_json_at(cells, i)) != NULL; i++) {
        if (strcmp(text_of(cell, "slot"), slot) == 0) {
            return cell;
        }
    }
    fail_msg("no cell of %s", slot);
    return NULL;
}

/* Whatever the slot is called in the configuration: others' keys are on other machines. */
static void a_nodes_own_key_is_tried_on_its_own_slot_only(void **unused)
{
    static const char *const configured_names[] = { "node-1", "mine" };
    HF_AUTO_STRING own = small_world_path("own.node");
    HF_AUTO_STRING other = small_world_path("other.node");

    (void)unused;
    world.service->shared_store = true;
    approve("node-1", own);
    approve("node-2", other);
    for (size_t i = 0; i < HF_COUNT(configured_names); i++) {
        HF_AUTO(buf) receipt = hf_buf_new();
        HF_AUTO(json) json = NULL;

        configured[0] =
            (struct hf_drill_slot){ configured_names[i], { .kind = "node", .file = own } };
        json = run_drill(NULL, receipt);
        assert_string_equal(text_of(cell_of(json, "node-1"), "result"), "opened");
        assert_string_equal(text_of(cell_of(json, "node-2"), "result"), "elsewhere");
        /* The other node is silent, and nothing failed. */
        assert_string_equal(text_of(drill_of(json), "light"), "amber");
    }
    (void)unlink(own);
    (void)unlink(other);
}

static void a_drill_of_one_keyring_is_no_proof_of_the_day(void **unused)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) json = NULL;
    HF_AUTO(slot_proofs) proofs = NULL;
    struct hf_op op = world_as(ROOT);
    char id[HF_DRILL_ID];

    (void)unused;
    json = run_drill(RING, receipt);
    assert_int_equal(number_of(hf_json_at(array_of(drill_of(json), "cells"), 0), "versions"), 3);
    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &proofs));
    assert_int_equal(proofs->count, 0);
    assert_fails(&op, hf_service_drill(world.service, &op, "none", 0, id), HF_NOT_FOUND);
}

static void only_operators_drill_and_it_is_recorded(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO(json) json = NULL;
    struct hf_op alice = world_as(ALICE);
    struct hf_op carol = world_as(CAROL);
    char id[HF_DRILL_ID];

    (void)unused;
    assert_fails(&alice, hf_service_drill(world.service, &alice, NULL, 0, id), HF_DENIED);
    assert_fails(&carol, hf_service_drill(world.service, &carol, NULL, 0, id), HF_DENIED);
    json = run_drill(NULL, out);
    assert_int_equal(world_lines(EVENT("drill.run", "ok", ROOT), "is asked of 1 nodes", NULL), 1);
    assert_int_equal(
        world_lines(EVENT("drill.run", "ok", "system"), "1 of 1 slots", "3 key versions"), 1);
    assert_int_equal(
        world_lines(EVENT("drill.run", "ok", "system"), "1 of 1 nodes answered, green", NULL), 1);
    hf_buf_clear(out);
    assert_ok(&carol, hf_service_drill_list(world.service, &carol, out));
    assert_ok(&carol, hf_service_drill_show(world.service, &carol, "last", out));
    assert_fails(&carol, hf_service_drill_show(world.service, &carol, "00", out), HF_NOT_FOUND);
    assert_fails(&alice, hf_service_drill_show(world.service, &alice, "last", out), HF_DENIED);
    assert_fails(&alice, hf_service_drill_receipt(world.service, &alice, "last", out), HF_DENIED);
    hf_buf_clear(out);
    assert_ok(&carol, hf_service_min_cut(world.service, &carol, "hdfs/sales", out));
    assert_fails(&alice, hf_service_what_if(world.service, &alice, NULL, 0, out), HF_DENIED);
}

static void an_altered_proof_is_no_proof_and_the_next_drill_replaces_it(void **unused)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) first = run_drill(NULL, receipt);
    const char *slot = text_of(hf_json_at(array_of(drill_of(first), "cells"), 0), "slot_id");
    HF_AUTO_STRING path = hf_slot_proof_path("node-1", slot);
    HF_AUTO(slot_proofs) none = NULL;
    HF_AUTO(slot_proofs) one = NULL;
    HF_AUTO(json) second = NULL;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    small_world_alter(path);
    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &none));
    assert_int_equal(none->count, 0);
    hf_buf_clear(receipt);
    second = run_drill(NULL, receipt);
    assert_string_equal(text_of(drill_of(second), "light"), "red"); /* it is a record like others */
    small_world_restore();
    assert_ok(&op, hf_slot_proofs_read(world.service, &op, &one));
    assert_int_equal(one->count, 1);
    assert_int_equal(one->items[0]->damaged, 1);
}

/* --- what status says of it --- */

static struct hf_status_item item;

static void take_proofs(void *context, const struct hf_status_item *told)
{
    (void)context;
    if (strcmp(told->name, "proofs") == 0) {
        item = *told;
    }
}

static enum hf_light light_of_proofs(void)
{
    struct hf_op op = world_as(ROOT);

    memset(&item, 0, sizeof item);
    assert_ok(&op, hf_service_status(world.service, &op, take_proofs, NULL));
    return item.light;
}

static void status_is_red_when_something_did_not_open_and_amber_when_proofs_are_old(void **unused)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) bad = NULL;
    HF_AUTO(json) good = NULL;

    (void)unused;
    (void)light_of_proofs();
    assert_string_equal(item.name, "");
    small_world_alter(V1("sales"));
    bad = run_drill(NULL, receipt);
    small_world_restore();
    assert_int_equal(light_of_proofs(), HF_RED);
    hf_buf_clear(receipt);
    good = run_drill(NULL, receipt);
    assert_int_equal(light_of_proofs(), HF_GREEN);
    world.service->min_ways = 2;
    assert_int_equal(light_of_proofs(), HF_AMBER);
    world.service->min_ways = 1;
    small_world_pass(2 * DAY + 1000);
    assert_int_equal(light_of_proofs(), HF_AMBER);
}

/* --- the job --- */

/* The drills that were asked for since the store was made. */
static unsigned asked(void)
{
    return world_notes("\"operation\":\"drill.run\"", "is asked of");
}

static void end_drill(void)
{
    struct hf_op op = small_world_op(7);

    assert_ok(&op, hf_service_drill_part(world.service, &op));
    world_jobs();
}

static void the_job_asks_once_a_day_and_only_where_the_lease_is_free(void **unused)
{
    struct hf_op op = small_world_op(0);
    uint64_t fence;

    (void)unused;
    assert_ok(&op, hf_engine_lease(small_world.engine, &op, "job-drill", "node-2", 60000, &fence));
    world_jobs();
    assert_int_equal(asked(), 0);
    assert_ok(&op, hf_engine_lease(small_world.engine, &op, "job-drill", "node-2", 0, &fence));
    small_world_pass(2000);
    world_jobs();
    assert_int_equal(asked(), 1);
    end_drill();
    small_world_pass(DAY - 5000);
    world_jobs();
    assert_int_equal(asked(), 1);
    small_world_pass(DAY);
    world_jobs();
    assert_int_equal(asked(), 2);
}

static void one_drill_at_a_time_and_a_repeat_is_the_same_one(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(ROOT);
    struct hf_op other = world_as(ROOT);
    char id[HF_DRILL_ID];
    char again[HF_DRILL_ID];

    (void)unused;
    op.request_id = world_request(1);
    assert_ok(&op, hf_service_drill(world.service, &op, NULL, 0, id));
    assert_ok(&op, hf_service_drill(world.service, &op, NULL, 0, again));
    assert_string_equal(id, again);
    assert_fails(&other, hf_service_drill(world.service, &other, NULL, 0, again), HF_WRONG_STATE);
    assert_non_null(strstr(other.text, id));
    end_drill();
    other.request_id = world_request(0);
    assert_ok(&other, hf_service_drill(world.service, &other, NULL, 0, again));
    end_drill();
    assert_ok(&other, hf_service_drill_receipt(world.service, &other, id, out));
    hf_buf_clear(out);
    assert_ok(&other, hf_service_drill_receipt(world.service, &other, again, out));
    assert_fails(&other, hf_service_drill(world.service, &other, NULL, 999, again), HF_INVALID);
}

static void the_last_drills_are_kept_and_no_others(void **unused)
{
    char first[HF_DRILL_ID];
    struct hf_op op = world_as(ROOT);
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    world.service->slot_count = 0; /* nothing to open: quick */
    for (int i = 0; i < 33; i++) {
        char id[HF_DRILL_ID];

        op.request_id = world_request((uint8_t)i);
        assert_ok(&op, hf_service_drill(world.service, &op, NULL, 0, i == 0 ? first : id));
        end_drill();
        if (i == 31) {
            assert_ok(&op, hf_service_drill_receipt(world.service, &op, first, out));
        }
    }
    assert_fails(&op, hf_service_drill_receipt(world.service, &op, first, out), HF_NOT_FOUND);
}

static void a_node_that_stops_or_is_locked_does_no_part(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_op system = small_world_op(7);
    char id[HF_DRILL_ID];

    (void)unused;
    assert_ok(&op, hf_service_drill(world.service, &op, NULL, 0, id));
    hf_service_drill_stop(world.service);
    assert_fails(&system, hf_service_drill_part(world.service, &system), HF_WRONG_STATE);
    hf_seal_lock(small_world.seal);
    assert_fails(&system, hf_service_drill_part(world.service, &system), HF_WRONG_STATE);
    assert_fails(&op, hf_service_drill(world.service, &op, NULL, 0, id), HF_WRONG_STATE);
}

/* --- the receipt --- */

static struct hf_status verify(const struct hf_buf *receipt, const struct hf_buf *key,
                               struct hf_receipt_signers **out)
{
    struct hf_op op = world_as(ROOT);
    const struct hf_bytes trusted = hf_buf_bytes(key);

    return hf_receipt_verify(small_world.crypto, &op, hf_buf_bytes(receipt), &trusted, 1, out);
}

static void each_changed_byte_of_a_receipt_is_found(void **unused)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(buf) key = hf_buf_new();
    HF_AUTO(json) json = run_drill(NULL, receipt);
    HF_AUTO(receipt_signers) signers = NULL;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, hf_pkey_public(world.signer, &op, key));
    assert_int_equal(verify(receipt, key, &signers).code, HF_OK);
    assert_int_equal(signers->count, 2); /* its part, and all of it */
    assert_true(signers->items[0].trusted && signers->items[0].ended);
    for (size_t i = 0; i < receipt->len; i++) {
        HF_AUTO(receipt_signers) none = NULL;
        struct hf_status status;

        receipt->data[i] ^= 1;
        status = verify(receipt, key, &none);
        receipt->data[i] ^= 1;
        if (status.code == HF_OK) {
            fail_msg("byte %zu may be changed", i);
        }
    }
}

/* --- proofs and ways --- */

static struct hf_slot_proof *sample_proof(void)
{
    struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

    proof->node = hf_strdup("node-1");
    proof->site = hf_strdup("");
    proof->slot = hf_strdup("00112233445566778899aabbccddeeff");
    proof->slot_name = hf_strdup("backup");
    proof->text = hf_strdup("");
    proof->when_ms = 1800000000000;
    proof->seq = 42;
    proof->root_generation = 1;
    proof->opened = true;
    proof->records = 20;
    proof->damaged = 1;
    proof->versions = 5;
    proof->failed = 1;
    for (int i = 0; i < 5; i++) {
        hf_slot_proof_add_keyring(proof, "hdfs", i == 0);
    }
    hf_slot_proof_add_failure(proof, V1("sales"), HF_CAUSE_ALTERED, V1("sales"));
    proof->failures[0].path[strlen(V1("sales")) - 1] = '2';
    proof->failures[0].failed_at[strlen(V1("sales")) - 1] = '2';
    return proof;
}

/* docs/formats/proof.md */
static const char vector[] =
    "01000000066e6f64652d310000000000000020303031313232333334343535363637373838393961"
    "6162626363646465656666000000066261636b7570000001a3185c5000000000000000002a000000"
    "01010000000000000000000000001400000000000000010000000000000000050000000000000001"
    "00000001000000046864667300000000000000050000000000000001000000010000001d76657273"
    "696f6e2f686466732f73616c65732f30303030303030303032050000001d76657273696f6e2f6864"
    "66732f73616c65732f303030303030303030320000000000000000";

static void no_part_is_read(struct hf_bytes content)
{
    struct hf_op op = small_world_op(0);

    for (size_t len = 0; len < content.len; len++) {
        HF_AUTO(slot_proof) none = NULL;

        assert_int_not_equal(hf_slot_proof_decode(&op, hf_bytes_of(content.data, len), &none).code,
                             HF_OK);
    }
}

static void a_proof_is_written_as_the_format_says_and_nothing_else_is_read(void **unused)
{
    HF_AUTO(slot_proof) proof = sample_proof();
    HF_AUTO(slot_proof) again = NULL;
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(buf) hex = hf_buf_new();
    struct hf_op op = small_world_op(0);

    (void)unused;
    hf_slot_proof_encode(proof, content);
    hf_hex_add(hex, hf_buf_bytes(content));
    assert_string_equal(hf_buf_text(hex), vector);
    assert_ok(&op, hf_slot_proof_decode(&op, hf_buf_bytes(content), &again));
    assert_string_equal(again->failures[0].path, "version/hdfs/sales/0000000002");
    no_part_is_read(hf_buf_bytes(content));
}

/* Four letters a proof: node, site ('-': none), slot, and 'x' where version sales@1 failed. */
struct ways_case {
    const char *says;
    const char *proofs[8];
    size_t any;    /* independent ways of a version that failed nowhere */
    size_t failed; /* of the one that failed where it is said */
    size_t cut;    /* losses that end any, sites included */
};

static struct hf_slot_proof *bare_proof(const char *letters)
{
    struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

    proof->node = hf_strndup(letters, 1);
    proof->site = hf_strndup(letters + 1, letters[1] != '-');
    proof->slot = hf_strndup(letters + 2, 1);
    proof->slot_name = hf_strndup(letters + 2, 1);
    proof->text = hf_strdup("");
    proof->root_generation = 1;
    proof->opened = true;
    proof->whole = true;
    return proof;
}

/* Of two versions of RING, as it were. */
static struct hf_slot_proof *proof_of(const char *letters)
{
    struct hf_slot_proof *proof = bare_proof(letters);

    hf_slot_proof_add_keyring(proof, RING, false);
    hf_slot_proof_add_keyring(proof, RING, letters[3] == 'x');
    if (letters[3] == 'x') {
        proof->failed = 1;
        hf_slot_proof_add_failure(proof, V1("sales"), HF_CAUSE_ALTERED, V1("sales"));
    }
    return proof;
}

static void ways_are_independent_when_they_share_no_node_and_no_slot(void **unused)
{
    static const struct ways_case cases[] = {
        { "nothing is proven", { NULL }, 0, 0, 0 },
        { "one node, one slot", { "a-1." }, 1, 1, 1 },
        { "one node, three slots", { "a-1.", "a-2.", "a-3." }, 1, 1, 1 },
        { "three nodes that share a slot", { "a-1.", "b-1.", "c-1." }, 1, 1, 1 },
        { "three nodes, a slot each", { "a-1.", "b-2.", "c-3." }, 3, 3, 3 },
        { "two nodes with the same two slots", { "a-1.", "a-2.", "b-1.", "b-2." }, 2, 2, 2 },
        { "one way failed", { "a-1.", "b-2x" }, 2, 1, 2 },
        { "every way failed", { "a-1x", "b-2x" }, 2, 0, 2 },
        { "all in one site", { "as1.", "bs2.", "cs3." }, 3, 3, 1 },
        { "two sites", { "as1.", "bs2.", "ct3." }, 3, 3, 2 },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_slot_proofs *proofs = hf_alloc(sizeof *proofs);
        const struct hf_cut_question any = { NULL, false, false, NULL };
        const struct hf_cut_question failed = { V1("sales"), false, false, NULL };
        const struct hf_cut_question with_sites = { NULL, true, true, NULL };
        HF_AUTO(ways) ways = NULL;
        struct hf_op op = small_world_op(0);
        size_t found[3];

        for (size_t j = 0; cases[i].proofs[j] != NULL; j++) {
            hf_slot_proofs_add(proofs, proof_of(cases[i].proofs[j]));
        }
        assert_ok(&op, hf_ways_new(world.service, &op, &proofs, &ways));
        found[0] = hf_ways_cut(ways, &any, NULL);
        found[1] = hf_ways_cut(ways, &failed, NULL);
        found[2] = hf_ways_cut(ways, &with_sites, NULL);
        if (found[0] != cases[i].any || found[1] != cases[i].failed || found[2] != cases[i].cut) {
            fail_msg("%s: %zu, %zu, %zu", cases[i].says, found[0], found[1], found[2]);
        }
        assert_int_equal(hf_ways_least(ways, RING),
                         cases[i].any < cases[i].failed ? cases[i].any : cases[i].failed);
    }
}

static const struct hf_way *way_of(const struct hf_ways *ways, const char *node)
{
    for (size_t i = 0; i < ways->count; i++) {
        if (strcmp(ways->items[i].node, node) == 0 && !ways->items[i].needs_people) {
            return &ways->items[i];
        }
    }
    fail_msg("no way on %s", node);
    return NULL;
}

/* Three nodes with a slot each; the last one was not asked for RING where that is said. */
static void look_at_three(bool asked, struct hf_ways **out)
{
    struct hf_slot_proofs *proofs = hf_alloc(sizeof *proofs);
    struct hf_op op = small_world_op(0);

    hf_slot_proofs_add(proofs, proof_of("a-1."));
    hf_slot_proofs_add(proofs, proof_of("b-2."));
    hf_slot_proofs_add(proofs, asked ? proof_of("c-3.") : bare_proof("c-3."));
    if (!asked) {
        hf_slot_proof_add_not_asked(proofs->items[2], RING);
    }
    for (size_t i = 0; i < proofs->count; i++) {
        hf_slot_proof_add_keyring(proofs->items[i], "other", false);
        proofs->items[i]->seq = i;
    }
    assert_ok(&op, hf_ways_new(world.service, &op, &proofs, out));
}

static void only_nodes_that_serve_a_keyring_are_ways_to_it(void **unused)
{
    static const char *const nodes[] = { "a", "b" };
    HF_AUTO(ways) all = NULL;
    HF_AUTO(ways) served = NULL;
    HF_AUTO(ways) skipped = NULL;

    (void)unused;
    look_at_three(true, &all);
    assert_int_equal(hf_ways_least(all, RING), 3);
    neighbour_enlist("a", "", HF_MEMBER_APPROVED);
    neighbour_enlist("b", "", HF_MEMBER_APPROVED);
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    look_at_three(true, &served);
    assert_int_equal(hf_ways_least(served, RING), 2);
    assert_int_equal(hf_ways_least(served, "other"), 3);
    assert_false(hf_way_opens(served, way_of(served, "c"), RING, NULL));
    assert_false(hf_way_opens(served, way_of(served, "c"), NULL, V1("sales")));
    assert_true(hf_way_opens(served, way_of(served, "b"), NULL, V1("sales")));
    assert_true(hf_way_opens(served, way_of(served, "c"), "other", NULL));
    /* Served by all again, but not opened there yet. */
    world_serve_on(RING, NULL, 0);
    look_at_three(false, &skipped);
    assert_int_equal(hf_ways_least(skipped, RING), 2);
    assert_false(hf_way_opens(skipped, way_of(skipped, "c"), NULL, V1("sales")));
    /* The newest proof knows nothing of the keyring, another one does. */
    assert_int_equal(skipped->keyring_count, 2);
    assert_string_equal(skipped->keyrings[0]->name, RING);
    assert_int_equal(skipped->keyrings[0]->versions, 2);
}

/* Those that serve it have no slot that opens by itself. */
static void a_keyring_that_no_drill_has_opened_is_not_forgotten(void **unused)
{
    static const char *const nodes[] = { "a" };
    struct hf_slot_proofs *proofs = hf_alloc(sizeof *proofs);
    HF_AUTO(ways) ways = NULL;
    struct hf_op op = small_world_op(0);
    struct hf_keyring_settings settings;

    (void)unused;
    (void)world_key("there", HF_ALG_AES_128);
    hf_keyring_settings_default(&settings);
    world_ring("empty", &settings);
    neighbour_enlist("a", "", HF_MEMBER_APPROVED);
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    world_serve_on("empty", nodes, HF_COUNT(nodes));
    hf_slot_proofs_add(proofs, bare_proof("c-3."));
    hf_slot_proof_add_not_asked(proofs->items[0], RING);
    hf_slot_proof_add_not_asked(proofs->items[0], "empty");
    assert_ok(&op, hf_ways_new(world.service, &op, &proofs, &ways));
    assert_int_equal(ways->keyring_count, 1);
    assert_string_equal(ways->keyrings[0]->name, RING);
    assert_int_equal(hf_ways_least(ways, RING), 0);
}

static void what_was_not_asked_is_kept_in_the_proof(void **unused)
{
    HF_AUTO(slot_proof) proof = sample_proof();
    HF_AUTO(slot_proof) again = NULL;
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(buf) hex = hf_buf_new();
    struct hf_op op = small_world_op(0);

    (void)unused;
    hf_slot_proof_add_not_asked(proof, "payroll");
    hf_slot_proof_encode(proof, content);
    hf_hex_add(hex, hf_buf_bytes(content));
    assert_memory_equal(hf_buf_text(hex), "02", 2);
    assert_memory_equal(hf_buf_text(hex) + 2, vector + 2, sizeof vector - 3);
    assert_string_equal(hf_buf_text(hex) + sizeof vector - 1, "0000000100000007706179726f6c6c");
    assert_ok(&op, hf_slot_proof_decode(&op, hf_buf_bytes(content), &again));
    assert_false(hf_slot_proof_was_asked(again, "payroll"));
    assert_true(hf_slot_proof_was_asked(again, RING));
    no_part_is_read(hf_buf_bytes(content));
    /* Without any it is of format 1. */
    content->len = sizeof vector / 2;
    hf_put_u32(content, 0);
    assert_fails(&op, hf_slot_proof_decode(&op, hf_buf_bytes(content), &again), HF_CORRUPT);
}

static void the_head_of_a_proof_is_read_without_its_lists(void **unused)
{
    HF_AUTO(slot_proof) proof = sample_proof();
    HF_AUTO(slot_proof) head = NULL;
    HF_AUTO(slot_proof) none = NULL;
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_op op = small_world_op(0);

    (void)unused;
    hf_slot_proof_encode(proof, content);
    assert_ok(&op, hf_slot_proof_decode_head(&op, hf_buf_bytes(content), &head));
    assert_string_equal(head->node, proof->node);
    assert_int_equal(head->seq, proof->seq);
    assert_true(head->opened);
    assert_int_equal(head->failed, proof->failed);
    assert_int_equal(head->keyring_count, 0);
    assert_int_equal(head->failure_count, 0);
    for (size_t len = 0; len < 100; len++) {
        assert_fails(&op, hf_slot_proof_decode_head(&op, hf_bytes_of(content->data, len), &none),
                     HF_CORRUPT);
    }
    content->data[0] = 9;
    assert_fails(&op, hf_slot_proof_decode_head(&op, hf_buf_bytes(content), &none), HF_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_is_altered_or_gone_is_named_with_its_cause),
        TEST(a_slot_with_the_wrong_file_is_red_and_one_that_nobody_has_is_never_green),
        TEST(a_nodes_own_key_is_tried_on_its_own_slot_only),
        TEST(a_drill_of_one_keyring_is_no_proof_of_the_day),
        TEST(only_operators_drill_and_it_is_recorded),
        TEST(an_altered_proof_is_no_proof_and_the_next_drill_replaces_it),
        TEST(status_is_red_when_something_did_not_open_and_amber_when_proofs_are_old),
        TEST(the_job_asks_once_a_day_and_only_where_the_lease_is_free),
        TEST(one_drill_at_a_time_and_a_repeat_is_the_same_one),
        TEST(the_last_drills_are_kept_and_no_others),
        TEST(a_node_that_stops_or_is_locked_does_no_part),
        TEST(each_changed_byte_of_a_receipt_is_found),
        TEST(a_proof_is_written_as_the_format_says_and_nothing_else_is_read),
        TEST(ways_are_independent_when_they_share_no_node_and_no_slot),
        TEST(only_nodes_that_serve_a_keyring_are_ways_to_it),
        TEST(a_keyring_that_no_drill_has_opened_is_not_forgotten),
        TEST(the_head_of_a_proof_is_read_without_its_lists),
        TEST(what_was_not_asked_is_kept_in_the_proof),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
