/* Canaries: the keyring key in force, and the first version that can be opened at all. */
#include "service/canary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct canary {
    char keyring[64];
    uint32_t keyring_key;
};

struct canaries {
    struct hf_service *service;
    const struct hf_op *op;
    struct canary *items;
    size_t count;
};

static void add(void *context, const struct hf_keyring_info *info)
{
    struct canaries *canaries = context;
    struct canary *canary;

    if (!hf_serve_on_is_ours(canaries->service, canaries->op, info->name)) {
        return;
    }
    canaries->items =
        hf_realloc_array(canaries->items, canaries->count + 1, sizeof *canaries->items);
    canary = &canaries->items[canaries->count++];
    memset(canary, 0, sizeof *canary);
    (void)snprintf(canary->keyring, sizeof canary->keyring, "%s", info->name);
    canary->keyring_key = info->key_version;
}

static void take_name(void *context, const char *name)
{
    (void)snprintf(context, HF_NAME_MAX + 1, "%s", name);
}

struct first_version {
    bool found;
    uint32_t version;
};

static void take_version(void *context, const struct hf_version_info *info)
{
    struct first_version *first = context;
    bool is_gone = info->state == HF_KEY_DESTROYED || info->state == HF_KEY_DESTROYED_COMPROMISED;

    /* A candidate may be gone in a moment. */
    if (!is_gone && !info->candidate && (!first->found || info->version < first->version)) {
        first->found = true;
        first->version = info->version;
    }
}

/* A keyring without keys is proven by its own key alone. */
static struct hf_status open_canary(struct hf_service *service, struct hf_op *op,
                                    const struct canary *canary)
{
    char name[HF_NAME_MAX + 1] = "";
    struct first_version first = { false, 0 };

    HF_TRY(hf_seal_keyring_key_open(service->seal, op, canary->keyring, canary->keyring_key));
    HF_TRY(hf_key_names(service->keys, op, canary->keyring, false, NULL, 1, take_name, name));
    if (name[0] == '\0') {
        return HF_SUCCESS;
    }
    HF_TRY(hf_key_versions(service->keys, op, canary->keyring, name, take_version, &first));
    return first.found ? hf_key_prove(service->keys, op, canary->keyring, name, first.version)
                       : HF_SUCCESS;
}

struct hf_status hf_canary_each(struct hf_service *service, struct hf_op *op,
                                void (*visit)(void *context, const char *keyring,
                                              struct hf_status status, const char *text),
                                void *context)
{
    struct canaries canaries = { .service = service, .op = op };
    struct hf_status status = HF_SUCCESS;

    /* Names first: opening takes locks that the walk holds. */
    hf_keyring_each(service->keys, add, &canaries);
    for (size_t i = 0; i < canaries.count && status.code == HF_OK; i++) {
        struct hf_status opened;

        hf_op_clear(op);
        opened = open_canary(service, op, &canaries.items[i]);
        if (opened.code == HF_LATER) {
            status = opened;
        } else {
            visit(context, canaries.items[i].keyring, opened, opened.code == HF_OK ? "" : op->text);
        }
    }
    free(canaries.items);
    if (status.code == HF_OK) {
        hf_op_clear(op);
    }
    return status;
}
