/* Reading about keys: one, its versions, names, usage. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "service/internal.h"

#define NAMES_AT_ONCE 512

struct hf_status hf_service_key_get(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *name, bool or_deleted,
                                    struct hf_key_info **out)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_READ, .keyring = keyring, .key = name
    };
    HF_AUTO(key_info) info = NULL;

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, hf_key_get(service->keys, op, keyring, name, or_deleted, &info)));
    *out = HF_TAKE(info);
    return HF_SUCCESS;
}

struct hf_status hf_service_key_versions(
    struct hf_service *service, struct hf_op *op, const char *keyring, const char *name,
    void (*visit)(void *context, const struct hf_version_info *info), void *context)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_READ,
                            .keyring = keyring,
                            .key = name,
                            .detail = "versions" };

    HF_TRY(hf_call_allow(&call, op));
    return hf_call_end(&call, op,
                       hf_key_versions(service->keys, op, keyring, name, visit, context));
}

struct hf_status hf_service_key_usage(struct hf_service *service, struct hf_op *op,
                                      const char *keyring, const char *name, uint32_t version,
                                      struct hf_usage *out)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_READ,
                            .keyring = keyring,
                            .key = name,
                            .has_version = true,
                            .version = version,
                            .detail = "usage" };

    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = hf_key_check_version(service->keys, op, keyring, name, version);
    if (status.code == HF_OK) {
        status = hf_usage_get(service->keys, op, keyring, name, version, out);
    }
    return hf_call_end(&call, op, status);
}

struct hf_status hf_service_key_public(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, uint32_t version,
                                       struct hf_buf *out_spki, uint32_t *out_version)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_READ,
                            .keyring = keyring,
                            .key = name,
                            .detail = "public half" };
    HF_AUTO(buf) spki = hf_buf_new();
    struct hf_status status = HF_SUCCESS;

    HF_TRY(hf_call_allow(&call, op));
    if (version == HF_LATEST) {
        status = hf_key_primary(service->keys, op, keyring, name, &version);
    }
    if (status.code == HF_OK) {
        call.has_version = true;
        call.version = version;
        status = hf_key_public(service->keys, op, keyring, name, version, spki);
    }
    HF_TRY(hf_call_end(&call, op, status));
    hf_buf_add_bytes(out_spki, hf_buf_bytes(spki));
    *out_version = version;
    return HF_SUCCESS;
}

bool hf_service_key_exists(struct hf_service *service, const char *keyring, const char *name)
{
    enum hf_algorithm algorithm;
    struct hf_op op;

    /* On the lane of those who have none, so that nobody's hot path waits. */
    hf_op_init(&op, NULL);
    op.may_wait = false;
    op.lane = UINT_MAX;
    return hf_key_algorithm(service->keys, &op, keyring, name, &algorithm).code == HF_OK;
}

/* --- names --- */

/* One page of names: counted as they come, shown if the caller may list them. */
struct page {
    struct hf_call call;
    struct hf_op *op;
    void (*visit)(void *context, const char *name);
    void *context;
    bool aes_only;
    size_t seen;
    size_t left; /* how many more may be shown */
    char last[HF_NAME_MAX + 1];
};

static bool is_wanted(const struct page *page, const char *name)
{
    enum hf_algorithm algorithm;

    if (!page->aes_only) {
        return true;
    }
    if (hf_key_algorithm(page->call.service->keys, page->op, page->call.keyring, name, &algorithm)
            .code != HF_OK) {
        hf_op_clear(page->op);
        return false;
    }
    return algorithm <= HF_ALG_AES_256;
}

static void show(void *context, const char *name)
{
    struct page *page = context;

    page->seen++;
    (void)snprintf(page->last, sizeof page->last, "%s", name);
    page->call.key = name;
    if (page->left > 0 && is_wanted(page, name) &&
        hf_call_may(&page->call, page->op, HF_ACT_KEY_LIST)) {
        page->visit(page->context, name);
        page->left--;
    }
    page->call.key = NULL;
}

/* Names that the caller may not list do not count, so pages are read until enough are shown. */
static struct hf_status show_all(struct page *page, struct hf_op *op, const char *keyring,
                                 bool deleted, const char *after)
{
    struct hf_keys *keys = page->call.service->keys;

    do {
        char from[HF_NAME_MAX + 1];

        page->seen = 0;
        if (after != NULL) {
            (void)snprintf(from, sizeof from, "%s", after);
        }
        HF_TRY(hf_key_names(keys, op, keyring, deleted, after != NULL ? from : NULL, NAMES_AT_ONCE,
                            show, page));
        after = page->last;
    } while (page->seen == NAMES_AT_ONCE && page->left > 0);
    return HF_SUCCESS;
}

static struct hf_status list(struct page *page, struct hf_op *op, bool deleted, const char *after)
{
    size_t limit = page->left;
    struct hf_status status;

    HF_TRY(hf_call_allow(&page->call, op));
    status = show_all(page, op, page->call.keyring, deleted, after);
    page->call.count = status.code == HF_OK ? limit - page->left : 0;
    return hf_call_end(&page->call, op, status);
}

struct hf_status hf_service_key_names(struct hf_service *service, struct hf_op *op,
                                      const char *keyring, bool deleted, const char *after,
                                      size_t limit, void (*visit)(void *context, const char *name),
                                      void *context)
{
    struct page page = {
        .call = { .service = service, .action = HF_ACT_KEY_LIST, .keyring = keyring },
        .op = op,
        .visit = visit,
        .context = context,
        .left = limit,
    };

    return list(&page, op, deleted, after);
}

struct hf_status hf_service_hadoop_key(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name,
                                       struct hf_key_info **out)
{
    HF_AUTO(key_info) info = NULL;

    HF_TRY(hf_service_key_get(service, op, keyring, name, false, &info));
    if (info->unborn && (op->standing.stale || op->standing.ahead)) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "this node does not know whether the key %s/%s is there by now; ask another",
                       keyring, name);
    }
    if (info->unborn || info->algorithm > HF_ALG_AES_256) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY, "there is no such key %s/%s",
                             keyring, name);
    }
    *out = HF_TAKE(info);
    return HF_SUCCESS;
}

struct hf_status hf_service_hadoop_names(struct hf_service *service, struct hf_op *op,
                                         const char *keyring,
                                         void (*visit)(void *context, const char *name),
                                         void *context)
{
    struct page page = {
        .call = { .service = service, .action = HF_ACT_KEY_LIST, .keyring = keyring },
        .op = op,
        .visit = visit,
        .context = context,
        .aes_only = true,
        .left = SIZE_MAX,
    };

    return list(&page, op, false, NULL);
}

/* --- deleted keys --- */

struct dates {
    struct hf_service *service;
    struct hf_op *op;
    const char *keyring;
    void (*visit)(void *context, const char *name, uint64_t destroy_at_ms);
    void *context;
};

static void show_date(void *context, const char *name)
{
    const struct dates *dates = context;
    HF_AUTO(key_info) info = NULL;

    /* Recovered, destroyed or altered meanwhile: its date is not known, its name was listed. */
    if (hf_key_get(dates->service->keys, dates->op, dates->keyring, name, true, &info).code !=
        HF_OK) {
        hf_op_clear(dates->op);
    }
    dates->visit(dates->context, name, info != NULL ? info->destroy_at_ms : 0);
}

struct hf_status hf_service_key_deleted(struct hf_service *service, struct hf_op *op,
                                        const char *keyring, const char *after, size_t limit,
                                        void (*visit)(void *context, const char *name,
                                                      uint64_t destroy_at_ms),
                                        void *context)
{
    struct dates dates = { service, op, keyring, visit, context };

    return hf_service_key_names(service, op, keyring, true, after, limit, show_date, &dates);
}
