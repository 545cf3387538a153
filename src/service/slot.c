/* The slots that open the root key: shown, added, proven, removed. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "seal/member.h"
#include "service/internal.h"

struct hf_status hf_service_slots(struct hf_service *service, struct hf_op *op,
                                  void (*visit)(void *context, const struct hf_slot_info *slot),
                                  void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_SLOT_LIST };

    /* While locked there is no policy to ask; the daemon has let in only who owns the node. */
    if (hf_seal_is_unlocked(service->seal)) {
        HF_TRY(hf_call_allow(&call, op));
    }
    return hf_call_end(&call, op, hf_seal_slots(service->seal, op, visit, context));
}

/* --- finding one --- */

struct search {
    const char *word;
    size_t by_name;
    bool by_id;
    struct hf_slot_info found;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct search *search = context;

    if (strcmp(slot->id, search->word) == 0) {
        search->by_id = true;
        search->found = *slot;
    } else if (strcmp(slot->name, search->word) == 0 && !search->by_id) {
        search->by_name++;
        search->found = *slot;
    }
}

/* A slot by its id or its name. */
static struct hf_status find_slot(struct hf_service *service, struct hf_op *op, const char *word,
                                  struct hf_slot_info *out)
{
    struct search search = { .word = word };

    HF_TRY(hf_seal_slots(service->seal, op, match_slot, &search));
    if (!search.by_id && search.by_name == 0) {
        return hf_fail(op, HF_NOT_FOUND,
                       "there is no slot \"%.64s\"; 'holdfast slot list' shows them", word);
    }
    if (!search.by_id && search.by_name > 1) {
        return hf_fail(op, HF_INVALID, "%zu slots are called \"%.64s\"; say which by its id",
                       search.by_name, word);
    }
    *out = search.found;
    return HF_SUCCESS;
}

/* --- a new slot --- */

struct slot_adding {
    struct hf_slot_plan plan;
    struct hf_slot_info info;
};

struct hf_status hf_slot_check_name(struct hf_service *service, struct hf_op *op, const char *name)
{
    struct search search = { .word = name };

    HF_TRY(hf_seal_slots(service->seal, op, match_slot, &search));
    return search.by_id || search.by_name > 0
               ? hf_fail(op, HF_EXISTS, "there is a slot \"%.64s\" already", name)
               : HF_SUCCESS;
}

static struct hf_status stage_slot(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    struct slot_adding *adding = control->context;
    struct hf_service *service = control->call.service;

    HF_TRY(hf_slot_check_name(service, op, adding->plan.name));
    return hf_seal_slot_stage(service->seal, op, txn, &adding->plan, &adding->info);
}

struct hf_status hf_service_slot_add(struct hf_service *service, struct hf_op *op, const char *name,
                                     bool offline, const struct hf_protector_settings *protector,
                                     struct hf_slot_info *out)
{
    HF_AUTO(protector) opened = NULL;
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO_STRING detail = hf_format("added slot '%.64s' (%.32s)", name, protector->kind);
    struct slot_adding adding = { .plan = { .name = name, .offline = offline } };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_SLOT_CHANGE, .detail = detail },
        .stage = stage_slot,
        .context = &adding,
        .asked = asked,
    };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "opening a slot takes a while");
    }
    status = strcmp(protector->kind, "node") != 0
                 ? hf_protector_open(hf_seal_crypto(service->seal), op, protector, &opened)
                 : hf_fail(op, HF_INVALID, "a node's slot is made by 'holdfast node approve'");
    if (status.code != HF_OK) {
        return hf_call_end(&control.call, op, status);
    }
    adding.plan.protector = opened;
    hf_put_text(asked, name);
    hf_put_text(asked, protector->kind);
    HF_TRY(hf_control_run(&control, op));
    /* As it is recorded: a repeat staged another that came to nothing. */
    return find_slot(service, op, name, out);
}

/* --- a proof --- */

static struct hf_status prove(struct hf_service *service, struct hf_op *op,
                              const struct hf_slot_info *slot,
                              const struct hf_protector_settings *protector)
{
    HF_AUTO(protector) opened = NULL;

    HF_TRY(hf_protector_open(hf_seal_crypto(service->seal), op, protector, &opened));
    HF_TRY(hf_seal_try_slot(service->seal, op, slot->id, opened));
    return hf_seal_slot_proven(service->seal, op, slot->id);
}

struct hf_status hf_service_slot_test(struct hf_service *service, struct hf_op *op,
                                      const char *slot,
                                      const struct hf_protector_settings *protector,
                                      struct hf_slot_info *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_SLOT_TEST };
    HF_AUTO_STRING detail = NULL;
    struct hf_slot_info info;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "opening a slot takes a while");
    }
    status = find_slot(service, op, slot, &info);
    if (status.code == HF_OK) {
        detail = hf_format("slot '%s' (%s)", info.name, info.protector);
        call.detail = detail;
        status = prove(service, op, &info, protector);
    }
    HF_TRY(hf_call_end(&call, op, status));
    return find_slot(service, op, info.id, out);
}

/* --- removal --- */

struct removal {
    struct hf_slot_info slot;
    bool keep_root;
    char approval[HF_APPROVAL_ID]; /* "": none is needed, or this is only a trial */
};

static struct hf_status stage_removal(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    const struct removal *removal = control->context;
    struct hf_service *service = control->call.service;
    uint32_t generation = hf_seal_root_generation(service->seal);

    if (removal->approval[0] != '\0') {
        HF_TRY(hf_approval_use(service, op, txn, removal->approval));
    }
    HF_TRY(hf_seal_slot_remove_stage(service->seal, op, txn, removal->slot.id, removal->keep_root));
    hf_control_answer(control, generation + (removal->keep_root ? 0 : 1));
    return HF_SUCCESS;
}

/* Whether it could happen now at all; nobody is asked to approve what cannot. */
static struct hf_status try_change(struct hf_control *control, struct hf_op *op)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(control->call.service->seal, op, &txn));
    return control->stage(control, op, txn);
}

static void look_at_keyring(void *context, const struct hf_keyring_info *keyring)
{
    *(bool *)context |= keyring->settings.approve_slot_removal;
}

/*
 * A slot opens every keyring, so one that asks for two people is enough; an altered record may have
 * been the one that did.
 */
static bool needs_approval(struct hf_service *service)
{
    bool needed = hf_seal_damage(service->seal, NULL, NULL) > 0;

    hf_keyring_each(service->keys, look_at_keyring, &needed);
    return needed;
}

static struct hf_status look_for_approval(struct hf_control *control, struct hf_op *op,
                                          struct hf_bytes parts, struct hf_ask *ask,
                                          char out_approval[HF_APPROVAL_ID])
{
    HF_TRY(hf_ask_digest(control->call.service, op, ask, parts));
    HF_TRY(hf_approval_find(control->call.service, op, ask, out_approval));
    return out_approval[0] != '\0' ? HF_SUCCESS : try_change(control, op);
}

struct hf_status hf_slot_pass_approval(struct hf_control *control, struct hf_op *op,
                                       const char *key, struct hf_bytes parts,
                                       char out_approval[HF_APPROVAL_ID])
{
    struct hf_ask ask = { .operation = hf_action_name(control->call.action),
                          .keyring = "",
                          .key = key };
    struct hf_status status;

    if (!needs_approval(control->call.service)) {
        return HF_SUCCESS;
    }
    status = look_for_approval(control, op, parts, &ask, out_approval);
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    return out_approval[0] != '\0' ? HF_SUCCESS
                                   : hf_approval_wait(&control->call, op, &ask, HF_WRONG_STATE);
}

/* A node's slot goes with the node, or the list of members would say what is not. */
static struct hf_status check_no_member(struct hf_service *service, struct hf_op *op,
                                        const struct hf_slot_info *slot)
{
    HF_AUTO(members) members = NULL;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        const struct hf_member *member = members->items[i];

        if (member->state != HF_MEMBER_REMOVED && strcmp(member->slot, slot->id) == 0) {
            return hf_fail(op, HF_WRONG_STATE,
                           "the slot is that of node %s; 'holdfast node remove %s' removes both",
                           member->node.name, member->node.name);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status find_removable(struct hf_service *service, struct hf_op *op,
                                       const char *word, struct hf_slot_info *out)
{
    HF_TRY(find_slot(service, op, word, out));
    return check_no_member(service, op, out);
}

static struct hf_status remove_slot(struct hf_control *control, struct hf_op *op, const char *slot)
{
    struct removal *removal = control->context;
    HF_AUTO(buf) parts = hf_buf_new();
    HF_AUTO_STRING detail = NULL;
    struct hf_status status;

    if (hf_control_has_happened(control, op)) {
        return hf_control_end_repeated(control, op);
    }
    status = find_removable(control->call.service, op, slot, &removal->slot);
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    detail = hf_format("removed slot '%s' (%s), %s", removal->slot.name, removal->slot.protector,
                       removal->keep_root ? "the root kept" : "with a new root");
    control->call.detail = detail;
    hf_put_text(parts, removal->slot.id);
    hf_put_u8(parts, removal->keep_root);
    HF_TRY(hf_slot_pass_approval(control, op, removal->slot.name, hf_buf_bytes(parts),
                                 removal->approval));
    return hf_control_run(control, op);
}

struct hf_status hf_service_slot_remove(struct hf_service *service, struct hf_op *op,
                                        const char *slot, bool keep_root, uint32_t *out_generation)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct removal removal = { .keep_root = keep_root };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_SLOT_REMOVE },
        .stage = stage_removal,
        .context = &removal,
        .asked = asked,
    };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for the store");
    }
    hf_put_text(asked, slot);
    hf_put_u8(asked, keep_root);
    status = remove_slot(&control, op, slot);
    control.call.detail = NULL;
    HF_TRY(status);
    *out_generation = control.number;
    return HF_SUCCESS;
}
