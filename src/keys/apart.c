/* See apart.h: the records are gathered while the seal is opened, then each version is opened. */
#include "keys/apart.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "keys/name.h"
#include "keys/record.h"

#define LOOK_EVERY 1024

/* A version's record as it was gathered; places are offsets into the bytes. */
struct item {
    size_t path;
    size_t wrapped;
    size_t wrapped_len; /* 0: nothing is left to open */
    uint64_t seq;
    uint8_t check_value[HF_CHECK_VALUE_LEN];
    bool damaged;
};

/* A live key says which versions there must be. */
struct key_item {
    char *keyring;
    char *name;
    uint32_t first;
    uint32_t next;
};

/* A keyring key that versions are under, and what came of opening it. */
struct parent {
    char *keyring;
    uint32_t version;
    enum hf_cause cause;
    char *failed_at;
};

struct work {
    const struct hf_apart_plan *plan;
    struct hf_seal *seal;
    struct hf_buf bytes;
    struct item *items;
    size_t count;
    struct key_item *keys;
    size_t key_count;
    struct parent *parents;
    size_t parent_count;
    size_t last_parent;
    uint64_t looked;
};

static void work_done(struct work *work)
{
    for (size_t i = 0; i < work->key_count; i++) {
        free(work->keys[i].keyring);
        free(work->keys[i].name);
    }
    for (size_t i = 0; i < work->parent_count; i++) {
        free(work->parents[i].keyring);
        free(work->parents[i].failed_at);
    }
    free(work->keys);
    free(work->parents);
    free(work->items);
    hf_buf_done(&work->bytes);
    hf_seal_free(work->seal);
}

static struct hf_status look_up(struct work *work, struct hf_op *op, uint64_t done, uint64_t total)
{
    if (work->looked++ % LOOK_EVERY != 0) {
        return HF_SUCCESS;
    }
    return work->plan->go_on(work->plan->context, op, done, total);
}

/* Room for one more, growing by doubling. */
static void *grow(void *items, size_t count, size_t size)
{
    bool is_full = count == 0 || (count & (count - 1)) == 0;

    return is_full ? hf_realloc_array(items, count == 0 ? 1 : 2 * count, size) : items;
}

static struct item *add_item(struct work *work, const char *path)
{
    struct item *item;

    work->items = grow(work->items, work->count, sizeof *work->items);
    item = &work->items[work->count++];
    *item = (struct item){ .path = work->bytes.len };
    hf_buf_add(&work->bytes, path, strlen(path) + 1);
    return item;
}

static const char *path_of(const struct work *work, const struct item *item)
{
    return (const char *)work->bytes.data + item->path;
}

/* --- gathering --- */

static bool is_wanted(const struct work *work, const char *keyring)
{
    const struct hf_apart_plan *plan = work->plan;

    return (plan->keyring == NULL || strcmp(plan->keyring, keyring) == 0) &&
           (plan->is_asked == NULL || plan->is_asked(plan->context, keyring));
}

static struct hf_status gather_version(void *context, struct hf_op *op,
                                       const struct hf_opened_view *view)
{
    struct work *work = context;
    struct hf_version_record record = { 0 };
    struct hf_path_parts parts;
    struct item *item;

    HF_TRY(look_up(work, op, 0, 0));
    HF_TRY(hf_version_path_parse(op, view->path, &parts));
    if (!is_wanted(work, parts.keyring)) {
        return HF_SUCCESS;
    }
    if (!view->tombstone) {
        HF_TRY(hf_version_record_decode(op, view->plain, &record));
    }
    item = add_item(work, view->path);
    item->seq = view->seq;
    item->wrapped = work->bytes.len;
    item->wrapped_len = record.wrapped.len;
    memcpy(item->check_value, record.check_value, sizeof item->check_value);
    hf_buf_add_bytes(&work->bytes, record.wrapped);
    return HF_SUCCESS;
}

static struct hf_status gather_key(void *context, struct hf_op *op,
                                   const struct hf_opened_view *view)
{
    struct work *work = context;
    struct hf_path_parts parts;
    struct hf_key_record record;

    HF_TRY(hf_key_path_parse(op, view->path, &parts));
    if (view->tombstone || !is_wanted(work, parts.keyring)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_key_record_decode(op, view->plain, &record));
    if (record.destroyed) {
        return HF_SUCCESS;
    }
    work->keys = grow(work->keys, work->key_count, sizeof *work->keys);
    work->keys[work->key_count++] = (struct key_item){
        .keyring = hf_strdup(parts.keyring),
        .name = hf_strndup((const char *)parts.name.data, parts.name.len),
        .first = record.first_version,
        .next = record.next_version,
    };
    return HF_SUCCESS;
}

static struct hf_status gather_keyring(void *context, struct hf_op *op,
                                       const struct hf_opened_view *view)
{
    struct hf_keyring_record record;

    (void)context;
    return view->tombstone ? HF_SUCCESS : hf_keyring_record_decode(op, view->plain, &record);
}

/* A version that cannot be read is one that does not open. */
static void gather_damage(void *context, const struct hf_damaged *record)
{
    struct work *work = context;
    struct hf_op scratch;
    struct hf_path_parts parts;

    hf_op_init(&scratch, NULL);
    if (hf_version_path_parse(&scratch, record->path, &parts).code != HF_OK) {
        work->plan->damaged(work->plan->context, record->path);
    } else if (is_wanted(work, parts.keyring)) {
        add_item(work, record->path)->damaged = true;
    }
}

static int compare_paths(const void *a, const void *b, void *context)
{
    return strcmp(path_of(context, a), path_of(context, b));
}

static bool has_version(struct work *work, size_t count, const char *path)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(path_of(work, &work->items[middle]), path);

        if (order == 0) {
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return false;
}

static void sort_items(struct work *work)
{
    if (work->count > 0) {
        qsort_r(work->items, work->count, sizeof *work->items, compare_paths, work);
    }
}

/* A record that is gone cannot be told of by itself: its key says that it must be there. */
static void add_missing(struct work *work)
{
    size_t count = work->count;

    for (size_t i = 0; i < work->key_count; i++) {
        const struct key_item *key = &work->keys[i];

        for (uint32_t number = key->first; number < key->next; number++) {
            HF_AUTO_STRING path = hf_version_path(key->keyring, key->name, number);

            if (!has_version(work, count, path)) {
                add_item(work, path)->damaged = true;
            }
        }
    }
}

static struct hf_status gather(struct work *work, struct hf_op *op, struct hf_apart *out_found)
{
    const struct hf_apart_plan *plan = work->plan;
    const struct hf_consumer consumers[] = {
        { .kind = HF_KIND_KEYRING, .apply = gather_keyring, .context = work },
        { .kind = HF_KIND_KEY, .apply = gather_key, .context = work },
        { .kind = HF_KIND_VERSION, .apply = gather_version, .context = work },
    };

    HF_TRY(hf_seal_open_apart(plan->crypto, op, plan->engine, plan->slot_id, plan->protector,
                              consumers, HF_COUNT(consumers), out_found, &work->seal));
    (void)hf_seal_damage(work->seal, gather_damage, work);
    sort_items(work);
    if (!out_found->whole) {
        add_missing(work);
        sort_items(work);
    }
    return HF_SUCCESS;
}

/* --- opening --- */

/* Whether a failure says something about the records, and not about this machine. */
static bool is_finding(struct hf_status status)
{
    return status.code == HF_CORRUPT || status.code == HF_NOT_FOUND || status.code == HF_DENIED ||
           status.code == HF_UNSUPPORTED || status.code == HF_INVALID;
}

static enum hf_cause cause_of(const struct hf_op *op, struct hf_status status)
{
    if (op->cause != HF_CAUSE_NONE) {
        return op->cause;
    }
    return status.code == HF_NOT_FOUND ? HF_CAUSE_UNKNOWN_KEY : HF_CAUSE_ALTERED;
}

static struct hf_status open_parent(struct work *work, struct hf_op *op, const char *keyring,
                                    uint32_t version)
{
    struct parent parent = { .version = version };
    struct hf_status status = hf_seal_keyring_key_open(work->seal, op, keyring, version);

    if (status.code != HF_OK && !is_finding(status) && op->cause == HF_CAUSE_NONE) {
        return status;
    }
    if (status.code != HF_OK) {
        parent.cause = cause_of(op, status);
        hf_op_clear(op);
        HF_TRY(hf_seal_keyring_key_blame(work->seal, op, keyring, version, &parent.failed_at));
    }
    parent.keyring = hf_strdup(keyring);
    work->parents = grow(work->parents, work->parent_count, sizeof *work->parents);
    work->last_parent = work->parent_count;
    work->parents[work->parent_count++] = parent;
    return HF_SUCCESS;
}

static bool is_parent(const struct parent *parent, const char *keyring, uint32_t version)
{
    return parent->version == version && strcmp(parent->keyring, keyring) == 0;
}

/* Neighbours mostly share their keyring key. */
static struct hf_status find_parent(struct work *work, struct hf_op *op, const char *keyring,
                                    uint32_t version, const struct parent **out)
{
    size_t at = work->last_parent;

    if (at >= work->parent_count || !is_parent(&work->parents[at], keyring, version)) {
        at = 0;
        while (at < work->parent_count && !is_parent(&work->parents[at], keyring, version)) {
            at++;
        }
    }
    if (at == work->parent_count) {
        HF_TRY(open_parent(work, op, keyring, version));
        at = work->last_parent;
    }
    work->last_parent = at;
    *out = &work->parents[at];
    return HF_SUCCESS;
}

static struct hf_status compare(struct work *work, struct hf_op *op, const struct item *item,
                                const struct hf_wrap_place *place)
{
    struct hf_bytes wrapped = hf_bytes_of(work->bytes.data + item->wrapped, item->wrapped_len);
    uint8_t value[HF_CHECK_VALUE_LEN];
    HF_AUTO(secret) material = NULL;

    HF_TRY(hf_seal_unwrap(work->seal, op, place, wrapped, &material));
    HF_TRY(hf_seal_check_value(work->seal, op, hf_secret_bytes(material), value));
    if (memcmp(value, item->check_value, sizeof value) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "%.200s opens to another key than its check value tells of",
                             place->path);
    }
    return HF_SUCCESS;
}

/* Through its keyring key; a failure is about this machine, findings go into proof. */
static struct hf_status prove(struct work *work, struct hf_op *op, const struct item *item,
                              const struct hf_path_parts *parts, struct hf_version_proof *proof)
{
    struct hf_bytes wrapped = hf_bytes_of(work->bytes.data + item->wrapped, item->wrapped_len);
    const struct hf_wrap_place place = { parts->keyring, proof->path, parts->version };
    const struct parent *parent = NULL;
    uint32_t parent_version = 0;
    struct hf_status status = hf_seal_wrapped_parent(op, wrapped, &parent_version);

    if (status.code == HF_OK) {
        HF_TRY(find_parent(work, op, parts->keyring, parent_version, &parent));
        if (parent->cause != HF_CAUSE_NONE) {
            proof->cause = parent->cause;
            proof->failed_at = parent->failed_at;
            return HF_SUCCESS;
        }
        status = compare(work, op, item, &place);
    }
    if (status.code == HF_OK) {
        return HF_SUCCESS;
    }
    if (!is_finding(status)) {
        return status;
    }
    proof->cause = cause_of(op, status);
    proof->failed_at = proof->path;
    hf_op_clear(op);
    return HF_SUCCESS;
}

static struct hf_status visit(struct work *work, struct hf_op *op, const struct item *item)
{
    struct hf_version_proof proof = { .path = path_of(work, item), .seq = item->seq };
    struct hf_path_parts parts;

    HF_TRY(hf_version_path_parse(op, proof.path, &parts));
    proof.keyring = parts.keyring;
    if (item->damaged) {
        proof.cause = HF_CAUSE_ALTERED;
        proof.failed_at = proof.path;
    } else if (item->wrapped_len == 0) {
        return HF_SUCCESS; /* destroyed: nothing is left that could open */
    } else {
        HF_TRY(prove(work, op, item, &parts, &proof));
    }
    work->plan->visit(work->plan->context, &proof);
    return HF_SUCCESS;
}

struct hf_status hf_keys_open_apart(const struct hf_apart_plan *plan, struct hf_op *op,
                                    struct hf_apart *out_found)
{
    __attribute__((cleanup(work_done))) struct work work = { .plan = plan };

    HF_TRY(gather(&work, op, out_found));
    for (size_t i = 0; i < work.count; i++) {
        HF_TRY(look_up(&work, op, i, work.count));
        HF_TRY(visit(&work, op, &work.items[i]));
    }
    return plan->go_on(plan->context, op, work.count, work.count);
}
