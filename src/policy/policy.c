/* The documents in force: followed from the store, changed in transactions. */
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "policy/internal.h"

struct hf_document *hf_policy_find(const struct hf_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->count; i++) {
        if (strcmp(policy->documents[i]->name, name) == 0) {
            return policy->documents[i];
        }
    }
    return NULL;
}

/* --- following the store --- */

static struct hf_status read_record(struct hf_op *op, struct hf_bytes plain,
                                    struct hf_document *out)
{
    struct hf_reader reader;
    struct hf_bytes text;
    uint8_t format;

    hf_reader_init(&reader, plain);
    format = hf_take_u8(&reader);
    (void)hf_take_bytes(&reader); /* who put it */
    (void)hf_take_u64(&reader);   /* when */
    text = hf_take_bytes(&reader);
    HF_TRY(hf_reader_end(&reader, op, "a policy record"));
    if (format != HF_POLICY_FORMAT) {
        return hf_fail(op, HF_UNSUPPORTED, "a policy record has form %u; this release reads %d",
                       format, HF_POLICY_FORMAT);
    }
    HF_TRY(hf_rules_parse(op, text, &out->rules));
    hf_buf_add_bytes(&out->text, text);
    return HF_SUCCESS;
}

/* The index of the document of that name, or of the first one that sorts behind it. */
static size_t place_of(const struct hf_policy *policy, const char *name)
{
    size_t at = 0;

    while (at < policy->count && strcmp(policy->documents[at]->name, name) < 0) {
        at++;
    }
    return at;
}

static void insert(struct hf_policy *policy, size_t at, struct hf_document *document)
{
    if (policy->count == policy->room) {
        policy->room = policy->room * 2 + 8;
        policy->documents =
            hf_realloc_array(policy->documents, policy->room, sizeof(struct hf_document *));
    }
    for (size_t i = policy->count++; i > at; i--) {
        policy->documents[i] = policy->documents[i - 1];
    }
    policy->documents[at] = document;
}

/* Puts the document in the place of the one of its name. */
static void replace(struct hf_policy *policy, struct hf_document *document)
{
    size_t at = place_of(policy, document->name);

    if (at == policy->count || strcmp(policy->documents[at]->name, document->name) != 0) {
        insert(policy, at, document);
    } else if (policy->documents[at]->revision < document->revision) {
        hf_document_free(policy->documents[at]);
        policy->documents[at] = document;
    } else {
        hf_document_free(document);
    }
}

/* Compares the documents with the list: the one comes before the other when a change arrives. */
static void settle(struct hf_policy *policy)
{
    policy->is_complete = policy->list_revision > 0 || policy->count == 0;
    for (size_t i = 0; i < policy->count; i++) {
        policy->documents[i]->in_force = false;
    }
    for (size_t i = 0; i < policy->listed_count; i++) {
        struct hf_document *document = hf_policy_find(policy, policy->listed[i].name);

        if (document == NULL || document->revision < policy->listed[i].revision) {
            policy->is_complete = false;
        } else {
            document->in_force = document->rules != NULL;
        }
    }
    atomic_fetch_add(&policy->generation, 1);
}

bool hf_policy_is_sound(const struct hf_policy *policy)
{
    return policy->is_complete &&
           hf_seal_harm(policy->seal, HF_POLICY_PREFIX HF_POLICY_LIST) == HF_HARM_NONE;
}

static void forget_list(struct hf_policy *policy)
{
    for (size_t i = 0; i < policy->listed_count; i++) {
        free(policy->listed[i].name);
    }
    free(policy->listed);
    policy->listed = NULL;
    policy->listed_count = 0;
    policy->list_revision = 0;
}

static struct hf_status read_list(struct hf_policy *policy, struct hf_op *op, struct hf_bytes plain)
{
    struct hf_reader reader;
    uint8_t format;
    uint32_t count;

    hf_reader_init(&reader, plain);
    format = hf_take_u8(&reader);
    count = hf_take_u32(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct hf_listed entry = { hf_take_text(&reader), hf_take_u64(&reader) };

        policy->listed =
            hf_realloc_array(policy->listed, policy->listed_count + 1, sizeof *policy->listed);
        policy->listed[policy->listed_count++] = entry;
    }
    HF_TRY(hf_reader_end(&reader, op, "the list of policies"));
    return format == HF_POLICY_FORMAT
               ? HF_SUCCESS
               : hf_fail(op, HF_UNSUPPORTED, "the list of policies has the unknown form %u",
                         format);
}

static struct hf_status apply_list(struct hf_policy *policy, struct hf_op *op,
                                   const struct hf_opened_view *record)
{
    struct hf_status status = HF_SUCCESS;

    pthread_rwlock_wrlock(&policy->lock);
    if (record->revision > policy->list_revision) {
        forget_list(policy);
        status = read_list(policy, op, record->plain);
        policy->list_revision = status.code == HF_OK ? record->revision : 0;
        settle(policy);
    }
    pthread_rwlock_unlock(&policy->lock);
    return status;
}

static struct hf_status apply_document(struct hf_policy *policy, struct hf_op *op,
                                       const struct hf_opened_view *record, const char *name)
{
    HF_AUTO(document) document = hf_alloc(sizeof *document);

    document->name = hf_strdup(name);
    document->revision = record->revision;
    if (!record->tombstone) {
        HF_TRY(read_record(op, record->plain, document));
    }
    pthread_rwlock_wrlock(&policy->lock);
    replace(policy, HF_TAKE(document));
    settle(policy);
    pthread_rwlock_unlock(&policy->lock);
    return HF_SUCCESS;
}

static struct hf_status apply(void *context, struct hf_op *op, const struct hf_opened_view *record)
{
    const char *name = record->path + strlen(HF_POLICY_PREFIX);

    return strcmp(name, HF_POLICY_LIST) == 0 ? apply_list(context, op, record)
                                             : apply_document(context, op, record, name);
}

static void clear(void *context)
{
    struct hf_policy *policy = context;

    pthread_rwlock_wrlock(&policy->lock);
    for (size_t i = 0; i < policy->count; i++) {
        hf_document_free(policy->documents[i]);
    }
    policy->count = 0;
    forget_list(policy);
    settle(policy);
    pthread_rwlock_unlock(&policy->lock);
}

struct hf_policy *hf_policy_new(struct hf_seal *seal)
{
    struct hf_policy *policy = hf_alloc(sizeof *policy);
    struct hf_consumer consumer = {
        .kind = HF_KIND_POLICY, .apply = apply, .clear = clear, .context = policy
    };

    policy->seal = seal;
    atomic_init(&policy->generation, 1);
    pthread_rwlock_init(&policy->lock, NULL);
    policy->is_complete = true;
    policy->decisions = hf_decisions_new();
    hf_seal_add_consumer(seal, &consumer);
    return policy;
}

void hf_policy_free(struct hf_policy *policy)
{
    if (policy == NULL) {
        return;
    }
    /* Else the seal would call us later. */
    hf_seal_lock(policy->seal);
    clear(policy);
    free(policy->documents);
    hf_decisions_free(policy->decisions);
    pthread_rwlock_destroy(&policy->lock);
    free(policy);
}

/* --- reading --- */

struct hf_status hf_policy_get(struct hf_policy *policy, struct hf_op *op, const char *name,
                               struct hf_buf *out)
{
    const struct hf_document *document;
    bool found;

    pthread_rwlock_rdlock(&policy->lock);
    document = hf_policy_find(policy, name);
    found = document != NULL && document->in_force;
    if (found) {
        hf_buf_add_bytes(out, hf_buf_bytes(&document->text));
    }
    pthread_rwlock_unlock(&policy->lock);
    return found ? HF_SUCCESS : hf_fail(op, HF_NOT_FOUND, "there is no policy '%.64s'", name);
}

void hf_policy_each(struct hf_policy *policy, void (*visit)(void *context, const char *name),
                    void *context)
{
    pthread_rwlock_rdlock(&policy->lock);
    for (size_t i = 0; i < policy->count; i++) {
        if (policy->documents[i]->in_force) {
            visit(context, policy->documents[i]->name);
        }
    }
    pthread_rwlock_unlock(&policy->lock);
}

bool hf_policy_is_empty(struct hf_policy *policy)
{
    bool empty;

    pthread_rwlock_rdlock(&policy->lock);
    empty = policy->list_revision == 0 && policy->count == 0 && hf_policy_is_sound(policy);
    pthread_rwlock_unlock(&policy->lock);
    return empty;
}

bool hf_policy_is_whole(struct hf_policy *policy)
{
    bool is_whole;

    pthread_rwlock_rdlock(&policy->lock);
    is_whole = hf_policy_is_sound(policy);
    pthread_rwlock_unlock(&policy->lock);
    return is_whole;
}
