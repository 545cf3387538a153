/* What jobs look for: keys and versions whose time has come, and candidates that nobody settles. */
#include "base/alloc.h"
#include "keys/name.h"
#include "keys/stage.h"

#define PAGE 256 /* names looked at under one lock */

/* What was found, copied out of the index: text keyring, text name, version, one after another. */
struct search {
    struct hf_keys *keys;
    struct hf_op *op;
    bool (*is_wanted)(const struct hf_index_version *version);
    bool or_deleted; /* deleted keys too, each as one, with HF_LATEST */
    struct hf_buf items;
};

static void add_item(struct search *search, const struct hf_index_key *key, uint32_t version)
{
    hf_put_text(&search->items, key->keyring->name);
    hf_put_text(&search->items, key->name);
    hf_put_u32(&search->items, version);
}

static void add_key(struct search *search, const struct hf_index_key *key)
{
    if (key->presence == HF_PRESENCE_DELETED) {
        add_item(search, key, HF_LATEST);
        return;
    }
    for (uint32_t i = 0; i < key->version_count; i++) {
        const struct hf_index_version *version = hf_index_version_at(key, i);

        if (search->is_wanted(version)) {
            add_item(search, key, version->number);
        }
    }
}

/* A page of one list of one keyring; after moves on. False at its end. */
static bool add_page(struct search *search, size_t keyring_at, bool deleted, struct hf_buf *after)
{
    struct hf_lane *lane = hf_lane_lock(search->keys, search->op);
    const struct hf_index_keyring *keyring = hf_index_keyring_at(search->keys->index, keyring_at);
    struct hf_bytes from = hf_buf_bytes(after);
    struct hf_index_key *key = NULL;

    if (keyring != NULL) {
        const struct hf_sorted *list = deleted ? &keyring->deleted : &keyring->waiting;
        struct hf_sorted_place place = hf_sorted_after(list, from.len > 0 ? &from : NULL);

        for (size_t i = 0; i < PAGE && (key = hf_sorted_next(list, &place)) != NULL; i++) {
            add_key(search, key);
            hf_buf_clear(after);
            hf_buf_add(after, key->name, key->name_len);
        }
    }
    hf_lane_unlock(lane);
    return key != NULL;
}

static bool keyring_is_there(const struct search *search, size_t at)
{
    struct hf_lane *lane = hf_lane_lock(search->keys, search->op);
    bool there = hf_index_keyring_at(search->keys->index, at) != NULL;

    hf_lane_unlock(lane);
    return there;
}

static void collect_list(struct search *search, size_t at, bool deleted)
{
    HF_AUTO(buf) after = hf_buf_new();

    while (add_page(search, at, deleted, after)) {
    }
}

static void collect(struct search *search)
{
    for (size_t at = 0; keyring_is_there(search, at); at++) {
        collect_list(search, at, false);
        if (search->or_deleted) {
            collect_list(search, at, true);
        }
    }
}

/* Looks at each of them in its records: look says whether it is still what was searched for. */
static struct hf_status each(struct search *search,
                             struct hf_status (*look)(struct search *search,
                                                      const struct hf_name *name, uint32_t version,
                                                      void *context),
                             void *context)
{
    struct hf_reader reader;
    struct hf_status status = HF_SUCCESS;

    hf_buf_init(&search->items);
    collect(search);
    hf_reader_init(&reader, hf_buf_bytes(&search->items));
    while (reader.at != reader.end && status.code == HF_OK) {
        HF_AUTO_STRING keyring = hf_take_text(&reader);
        HF_AUTO_STRING key = hf_take_text(&reader);
        uint32_t version = hf_take_u32(&reader);

        status = look(search, &(struct hf_name){ keyring, key }, version, context);
    }
    hf_buf_done(&search->items);
    return status;
}

/*
 * What has gone or changed meanwhile is not there. Nor is what was altered: status says so, and it
 * must not keep the others from being found.
 */
static bool is_not_there(struct hf_op *op, struct hf_status status)
{
    if (status.code == HF_NOT_FOUND || status.code == HF_CONFLICT || status.code == HF_CORRUPT) {
        hf_op_clear(op);
        return true;
    }
    return false;
}

/* *out is NULL if it is not there. */
static struct hf_status read_version(const struct search *search, const struct hf_name *name,
                                     uint32_t number, struct hf_stored_version **out)
{
    HF_AUTO(stored_key) key = NULL;
    struct hf_status status =
        hf_stored_key_read(search->keys, search->op, name, HF_OR_UNBORN, &key);

    *out = NULL;
    if (status.code == HF_OK) {
        status = hf_stored_version_read(search->keys, search->op, name, number, out);
    }
    return is_not_there(search->op, status) ? HF_SUCCESS : status;
}

/* --- destruction --- */

struct due {
    struct hf_status (*visit)(void *context, const char *keyring, const char *name,
                              uint32_t version);
    void *context;
};

static bool is_scheduled(const struct hf_index_version *version)
{
    return version->due;
}

static struct hf_status read_time(const struct search *search, const struct hf_name *name,
                                  uint32_t version, uint64_t *out_ms)
{
    HF_AUTO(stored_key) key = NULL;
    HF_AUTO(stored_version) one = NULL;
    struct hf_status status;

    *out_ms = 0;
    if (version != HF_LATEST) {
        HF_TRY(read_version(search, name, version, &one));
        *out_ms = one != NULL ? one->record.destroy_at_ms : 0;
        return HF_SUCCESS;
    }
    status = hf_stored_key_read(search->keys, search->op, name, HF_OR_DELETED, &key);
    if (is_not_there(search->op, status)) {
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out_ms = key->record.destroy_at_ms;
    return HF_SUCCESS;
}

/* The times are in the records only. */
static struct hf_status visit_due(struct search *search, const struct hf_name *name,
                                  uint32_t version, void *context)
{
    const struct due *due = context;
    uint64_t at_ms = 0;

    HF_TRY(read_time(search, name, version, &at_ms));
    if (at_ms == 0 || at_ms > hf_env_realtime_ms(search->op->env)) {
        return HF_SUCCESS;
    }
    return due->visit(due->context, name->keyring, name->key, version);
}

struct hf_status hf_key_purge_due(struct hf_keys *keys, struct hf_op *op,
                                  struct hf_status (*visit)(void *context, const char *keyring,
                                                            const char *name, uint32_t version),
                                  void *context)
{
    struct search search = {
        .keys = keys, .op = op, .is_wanted = is_scheduled, .or_deleted = true
    };
    struct due due = { visit, context };

    HF_TRY(hf_need_waiting(op));
    return each(&search, visit_due, &due);
}

/* --- candidates --- */

struct orphans {
    uint64_t before_ms;
    struct hf_status (*visit)(void *context, const struct hf_candidate *candidate);
    void *context;
};

static bool is_candidate(const struct hf_index_version *version)
{
    return version->candidate;
}

static struct hf_status visit_candidate(struct search *search, const struct hf_name *name,
                                        uint32_t version, void *context)
{
    const struct orphans *orphans = context;
    HF_AUTO(stored_version) stored = NULL;
    struct hf_candidate candidate = { .keyring = name->keyring,
                                      .key = name->key,
                                      .version = version };

    HF_TRY(read_version(search, name, version, &stored));
    if (stored == NULL || !stored->record.candidate ||
        stored->record.created_ms > orphans->before_ms) {
        return HF_SUCCESS;
    }
    candidate.seq = stored->opened->seq;
    candidate.created_ms = stored->record.created_ms;
    return orphans->visit(orphans->context, &candidate);
}

struct hf_status hf_key_candidates_older(
    struct hf_keys *keys, struct hf_op *op, uint64_t before_ms,
    struct hf_status (*visit)(void *context, const struct hf_candidate *candidate), void *context)
{
    struct search search = { .keys = keys, .op = op, .is_wanted = is_candidate };
    struct orphans orphans = { before_ms, visit, context };

    HF_TRY(hf_need_waiting(op));
    return each(&search, visit_candidate, &orphans);
}
