/*
 * Keyrings that name the nodes that serve them: what this node leaves to those, and which changes
 * would leave nobody.
 */
#include <string.h>

#include "seal/member.h"
#include "service/internal.h"

/* Of a failure's text. */
#define NAMES_MAX 120

/* --- this node --- */

bool hf_serve_on_is_ours(struct hf_service *service, const struct hf_op *op, const char *keyring)
{
    return !service->shared_store ||
           hf_keyring_is_served_by(service->keys, op, keyring, service->node);
}

/* "a, b": as many as a failure can tell. */
static void add_name(struct hf_buf *out, const char *name, size_t *left_out)
{
    if (out->len + strlen(name) > NAMES_MAX) {
        (*left_out)++;
        return;
    }
    hf_buf_add_text(out, out->len > 0 ? ", " : "");
    hf_buf_add_text(out, name);
}

static void end_names(struct hf_buf *out, size_t left_out)
{
    if (left_out > 0) {
        hf_buf_add_format(out, " and %zu more", left_out);
    }
}

static struct hf_status refuse(struct hf_service *service, struct hf_op *op, const char *keyring)
{
    HF_AUTO(buf) names = hf_buf_new();
    struct hf_keyring_info info;
    size_t left_out = 0;

    HF_TRY(hf_keyring_get(service->keys, op, keyring, &info));
    for (size_t i = 0; i < info.settings.serve_on.count; i++) {
        add_name(names, info.settings.serve_on.names[i], &left_out);
    }
    end_names(names, left_out);
    return hf_fail(op, HF_UNAVAILABLE,
                   "this node does not serve the keyring %.64s; ask one that does: %s", keyring,
                   hf_buf_text(names));
}

struct hf_status hf_serve_on_need(struct hf_service *service, struct hf_op *op, const char *keyring)
{
    return hf_serve_on_is_ours(service, op, keyring) ? HF_SUCCESS : refuse(service, op, keyring);
}

/* What opens, makes or moves versions takes the keyring key; the rest only tells or administers. */
static bool uses_material(enum hf_nature nature)
{
    return nature == HF_NATURE_OPEN || nature == HF_NATURE_WRAP || nature == HF_NATURE_MAKE;
}

struct hf_status hf_serve_on_check(const struct hf_call *call, struct hf_op *op)
{
    struct hf_status status;

    if (call->keyring == NULL || !uses_material(hf_nature_of(call->action))) {
        return HF_SUCCESS;
    }
    status = hf_serve_on_need(call->service, op, call->keyring);
    if (status.code == HF_OK) {
        return status;
    }
    op->standing.elsewhere = status.code == HF_UNAVAILABLE;
    return hf_call_end(call, op, status);
}

/* --- all nodes --- */

static const struct hf_member *find_member(const struct hf_members *members, const char *name)
{
    for (size_t i = 0; i < members->count; i++) {
        if (strcmp(members->items[i]->node.name, name) == 0) {
            return members->items[i];
        }
    }
    return NULL;
}

static bool can_serve(const struct hf_members *members, const char *name)
{
    const struct hf_member *member = find_member(members, name);

    return member != NULL && member->state != HF_MEMBER_REMOVED;
}

static struct hf_status check_names(struct hf_service *service, struct hf_op *op,
                                    const struct hf_serve_on *list)
{
    HF_AUTO(members) members = NULL;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < list->count; i++) {
        if (!can_serve(members, list->names[i])) {
            return hf_fail(op, HF_INVALID,
                           "serve_on: %s is no member, or was removed; 'holdfast node list' shows "
                           "who is",
                           list->names[i]);
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_serve_on_check_settings(struct hf_service *service, struct hf_op *op,
                                            const char *keyring,
                                            const struct hf_keyring_settings *settings)
{
    struct hf_keyring_info now;

    if (settings->serve_on.count == 0) {
        return HF_SUCCESS;
    }
    /* What stands already may name one that was removed since: that is no matter of this change. */
    if (hf_keyring_get(service->keys, op, keyring, &now).code == HF_OK &&
        hf_serve_on_equal(&now.settings.serve_on, &settings->serve_on)) {
        return HF_SUCCESS;
    }
    hf_op_clear(op);
    return check_names(service, op, &settings->serve_on);
}

struct removal {
    const struct hf_members *members;
    const char *node;
    struct hf_buf *keyrings; /* that nobody would serve */
    size_t left_out;
};

static void look_at_keyring(void *context, const struct hf_keyring_info *info)
{
    const struct hf_serve_on *list = &info->settings.serve_on;
    struct removal *removal = context;

    if (!hf_serve_on_names(list, removal->node)) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], removal->node) != 0 &&
            can_serve(removal->members, list->names[i])) {
            return;
        }
    }
    add_name(removal->keyrings, info->name, &removal->left_out);
}

struct hf_status hf_serve_on_check_removal(struct hf_service *service, struct hf_op *op,
                                           const char *node)
{
    HF_AUTO(members) members = NULL;
    HF_AUTO(buf) keyrings = hf_buf_new();
    struct removal removal = { .node = node, .keyrings = keyrings };

    HF_TRY(hf_members_read(service->seal, op, &members));
    removal.members = members;
    hf_keyring_each(service->keys, look_at_keyring, &removal);
    if (keyrings->len == 0) {
        return HF_SUCCESS;
    }
    end_names(keyrings, removal.left_out);
    return hf_fail(op, HF_WRONG_STATE,
                   "nobody but node %s serves these keyrings: %s; name others first with 'holdfast "
                   "keyring change --serve-on'",
                   node, hf_buf_text(keyrings));
}
