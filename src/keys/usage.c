/*
 * Who used which version, how often and when: counted per lane, folded into a book, written from
 * there into the store.
 */
#include "keys/usage.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/lane.h"
#include "keys/name.h"

#define TABLE_MIN   64
#define BATCH_MAX   1000 /* records per transaction */
#define TRIES_MAX   8    /* of a batch that others interfere with */
#define CALLERS_MAX HF_COUNT(((struct hf_usage *)0)->callers)
#define CALLER_LEN  (sizeof((struct hf_usage *)0)->callers[0].caller)

struct usage_caller {
    char *caller;
    uint64_t count;
    uint64_t last_ms;
};

struct hf_usage_entry {
    uint64_t hash;
    uint64_t wraps;
    uint64_t unwraps;
    uint64_t first_ms;
    uint64_t last_ms;
    struct usage_caller *callers; /* the latest first where it costs nothing to keep it so */
    uint32_t version;
    uint8_t caller_count;
    uint8_t keyring_len;
    bool written; /* in the book: it is in the store now */
    char names[]; /* keyring, zero byte, key, zero byte */
};

struct hf_usage_book {
    pthread_mutex_t lock; /* guards the rest; held while the store is written */
    struct hf_usage_table table;
    struct hf_txn *doubted; /* a commit whose end was never seen, to be asked for again */
    struct hf_request_id doubted_id;
    struct hf_usage_entry **doubted_entries;
    size_t doubted_count;
};

static const char *key_of(const struct hf_usage_entry *entry)
{
    return entry->names + entry->keyring_len + 1;
}

static void entry_free(struct hf_usage_entry *entry)
{
    for (size_t i = 0; i < entry->caller_count; i++) {
        free(entry->callers[i].caller);
    }
    free(entry->callers);
    free(entry);
}

/* --- tables --- */

static void table_done(struct hf_usage_table *table)
{
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != NULL) {
            entry_free(table->slots[i]);
        }
    }
    free(table->slots);
    memset(table, 0, sizeof *table);
}

static void table_place(struct hf_usage_table *table, struct hf_usage_entry *entry)
{
    size_t mask = table->capacity - 1;
    size_t at = entry->hash & mask;

    while (table->slots[at] != NULL) {
        at = (at + 1) & mask;
    }
    table->slots[at] = entry;
    table->count++;
}

static void table_add(struct hf_usage_table *table, struct hf_usage_entry *entry)
{
    if (4 * (table->count + 1) > 3 * table->capacity) {
        struct hf_usage_table grown = { 0 };

        grown.capacity = table->capacity > 0 ? 2 * table->capacity : TABLE_MIN;
        grown.slots = hf_alloc_array(grown.capacity, sizeof(struct hf_usage_entry *));
        for (size_t i = 0; i < table->capacity; i++) {
            if (table->slots[i] != NULL) {
                table_place(&grown, table->slots[i]);
            }
        }
        free(table->slots);
        *table = grown;
    }
    table_place(table, entry);
}

static bool is_entry(const struct hf_usage_entry *entry, const struct hf_name *name,
                     uint32_t version)
{
    return entry->version == version && strcmp(key_of(entry), name->key) == 0 &&
           strcmp(entry->names, name->keyring) == 0;
}

static struct hf_usage_entry *table_find(const struct hf_usage_table *table, uint64_t hash,
                                         const struct hf_name *name, uint32_t version)
{
    size_t mask = table->capacity - 1;

    if (table->capacity == 0) {
        return NULL;
    }
    for (size_t at = hash & mask; table->slots[at] != NULL; at = (at + 1) & mask) {
        if (table->slots[at]->hash == hash && is_entry(table->slots[at], name, version)) {
            return table->slots[at];
        }
    }
    return NULL;
}

static uint64_t hash_of(const struct hf_keys *keys, const struct hf_name *name, uint32_t version)
{
    uint64_t hash =
        hf_siphash_name(hf_index_seed(keys->index), name->keyring, hf_bytes_of_text(name->key));

    return hash ^ (version * UINT64_C(0x9e3779b97f4a7c15));
}

static struct hf_usage_entry *entry_new(uint64_t hash, const struct hf_name *name, uint32_t version)
{
    size_t keyring_len = strlen(name->keyring);
    size_t key_len = strlen(name->key);
    struct hf_usage_entry *entry = hf_alloc(sizeof *entry + keyring_len + key_len + 2);

    entry->hash = hash;
    entry->version = version;
    entry->keyring_len = (uint8_t)keyring_len;
    memcpy(entry->names, name->keyring, keyring_len);
    memcpy(entry->names + keyring_len + 1, name->key, key_len);
    return entry;
}

void hf_usage_lane_init(struct hf_usage_lane *lane)
{
    memset(lane, 0, sizeof *lane);
    pthread_mutex_init(&lane->lock, NULL);
}

void hf_usage_lane_done(struct hf_usage_lane *lane)
{
    table_done(&lane->table);
    pthread_mutex_destroy(&lane->lock);
}

struct hf_usage_book *hf_usage_book_new(void)
{
    struct hf_usage_book *book = hf_alloc(sizeof *book);

    pthread_mutex_init(&book->lock, NULL);
    return book;
}

void hf_usage_book_free(struct hf_usage_book *book)
{
    if (book != NULL) {
        hf_txn_free(book->doubted);
        free(book->doubted_entries);
        table_done(&book->table);
        pthread_mutex_destroy(&book->lock);
        free(book);
    }
}

/* --- callers --- */

/* The place for a caller that is not listed: a new one, or that of who was here longest ago. */
static struct usage_caller *caller_place(struct hf_usage_entry *entry)
{
    size_t oldest = 0;

    if (entry->caller_count < CALLERS_MAX) {
        entry->callers =
            hf_realloc_array(entry->callers, entry->caller_count + 1u, sizeof *entry->callers);
        entry->callers[entry->caller_count] = (struct usage_caller){ 0 };
        return &entry->callers[entry->caller_count++];
    }
    for (size_t i = 1; i < entry->caller_count; i++) {
        if (entry->callers[i].last_ms < entry->callers[oldest].last_ms) {
            oldest = i;
        }
    }
    free(entry->callers[oldest].caller);
    entry->callers[oldest] = (struct usage_caller){ 0 };
    return &entry->callers[oldest];
}

static bool is_caller(const char *kept, const char *caller)
{
    return strncmp(kept, caller, CALLER_LEN - 1) == 0;
}

static void add_caller(struct hf_usage_entry *entry, const char *caller, uint64_t count,
                       uint64_t now_ms)
{
    struct usage_caller *place = NULL;

    for (size_t i = 0; i < entry->caller_count; i++) {
        if (is_caller(entry->callers[i].caller, caller)) {
            place = &entry->callers[i];
            break;
        }
    }
    if (place == NULL) {
        place = caller_place(entry);
        place->caller = hf_strndup(caller, strnlen(caller, CALLER_LEN - 1));
    }
    place->count += count;
    place->last_ms = now_ms > place->last_ms ? now_ms : place->last_ms;
}

static void add_times(struct hf_usage_entry *entry, uint64_t first_ms, uint64_t last_ms)
{
    if (entry->first_ms == 0 || (first_ms != 0 && first_ms < entry->first_ms)) {
        entry->first_ms = first_ms;
    }
    if (last_ms > entry->last_ms) {
        entry->last_ms = last_ms;
    }
}

/* --- counting --- */

void hf_usage_count(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *key,
                    uint32_t version, const char *caller, uint64_t wraps, uint64_t unwraps)
{
    struct hf_usage_lane *lane = &hf_lane_of(keys, op)->usage;
    struct hf_name name = { keyring, key };
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    struct hf_usage_entry *entry = NULL;

    pthread_mutex_lock(&lane->lock);
    entry = lane->last;
    if (entry == NULL || !is_entry(entry, &name, version)) {
        uint64_t hash = hash_of(keys, &name, version);

        entry = table_find(&lane->table, hash, &name, version);
        if (entry == NULL) {
            entry = entry_new(hash, &name, version);
            table_add(&lane->table, entry);
        }
        lane->last = entry;
    }
    entry->wraps += wraps;
    entry->unwraps += unwraps;
    add_times(entry, now_ms, now_ms);
    add_caller(entry, caller, wraps + unwraps, now_ms);
    pthread_mutex_unlock(&lane->lock);
}

/* --- adding up --- */

static void add_caller_to_usage(struct hf_usage *usage, const char *caller, uint64_t count,
                                uint64_t last_ms)
{
    size_t at = 0;
    size_t oldest = 0;

    while (at < usage->caller_count && strcmp(usage->callers[at].caller, caller) != 0) {
        oldest = usage->callers[at].last_ms < usage->callers[oldest].last_ms ? at : oldest;
        at++;
    }
    if (at == CALLERS_MAX) {
        if (usage->callers[oldest].last_ms > last_ms) {
            return;
        }
        at = oldest;
        usage->caller_count--;
    }
    if (at >= usage->caller_count || strcmp(usage->callers[at].caller, caller) != 0) {
        memset(&usage->callers[at], 0, sizeof usage->callers[at]);
        (void)strncpy(usage->callers[at].caller, caller, CALLER_LEN - 1);
        usage->caller_count++;
    }
    usage->callers[at].count += count;
    if (last_ms > usage->callers[at].last_ms) {
        usage->callers[at].last_ms = last_ms;
    }
}

static void add_to_usage(struct hf_usage *usage, const struct hf_usage_entry *entry)
{
    usage->wraps += entry->wraps;
    usage->unwraps += entry->unwraps;
    if (usage->first_ms == 0 || (entry->first_ms != 0 && entry->first_ms < usage->first_ms)) {
        usage->first_ms = entry->first_ms;
    }
    if (entry->last_ms > usage->last_ms) {
        usage->last_ms = entry->last_ms;
    }
    for (size_t i = 0; i < entry->caller_count; i++) {
        add_caller_to_usage(usage, entry->callers[i].caller, entry->callers[i].count,
                            entry->callers[i].last_ms);
    }
}

static void add_to_entry(struct hf_usage_entry *sum, const struct hf_usage_entry *entry)
{
    sum->wraps += entry->wraps;
    sum->unwraps += entry->unwraps;
    add_times(sum, entry->first_ms, entry->last_ms);
    for (size_t i = 0; i < entry->caller_count; i++) {
        add_caller(sum, entry->callers[i].caller, entry->callers[i].count,
                   entry->callers[i].last_ms);
    }
}

/* --- doubt --- */

static void mark_written(struct hf_usage_entry **entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        entries[i]->written = true;
    }
}

static struct hf_status commit(struct hf_txn *txn, struct hf_op *op)
{
    struct hf_txn_commit done = { 0 };
    struct hf_status status = hf_txn_commit(txn, op, &done);

    hf_secret_free(done.result);
    return status;
}

static struct hf_status settle_doubt(struct hf_usage_book *book, struct hf_op *op)
{
    struct hf_request_id own = op->request_id;
    struct hf_status status;

    if (book->doubted == NULL) {
        return HF_SUCCESS;
    }
    op->request_id = book->doubted_id;
    status = commit(book->doubted, op);
    op->request_id = own;
    if (status.code == HF_OK) {
        mark_written(book->doubted_entries, book->doubted_count);
    } else if (status.code != HF_CONFLICT) {
        return status;
    }
    /* A conflict says that it never happened: the counts are still to be written. */
    hf_op_clear(op);
    hf_txn_free(book->doubted);
    book->doubted = NULL;
    free(book->doubted_entries);
    book->doubted_entries = NULL;
    return HF_SUCCESS;
}

/* --- reading --- */

static struct hf_status read_record(struct hf_keys *keys, struct hf_op *op, const char *path,
                                    struct hf_usage *out, uint64_t *out_revision)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(keys->seal, op, HF_KIND_USAGE, path, &opened);

    memset(out, 0, sizeof *out);
    *out_revision = 0;
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out_revision = opened->revision;
    return hf_usage_decode(
        op, opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE, out);
}

static void add_lanes(struct hf_keys *keys, uint64_t hash, const struct hf_name *name,
                      uint32_t version, struct hf_usage *usage)
{
    for (unsigned i = 0; i < keys->lane_count; i++) {
        struct hf_usage_lane *lane = &keys->lanes[i].usage;
        const struct hf_usage_entry *entry = NULL;

        pthread_mutex_lock(&lane->lock);
        entry = table_find(&lane->table, hash, name, version);
        if (entry != NULL) {
            add_to_usage(usage, entry);
        }
        pthread_mutex_unlock(&lane->lock);
    }
}

struct hf_status hf_usage_get(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                              const char *key, uint32_t version, struct hf_usage *out)
{
    struct hf_name name = { keyring, key };
    HF_AUTO_STRING path = NULL;
    struct hf_usage usage;
    uint64_t hash = 0;
    uint64_t revision = 0;
    struct hf_status status;

    HF_TRY(hf_keyring_name_check(op, keyring));
    HF_TRY(hf_key_name_check(op, key));
    HF_TRY(hf_need_waiting(op));
    path = hf_usage_path(keyring, key, version);
    hash = hash_of(keys, &name, version);
    /* Under the lock nothing moves between lanes, book and store, so nothing counts twice. */
    pthread_mutex_lock(&keys->usage->lock);
    status = settle_doubt(keys->usage, op);
    if (status.code == HF_OK) {
        status = read_record(keys, op, path, &usage, &revision);
    }
    if (status.code == HF_OK) {
        const struct hf_usage_entry *entry = table_find(&keys->usage->table, hash, &name, version);

        if (entry != NULL && !entry->written) {
            add_to_usage(&usage, entry);
        }
        add_lanes(keys, hash, &name, version, &usage);
        *out = usage;
    }
    pthread_mutex_unlock(&keys->usage->lock);
    return status;
}

/* --- merging --- */

static void fold(struct hf_usage_table *book, struct hf_usage_entry *entry)
{
    struct hf_name name = { entry->names, key_of(entry) };
    struct hf_usage_entry *sum = table_find(book, entry->hash, &name, entry->version);

    if (sum == NULL) {
        table_add(book, entry);
    } else {
        add_to_entry(sum, entry);
        entry_free(entry);
    }
}

/* Empties the lanes into the book. The book is locked. */
static void collect(struct hf_keys *keys)
{
    for (unsigned i = 0; i < keys->lane_count; i++) {
        struct hf_usage_lane *lane = &keys->lanes[i].usage;
        struct hf_usage_table taken;

        pthread_mutex_lock(&lane->lock);
        taken = lane->table;
        memset(&lane->table, 0, sizeof lane->table);
        lane->last = NULL;
        pthread_mutex_unlock(&lane->lock);
        for (size_t at = 0; at < taken.capacity; at++) {
            if (taken.slots[at] != NULL) {
                fold(&keys->usage->table, taken.slots[at]);
            }
        }
        free(taken.slots);
    }
}

static struct hf_status stage_entry(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                    const struct hf_usage_entry *entry)
{
    HF_AUTO_STRING path = hf_usage_path(entry->names, key_of(entry), entry->version);
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_usage usage;
    uint64_t revision = 0;

    HF_TRY(read_record(keys, op, path, &usage, &revision));
    add_to_usage(&usage, entry);
    hf_usage_encode(&usage, content);
    return hf_txn_put(txn, op, HF_KIND_USAGE, path, revision, hf_buf_bytes(content));
}

/* Keeps what is in doubt exactly as it was: repeated under its id, it cannot count twice. */
static void doubt(struct hf_usage_book *book, struct hf_op *op, struct hf_txn **txn,
                  struct hf_usage_entry **entries, size_t count)
{
    book->doubted = HF_TAKE(*txn);
    book->doubted_id = op->request_id;
    book->doubted_entries = hf_alloc_array(count, sizeof *entries);
    memcpy(book->doubted_entries, entries, count * sizeof *entries);
    book->doubted_count = count;
}

static struct hf_status write_once(struct hf_keys *keys, struct hf_op *op,
                                   struct hf_usage_entry **entries, size_t count)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_status status;

    HF_TRY(hf_txn_new(keys->seal, op, &txn));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(stage_entry(keys, op, txn, entries[i]));
    }
    hf_env_random(op->env, &op->request_id, sizeof op->request_id);
    status = commit(txn, op);
    if (status.code == HF_OK) {
        mark_written(entries, count);
    } else if (status.code == HF_IN_DOUBT) {
        doubt(keys->usage, op, &txn, entries, count);
    }
    return status;
}

static struct hf_status write_batch(struct hf_keys *keys, struct hf_op *op,
                                    struct hf_usage_entry **entries, size_t count)
{
    struct hf_status status = { HF_CONFLICT };

    for (int i = 0; i < TRIES_MAX && status.code == HF_CONFLICT; i++) {
        hf_op_clear(op);
        status = write_once(keys, op, entries, count);
    }
    return status;
}

/* Drops from the book what is in the store. */
static void forget_written(struct hf_usage_table *table)
{
    struct hf_usage_table rest = { 0 };

    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != NULL && table->slots[i]->written) {
            entry_free(table->slots[i]);
        } else if (table->slots[i] != NULL) {
            table_add(&rest, table->slots[i]);
        }
    }
    free(table->slots);
    *table = rest;
}

static struct hf_status write_all(struct hf_keys *keys, struct hf_op *op)
{
    const struct hf_usage_table *table = &keys->usage->table;
    struct hf_usage_entry *batch[BATCH_MAX];
    size_t count = 0;
    struct hf_status status = HF_SUCCESS;

    for (size_t i = 0; i < table->capacity && status.code == HF_OK; i++) {
        if (table->slots[i] != NULL) {
            batch[count++] = table->slots[i];
        }
        if (count == BATCH_MAX) {
            status = write_batch(keys, op, batch, count);
            count = 0;
        }
    }
    if (count > 0 && status.code == HF_OK) {
        status = write_batch(keys, op, batch, count);
    }
    return status;
}

struct hf_status hf_usage_merge(struct hf_keys *keys, struct hf_op *op)
{
    struct hf_request_id own = op->request_id;
    struct hf_status status;

    HF_TRY(hf_need_waiting(op));
    pthread_mutex_lock(&keys->usage->lock);
    status = settle_doubt(keys->usage, op);
    if (status.code == HF_OK) {
        forget_written(&keys->usage->table);
        collect(keys);
        status = write_all(keys, op);
        forget_written(&keys->usage->table);
    }
    pthread_mutex_unlock(&keys->usage->lock);
    op->request_id = own;
    return status;
}
