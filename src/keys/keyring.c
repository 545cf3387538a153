/* Keyrings: their settings and the keyring key in force. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/lane.h"
#include "keys/name.h"
#include "keys/serve_on.h"

#define HOUR_MS   ((uint64_t)3600 * 1000)
#define MAIN_KEY  "main"
#define YEARS_MAX 100
#define PAGE      256 /* keys looked at under one lock */

void hf_keyring_settings_default(struct hf_keyring_settings *settings)
{
    *settings = (struct hf_keyring_settings){
        .main_key = MAIN_KEY,
        .destroy_wait_ms = 30 * 24 * HOUR_MS,
        .dark_window_ms = 2 * HOUR_MS,
        .max_stale_ms = HOUR_MS,
        .max_stale_wrap_ms = HOUR_MS / 6,
    };
}

static struct hf_status check_settings(struct hf_op *op, const struct hf_keyring_settings *settings)
{
    const uint64_t most = YEARS_MAX * 365 * 24 * HOUR_MS;
    const char *main_key = settings->main_key != NULL ? settings->main_key : MAIN_KEY;

    if (main_key[0] == '\0' || strlen(main_key) > 64) {
        return hf_fail(op, HF_INVALID, "the name of a main key has 1 to 64 bytes");
    }
    if (settings->destroy_wait_ms > most || settings->dark_window_ms > most ||
        settings->max_stale_ms > most || settings->max_stale_wrap_ms > most ||
        settings->rotate_every_ms > most) {
        return hf_fail(op, HF_INVALID, "a keyring's times are at most %d years", YEARS_MAX);
    }
    if (settings->max_stale_wrap_ms > settings->max_stale_ms) {
        return hf_fail(op, HF_INVALID, "max_stale_wrap may not be longer than max_stale");
    }
    /* A key has so many versions and no more. */
    if (settings->rotate_every_ms > 0 && settings->rotate_every_ms < HOUR_MS) {
        return hf_fail(op, HF_INVALID, "keys rotate every hour at most, or never (0)");
    }
    if (settings->min_ways > HF_MIN_WAYS_MAX) {
        return hf_fail(op, HF_INVALID, "a keyring wants %d ways at most", HF_MIN_WAYS_MAX);
    }
    /* P8: a node that is cut off may have used the version for that long without saying so. */
    if (settings->dark_window_ms < settings->max_stale_ms) {
        return hf_fail(op, HF_INVALID, "the dark window may not be shorter than max_stale");
    }
    return HF_SUCCESS;
}

static void record_from(const struct hf_keyring_settings *settings,
                        struct hf_keyring_record *record)
{
    const char *main_key = settings->main_key != NULL ? settings->main_key : MAIN_KEY;

    record->approve_destroy = settings->approve_destroy;
    record->approve_export = settings->approve_export;
    record->approve_slot_removal = settings->approve_slot_removal;
    record->destroy_wait_ms = settings->destroy_wait_ms;
    record->dark_window_ms = settings->dark_window_ms;
    record->max_stale_ms = settings->max_stale_ms;
    record->max_stale_wrap_ms = settings->max_stale_wrap_ms;
    record->main_key = hf_bytes_of_text(main_key);
    record->rotate_every_ms = settings->rotate_every_ms;
    record->serve_on = settings->serve_on;
    hf_serve_on_sort(&record->serve_on);
    record->min_ways = (uint32_t)settings->min_ways;
}

static void info_from(const struct hf_index_keyring *keyring, struct hf_keyring_info *out)
{
    const struct hf_keyring_record *record = &keyring->record;

    memset(out, 0, sizeof *out);
    memcpy(out->name, keyring->name, sizeof out->name);
    memcpy(out->main_key_name, keyring->main_key, sizeof out->main_key_name);
    out->settings = (struct hf_keyring_settings){
        .main_key = out->main_key_name,
        .approve_destroy = record->approve_destroy,
        .approve_export = record->approve_export,
        .approve_slot_removal = record->approve_slot_removal,
        .destroy_wait_ms = record->destroy_wait_ms,
        .dark_window_ms = record->dark_window_ms,
        .max_stale_ms = record->max_stale_ms,
        .max_stale_wrap_ms = record->max_stale_wrap_ms,
        .rotate_every_ms = record->rotate_every_ms,
        .serve_on = record->serve_on,
        .min_ways = record->min_ways,
    };
    out->key_version = record->key_version;
    out->created_ms = record->created_ms;
    out->revision = keyring->revision;
    out->keys = keyring->live.count;
}

struct hf_status hf_keyring_get(struct hf_keys *keys, struct hf_op *op, const char *name,
                                struct hf_keyring_info *out)
{
    const struct hf_index_keyring *keyring = NULL;
    struct hf_lane *lane = NULL;

    if (!hf_seal_is_unlocked(keys->seal)) {
        return hf_fail(op, HF_WRONG_STATE, "the store is locked; open it with 'holdfast unlock'");
    }
    if (hf_has_altered(keys)) {
        HF_AUTO_STRING path = hf_keyring_path(name);

        /* Its settings say who must approve what: no older ones will do. */
        HF_TRY(hf_check_unaltered(keys, op, path));
    }
    lane = hf_lane_lock(keys, op);
    keyring = hf_index_keyring(keys->index, name);
    if (keyring != NULL) {
        info_from(keyring, out);
    }
    hf_lane_unlock(lane);
    if (keyring == NULL) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY, "there is no keyring %.80s",
                             name);
    }
    out->settings.main_key = out->main_key_name;
    return HF_SUCCESS;
}

static struct hf_status put(struct hf_op *op, struct hf_txn *txn, const char *name,
                            uint64_t expected, const struct hf_keyring_record *record)
{
    HF_AUTO_STRING path = hf_keyring_path(name);
    HF_AUTO(buf) content = hf_buf_new();

    hf_keyring_record_encode(record, content);
    return hf_txn_put(txn, op, HF_KIND_KEYRING, path, expected, hf_buf_bytes(content));
}

struct hf_status hf_keyring_create(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                   const char *name, const struct hf_keyring_settings *settings)
{
    struct hf_keyring_record record = { .key_version = 1,
                                        .created_ms = hf_env_realtime_ms(op->env) };
    struct hf_keyring_info info = { 0 };
    struct hf_status found;

    HF_TRY(hf_keyring_name_check(op, name));
    HF_TRY(check_settings(op, settings));
    found = hf_keyring_get(keys, op, name, &info);
    if (found.code == HF_OK) {
        return hf_fail(op, HF_EXISTS, "there is a keyring %s already", name);
    }
    if (found.code != HF_NOT_FOUND) {
        return found;
    }
    hf_op_clear(op);
    HF_TRY(hf_need_waiting(op));
    record_from(settings, &record);
    HF_TRY(hf_seal_keyring_key_create(keys->seal, op, txn, name, record.key_version,
                                      (const char *)record.main_key.data));
    return put(op, txn, name, 0, &record);
}

struct hf_status hf_keyring_change(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                   const char *name, const struct hf_keyring_settings *settings)
{
    struct hf_keyring_info info = { 0 };
    struct hf_keyring_record record = { 0 };

    HF_TRY(check_settings(op, settings));
    HF_TRY(hf_keyring_get(keys, op, name, &info));
    record.key_version = info.key_version;
    record.created_ms = info.created_ms;
    record_from(settings, &record);
    return put(op, txn, name, info.revision, &record);
}

struct hf_status hf_keyring_rotate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                   const char *name, uint32_t *out_version)
{
    struct hf_keyring_info info = { 0 };
    struct hf_keyring_record record = { 0 };

    HF_TRY(hf_keyring_get(keys, op, name, &info));
    HF_TRY(hf_need_waiting(op));
    record.key_version = info.key_version + 1;
    record.created_ms = info.created_ms;
    record_from(&info.settings, &record);
    HF_TRY(hf_seal_keyring_key_create(keys->seal, op, txn, name, record.key_version,
                                      info.main_key_name));
    HF_TRY(put(op, txn, name, info.revision, &record));
    *out_version = record.key_version;
    return HF_SUCCESS;
}

void hf_keyring_each(struct hf_keys *keys,
                     void (*visit)(void *context, const struct hf_keyring_info *info),
                     void *context)
{
    struct hf_op op = { 0 };
    struct hf_keyring_info *infos = NULL;
    size_t count = 0;
    struct hf_lane *lane = NULL;

    /* Copied first, since the visitor may well ask us something. */
    op.lane = keys->lane_count;
    lane = hf_lane_lock(keys, &op);
    for (size_t i = 0; hf_index_keyring_at(keys->index, i) != NULL; i++) {
        const struct hf_index_keyring *keyring = hf_index_keyring_at(keys->index, i);

        if (keyring->exists) {
            infos = hf_realloc_array(infos, count + 1, sizeof *infos);
            info_from(keyring, &infos[count++]);
        }
    }
    hf_lane_unlock(lane);
    for (size_t i = 0; i < count; i++) {
        infos[i].settings.main_key = infos[i].main_key_name;
        visit(context, &infos[i]);
    }
    free(infos);
}

static void survey_key(const struct hf_index_key *key, struct hf_keyring_content *out)
{
    out->changed = key->seq > out->changed ? key->seq : out->changed;
    for (uint32_t i = 0; i < key->version_count; i++) {
        enum hf_key_state state = hf_index_version_at(key, i)->state;

        out->versions += state != HF_KEY_DESTROYED && state != HF_KEY_DESTROYED_COMPROMISED;
    }
}

/* Live and deleted keys as one list, so that a key that changes sides is met once. */
struct both {
    const struct hf_sorted *lists[2];
    struct hf_sorted_place places[2];
    const struct hf_index_key *heads[2];
};

static struct both both_after(const struct hf_index_keyring *keyring, const struct hf_bytes *name)
{
    struct both both = { .lists = { &keyring->live, &keyring->deleted } };

    for (size_t i = 0; i < HF_COUNT(both.lists); i++) {
        both.places[i] = hf_sorted_after(both.lists[i], name);
        both.heads[i] = hf_sorted_next(both.lists[i], &both.places[i]);
    }
    return both;
}

/* NULL at the end. */
static const struct hf_index_key *next_of_both(struct both *both)
{
    const struct hf_index_key *live = both->heads[0];
    const struct hf_index_key *deleted = both->heads[1];
    size_t first = live == NULL || (deleted != NULL && strcmp(deleted->name, live->name) < 0);
    const struct hf_index_key *key = both->heads[first];

    if (key != NULL) {
        both->heads[first] = hf_sorted_next(both->lists[first], &both->places[first]);
    }
    return key;
}

/* Looks at one page; after moves on. False at the end. */
static bool survey_page(struct hf_keys *keys, const struct hf_op *op, const char *name,
                        struct hf_buf *after, struct hf_keyring_content *out)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_keyring *keyring = hf_index_keyring(keys->index, name);
    const struct hf_index_key *key = NULL;

    if (keyring != NULL) {
        struct hf_bytes from = hf_buf_bytes(after);
        struct both both = both_after(keyring, from.len > 0 ? &from : NULL);

        for (size_t i = 0; i < PAGE && (key = next_of_both(&both)) != NULL; i++) {
            survey_key(key, out);
            hf_buf_clear(after);
            hf_buf_add(after, key->name, key->name_len);
        }
    }
    hf_lane_unlock(lane);
    return key != NULL;
}

void hf_keyring_survey(struct hf_keys *keys, const struct hf_op *op, const char *name,
                       struct hf_keyring_content *out)
{
    HF_AUTO(buf) after = hf_buf_new();

    *out = (struct hf_keyring_content){ 0 };
    while (survey_page(keys, op, name, after, out)) {
    }
}
