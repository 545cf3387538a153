/* What the clock and newer keyring keys ask for: keys to rotate, keys to move under another parent.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/stage.h"

#define PAGE 256

/* One walk over the live keys of a keyring; names are copied out of the index page by page. */
struct walk {
    struct hf_keys *keys;
    const struct hf_keyring_info *keyring;
    bool only_older; /* only keys that may have versions under an older keyring key */
    struct hf_status (*look)(const struct walk *walk, struct hf_op *op, const char *name,
                             bool *out_due);
    hf_due_visitor visit;
    void *context;
};

/* A version whose parent is not known here has to be looked up in its record. */
static bool may_be_older(const struct hf_index_version *version, uint32_t keyring_key)
{
    struct hf_op scratch;
    uint32_t parent = 0;

    if (version->state == HF_KEY_DESTROYED || version->state == HF_KEY_DESTROYED_COMPROMISED) {
        return false;
    }
    hf_op_init(&scratch, NULL);
    return version->elsewhere ||
           hf_seal_wrapped_parent(&scratch, hf_bytes_of(version->blob, version->blob_len), &parent)
                   .code != HF_OK ||
           parent != keyring_key;
}

static bool is_candidate(const struct walk *walk, const struct hf_index_key *key)
{
    for (uint32_t i = 0; walk->only_older && i < key->version_count; i++) {
        if (may_be_older(hf_index_version_at(key, i), walk->keyring->key_version)) {
            return true;
        }
    }
    return !walk->only_older;
}

/* The names of candidates of one page, as texts; after moves on. False at the end. */
static bool take_page(const struct walk *walk, struct hf_op *op, struct hf_buf *after,
                      struct hf_buf *out)
{
    struct hf_lane *lane = hf_lane_lock(walk->keys, op);
    const struct hf_index_keyring *keyring =
        hf_index_keyring(walk->keys->index, walk->keyring->name);
    struct hf_index_key *key = NULL;

    if (keyring != NULL) {
        struct hf_bytes from = hf_buf_bytes(after);
        struct hf_sorted_place place = hf_sorted_after(&keyring->live, from.len > 0 ? &from : NULL);

        for (size_t i = 0; i < PAGE && (key = hf_sorted_next(&keyring->live, &place)) != NULL;
             i++) {
            if (is_candidate(walk, key)) {
                hf_put_text(out, key->name);
            }
            hf_buf_clear(after);
            hf_buf_add(after, key->name, key->name_len);
        }
    }
    hf_lane_unlock(lane);
    return key != NULL;
}

/* What was deleted or changed meanwhile, or has no version in force, is not due. */
static bool is_none(struct hf_status status)
{
    return status.code == HF_NOT_FOUND || status.code == HF_CONFLICT ||
           status.code == HF_WRONG_STATE;
}

/* What does not open is the visitor's to find: he knows whom to tell. */
static struct hf_status look_at(const struct walk *walk, struct hf_op *op, const char *name,
                                bool *out_due)
{
    struct hf_status status = walk->look(walk, op, name, out_due);

    if (status.code != HF_CORRUPT && !is_none(status)) {
        return status;
    }
    *out_due = status.code == HF_CORRUPT;
    hf_op_clear(op);
    return HF_SUCCESS;
}

static struct hf_status visit_names(const struct walk *walk, struct hf_op *op,
                                    struct hf_bytes names)
{
    struct hf_reader reader;

    hf_reader_init(&reader, names);
    while (reader.at != reader.end) {
        HF_AUTO_STRING name = hf_take_text(&reader);
        bool due = false;

        HF_TRY(look_at(walk, op, name, &due));
        if (due) {
            HF_TRY(walk->visit(walk->context, walk->keyring->name, name));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status walk_keyring(const struct walk *walk, struct hf_op *op)
{
    HF_AUTO(buf) after = hf_buf_new();
    bool more = true;

    while (more) {
        HF_AUTO(buf) names = hf_buf_new();

        more = take_page(walk, op, after, names);
        HF_TRY(visit_names(walk, op, hf_buf_bytes(names)));
    }
    return HF_SUCCESS;
}

/* --- rotation by the clock --- */

/*
 * Keys that are made here only: the owner of imported material makes the next one himself, and an
 * opaque secret is not ours to replace.
 */
static struct hf_status look_at_age(const struct walk *walk, struct hf_op *op, const char *name,
                                    bool *out_due)
{
    const struct hf_name full = { walk->keyring->name, name };
    uint64_t every_ms = walk->keyring->settings.rotate_every_ms;
    HF_AUTO(stored_version) primary = NULL;
    enum hf_algorithm algorithm = HF_ALG_OPAQUE;
    uint32_t number = HF_LATEST;

    *out_due = false;
    HF_TRY(hf_key_algorithm(walk->keys, op, full.keyring, name, &algorithm));
    HF_TRY(hf_key_primary(walk->keys, op, full.keyring, name, &number));
    if (every_ms == 0 || algorithm == HF_ALG_OPAQUE || number == HF_LATEST) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_stored_version_read(walk->keys, op, &full, number, &primary));
    *out_due = !primary->record.imported && primary->record.state == HF_KEY_ACTIVE &&
               primary->record.created_ms + every_ms <= hf_env_realtime_ms(op->env);
    return HF_SUCCESS;
}

struct hf_status hf_key_rotation_is_due(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                        const char *name, bool *out)
{
    struct hf_keyring_info info;
    struct walk walk = { .keys = keys, .keyring = &info };

    HF_TRY(hf_keyring_get(keys, op, keyring, &info));
    return look_at_age(&walk, op, name, out);
}

struct hf_status hf_key_rotations_due(struct hf_keys *keys, struct hf_op *op,
                                      const struct hf_keyring_info *keyring, hf_due_visitor visit,
                                      void *context)
{
    const struct walk walk = {
        .keys = keys, .keyring = keyring, .look = look_at_age, .visit = visit, .context = context
    };

    HF_TRY(hf_need_waiting(op));
    return keyring->settings.rotate_every_ms > 0 ? walk_keyring(&walk, op) : HF_SUCCESS;
}

/* --- moving under the keyring key in force --- */

struct parents {
    uint32_t keyring_key;
    bool older;
};

static void look_at_parent(void *context, const struct hf_version_info *info)
{
    struct parents *parents = context;

    parents->older =
        parents->older || (info->keyring_key != 0 && info->keyring_key != parents->keyring_key);
}

static struct hf_status look_at_parents(const struct walk *walk, struct hf_op *op, const char *name,
                                        bool *out_due)
{
    struct parents parents = { .keyring_key = walk->keyring->key_version };

    HF_TRY(hf_key_versions(walk->keys, op, walk->keyring->name, name, look_at_parent, &parents));
    *out_due = parents.older;
    return HF_SUCCESS;
}

struct hf_status hf_key_rewraps_due(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_keyring_info *keyring, hf_due_visitor visit,
                                    void *context)
{
    const struct walk walk = { .keys = keys,
                               .keyring = keyring,
                               .only_older = true,
                               .look = look_at_parents,
                               .visit = visit,
                               .context = context };

    HF_TRY(hf_need_waiting(op));
    return walk_keyring(&walk, op);
}
