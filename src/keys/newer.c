/* What came into use while a node was away: it opens that before it has a lease again. */
#include "base/alloc.h"
#include "keys/lane.h"
#include "keys/name.h"

#define PAGE 256 /* names looked at under one lock */

void hf_key_place_done(struct hf_key_place *place)
{
    hf_buf_done(&place->after);
}

static bool is_in_use(const struct hf_index_version *version)
{
    return !version->candidate && version->state != HF_KEY_DESTROYED &&
           version->state != HF_KEY_DESTROYED_COMPROMISED;
}

/* Copied, one after another: text name, number of the version, seq. */
static void add_versions(struct hf_buf *items, const struct hf_index_key *key)
{
    for (uint32_t i = 0; i < key->version_count; i++) {
        const struct hf_index_version *version = hf_index_version_at(key, i);

        if (is_in_use(version)) {
            hf_put_text(items, key->name);
            hf_put_u32(items, version->number);
            hf_put_u64(items, key->seq);
        }
    }
}

/* False: there is no such keyring. *place moves on, to the next keyring behind the last name. */
static bool take_page(struct hf_keys *keys, const struct hf_op *op, uint64_t after_seq,
                      struct hf_key_place *place, struct hf_buf *items, char keyring_name[64])
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_keyring *keyring = hf_index_keyring_at(keys->index, place->keyring);
    struct hf_bytes after = hf_buf_bytes(&place->after);
    const struct hf_index_key *key = NULL;
    struct hf_sorted_place at;

    if (keyring != NULL) {
        memcpy(keyring_name, keyring->name, sizeof keyring->name);
        at = hf_sorted_after(&keyring->live, after.len > 0 ? &after : NULL);
        for (size_t i = 0; i < PAGE && (key = hf_sorted_next(&keyring->live, &at)) != NULL; i++) {
            if (key->seq > after_seq) {
                add_versions(items, key);
            }
            hf_buf_clear(&place->after);
            hf_buf_add(&place->after, key->name, key->name_len);
        }
        if (key == NULL) {
            hf_buf_clear(&place->after);
            place->keyring++;
        }
    }
    hf_lane_unlock(lane);
    return keyring != NULL;
}

struct hf_status hf_keys_each_newer(struct hf_keys *keys, struct hf_op *op, uint64_t after_seq,
                                    struct hf_key_place *place,
                                    struct hf_status (*visit)(void *context, struct hf_op *op,
                                                              const struct hf_candidate *version),
                                    void *context, bool *out_done)
{
    HF_AUTO(buf) items = hf_buf_new();
    char keyring[64] = "";
    struct hf_reader reader;
    struct hf_status status = HF_SUCCESS;

    *out_done = !take_page(keys, op, after_seq, place, items, keyring);
    hf_reader_init(&reader, hf_buf_bytes(items));
    while (reader.at != reader.end && status.code == HF_OK) {
        HF_AUTO_STRING name = hf_take_text(&reader);
        struct hf_candidate version = { .keyring = keyring, .key = name, .is_promoted = true };

        version.version = hf_take_u32(&reader);
        version.seq = hf_take_u64(&reader);
        status = visit(context, op, &version);
    }
    return status;
}
