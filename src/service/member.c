/* Nodes that join by their own key pair: approved, shown, drained, removed. */
#include "seal/member.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/text.h"
#include "service/proof.h"

/* --- showing --- */

struct slot_search {
    const char *id;
    struct hf_node_info *info;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    const struct slot_search *search = context;

    if (strcmp(slot->id, search->id) == 0) {
        search->info->proven_ms = slot->proven_ms;
        search->info->proven_generation = slot->proven_generation;
    }
}

static struct hf_status show(struct hf_service *service, struct hf_op *op,
                             const struct hf_member *member, hf_node_visit *visit, void *context)
{
    struct hf_node_info info = { .member = member };
    struct slot_search search = { member->slot, &info };

    HF_TRY(hf_node_fingerprint(hf_seal_crypto(service->seal), op, member->node.public_key,
                               info.fingerprint));
    HF_TRY(hf_seal_slots(service->seal, op, match_slot, &search));
    visit(context, &info);
    return HF_SUCCESS;
}

static struct hf_status show_all(struct hf_service *service, struct hf_op *op, hf_node_visit *visit,
                                 void *context)
{
    HF_AUTO(members) members = NULL;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        HF_TRY(show(service, op, members->items[i], visit, context));
    }
    return HF_SUCCESS;
}

static struct hf_status show_one(struct hf_service *service, struct hf_op *op, const char *name,
                                 hf_node_visit *visit, void *context)
{
    HF_AUTO(member) member = NULL;

    HF_TRY(hf_member_get(service->seal, op, name, &member));
    return show(service, op, member, visit, context);
}

/* The members are read from the store. */
static struct hf_status check_may_wait(struct hf_op *op)
{
    return op->may_wait ? HF_SUCCESS : hf_fail(op, HF_LATER, "nodes are read from the store");
}

struct hf_status hf_service_node_list(struct hf_service *service, struct hf_op *op,
                                      hf_node_visit *visit, void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_NODE_LIST };

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(check_may_wait(op));
    return hf_call_end(&call, op, show_all(service, op, visit, context));
}

struct hf_status hf_service_node_show(struct hf_service *service, struct hf_op *op,
                                      const char *name, hf_node_visit *visit, void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_NODE_LIST };

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(check_may_wait(op));
    return hf_call_end(&call, op, show_one(service, op, name, visit, context));
}

/* --- approving --- */

struct approving {
    struct hf_join_request node;
    char fingerprint[HF_FINGERPRINT_LEN];
    bool may_add; /* a slot may be made: not before two people have said so, where they must */
    char approval[HF_APPROVAL_ID]; /* "": none is needed, or this is only a trial */
};

static struct hf_status was_removed(struct hf_op *op, const struct hf_member *member)
{
    return hf_fail(op, HF_WRONG_STATE,
                   "this key was removed with node %s, and a removed key never comes back; on the "
                   "machine, move secrets/node-join.key away and join again",
                   member->node.name);
}

static struct hf_status check_key(struct hf_op *op, const struct hf_join_request *node,
                                  const struct hf_member *member)
{
    bool same_key = memcmp(member->node.public_key, node->public_key, sizeof node->public_key) == 0;

    if (hf_member_had_key(member, node->public_key) ||
        (same_key && member->state == HF_MEMBER_REMOVED)) {
        return was_removed(op, member);
    }
    if (same_key && strcmp(member->node.name, node->name) != 0) {
        return hf_fail(op, HF_EXISTS, "this key is that of node %s already", member->node.name);
    }
    return HF_SUCCESS;
}

/* What is there under this name: the same key (nothing is new), a removed node, or nothing. */
static struct hf_status look_up(struct hf_service *service, struct hf_op *op,
                                const struct hf_join_request *node, struct hf_member **out,
                                bool *out_new)
{
    HF_AUTO(members) members = NULL;
    HF_AUTO(member) found = NULL;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        HF_TRY(check_key(op, node, members->items[i]));
        if (strcmp(members->items[i]->node.name, node->name) == 0) {
            found = HF_TAKE(members->items[i]);
        }
    }
    if (found == NULL) {
        found = hf_alloc(sizeof *found);
    }
    *out_new = found->revision == 0 || found->state == HF_MEMBER_REMOVED;
    if (!*out_new &&
        memcmp(found->node.public_key, node->public_key, sizeof node->public_key) != 0) {
        return hf_fail(op, HF_EXISTS,
                       "there is a node %s with another key; 'holdfast node remove %s' makes room",
                       node->name, node->name);
    }
    *out = HF_TAKE(found);
    return HF_SUCCESS;
}

static struct hf_status stage_node(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct approving *approving = control->context;
    struct hf_service *service = control->call.service;
    HF_AUTO(member) member = NULL;
    bool is_new = false;

    HF_TRY(look_up(service, op, &approving->node, &member, &is_new));
    if (approving->approval[0] != '\0') {
        HF_TRY(hf_approval_use(service, op, txn, approving->approval));
    }
    if (!is_new) {
        memcpy(member->node.site, approving->node.site, sizeof member->node.site);
        return hf_member_change_stage(op, txn, member->state, member);
    }
    if (!approving->may_add) {
        return hf_fail(op, HF_WRONG_STATE, "node %s was removed a moment ago; ask again",
                       approving->node.name);
    }
    HF_TRY(hf_slot_check_name(service, op, approving->node.name));
    return hf_member_add_stage(service->seal, op, txn, &approving->node, hf_op_caller_id(op),
                               member);
}

static void put_asked(const struct approving *approving, struct hf_buf *out)
{
    hf_put_text(out, approving->node.name);
    hf_put_text(out, approving->node.site);
    hf_buf_add(out, approving->node.public_key, sizeof approving->node.public_key);
    hf_put_bytes(out, hf_bytes_of(approving->node.wish.key, approving->node.wish.key_len));
    hf_put_text(out, approving->node.wish.hosts);
}

static struct hf_status take_request(struct hf_service *service, struct hf_op *op,
                                     const char *request, const char *fingerprint,
                                     struct approving *out)
{
    struct hf_crypto *crypto = hf_seal_crypto(service->seal);
    HF_AUTO(join_bundle) trial = NULL;
    char whole[HF_FINGERPRINT_LEN];

    HF_TRY(hf_join_request_parse(crypto, op, hf_bytes_of_text(request), &out->node));
    HF_TRY(hf_join_request_fingerprint(crypto, op, &out->node, whole));
    if (fingerprint != NULL && !hf_fingerprint_matches(whole, fingerprint)) {
        return hf_fail(op, HF_INVALID,
                       "the fingerprint of this request is %s, not the one given: it is not what "
                       "the new machine printed; do not approve it",
                       whole);
    }
    /* What cannot be certified is told before anything is committed. */
    HF_TRY(hf_join_bundle_make(service->seal, op, &out->node, "", &trial));
    return hf_node_fingerprint(crypto, op, out->node.public_key, out->fingerprint);
}

/*
 * Two people are asked before a slot is made, or a certificate for a machine that has one: whoever
 * has it can answer for the names in it.
 */
static struct hf_status get_ready(struct hf_control *control, struct hf_op *op)
{
    struct approving *approving = control->context;
    HF_AUTO(member) member = NULL;
    struct hf_status status =
        look_up(control->call.service, op, &approving->node, &member, &approving->may_add);

    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    return approving->may_add || approving->node.wish.key_len > 0
               ? hf_slot_pass_approval(control, op, approving->node.name,
                                       hf_buf_bytes(control->asked), approving->approval)
               : HF_SUCCESS;
}

static struct hf_status approve(struct hf_control *control, struct hf_op *op, const char *request,
                                const char *fingerprint)
{
    struct approving *approving = control->context;
    const char *hosts = approving->node.wish.hosts;
    struct hf_status status =
        take_request(control->call.service, op, request, fingerprint, approving);
    HF_AUTO_STRING detail = NULL;

    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    put_asked(approving, control->asked);
    detail = hf_format("approved node '%s' (site '%s') with the key %s, %s%s", approving->node.name,
                       approving->node.site, approving->fingerprint,
                       hosts[0] != '\0' ? "certified for " : "without a certificate", hosts);
    control->call.detail = detail;
    status = hf_control_has_happened(control, op) ? hf_control_end_repeated(control, op)
                                                  : get_ready(control, op);
    if (status.code == HF_OK && !control->repeated) {
        status = hf_control_run(control, op);
    }
    control->call.detail = NULL;
    return status;
}

/* A repeat has the first answer, but a node that went meanwhile gets no new certificate. */
static struct hf_status check_stayed(struct hf_op *op, const struct hf_join_request *node,
                                     const struct hf_member *member)
{
    bool same_key = memcmp(member->node.public_key, node->public_key, sizeof node->public_key) == 0;

    return same_key && member->state != HF_MEMBER_REMOVED
               ? HF_SUCCESS
               : hf_fail(op, HF_WRONG_STATE,
                         "node %s was removed after this request was approved; it gets no bundle",
                         node->name);
}

static struct hf_status give_bundle(struct hf_service *service, struct hf_op *op,
                                    const struct hf_join_request *node, const char *slot,
                                    struct hf_buf *out, char out_fingerprint[HF_FINGERPRINT_LEN])
{
    struct hf_crypto *crypto = hf_seal_crypto(service->seal);
    HF_AUTO(join_bundle) bundle = NULL;

    HF_TRY(hf_join_bundle_make(service->seal, op, node, slot, &bundle));
    HF_TRY(hf_join_bundle_fingerprint(crypto, op, bundle, out_fingerprint));
    return hf_join_bundle_print(crypto, op, bundle, out);
}

struct hf_status hf_service_node_approve(struct hf_service *service, struct hf_op *op,
                                         const char *request, const char *fingerprint,
                                         hf_node_visit *visit, void *context, struct hf_buf *out,
                                         char out_bundle_fingerprint[HF_FINGERPRINT_LEN])
{
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO(member) member = NULL;
    struct approving approving = { .may_add = false };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_APPROVE },
        .stage = stage_node,
        .context = &approving,
        .asked = asked,
    };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(check_may_wait(op));
    HF_TRY(approve(&control, op, request, fingerprint));
    /* As it is recorded: a repeat staged another slot that came to nothing. */
    HF_TRY(hf_member_get(service->seal, op, approving.node.name, &member));
    status = check_stayed(op, &approving.node, member);
    if (status.code != HF_OK) {
        return hf_call_end(&control.call, op, status);
    }
    HF_TRY(give_bundle(service, op, &approving.node, member->slot, out, out_bundle_fingerprint));
    member->node.wish = approving.node.wish;
    return show(service, op, member, visit, context);
}

/* --- draining --- */

struct draining {
    const char *name;
    bool draining;
};

static struct hf_status stage_draining(struct hf_control *control, struct hf_op *op,
                                       struct hf_txn *txn)
{
    const struct draining *draining = control->context;
    HF_AUTO(member) member = NULL;

    HF_TRY(hf_member_get(control->call.service->seal, op, draining->name, &member));
    if (member->state == HF_MEMBER_REMOVED) {
        return hf_fail(op, HF_WRONG_STATE, "node %s was removed", draining->name);
    }
    return hf_member_change_stage(
        op, txn, hf_member_state_of(hf_member_is_away(member), draining->draining), member);
}

struct hf_status hf_service_node_drain(struct hf_service *service, struct hf_op *op,
                                       const char *name, bool draining, hf_node_visit *visit,
                                       void *context)
{
    HF_AUTO_STRING detail =
        hf_format("node '%.64s' is %s", name, draining ? "draining" : "taken back");
    HF_AUTO(buf) asked = hf_buf_new();
    struct draining change = { name, draining };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_CHANGE, .detail = detail },
        .stage = stage_draining,
        .context = &change,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    hf_put_text(asked, name);
    hf_put_u8(asked, draining);
    HF_TRY(hf_control_run(&control, op));
    return show_one(service, op, name, visit, context);
}

struct hf_status hf_node_check_serving(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO(member) member = NULL;
    struct hf_status status = hf_member_get(service->seal, op, service->node, &member);

    if (status.code == HF_OK && hf_member_is_draining(member)) {
        return hf_fail(op, HF_WRONG_STATE, "this node is draining; it opens what it is asked");
    }
    /* A store that is this node's alone has no list, and one that cannot be read stops nobody. */
    hf_op_clear(op);
    return HF_SUCCESS;
}

/* --- removing --- */

struct removal {
    const char *name;
    bool keep_root;
    char approval[HF_APPROVAL_ID]; /* "": none is needed, or this is only a trial */
};

struct key_file_search {
    const struct hf_member *member;
    bool found;
};

static void match_key_file(void *context, const struct hf_slot_info *slot)
{
    struct key_file_search *search = context;

    search->found = search->found || (strcmp(slot->name, search->member->node.name) == 0 &&
                                      strcmp(slot->id, search->member->slot) != 0);
}

/* What "holdfast init" made for a node before its store was shared opens the next root too. */
static struct hf_status check_no_key_file(struct hf_service *service, struct hf_op *op,
                                          const struct hf_member *member)
{
    struct key_file_search search = { member, false };

    HF_TRY(hf_seal_slots(service->seal, op, match_key_file, &search));
    return search.found
               ? hf_fail(op, HF_WRONG_STATE,
                         "node %s also opens through the slot of its name, and would open the new "
                         "root by it; remove that first: 'holdfast slot remove %s --keep-root'",
                         member->node.name, member->node.name)
               : HF_SUCCESS;
}

/*
 * Without a member nobody has a lease: nothing could be changed any more, and nobody approved. The
 * record of the first that is left is written, too, so that two removals at the same time conflict.
 * A store that is this node's own needs no member.
 */
static struct hf_status stage_remaining(struct hf_service *service, struct hf_op *op,
                                        struct hf_txn *txn, const char *name)
{
    HF_AUTO(members) members = NULL;

    if (!service->shared_store) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        struct hf_member *member = members->items[i];

        if (member->state != HF_MEMBER_REMOVED && strcmp(member->node.name, name) != 0) {
            return hf_member_change_stage(op, txn, member->state, member);
        }
    }
    return hf_fail(op, HF_WRONG_STATE,
                   "node %s is the last member: without it no node would have a lease, and nothing "
                   "could be changed any more; approve another node first",
                   name);
}

/* A slot that is gone already went with a rotation, or its remover was told what that means. */
static struct hf_status stage_slot_removal(struct hf_service *service, struct hf_op *op,
                                           struct hf_txn *txn, const struct hf_member *member,
                                           bool keep_root)
{
    struct hf_status status =
        hf_seal_slot_remove_stage(service->seal, op, txn, member->slot, keep_root);

    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    return keep_root ? HF_SUCCESS : hf_seal_root_stage(service->seal, op, txn, NULL);
}

static struct hf_status stage_removal(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    const struct removal *removal = control->context;
    struct hf_service *service = control->call.service;
    uint32_t generation = hf_seal_root_generation(service->seal);
    HF_AUTO(member) member = NULL;

    HF_TRY(hf_member_get(service->seal, op, removal->name, &member));
    if (member->state == HF_MEMBER_REMOVED) {
        return hf_fail(op, HF_WRONG_STATE, "node %s was removed already", removal->name);
    }
    HF_TRY(check_no_key_file(service, op, member));
    HF_TRY(hf_serve_on_check_removal(service, op, removal->name));
    HF_TRY(stage_remaining(service, op, txn, removal->name));
    if (removal->approval[0] != '\0') {
        HF_TRY(hf_approval_use(service, op, txn, removal->approval));
    }
    HF_TRY(stage_slot_removal(service, op, txn, member, removal->keep_root));
    HF_TRY(hf_slot_proofs_drop(service, op, txn, removal->name));
    HF_TRY(hf_member_change_stage(op, txn, HF_MEMBER_REMOVED, member));
    hf_control_answer(control, generation + (removal->keep_root ? 0 : 1));
    return HF_SUCCESS;
}

static struct hf_status remove_node(struct hf_control *control, struct hf_op *op)
{
    struct removal *removal = control->context;

    if (hf_control_has_happened(control, op)) {
        return hf_control_end_repeated(control, op);
    }
    HF_TRY(hf_slot_pass_approval(control, op, removal->name, hf_buf_bytes(control->asked),
                                 removal->approval));
    return hf_control_run(control, op);
}

struct hf_status hf_service_node_remove(struct hf_service *service, struct hf_op *op,
                                        const char *name, bool keep_root, uint32_t *out_generation)
{
    HF_AUTO_STRING detail = hf_format("removed node '%.64s' with its slot, %s", name,
                                      keep_root ? "the root kept" : "with a new root");
    HF_AUTO(buf) asked = hf_buf_new();
    struct removal removal = { .name = name, .keep_root = keep_root };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_REMOVE, .detail = detail },
        .stage = stage_removal,
        .context = &removal,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(check_may_wait(op));
    hf_put_text(asked, name);
    hf_put_u8(asked, keep_root);
    HF_TRY(remove_node(&control, op));
    *out_generation = control.number;
    return HF_SUCCESS;
}

bool hf_service_node_is_this(const struct hf_service *service, const char *name)
{
    return service->shared_store && strcmp(service->node, name) == 0;
}
