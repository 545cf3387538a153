/* What the store tests share. */
#include "store_world.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/text.h"
#include "store_database.h"

const struct store_kind store_kinds[] = {
    { .engine = "sqlite", .lasts = true, .snapshot = "sqlite" },
    { .engine = "memory" },
    { .engine = "failing" },
    { .engine = "postgres", .lasts = true, .snapshot = "sqlite", .is_remote = true },
    { .engine = "sqlite", .lasts = true, .snapshot = "sqlite", .is_mirrored = true },
    { .engine = "memory", .snapshot = "sqlite", .is_mirrored = true },
    { .engine = "postgres",
      .lasts = true,
      .snapshot = "sqlite",
      .is_remote = true,
      .is_mirrored = true },
};
const size_t store_kind_count = HF_COUNT(store_kinds);

const struct store_kind *store_kind_named(const char *engine)
{
    for (size_t i = 0; i < store_kind_count; i++) {
        if (strcmp(store_kinds[i].engine, engine) == 0) {
            return &store_kinds[i];
        }
    }
    fail_msg("no engine %s", engine);
    return NULL;
}

static void init_in(struct store_world *world, const struct store_kind *kind, const char *parent)
{
    memset(world, 0, sizeof *world);
    world->kind = kind;
    test_env_init(&world->clock);
    hf_op_init(&world->op, &world->clock.env);
    world->root = hf_format("%s/holdfast-store-XXXXXX", parent);
    assert_non_null(mkdtemp(world->root));
    world->directory = hf_format("%s/store", world->root);
    world->mirror = kind->is_mirrored ? hf_format("%s/mirror", world->root) : NULL;
}

static const char *temporary(void)
{
    const char *parent = getenv("TMPDIR");

    return parent != NULL ? parent : "/tmp";
}

void store_world_init(struct store_world *world, const struct store_kind *kind)
{
    init_in(world, kind, temporary());
}

void store_world_init_fast(struct store_world *world, const struct store_kind *kind)
{
    static const char memory[] = "/dev/shm";

    init_in(world, kind, access(memory, W_OK) == 0 ? memory : temporary());
}

static void copy_file(const char *from, const char *to, const char *name)
{
    HF_AUTO_STRING source = hf_format("%s/%s", from, name);
    HF_AUTO_STRING target = hf_format("%s/%s", to, name);
    int in = open(source, O_RDONLY | O_CLOEXEC);
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t block[65536];
    ssize_t got;

    assert_true(in >= 0 && out >= 0);
    while ((got = read(in, block, sizeof block)) > 0) {
        assert_int_equal(write(out, block, (size_t)got), got);
    }
    assert_int_equal(got, 0);
    (void)close(in);
    (void)close(out);
}

void store_world_init_killed(struct store_world *world, const struct store_world *other)
{
    store_world_init_fast(world, other->kind);
    if (other->kind->is_remote) {
        store_database_copy(other->directory, world->directory);
        return;
    }
    assert_int_equal(mkdir(world->directory, 0700), 0);
    copy_file(other->directory, world->directory, "store.db");
    copy_file(other->directory, world->directory, "store.db-wal");
}

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *walk)
{
    (void)about;
    (void)type;
    (void)walk;
    return remove(path);
}

void store_world_done(struct store_world *world)
{
    store_world_close(world);
    if (world->kind->is_remote) {
        store_database_drop(world->directory);
    }
    assert_int_equal(nftw(world->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(world->root);
    free(world->directory);
    free(world->mirror);
}

struct hf_status store_world_open(struct store_world *world, bool create)
{
    HF_AUTO_STRING host = world->kind->is_remote ? store_database_of(world->directory) : NULL;
    const char *const hosts[] = { host, NULL };
    struct hf_store_settings settings = { .engine = world->kind->engine,
                                          .directory = world->directory,
                                          .create = create,
                                          .hosts = hosts,
                                          .mirror = world->mirror };

    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    return hf_engine_open(&world->op, &settings, &world->engine);
}

void store_world_close(struct store_world *world)
{
    hf_engine_free(world->engine);
    world->engine = NULL;
}

int store_world_setup(void **state)
{
    struct store_world *world = hf_alloc(sizeof *world);

    store_world_init(world, *state);
    assert_ok(&world->op, store_world_open(world, true));
    *state = world;
    return 0;
}

int store_world_teardown(void **state)
{
    store_world_done(*state);
    free(*state);
    return 0;
}

/* Four FNV-1a sums with different starts. */
void store_digest(struct hf_bytes bytes, uint8_t out[HF_DIGEST_LEN])
{
    for (size_t lane = 0; lane < HF_DIGEST_LEN / sizeof(uint64_t); lane++) {
        uint64_t sum = 0xcbf29ce484222325U + lane;

        for (size_t i = 0; i < bytes.len; i++) {
            sum = (sum ^ bytes.data[i]) * 0x100000001b3U;
        }
        memcpy(out + lane * sizeof sum, &sum, sizeof sum);
    }
}

struct hf_request_id store_request_id(uint32_t number)
{
    struct hf_request_id id;

    for (size_t i = 0; i < sizeof id.bytes; i += sizeof number) {
        memcpy(id.bytes + i, &number, sizeof number);
    }
    return id;
}

struct hf_change store_change(const char *path, uint64_t expected, const char *body)
{
    struct hf_change change = { .path = path,
                                .expected = expected,
                                .body = hf_bytes_of_text(body) };

    store_digest(change.body, change.digest);
    return change;
}

struct hf_batch store_batch(uint32_t request, const struct hf_change *changes, size_t count)
{
    struct hf_batch batch = { .request_id = store_request_id(request),
                              .principal = "cert:tester",
                              .changes = changes,
                              .count = count,
                              .note = hf_bytes_of_text("note"),
                              .result = hf_bytes_of_text("result"),
                              .linker = &store_linker };

    store_digest(hf_bytes_of(&request, sizeof request), batch.digest);
    return batch;
}

struct hf_status store_put(struct store_world *world, const char *path, uint64_t expected,
                           const char *body)
{
    struct hf_change change = store_change(path, expected, body);
    struct hf_batch batch = store_batch(++world->requests, &change, 1);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
    hf_commit_done(&commit);
    return status;
}

void assert_record(struct store_world *world, const char *path, uint64_t revision, const char *body)
{
    HF_AUTO(record) record = NULL;

    assert_ok(&world->op, hf_engine_get(world->engine, &world->op, path, &record));
    assert_string_equal(record->path, path);
    assert_int_equal(record->revision, revision);
    assert_string_equal(hf_buf_text(&record->body), body);
}

void store_link(struct hf_bytes before, uint64_t seq, const struct hf_linked *change,
                uint8_t out[HF_DIGEST_LEN])
{
    HF_AUTO(buf) mixed = hf_buf_new();

    hf_put_bytes(mixed, before);
    hf_put_u64(mixed, seq);
    hf_put_text(mixed, change->path);
    hf_put_u64(mixed, change->revision);
    hf_buf_add(mixed, change->digest, HF_DIGEST_LEN);
    hf_put_u8(mixed, change->replaces);
    hf_put_u64(mixed, change->old_revision);
    hf_buf_add(mixed, change->old_digest, HF_DIGEST_LEN);
    store_digest(hf_buf_bytes(mixed), out);
}

static struct hf_status link_all(void *context, struct hf_op *op, uint64_t seq,
                                 struct hf_bytes head, struct hf_bytes note,
                                 struct hf_linked *changes, size_t count, struct hf_buf *out_head)
{
    struct hf_bytes before = head;

    (void)context;
    (void)op;
    (void)note;
    for (size_t i = 0; i < count; i++) {
        store_link(before, seq, &changes[i], changes[i].link);
        before = hf_bytes_of(changes[i].link, HF_DIGEST_LEN);
    }
    hf_buf_add_bytes(out_head, before);
    return HF_SUCCESS;
}

const struct hf_linker store_linker = { .link = link_all };

static struct hf_status dump_record(void *context, const struct hf_record_view *record)
{
    struct hf_buf *text = context;

    hf_buf_add_format(text, "record %s revision %" PRIu64 " seq %" PRIu64 " ", record->path,
                      record->revision, record->seq);
    hf_hex_add(text, record->body);
    hf_buf_add_text(text, "\n");
    return HF_SUCCESS;
}

static struct hf_status dump_batch(void *context, const struct hf_logged_batch *batch)
{
    struct hf_buf *text = context;

    hf_buf_add_format(text, "batch %" PRIu64 " epoch %" PRIu64 " at %" PRIu64 " note ", batch->seq,
                      batch->epoch, batch->realtime_ms);
    hf_hex_add(text, batch->note);
    hf_buf_add_text(text, " result ");
    hf_hex_add(text, batch->result);
    hf_buf_add_text(text, " of request ");
    hf_hex_add(text, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    hf_buf_add_format(text, " by %s ", batch->principal);
    hf_hex_add(text, hf_bytes_of(batch->digest, HF_DIGEST_LEN));
    for (size_t i = 0; i < batch->count; i++) {
        const struct hf_logged_change *change = &batch->changes[i];

        hf_buf_add_format(text, "\n  %s revision %" PRIu64 " ", change->path, change->revision);
        hf_hex_add(text, hf_bytes_of(change->digest, HF_DIGEST_LEN));
        hf_buf_add_text(text, " ");
        hf_hex_add(text, hf_bytes_of(change->link, HF_DIGEST_LEN));
        if (change->body.len > 0) {
            hf_buf_add_text(text, " ");
            hf_hex_add(text, change->body);
        }
    }
    hf_buf_add_text(text, "\n");
    return HF_SUCCESS;
}

char *store_dump(struct hf_engine *engine, struct hf_op *op)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state state;

    assert_ok(op, hf_engine_state(engine, op, &state, head));
    hf_buf_add_text(text, "store ");
    hf_hex_add(text, hf_bytes_of(state.store_id, sizeof state.store_id));
    hf_buf_add_format(text, " seq %" PRIu64 " epoch %" PRIu64 " oldest %" PRIu64 " head ",
                      state.seq, state.epoch, state.oldest_seq);
    hf_hex_add(text, hf_buf_bytes(head));
    hf_buf_add_text(text, "\n");
    assert_ok(op, hf_engine_list(engine, op, "", NULL, dump_record, text));
    if (state.oldest_seq > 0) {
        assert_ok(op,
                  hf_engine_changes(engine, op, state.oldest_seq - 1, SIZE_MAX, dump_batch, text));
    }
    return hf_strdup(hf_buf_text(text));
}

static int run_on(const struct store_kind *kind, const struct CMUnitTest *tests, size_t count)
{
    struct CMUnitTest *own = hf_alloc_array(count, sizeof *own);
    int failed;

    for (size_t i = 0; i < count; i++) {
        own[i] = tests[i];
        own[i].name = hf_format("%s%s: %s", kind->is_mirrored ? "mirror of " : "", kind->engine,
                                tests[i].name);
        /* cmocka hands it on without a const, and the setup only reads it. */
        own[i].initial_state = (void *)(uintptr_t)kind;
    }
    failed = _cmocka_run_group_tests(kind->engine, own, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)own[i].name);
    }
    free(own);
    return failed;
}

int store_run_contract(const struct CMUnitTest *tests, size_t count)
{
    bool remote = store_database() != NULL;
    int failed = 0;

    for (size_t i = 0; i < store_kind_count; i++) {
        if (store_kinds[i].is_remote == remote) {
            failed += run_on(&store_kinds[i], tests, count);
        }
    }
    return failed;
}
