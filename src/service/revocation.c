/*
 * Revocations carried by hand to a node that is cut off: a node with a lease states what the store
 * says, and another keeps that until it has followed the commit.
 */
#include "service/revocation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "service/internal.h"

struct hf_revocations {
    atomic_bool is_any;   /* whether there is anything to look after; asked without the lock */
    pthread_mutex_t lock; /* guards the rest, and the file */
    struct hf_revocation *items;
    size_t count;
    bool unread;    /* what the file has is not known: it is kept until there is a lease */
    bool unwritten; /* the file has entries that are followed */
    uint64_t tried; /* the commit at which it was last written in vain */
};

struct hf_revocations *hf_revocations_new(void)
{
    struct hf_revocations *revocations = hf_alloc(sizeof *revocations);

    pthread_mutex_init(&revocations->lock, NULL);
    return revocations;
}

void hf_revocations_free(struct hf_revocations *revocations)
{
    if (revocations != NULL) {
        pthread_mutex_destroy(&revocations->lock);
        free(revocations->items);
        free(revocations);
    }
}

static struct hf_status check_alone(struct hf_service *service, struct hf_op *op)
{
    if (service->cluster == NULL) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store is this node's alone: it follows no other, and what is revoked "
                       "is revoked at once");
    }
    return HF_SUCCESS;
}

/* "hdfs/sales@3", for people. */
static char *what_of(const struct hf_revocation *revocation)
{
    return revocation->version == HF_LATEST
               ? hf_format("%s/%s", revocation->keyring, revocation->key)
               : hf_format("%s/%s@%" PRIu32, revocation->keyring, revocation->key,
                           revocation->version);
}

static char *detail_of(const struct hf_revocation *revocation)
{
    return hf_format("%s as of commit %" PRIu64 ", by node %s", hf_revoked_as_name(revocation->as),
                     revocation->seq, revocation->node);
}

/* --- making one --- */

/* No node that may answer shows an older state: else it would not be a revocation yet. */
static struct hf_status wait_in_force(struct hf_service *service, struct hf_op *op, uint64_t seq)
{
    return hf_cluster_in_force(service->cluster) >= seq ? HF_SUCCESS
                                                        : hf_standing_in_force(service, op, seq, 0);
}

static struct hf_status make(const struct hf_call *call, struct hf_op *op,
                             struct hf_revocation *out)
{
    struct hf_service *service = call->service;
    struct hf_bytes store = hf_seal_store_id(service->seal);

    HF_TRY(check_alone(service, op));
    HF_TRY(hf_key_revoked_as(service->keys, op, call->keyring, call->key,
                             call->has_version ? call->version : HF_LATEST, &out->as, &out->seq));
    HF_TRY(wait_in_force(service, op, out->seq));
    hf_assert(store.len == sizeof out->store);
    memcpy(out->store, store.data, store.len);
    (void)snprintf(out->keyring, sizeof out->keyring, "%s", call->keyring);
    (void)snprintf(out->key, sizeof out->key, "%s", call->key);
    (void)snprintf(out->node, sizeof out->node, "%s", service->node);
    out->version = call->has_version ? call->version : HF_LATEST;
    return hf_revocation_mac(service->seal, op, out, out->mac);
}

struct hf_status hf_service_key_revocation(struct hf_service *service, struct hf_op *op,
                                           const char *keyring, const char *name, uint32_t version,
                                           struct hf_revocation *out)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_REVOCATION,
                            .keyring = keyring,
                            .key = name,
                            .has_version = version != HF_LATEST,
                            .version = version };
    struct hf_revocation revocation = { 0 };
    HF_AUTO_STRING detail = NULL;
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "it waits until the revocation is in force");
    }
    HF_TRY(hf_call_allow(&call, op));
    status = make(&call, op, &revocation);
    if (status.code == HF_OK) {
        detail = detail_of(&revocation);
        call.detail = detail;
    }
    HF_TRY(hf_call_end_synced(&call, op, status));
    *out = revocation;
    return HF_SUCCESS;
}

/* --- what is kept: with the lock --- */

static void put_in_force(struct hf_service *service)
{
    const struct hf_revocations *revocations = service->revocations;
    struct hf_revoked items[HF_REVOKED_MAX];

    for (size_t i = 0; i < revocations->count; i++) {
        const struct hf_revocation *item = &revocations->items[i];

        items[i] = (struct hf_revoked){
            .keyring = item->keyring,
            .key = item->key,
            .version = item->version,
            .as = item->as,
            .seq = item->seq,
        };
    }
    hf_keys_set_revoked(service->keys, items, revocations->count);
}

static void note_any(struct hf_revocations *revocations)
{
    atomic_store(&revocations->is_any,
                 revocations->count > 0 || revocations->unread || revocations->unwritten);
}

static struct hf_status write_file(struct hf_service *service, struct hf_op *op,
                                   const struct hf_revocation *items, size_t count)
{
    HF_AUTO(buf) content = hf_buf_new();

    if (service->outside.keep_revocations == NULL) {
        return hf_fail(op, HF_UNSUPPORTED, "this node has no place to keep a revocation");
    }
    for (size_t i = 0; i < count; i++) {
        hf_revocation_write(&items[i], content);
        hf_buf_add_text(content, "\n");
    }
    return service->outside.keep_revocations(service->outside.context, op, hf_buf_bytes(content));
}

/* --- taking one --- */

/* Of another store, or not said by a node of this one. */
static struct hf_status check_true(struct hf_service *service, struct hf_op *op,
                                   const struct hf_revocation *revocation)
{
    uint8_t mac[HF_SHA256_LEN];

    if (!hf_bytes_equal(hf_seal_store_id(service->seal),
                        hf_bytes_of(revocation->store, sizeof revocation->store))) {
        return hf_fail_cause(op, HF_INVALID, HF_CAUSE_OTHER_STORE,
                             "this revocation is of another store");
    }
    HF_TRY(hf_revocation_mac(service->seal, op, revocation, mac));
    if (!hf_bytes_equal_constant_time(hf_bytes_of(mac, sizeof mac),
                                      hf_bytes_of(revocation->mac, sizeof revocation->mac))) {
        return hf_fail_cause(op, HF_INVALID, HF_CAUSE_ALTERED,
                             "this revocation is not what a node of this store has said: its MAC "
                             "is wrong");
    }
    return HF_SUCCESS;
}

/* Both stay where the same is said to be in different states: each takes away. */
static bool is_same(const struct hf_revocation *one, const struct hf_revocation *other)
{
    return one->version == other->version && one->as == other->as &&
           strcmp(one->key, other->key) == 0 && strcmp(one->keyring, other->keyring) == 0;
}

/* With the lock. The list with this one in it, in memory of its own. */
static struct hf_status add(const struct hf_revocations *revocations, struct hf_op *op,
                            const struct hf_revocation *added, struct hf_revocation **out,
                            size_t *out_count)
{
    size_t count = revocations->count;
    size_t at = 0;

    while (at < count && !is_same(&revocations->items[at], added)) {
        at++;
    }
    if (at == HF_REVOKED_MAX) {
        return hf_fail(op, HF_LIMITED,
                       "%d revocations are kept already: 'holdfast lock' stops all use of keys",
                       HF_REVOKED_MAX);
    }
    *out = hf_alloc_array(count + 1, sizeof **out);
    if (count > 0) {
        memcpy(*out, revocations->items, count * sizeof **out);
    }
    if (at == count || added->seq > (*out)[at].seq) {
        (*out)[at] = *added;
    }
    *out_count = at == count ? count + 1 : count;
    return HF_SUCCESS;
}

/* With the lock. On the disk before it is in force, so that what was answered outlives the node. */
static struct hf_status keep(struct hf_service *service, struct hf_op *op,
                             const struct hf_revocation *revocation)
{
    struct hf_revocations *revocations = service->revocations;
    struct hf_revocation *items = NULL;
    size_t count = 0;
    struct hf_status status;

    if (revocations->unread) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the revocations that this node has kept cannot be read, and the log says "
                       "why: nothing is added to them; 'holdfast lock' stops all use of keys");
    }
    HF_TRY(add(revocations, op, revocation, &items, &count));
    status = write_file(service, op, items, count);
    if (status.code != HF_OK) {
        free(items);
        return status;
    }
    free(revocations->items);
    revocations->items = items;
    revocations->count = count;
    revocations->unwritten = false;
    put_in_force(service);
    note_any(revocations);
    return HF_SUCCESS;
}

static struct hf_status take(struct hf_service *service, struct hf_op *op,
                             const struct hf_revocation *revocation, bool *out_followed)
{
    struct hf_status status = HF_SUCCESS;

    HF_TRY(check_alone(service, op));
    HF_TRY(check_true(service, op, revocation));
    pthread_mutex_lock(&service->revocations->lock);
    *out_followed = hf_seal_seq(service->seal) >= revocation->seq;
    if (!*out_followed) {
        status = keep(service, op, revocation);
    }
    pthread_mutex_unlock(&service->revocations->lock);
    return status;
}

struct hf_status hf_service_node_revoke(struct hf_service *service, struct hf_op *op,
                                        const struct hf_revocation *revocation, bool *out_followed)
{
    HF_AUTO_STRING detail = detail_of(revocation);
    struct hf_call call = { .service = service,
                            .action = HF_ACT_NODE_REVOKE,
                            .keyring = revocation->keyring,
                            .key = revocation->key,
                            .has_version = revocation->version != HF_LATEST,
                            .version = revocation->version,
                            .detail = detail };
    bool followed = false;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a revocation is kept on disk first");
    }
    HF_TRY(hf_call_allow(&call, op));
    /* It stands even where the trail takes no line: it only takes away. */
    HF_TRY(hf_call_end_synced(&call, op, take(service, op, revocation, &followed)));
    *out_followed = followed;
    return HF_SUCCESS;
}

/* --- from one life of the node to the next --- */

struct reading {
    struct hf_revocation *items; /* room for HF_REVOKED_MAX */
    size_t count;
    bool has_more; /* the file has entries that were followed meanwhile */
};

static struct hf_status read_line(struct hf_service *service, struct hf_op *op,
                                  struct hf_bytes line, struct reading *reading)
{
    struct hf_revocation *place = &reading->items[reading->count];

    if (reading->count == HF_REVOKED_MAX) {
        return hf_fail(op, HF_CORRUPT, "there are more than a node keeps");
    }
    HF_TRY(hf_revocation_read(op, line, place));
    HF_TRY(check_true(service, op, place));
    if (place->seq > hf_seal_seq(service->seal)) {
        reading->count++;
    } else {
        reading->has_more = true;
    }
    return HF_SUCCESS;
}

static struct hf_status read_lines(struct hf_service *service, struct hf_op *op,
                                   struct hf_bytes text, struct reading *reading)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : 0;

        if (end == NULL) {
            return hf_fail(op, HF_CORRUPT, "the last one is cut short");
        }
        HF_TRY(read_line(service, op, hf_bytes_of(text.data, len), reading));
        text = hf_bytes_of(end + 1, text.len - len - 1);
    }
    return HF_SUCCESS;
}

static struct hf_status read_file(struct hf_service *service, struct hf_op *op,
                                  struct reading *reading)
{
    HF_AUTO(secret) content = NULL;

    HF_TRY(service->outside.recall_revocations(service->outside.context, op, &content));
    return content != NULL ? read_lines(service, op, hf_secret_bytes(content), reading)
                           : HF_SUCCESS;
}

struct hf_status hf_service_revocations_recall(struct hf_service *service, struct hf_op *op)
{
    struct hf_revocations *revocations = service->revocations;
    struct reading reading = { 0 };
    struct hf_status status;

    if (service->cluster == NULL || service->outside.recall_revocations == NULL) {
        return HF_SUCCESS;
    }
    reading.items = hf_alloc_array(HF_REVOKED_MAX, sizeof *reading.items);
    pthread_mutex_lock(&revocations->lock);
    status = read_file(service, op, &reading);
    revocations->unread = status.code != HF_OK;
    if (status.code == HF_OK) {
        free(revocations->items);
        revocations->items = HF_TAKE(reading.items);
        revocations->count = reading.count;
        revocations->unwritten = reading.has_more;
        put_in_force(service);
    }
    note_any(revocations);
    pthread_mutex_unlock(&revocations->lock);
    free(reading.items);
    return status;
}

/* --- their end --- */

/* With the lock. Gives how many have ended. */
static size_t drop_followed(struct hf_revocations *revocations, const struct hf_op *op,
                            uint64_t followed)
{
    size_t before = revocations->count;
    size_t kept = 0;

    for (size_t i = 0; i < before; i++) {
        if (revocations->items[i].seq > followed) {
            revocations->items[kept++] = revocations->items[i];
        } else {
            HF_AUTO_STRING what = what_of(&revocations->items[i]);

            HF_INFO(op->env, "the revocation of %s has ended: commit %" PRIu64 " is followed", what,
                    revocations->items[i].seq);
        }
    }
    revocations->count = kept;
    return before - kept;
}

/* With the lock. A file that cannot be written has too much in it, which the next start drops. */
static void write_rest(struct hf_service *service, struct hf_op *op, uint64_t followed)
{
    struct hf_revocations *revocations = service->revocations;

    if (!revocations->unwritten || revocations->tried == followed) {
        return;
    }
    if (write_file(service, op, revocations->items, revocations->count).code == HF_OK) {
        revocations->unwritten = false;
        return;
    }
    HF_WARNING(op->env, "revocations that have ended are not dropped from their file: %s",
               op->text);
    hf_op_clear(op);
    revocations->tried = followed;
}

void hf_service_revocations_end(struct hf_service *service, struct hf_op *op)
{
    struct hf_revocations *revocations = service->revocations;
    uint64_t followed = hf_seal_seq(service->seal);

    if (!atomic_load(&revocations->is_any)) {
        return;
    }
    pthread_mutex_lock(&revocations->lock);
    if (drop_followed(revocations, op, followed) > 0) {
        put_in_force(service);
        revocations->unwritten = true;
    }
    /* With a lease all that the store knew is followed, whatever the file said. */
    if (revocations->unread && hf_cluster_lease(service->cluster) != 0) {
        revocations->unread = false;
        revocations->unwritten = true;
    }
    write_rest(service, op, followed);
    note_any(revocations);
    pthread_mutex_unlock(&revocations->lock);
}

void hf_revocations_warn(struct hf_revocations *revocations, const struct hf_op *op)
{
    pthread_mutex_lock(&revocations->lock);
    for (size_t i = 0; i < revocations->count; i++) {
        HF_AUTO_STRING what = what_of(&revocations->items[i]);

        HF_WARNING(op->env,
                   "the revocation of %s speaks of commit %" PRIu64
                   " of the history that was given "
                   "up: look whether it is revoked in this one, since it ends at that number",
                   what, revocations->items[i].seq);
    }
    pthread_mutex_unlock(&revocations->lock);
}

void hf_revocations_look(struct hf_revocations *revocations, struct hf_revocations_view *out)
{
    *out = (struct hf_revocations_view){ 0 };
    pthread_mutex_lock(&revocations->lock);
    out->unread = revocations->unread;
    out->count = revocations->count;
    for (size_t i = 0; i < revocations->count; i++) {
        const struct hf_revocation *item = &revocations->items[i];

        out->until_seq = item->seq > out->until_seq ? item->seq : out->until_seq;
    }
    pthread_mutex_unlock(&revocations->lock);
}
