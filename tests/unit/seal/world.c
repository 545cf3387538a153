/* What the seal's tests share. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

void world_start_process(size_t secret_bytes)
{
    struct hf_secret_settings settings = { .max_bytes = secret_bytes, .allow_unlocked = true };
    struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    if (hf_secret_start(&op, &settings).code != HF_OK || hf_crypto_start(&op).code != HF_OK) {
        (void)fprintf(stderr, "the test cannot start: %s\n", op.text);
        exit(1);
    }
}

struct hf_protector *world_keyfile(struct world *world, const char *name)
{
    HF_AUTO_STRING file = hf_format("%s/%s.key", world->directory, name);
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    struct hf_protector *protector = NULL;

    assert_ok(&world->op, hf_keyfile_create(world->crypto, &world->op, file));
    assert_ok(&world->op, hf_protector_open(world->crypto, &world->op, &settings, &protector));
    return protector;
}

void world_new_engine(struct world *world, uint8_t id)
{
    struct hf_store_settings settings = { .engine = "memory", .create = true };

    memset(settings.store_id, id, sizeof settings.store_id);
    assert_ok(&world->op, hf_engine_open(&world->op, &settings, &world->memory));
    world->tamper = tamper_new(world->memory);
    world->engine = hf_failing_new(world->tamper);
}

struct hf_status world_create(struct world *world)
{
    struct hf_slot_plan slots[] = {
        { "node-1", world->node, false },
        { "offline", world->offline, true },
    };
    struct hf_init_plan plan = {
        .slots = slots,
        .slot_count = HF_COUNT(slots),
        .main_key_kind = HF_PKEY_RSA_2048,
    };

    return hf_seal_create(world->crypto, &world->op, world->engine, world->pin_file, &plan,
                          &world->seal);
}

int world_setup_empty(void **state)
{
    struct world *world = hf_alloc(sizeof *world);

    *state = world;
    hf_env_system(&world->env);
    hf_op_init(&world->op, &world->env);
    assert_ok(&world->op, hf_crypto_new(&world->op, &world->crypto));
    (void)snprintf(world->directory, sizeof world->directory, "/tmp/holdfast-seal-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    world->pin_file = hf_format("%s/pin", world->directory);
    world->node = world_keyfile(world, "node");
    world->offline = world_keyfile(world, "offline");
    world_new_engine(world, 0x11);
    return 0;
}

int world_setup(void **state)
{
    struct world *world;

    world_setup_empty(state);
    world = *state;
    assert_ok(&world->op, world_create(world));
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING remove_all = hf_format("rm -rf '%s'", world->directory);

    hf_seal_free(world->seal);
    hf_engine_free(world->engine);
    hf_protector_free(world->node);
    hf_protector_free(world->offline);
    hf_crypto_free(world->crypto);
    free(world->pin_file);
    assert_int_equal(system(remove_all), 0);
    free(world);
    return 0;
}

void world_reopen(struct world *world)
{
    hf_seal_free(world->seal);
    world->seal = NULL;
    assert_ok(&world->op, hf_seal_open(world->crypto, &world->op, world->engine, world->pin_file,
                                       &world->seal));
}

struct hf_status world_unlock(struct world *world)
{
    struct hf_slot_info slot;

    return hf_seal_unlock(world->seal, &world->op, world->node, &slot);
}

struct hf_status world_put(struct world *world, enum hf_kind kind, const char *path,
                           uint64_t expected, const char *text)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_txn_put(txn, &world->op, kind, path, expected, hf_bytes_of_text(text)));
    return hf_txn_commit(txn, &world->op, &commit);
}

void world_expect(struct world *world, enum hf_kind kind, const char *path, uint64_t revision,
                  const char *text)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_bytes content = HF_BYTES_NONE;

    assert_ok(&world->op, hf_seal_get(world->seal, &world->op, kind, path, &opened));
    if (opened->plain != NULL) {
        content = hf_secret_bytes(opened->plain);
    }
    if (opened->revision != revision || !hf_bytes_equal_text(content, text)) {
        fail_msg("%s: revision %" PRIu64 " with \"%.*s\", wanted %" PRIu64 " with \"%s\"", path,
                 opened->revision, (int)content.len, (const char *)content.data, revision, text);
    }
}

struct hf_record *world_record(struct world *world, const char *path)
{
    struct hf_record *record = NULL;

    assert_ok(&world->op, hf_engine_get(world->memory, &world->op, path, &record));
    return record;
}

struct hf_request_id request(uint8_t number)
{
    struct hf_request_id id = { { 0xab, number } };

    return id;
}

struct hf_buf *bytes_of_hex(const char *hex)
{
    struct hf_env env;
    struct hf_op op;
    struct hf_buf *bytes = hf_buf_new();

    hf_env_system(&env);
    hf_op_init(&op, &env);
    assert_ok(&op, hf_hex_decode(&op, hf_bytes_of_text(hex), bytes));
    return bytes;
}

void expect_hex(const char *what, struct hf_bytes bytes, const char *hex)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_hex_add(text, bytes);
    if (strcmp(hf_buf_text(text), hex) != 0) {
        fail_msg("%s:\n got    %s\n wanted %s", what, hf_buf_text(text), hex);
    }
}

void diary_init(struct diary *diary)
{
    memset(diary, 0, sizeof *diary);
    pthread_mutex_init(&diary->lock, NULL);
}

void diary_done(struct diary *diary)
{
    hf_buf_done(&diary->text);
    pthread_mutex_destroy(&diary->lock);
}

static struct hf_status write_down(void *context, struct hf_op *op,
                                   const struct hf_opened_view *record)
{
    struct diary *diary = context;

    (void)op;
    pthread_mutex_lock(&diary->lock);
    hf_buf_add_format(&diary->text, "%s%s@%" PRIu64 "%c%.*s", diary->count++ > 0 ? " " : "",
                      record->path, record->revision, record->tombstone ? '-' : '=',
                      (int)record->plain.len, (const char *)record->plain.data);
    pthread_mutex_unlock(&diary->lock);
    return HF_SUCCESS;
}

static void forget(void *context)
{
    struct diary *diary = context;

    pthread_mutex_lock(&diary->lock);
    diary->cleared++;
    pthread_mutex_unlock(&diary->lock);
}

void diary_attach(struct diary *diary, struct hf_seal *seal, enum hf_kind kind)
{
    struct hf_consumer consumer = {
        .kind = kind, .apply = write_down, .clear = forget, .context = diary
    };

    hf_seal_add_consumer(seal, &consumer);
}

void diary_expect(struct diary *diary, const char *text)
{
    pthread_mutex_lock(&diary->lock);
    if (strcmp(hf_buf_text(&diary->text), text) != 0) {
        fail_msg("told: %s\n wanted: %s", hf_buf_text(&diary->text), text);
    }
    hf_buf_clear(&diary->text);
    diary->count = 0;
    pthread_mutex_unlock(&diary->lock);
}
