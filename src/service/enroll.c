/*
 * A node's own place on the list of members: the first node of a shared store takes it by itself,
 * and each keeps its site there as its configuration has it.
 */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "seal/authority.h"
#include "service/internal.h"

/* How a member opens: the first slot of protector "node" that the configuration names; or NULL. */
static const struct hf_drill_slot *own_slot(const struct hf_service *service)
{
    for (size_t i = 0; i < service->slot_count; i++) {
        if (strcmp(service->slots[i].protector.kind, "node") == 0) {
            return &service->slots[i];
        }
    }
    return NULL;
}

/* This node as it would ask to join. */
static struct hf_status describe(const struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_slot *slot, struct hf_join_request *out)
{
    struct hf_join_request node = { 0 };

    if (!hf_node_name_is_valid(service->node) ||
        (service->site[0] != '\0' && !hf_node_name_is_valid(service->site))) {
        return hf_fail(op, HF_INVALID,
                       "members and sites have names of up to %d letters, digits, '.', '-' and "
                       "'_'; node and site of the configuration are \"%.64s\" and \"%.64s\"",
                       HF_NODE_NAME_MAX, service->node, service->site);
    }
    memcpy(node.name, service->node, strlen(service->node) + 1);
    memcpy(node.site, service->site, strlen(service->site) + 1);
    HF_TRY(hf_node_key_public(hf_seal_crypto(service->seal), op, slot->protector.file,
                              node.public_key));
    *out = node;
    return HF_SUCCESS;
}

static const struct hf_member *find_member(const struct hf_members *members, const char *name)
{
    for (size_t i = 0; i < members->count; i++) {
        if (strcmp(members->items[i]->node.name, name) == 0) {
            return members->items[i];
        }
    }
    return NULL;
}

/* Whose key it is decides; a machine that only has the name is another. A name may have a new owner
 * since the one with this key was removed. */
static enum hf_membership membership_of(const struct hf_member *member,
                                        const struct hf_join_request *node)
{
    bool same_key = memcmp(member->node.public_key, node->public_key, sizeof node->public_key) == 0;

    if (!same_key) {
        return hf_member_had_key(member, node->public_key) ? HF_STANDS_REMOVED : HF_STANDS_APART;
    }
    return member->state == HF_MEMBER_REMOVED ? HF_STANDS_REMOVED : HF_STANDS_MEMBER;
}

struct hf_status hf_node_membership(struct hf_service *service, struct hf_op *op,
                                    enum hf_membership *out, size_t *out_members)
{
    const struct hf_drill_slot *slot = own_slot(service);
    HF_AUTO(members) members = NULL;
    const struct hf_member *member;
    struct hf_join_request node;
    bool taken = true;

    if (!service->shared_store) {
        *out = HF_STANDS_ALONE;
        return HF_SUCCESS;
    }
    HF_TRY(hf_members_read(service->seal, op, &members));
    *out_members = members->count;
    if (slot == NULL) {
        *out = HF_STANDS_KEYLESS;
        return HF_SUCCESS;
    }
    member = find_member(members, service->node);
    if (member == NULL) {
        HF_TRY(hf_member_first_is_taken(service->seal, op, &taken));
        *out = taken ? HF_STANDS_APART : HF_STANDS_FIRST;
        return HF_SUCCESS;
    }
    HF_TRY(describe(service, op, slot, &node));
    *out = membership_of(member, &node);
    return HF_SUCCESS;
}

/* --- the first member --- */

struct enrolling {
    const struct hf_drill_slot *slot;
    struct hf_join_request node;
};

struct slot_search {
    const char *name;
    struct hf_slot_info found;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct slot_search *search = context;

    if (strcmp(slot->name, search->name) == 0 && strcmp(slot->protector, "node") == 0) {
        search->found = *slot;
    }
}

static struct hf_status open_own(struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_slot *slot, struct hf_protector **out)
{
    return hf_protector_open(hf_seal_crypto(service->seal), op, &slot->protector, out);
}

/* The slot that init made for our key, if it did; else its name is free. */
static struct hf_status find_own(struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_slot *slot, struct hf_slot_info *out)
{
    struct slot_search search = { .name = slot->name };
    HF_AUTO(protector) protector = NULL;

    HF_TRY(hf_seal_slots(service->seal, op, match_slot, &search));
    if (search.found.id[0] == '\0') {
        HF_TRY(hf_slot_check_name(service, op, slot->name));
        *out = (struct hf_slot_info){ 0 };
        memcpy(out->name, slot->name, strnlen(slot->name, sizeof out->name - 1));
        return HF_SUCCESS;
    }
    HF_TRY(open_own(service, op, slot, &protector));
    HF_TRY(hf_seal_try_slot(service->seal, op, search.found.id, protector));
    *out = search.found;
    return HF_SUCCESS;
}

static struct hf_status stage_first(struct hf_control *control, struct hf_op *op,
                                    struct hf_txn *txn)
{
    const struct enrolling *enrolling = control->context;
    struct hf_service *service = control->call.service;
    struct hf_slot_info slot;
    bool taken = true;

    HF_TRY(hf_member_first_is_taken(service->seal, op, &taken));
    if (taken) {
        return hf_fail(op, HF_WRONG_STATE, "another node has become the first member");
    }
    HF_TRY(find_own(service, op, enrolling->slot, &slot));
    return hf_member_first_stage(service->seal, op, txn, &enrolling->node, hf_op_caller_id(op),
                                 &slot);
}

static struct hf_status commit_first(struct hf_service *service, struct hf_op *op,
                                     struct enrolling *enrolling)
{
    char fingerprint[HF_FINGERPRINT_LEN];
    HF_AUTO_STRING detail = NULL;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_APPROVE },
        .stage = stage_first,
        .context = enrolling,
    };

    HF_TRY(hf_node_fingerprint(hf_seal_crypto(service->seal), op, enrolling->node.public_key,
                               fingerprint));
    detail = hf_format("the first node of the store: '%s' (site '%s') with the key %s",
                       enrolling->node.name, enrolling->node.site, fingerprint);
    control.call.detail = detail;
    return hf_control_run(&control, op);
}

static struct hf_status enroll_first(struct hf_service *service, struct hf_op *op)
{
    struct enrolling enrolling = { .slot = own_slot(service) };
    const char *file = enrolling.slot->protector.file;
    HF_AUTO(protector) protector = NULL;

    if (access(file, F_OK) != 0) {
        HF_TRY(hf_node_key_create(hf_seal_crypto(service->seal), op, file));
    }
    HF_TRY(describe(service, op, enrolling.slot, &enrolling.node));
    HF_TRY(commit_first(service, op, &enrolling));
    HF_INFO(op->env, "node %s is the first member of the store, by the key in %s", service->node,
            file);
    HF_TRY(open_own(service, op, enrolling.slot, &protector));
    return hf_seal_prove_slots(service->seal, op, protector);
}

/* --- where it stands --- */

static struct hf_status stage_site(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    struct hf_service *service = control->call.service;
    HF_AUTO(member) member = NULL;

    HF_TRY(hf_member_get(service->seal, op, service->node, &member));
    memset(member->node.site, 0, sizeof member->node.site);
    memcpy(member->node.site, service->site, strlen(service->site));
    return hf_member_change_stage(op, txn, member->state, member);
}

static struct hf_status keep_site(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO(member) member = NULL;
    HF_AUTO_STRING detail = NULL;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_CHANGE },
        .stage = stage_site,
    };

    HF_TRY(hf_member_get(service->seal, op, service->node, &member));
    if (strcmp(member->node.site, service->site) == 0) {
        return HF_SUCCESS;
    }
    detail = hf_format("node '%s' has moved from site '%s' to '%s' by its configuration",
                       service->node, member->node.site, service->site);
    control.call.detail = detail;
    return hf_control_run(&control, op);
}

struct hf_status hf_service_node_enroll(struct hf_service *service, struct hf_op *op)
{
    enum hf_membership standing = HF_STANDS_ALONE;
    size_t members = 0;

    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(hf_node_membership(service, op, &standing, &members));
    switch (standing) {
    case HF_STANDS_FIRST:
        return enroll_first(service, op);
    case HF_STANDS_MEMBER:
        return keep_site(service, op);
    case HF_STANDS_ALONE:
    case HF_STANDS_KEYLESS:
    case HF_STANDS_REMOVED:
    case HF_STANDS_APART:
        break;
    }
    return HF_SUCCESS;
}

/* --- removed --- */

struct hf_status hf_service_node_leave(struct hf_service *service, struct hf_op *op)
{
    static const char why[] = "this node was removed from its store";
    struct hf_call call = { .service = service, .action = HF_ACT_LOCK, .detail = why };
    enum hf_membership standing = HF_STANDS_ALONE;
    size_t members = 0;

    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(hf_node_membership(service, op, &standing, &members));
    atomic_store(&service->removed, standing == HF_STANDS_REMOVED);
    if (standing != HF_STANDS_REMOVED) {
        return HF_SUCCESS;
    }
    /* It goes whether the trail takes it or not. */
    if (hf_call_end_synced(&call, op, HF_SUCCESS).code != HF_OK) {
        HF_WARNING(op->env, "that this node locks itself could not be recorded: %s", op->text);
        hf_op_clear(op);
    }
    hf_seal_lock(service->seal);
    HF_ERROR(op->env,
             "%s and has locked itself; its key never comes back: move it away and begin "
             "again with 'holdfast node join'",
             why);
    return HF_SUCCESS;
}

struct hf_status hf_service_node_certificate(struct hf_service *service, struct hf_op *op,
                                             struct hf_bytes pem, struct hf_buf *out)
{
    HF_AUTO_STRING detail = hf_format("a server certificate of node '%s' goes on", service->node);
    struct hf_call call = { .service = service, .action = HF_ACT_NODE_CHANGE, .detail = detail };
    struct hf_status status;

    HF_TRY(hf_call_unlocked(service, op));
    status = hf_authority_renew(service->seal, op, pem, out);
    /* What is somebody else's is his affair, and asked about each day. */
    return status.code == HF_DENIED || status.code == HF_NOT_FOUND ? status
                                                                   : hf_call_end(&call, op, status);
}
