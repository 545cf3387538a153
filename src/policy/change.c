/* Changes of policy: judged, then staged with the list of documents that names what is in force. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "policy/internal.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-_."

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= HF_POLICY_NAME_MAX && name[0] != '.' &&
           strspn(name, NAME_CHARACTERS) == len;
}

static struct hf_status check_name(struct hf_op *op, const char *name)
{
    if (!is_name(name)) {
        return hf_fail(op, HF_INVALID,
                       "a policy's name has 1 to %d characters of a-z 0-9 - _ . and does not begin "
                       "with a dot",
                       HF_POLICY_NAME_MAX);
    }
    return HF_SUCCESS;
}

void hf_policy_collect(const struct hf_policy *policy, const char *name,
                       const struct hf_rules *changed, struct hf_rule_sets *out)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct hf_document *document = policy->documents[i];

        if (document->in_force && (name == NULL || strcmp(document->name, name) != 0)) {
            out->sets[out->count++] = document->rules;
        }
    }
    if (changed != NULL) {
        out->sets[out->count++] = changed;
    }
}

/* Who could become two would be his own second person. */
static struct hf_status check_stays_one(struct hf_op *op, const char *author,
                                        const struct hf_identities *before,
                                        const struct hf_identities *after)
{
    for (size_t i = 0; i < before->count; i++) {
        if (!hf_identities_have(after, before->items[i])) {
            return hf_fail(op, HF_DENIED,
                           "this would make %.60s and %.60s, who asks for it, two persons; a "
                           "second person must approve it",
                           before->items[i], author);
        }
    }
    return HF_SUCCESS;
}

/* What one identity of a person gains, the person gains. */
static struct hf_status judge_person(struct hf_op *op, const char *author,
                                     const struct hf_rule_sets *before,
                                     const struct hf_rule_sets *after)
{
    struct hf_identities were, are;
    struct hf_status status;

    hf_person_identities(before, author, &were);
    hf_person_identities(after, author, &are);
    status = check_stays_one(op, author, &were, &are);
    for (size_t i = 0; i < are.count && status.code == HF_OK; i++) {
        status = hf_policy_gain(op, are.items[i], before, after);
    }
    free(were.items);
    free(are.items);
    return status;
}

static struct hf_status judge(const struct hf_policy *policy, struct hf_op *op, const char *name,
                              const struct hf_rules *changed, const char *author)
{
    struct hf_rule_sets before = { NULL, 0 }, after = { NULL, 0 };
    struct hf_status status;

    if (author == NULL) {
        return HF_SUCCESS;
    }
    if (!hf_policy_is_sound(policy)) {
        return hf_fail(op, HF_DENIED,
                       "a policy is damaged, so nobody can tell what this change would give %.60s; "
                       "a second person must approve it",
                       author);
    }
    before.sets = hf_alloc_array(policy->count + 1, sizeof *before.sets);
    after.sets = hf_alloc_array(policy->count + 1, sizeof *after.sets);
    hf_policy_collect(policy, NULL, NULL, &before);
    hf_policy_collect(policy, name, changed, &after);
    status = judge_person(op, author, &before, &after);
    free(before.sets);
    free(after.sets);
    return status;
}

/* --- the list that a change builds on --- */

struct listing {
    struct hf_listed *items; /* owns the names */
    size_t count;
    uint64_t revision; /* of its record; 0: there is none */
    bool is_altered;
};

static void listing_done(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->items[i].name);
    }
    free(listing->items);
}

/* The line for that name, or NULL. */
static struct hf_listed *find_listed(const struct listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++) {
        if (strcmp(listing->items[i].name, name) == 0) {
            return &listing->items[i];
        }
    }
    return NULL;
}

static void list(struct listing *listing, const char *name, uint64_t revision)
{
    struct hf_listed *known = find_listed(listing, name);

    if (known != NULL) {
        known->revision = revision;
        return;
    }
    listing->items = hf_realloc_array(listing->items, listing->count + 1, sizeof *listing->items);
    listing->items[listing->count++] = (struct hf_listed){ hf_strdup(name), revision };
}

static void match_list(void *context, const struct hf_damaged *record)
{
    struct listing *listing = context;

    if (strcmp(record->path, HF_POLICY_PREFIX HF_POLICY_LIST) == 0) {
        listing->is_altered = true;
        listing->revision = record->revision;
    }
}

static void list_altered(void *context, const struct hf_damaged *record)
{
    const char *name = record->path + strlen(HF_POLICY_PREFIX);

    if (strncmp(record->path, HF_POLICY_PREFIX, strlen(HF_POLICY_PREFIX)) == 0 && is_name(name)) {
        list(context, name, record->revision);
    }
}

/*
 * An altered list is made anew from what is there: every document that opens is in force, and every
 * one that does not is missing until it is put again or removed. The caller holds the lock.
 */
static void read_listing(const struct hf_policy *policy, struct listing *out)
{
    *out = (struct listing){ .revision = policy->list_revision };
    (void)hf_seal_damage(policy->seal, match_list, out);
    for (size_t i = 0; !out->is_altered && i < policy->listed_count; i++) {
        list(out, policy->listed[i].name, policy->listed[i].revision);
    }
    for (size_t i = 0; out->is_altered && i < policy->count; i++) {
        if (policy->documents[i]->rules != NULL) {
            list(out, policy->documents[i]->name, policy->documents[i]->revision);
        }
    }
    if (out->is_altered) {
        (void)hf_seal_damage(policy->seal, list_altered, out);
    }
}

static void add_listed(struct hf_buf *out, uint32_t *count, const char *name, uint64_t revision)
{
    hf_put_text(out, name);
    hf_put_u64(out, revision);
    (*count)++;
}

/*
 * The list as it is after the change: its other lines stay, also those whose documents are
 * missing; the name has a line if it lives.
 */
static void write_list(const struct listing *listing, const char *name, uint64_t revision,
                       bool lives, struct hf_buf *out)
{
    HF_AUTO(buf) entries = hf_buf_new();
    uint32_t count = 0;

    for (size_t i = 0; i < listing->count; i++) {
        const struct hf_listed *entry = &listing->items[i];

        if (strcmp(entry->name, name) != 0) {
            add_listed(entries, &count, entry->name, entry->revision);
        }
    }
    if (lives) {
        add_listed(entries, &count, name, revision);
    }
    hf_put_u8(out, HF_POLICY_FORMAT);
    hf_put_u32(out, count);
    hf_buf_add_bytes(out, hf_buf_bytes(entries));
}

/* What a change builds on, read under one lock, and the list it leads to. */
struct basis {
    bool is_listed;  /* the list names it */
    bool is_missing; /* but what it names is not there */
    uint64_t revision;
    uint64_t list_revision;
    struct hf_buf *list;
};

static struct hf_status prepare(struct hf_policy *policy, struct hf_op *op, const char *name,
                                const struct hf_rules *changed, const char *author,
                                struct basis *out)
{
    const struct hf_document *document;
    const struct hf_listed *entry;
    struct listing listing;
    struct hf_status status;

    pthread_rwlock_rdlock(&policy->lock);
    read_listing(policy, &listing);
    document = hf_policy_find(policy, name);
    entry = find_listed(&listing, name);
    out->revision = document != NULL ? document->revision : 0;
    out->is_listed = entry != NULL;
    out->is_missing = entry != NULL && out->revision < entry->revision;
    if (out->is_missing) {
        out->revision = entry->revision;
    }
    out->list_revision = listing.revision;
    status = judge(policy, op, name, changed, author);
    write_list(&listing, name, out->revision + 1, changed != NULL, out->list);
    pthread_rwlock_unlock(&policy->lock);
    listing_done(&listing);
    return status;
}

static void write_record(struct hf_op *op, const char *author, struct hf_bytes document,
                         struct hf_buf *out)
{
    hf_put_u8(out, HF_POLICY_FORMAT);
    hf_put_text(out, author != NULL ? author : "");
    hf_put_u64(out, hf_env_realtime_ms(op->env));
    hf_put_bytes(out, document);
}

/* The document goes first, so that the list never names what consumers have not seen. */
static struct hf_status stage_list(struct hf_op *op, struct hf_txn *txn, const struct basis *basis)
{
    return hf_txn_put(txn, op, HF_KIND_POLICY, HF_POLICY_PREFIX HF_POLICY_LIST,
                      basis->list_revision, hf_buf_bytes(basis->list));
}

struct hf_status hf_policy_put(struct hf_policy *policy, struct hf_op *op, struct hf_txn *txn,
                               const char *name, struct hf_bytes document, const char *author)
{
    HF_AUTO(rules) rules = NULL;
    HF_AUTO(buf) plain = hf_buf_new();
    HF_AUTO(buf) list = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    struct basis basis = { .list = list };

    HF_TRY(check_name(op, name));
    HF_TRY(hf_rules_parse(op, document, &rules));
    HF_TRY(prepare(policy, op, name, rules, author, &basis));
    path = hf_format(HF_POLICY_PREFIX "%s", name);
    write_record(op, author, document, plain);
    HF_TRY(hf_txn_put(txn, op, HF_KIND_POLICY, path, basis.revision, hf_buf_bytes(plain)));
    return stage_list(op, txn, &basis);
}

struct hf_status hf_policy_remove(struct hf_policy *policy, struct hf_op *op, struct hf_txn *txn,
                                  const char *name, const char *author)
{
    HF_AUTO(buf) plain = hf_buf_new();
    HF_AUTO(buf) list = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    struct basis basis = { .list = list };
    struct hf_status status;

    HF_TRY(check_name(op, name));
    status = prepare(policy, op, name, NULL, author, &basis);
    if (!basis.is_listed) {
        return hf_fail(op, HF_NOT_FOUND, "there is no policy '%s'", name);
    }
    HF_TRY(status);
    if (basis.is_missing) {
        /* Its record may be anything; what the list does not name is not in force. */
        return stage_list(op, txn, &basis);
    }
    path = hf_format(HF_POLICY_PREFIX "%s", name);
    write_record(op, author, HF_BYTES_NONE, plain);
    HF_TRY(hf_txn_bury(txn, op, HF_KIND_POLICY, path, basis.revision, hf_buf_bytes(plain)));
    return stage_list(op, txn, &basis);
}
