/* See world.h. */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "service/job.h"

#define LANES 8

struct world world;

/* --- the disk of the trail --- */

static struct hf_audit_disk real_disk;

static ssize_t disk_write(struct hf_audit_disk *disk, int fd, struct hf_bytes bytes, uint64_t at)
{
    (void)disk;
    if (world.disk_is_full) {
        errno = ENOSPC;
        return -1;
    }
    return real_disk.ops->write(&real_disk, fd, bytes, at);
}

static int disk_truncate(struct hf_audit_disk *disk, int fd, uint64_t len)
{
    (void)disk;
    return real_disk.ops->truncate(&real_disk, fd, len);
}

static int disk_sync(struct hf_audit_disk *disk, int fd)
{
    (void)disk;
    (void)fd; /* nobody pulls the plug here */
    world.syncs++;
    if (world.sync_fails) {
        errno = EIO;
        return -1;
    }
    return 0;
}

static int disk_sync_directory(struct hf_audit_disk *disk, int fd)
{
    (void)disk;
    (void)fd;
    return 0;
}

static int disk_create(struct hf_audit_disk *disk, int directory, const char *name)
{
    (void)disk;
    return real_disk.ops->create(&real_disk, directory, name);
}

static int disk_rename(struct hf_audit_disk *disk, int directory, const char *from, const char *to)
{
    (void)disk;
    return real_disk.ops->rename(&real_disk, directory, from, to);
}

static const struct hf_audit_disk_ops disk_ops = {
    disk_write, disk_truncate, disk_sync, disk_sync_directory, disk_create, disk_rename
};

/* --- callers --- */

#define CALLERS_MAX 16

static struct hf_caller *callers[CALLERS_MAX];
static size_t caller_count;

static enum hf_proof proof_of(const char *who)
{
    static const enum hf_proof proofs[] = { HF_PROOF_CERT, HF_PROOF_UNIX, HF_PROOF_KRB5,
                                            HF_PROOF_TOKEN, HF_PROOF_PSEUDO };

    for (size_t i = 0; i < HF_COUNT(proofs); i++) {
        const char *name = hf_proof_name(proofs[i]);

        if (strncmp(who, name, strlen(name)) == 0 && who[strlen(name)] == ':') {
            return proofs[i];
        }
    }
    fail_msg("'%s' has no proof", who);
    return HF_PROOF_SYSTEM;
}

const struct hf_caller *world_caller(const char *who)
{
    struct hf_caller *caller = NULL;

    for (size_t i = 0; i < caller_count; i++) {
        if (strcmp(callers[i]->id, who) == 0) {
            return callers[i];
        }
    }
    assert_true(caller_count < CALLERS_MAX);
    assert_ok(&small_world.op, hf_caller_new(&small_world.op, proof_of(who), strchr(who, ':') + 1,
                                             "192.0.2.1", &caller));
    callers[caller_count++] = caller;
    return caller;
}

struct hf_op world_as(const char *who)
{
    struct hf_op op = small_world_op(0);

    op.caller = world_caller(who);
    op.door = "test";
    return op;
}

/* --- a node --- */

static void open_audit(void)
{
    HF_AUTO_STRING directory = small_world_path("audit");
    struct hf_audit_settings settings = { .directory = directory,
                                          .node = "node-1",
                                          .when_full = world.when_full,
                                          .signer = world.signer };

    (void)mkdir(directory, 0700);
    hf_audit_disk_system(&real_disk);
    world.disk.ops = &disk_ops;
    assert_ok(&small_world.op, hf_audit_open_on(small_world.crypto, &small_world.op, &settings,
                                                &world.disk, &world.audit));
}

/* The seal is open and locked. */
static void start_parts(void)
{
    struct hf_service_parts parts = { .seal = small_world.seal, .node = "node-1" };

    world.keys = parts.keys = hf_keys_new(small_world.seal, LANES);
    world.policy = parts.policy = hf_policy_new(small_world.seal);
    open_audit();
    parts.audit = world.audit;
    world.service = hf_service_new(&parts);
    small_world_unlock();
}

void world_stop_node(void)
{
    hf_service_free(world.service);
    hf_policy_free(world.policy);
    hf_keys_free(world.keys);
    hf_audit_free(world.audit);
    small_world_close_seal();
    world.service = NULL;
    world.policy = NULL;
    world.keys = NULL;
    world.audit = NULL;
}

void world_start_node(void)
{
    small_world_open_seal();
    start_parts();
}

void world_restart(void)
{
    world_stop_node();
    world_start_node();
}

void world_ring(const char *name, const struct hf_keyring_settings *settings)
{
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_keyring_create(world.service, &op, name, settings, NULL));
}

void world_serve_on(const char *ring, const char *const *nodes, size_t count)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_info info;

    assert_ok(&op, hf_service_keyring_get(world.service, &op, ring, &info));
    info.settings.serve_on.count = 0;
    for (size_t i = 0; i < count; i++) {
        assert_ok(&op, hf_serve_on_add(&op, &info.settings.serve_on, nodes[i]));
    }
    assert_ok(&op, hf_service_keyring_change(world.service, &op, ring, &info.settings));
}

void world_policy(const char *name, const char *document)
{
    struct hf_op op = world_as(ROOT);

    assert_ok(&op, hf_service_policy_put(world.service, &op, name, hf_bytes_of_text(document)));
}

int world_start(void **unused)
{
    int result = small_world_start(unused);

    world.metrics = hf_metrics_new();
    small_world.env.metrics = world.metrics;
    assert_ok(&small_world.op, hf_pkey_generate(small_world.crypto, &small_world.op,
                                                HF_PKEY_ED25519, &world.signer));
    return result;
}

int world_stop(void **unused)
{
    for (size_t i = 0; i < caller_count; i++) {
        hf_caller_free(callers[i]);
    }
    hf_pkey_free(world.signer);
    hf_metrics_free(world.metrics);
    return small_world_stop(unused);
}

int world_open(void **unused)
{
    static const char *const root[] = { ROOT, CERT };
    struct hf_keyring_settings settings;

    (void)unused;
    small_world.now_ms = WORLD_START_MS;
    small_world_new_store();
    start_parts();
    assert_ok(&small_world.op,
              hf_service_bootstrap_policy(world.service, &small_world.op, root, HF_COUNT(root), 1));
    world_policy("users", "{\"rules\":["
                          "{\"effect\":\"allow\",\"who\":[\"" ADMIN "\"],"
                          "\"roles\":[\"operator\",\"key-admin\"]},"
                          "{\"effect\":\"allow\",\"who\":[\"" ALICE "\"],\"roles\":[\"key-user\"],"
                          "\"keyrings\":[\"" RING "\"]},"
                          "{\"effect\":\"allow\",\"who\":[\"" ALICE "\"],\"actions\":[\"random\"]},"
                          "{\"effect\":\"allow\",\"who\":[\"" CAROL "\"],\"roles\":[\"auditor\"]},"
                          "{\"effect\":\"allow\",\"who\":[\"" EVE "\"],"
                          "\"actions\":[\"key.export\",\"key.read\",\"key.create\",\"key.rotate\"],"
                          "\"keyrings\":[\"" RING "\"]}]}");
    hf_keyring_settings_default(&settings);
    world_ring(RING, &settings);
    return 0;
}

static void remove_trail(void)
{
    for (unsigned i = 0; i < 4; i++) {
        HF_AUTO_STRING name =
            i == 0 ? hf_strdup("audit/audit.log") : hf_format("audit/audit.log.%u", i);
        HF_AUTO_STRING path = small_world_path(name);

        (void)unlink(path);
    }
}

int world_close(void **unused)
{
    (void)unused;
    world.disk_is_full = false;
    world.sync_fails = false;
    world_stop_node();
    small_world_drop_store();
    remove_trail();
    return 0;
}

void world_make_room(void)
{
    world.disk_is_full = false;
    small_world_pass(60000); /* a full disk is looked at again from time to time */
    assert_ok(&small_world.op, hf_audit_write(world.audit, &small_world.op));
}

/* --- things --- */

uint32_t world_key_planned(const char *name, const struct hf_key_plan *plan)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    assert_ok(&op, hf_service_key_create(world.service, &op, RING, name, plan, &version, NULL));
    return version;
}

uint32_t world_key(const char *name, enum hf_algorithm algorithm)
{
    struct hf_key_plan plan = { .algorithm = algorithm, .first_version = 1 };

    return world_key_planned(name, &plan);
}

struct hf_secret *world_secret(const void *data, size_t len)
{
    struct hf_secret *secret = NULL;

    assert_ok(&small_world.op, hf_secret_copy(&small_world.op, hf_bytes_of(data, len), &secret));
    return secret;
}

struct hf_secret *world_secret_hex(const char *hex)
{
    HF_AUTO(buf) bytes = hf_buf_new();

    assert_ok(&small_world.op, hf_hex_decode(&small_world.op, hf_bytes_of_text(hex), bytes));
    return world_secret(bytes->data, bytes->len);
}

struct hf_request_id world_request(uint8_t number)
{
    struct hf_request_id id = { { 1, 2, 3 } };

    id.bytes[HF_REQUEST_ID_LEN - 1] = number;
    return id;
}

/* --- the trail --- */

static bool holds(const char *line, const char *a, const char *b, const char *c)
{
    return (a == NULL || strstr(line, a) != NULL) && (b == NULL || strstr(line, b) != NULL) &&
           (c == NULL || strstr(line, c) != NULL);
}

unsigned world_lines_on_disk(const char *a, const char *b, const char *c)
{
    HF_AUTO_STRING path = small_world_path("audit/audit.log");
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    unsigned count = 0;

    assert_non_null(file);
    while (getline(&line, &room, file) > 0) {
        count += holds(line, a, b, c);
    }
    free(line);
    (void)fclose(file);
    return count;
}

unsigned world_lines(const char *a, const char *b, const char *c)
{
    struct hf_op *op = &small_world.op;

    assert_ok(op, hf_service_feed_audit(world.service, op));
    assert_ok(op, hf_audit_write(world.audit, op));
    return world_lines_on_disk(a, b, c);
}

struct note_count {
    const char *a;
    const char *b;
    unsigned count;
};

static struct hf_status count_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                   struct hf_bytes note)
{
    struct note_count *notes = context;
    HF_AUTO_STRING text = NULL;

    (void)seq;
    (void)realtime_ms;
    if (note.len > 0) {
        text = hf_strndup((const char *)note.data, note.len);
        notes->count += holds(text, notes->a, notes->b, NULL);
    }
    return HF_SUCCESS;
}

unsigned world_notes(const char *a, const char *b)
{
    struct note_count notes = { a, b, 0 };

    assert_ok(&small_world.op,
              hf_seal_notes(small_world.seal, &small_world.op, 0, SIZE_MAX, count_note, &notes));
    return notes.count;
}

void world_jobs(void)
{
    struct hf_op op = small_world_op(LANES);
    bool more = true;

    for (size_t i = 0; i < HF_JOBS; i++) {
        world.service->jobs[i].look_ms = 0;
    }
    while (more) {
        hf_service_run_jobs(world.service, &op, &more);
    }
}

void world_take_item(void *context, const struct hf_status_item *item)
{
    struct world_item *search = context;

    if (strcmp(item->name, search->name) == 0) {
        search->told = *item;
        search->count++;
    }
}

struct world_item world_item(const char *name)
{
    struct hf_op root = world_as(ROOT);
    struct world_item search = { .name = name };

    root.deadline_ms = small_world.boot_ms + 30000;
    assert_ok(&root, hf_service_status(world.service, &root, world_take_item, &search));
    return search;
}

uint64_t world_seq(void)
{
    struct hf_store_state state;

    assert_ok(&small_world.op, hf_engine_state(small_world.engine, &small_world.op, &state, NULL));
    return state.seq;
}
