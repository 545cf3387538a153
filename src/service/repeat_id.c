/*
 * Which request id a request gets that its client may repeat: that of its first time, if there was
 * one, on any node; else a new one, which the same request gets on every node.
 */
#include <string.h>

#include "base/codec.h"
#include "service/repeat.h"

#define ID_LABEL "holdfast repeat id v1"

/*
 * Whether the store may know of a first time that the table does not: that of another node, or of
 * this one before its restart, unless it was answered here since. *out_up_to: the last commit to
 * look at.
 */
static bool store_may_know(struct hf_service *service, struct hf_op *op,
                           const struct hf_repeat_entry *entry, uint64_t *out_up_to)
{
    struct hf_repeats *repeats = service->repeats;
    uint64_t now = hf_env_boottime_ms(op->env);
    bool may_know;

    pthread_mutex_lock(&repeats->lock);
    if (!repeats->has_begun) {
        repeats->has_begun = true;
        repeats->began_ms = now;
        repeats->began_seq = hf_seal_seq(service->seal);
    }
    may_know = service->shared_store || (!hf_request_id_is_set(&entry->first.written) &&
                                         now - repeats->began_ms < entry->window_ms);
    *out_up_to = service->shared_store ? 0 : repeats->began_seq;
    pthread_mutex_unlock(&repeats->lock);
    return may_know && entry->window_ms > 0;
}

/* The id of a first time as the store knows it; else HF_NOT_FOUND. */
static struct hf_status find_first(struct hf_service *service, struct hf_op *op,
                                   const struct hf_repeat_entry *entry, uint64_t up_to,
                                   struct hf_request_id *out)
{
    HF_TRY(hf_seal_find_request(service->seal, op, hf_op_caller_id(op),
                                hf_bytes_of(entry->digest, sizeof entry->digest),
                                entry->first.since_ms, up_to, out));
    if (hf_repeats_is_same_id(out, &entry->first.written)) {
        return (struct hf_status){ HF_NOT_FOUND };
    }
    return HF_SUCCESS;
}

static bool derives_ids(const struct hf_service *service, const struct hf_repeat_entry *entry)
{
    return service->shared_store && entry->window_ms > 0;
}

/*
 * A new id. Where nodes share the store and repeats are looked for, all of them derive the same one
 * until a commit changes the key; then the commit is found by what was asked.
 */
static struct hf_status make_id(struct hf_service *service, struct hf_op *op,
                                struct hf_repeat_entry *entry, struct hf_request_id *out)
{
    HF_AUTO(buf) text = hf_buf_new();

    if (!derives_ids(service, entry)) {
        hf_env_random(op->env, out->bytes, sizeof out->bytes);
        return HF_SUCCESS;
    }
    entry->first.is_derived = true;
    hf_buf_add_text(text, ID_LABEL);
    hf_buf_add(text, entry->digest, sizeof entry->digest);
    hf_put_u64(text, entry->first.revision);
    return hf_seal_check_value(service->seal, op, hf_buf_bytes(text), out->bytes);
}

/* Of an altered key 0: the change itself is refused, to those whom policy allows to know. */
static struct hf_status look_at_key(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *key, uint64_t *out_revision)
{
    struct hf_status status = hf_key_revision(service->keys, op, keyring, key, out_revision);

    if (status.code == HF_CORRUPT) {
        hf_op_clear(op);
        *out_revision = 0;
        return HF_SUCCESS;
    }
    return status;
}

/*
 * Which id a request gets that this node has not left open: that of a commit the store knows of,
 * within the window before the request came, unless its answer went out here: asking again after
 * that is a new request. Else a new one.
 *
 * The key's revision is looked at before the store is asked: a commit of the same request on
 * another node is then either found or, if it builds on that revision, has the id that this one
 * gets. hf_repeats_check() sees to those that build on a later one.
 */
struct hf_status hf_repeats_choose_id(struct hf_service *service, struct hf_op *op,
                                      struct hf_repeat_entry *entry, const char *keyring,
                                      const char *key, struct hf_request_id *out)
{
    struct hf_status status = { HF_NOT_FOUND };
    uint64_t up_to;

    if (derives_ids(service, entry)) {
        HF_TRY(look_at_key(service, op, keyring, key, &entry->first.revision));
    }
    if (store_may_know(service, op, entry, &up_to)) {
        status = find_first(service, op, entry, up_to, out);
    }
    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    return make_id(service, op, entry, out);
}

/* --- once more, when it is known what the change builds on --- */

struct hf_status hf_repeats_check(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  const char *key)
{
    struct hf_request_id found;
    struct hf_repeat_entry *entry = NULL;
    uint64_t revision = 0;
    struct hf_status status;

    if (hf_request_id_is_set(&op->request_id)) {
        pthread_mutex_lock(&service->repeats->lock);
        entry = hf_repeats_flight(service->repeats, &op->request_id);
        pthread_mutex_unlock(&service->repeats->lock);
    }
    if (entry == NULL || !entry->first.is_derived) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_key_revision(service->keys, op, keyring, key, &revision));
    if (revision == entry->first.revision) {
        return HF_SUCCESS;
    }
    status = find_first(service, op, entry, 0, &found);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        entry->first.revision = revision;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    entry->first.is_derived = false;
    hf_repeats_set_id(service->repeats, entry, &found);
    op->request_id = found;
    return HF_SUCCESS;
}
