/* Reading opened records: one by its path, or all under a prefix. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define PAGE_ITEMS 128
#define PAGE_BYTES ((size_t)256 << 10)
/* Lost records for which the copy of the store is made anew. */
#define RENEWALS_MAX 1000

void hf_opened_free(struct hf_opened *opened)
{
    if (opened != NULL) {
        hf_secret_free(opened->plain);
        free(opened);
    }
}

static struct hf_status altered(struct hf_op *op, const char *path)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "%.200s is altered, or is not at its place; restore it from a backup",
                         path);
}

/*
 * A record that was moved to a later root after it was read here is read again, once: nothing is
 * moved twice while somebody is between the two.
 */
static struct hf_status open_record(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                    struct hf_op *op, struct hf_record *record,
                                    struct hf_record_parts *out_parts, struct hf_secret **out)
{
    struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct hf_bytes body = hf_buf_bytes(&record->body);
    HF_AUTO(record) moved = NULL;
    struct hf_status status = hf_record_open(unlocked, op, &place, body, out_parts, out);

    if (status.code != HF_CORRUPT || hf_root_is_open(unlocked, hf_record_generation(body)) ||
        hf_engine_get(seal->engine, op, record->path, &moved).code != HF_OK ||
        moved->revision == record->revision) {
        return status;
    }
    hf_op_clear(op);
    hf_buf_clear(&record->body);
    hf_buf_add_bytes(&record->body, hf_buf_bytes(&moved->body));
    record->revision = moved->revision;
    record->seq = moved->seq;
    place.revision = moved->revision;
    return hf_record_open(unlocked, op, &place, hf_buf_bytes(&record->body), out_parts, out);
}

struct hf_status hf_seal_get(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                             const char *path, struct hf_opened **out)
{
    HF_AUTO(record) record = NULL;
    HF_AUTO(opened) opened = NULL;
    struct hf_record_parts parts;
    struct hf_status status;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_engine_get(seal->engine, op, path, &record));
    opened = hf_alloc(sizeof *opened);
    status = open_record(seal, unlocked, op, record, &parts, &opened->plain);
    if (status.code == HF_CORRUPT || (status.code == HF_OK && parts.kind != (uint8_t)kind)) {
        return altered(op, path);
    }
    HF_TRY(status);
    opened->kind = kind;
    opened->revision = record->revision;
    opened->seq = record->seq;
    opened->tombstone = (parts.flags & HF_RECORD_TOMBSTONE) != 0;
    *out = HF_TAKE(opened);
    return HF_SUCCESS;
}

static bool is_lost(struct hf_status status)
{
    return status.code == HF_NOT_FOUND || status.code == HF_CORRUPT;
}

/* The copy that has lost it was made when so many had been made. */
static struct hf_status renew_copy(struct hf_seal *seal, struct hf_op *op, const char *path,
                                   uint64_t copies)
{
    HF_AUTO_STRING reason = NULL;

    if (hf_mirror_renew(seal->engine, op, copies).code == HF_OK) {
        return HF_SUCCESS;
    }
    reason = hf_strdup(op->text);
    return hf_fail(op, HF_UNAVAILABLE, "this node's copy of the store has lost %.100s: %.200s",
                   path, reason);
}

struct hf_status hf_seal_get_known(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                                   const char *path, struct hf_opened **out)
{
    const struct hf_damaged record = { .path = path };
    struct hf_mirror_info info;
    bool is_copy = hf_mirror_info(seal->engine, &info);
    struct hf_status status;

    status = hf_seal_get(seal, op, kind, path, out);
    if (status.code == HF_OK) {
        hf_damage_read(seal, path);
    }
    if (!is_lost(status)) {
        return status;
    }
    /* Each makes the copy anew: with so many it is not the copy. */
    if (hf_seal_harm(seal, path) != HF_HARM_NONE ||
        hf_seal_damage(seal, NULL, NULL) >= RENEWALS_MAX) {
        return altered(op, path);
    }
    hf_op_clear(op);
    if (is_copy) {
        HF_TRY(renew_copy(seal, op, path, info.copies));
    }
    status = hf_seal_get(seal, op, kind, path, out);
    if (!is_lost(status)) {
        return status;
    }
    hf_damage_add(seal, &record, "the store has lost it");
    return altered(op, path);
}

/* A stretch of records, copied, so that the visitor may call the store again. */
struct page {
    struct hf_record *items[PAGE_ITEMS];
    size_t count;
    size_t bytes;
    bool is_full;
};

static struct hf_status copy_record(void *context, const struct hf_record_view *view)
{
    struct page *page = context;
    struct hf_record *record;

    if (page->count == PAGE_ITEMS || page->bytes >= PAGE_BYTES) {
        page->is_full = true;
        return (struct hf_status){ HF_LIMITED };
    }
    record = hf_alloc(sizeof *record);
    record->path = hf_strdup(view->path);
    record->revision = view->revision;
    record->seq = view->seq;
    hf_buf_add_bytes(&record->body, view->body);
    page->items[page->count++] = record;
    page->bytes += view->body.len;
    return HF_SUCCESS;
}

static void page_done(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        hf_record_free(page->items[i]);
    }
}

typedef struct hf_status (*view_visitor)(void *context, const struct hf_opened_view *view);

static struct hf_status visit_record(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                     struct hf_op *op, enum hf_kind kind, struct hf_record *record,
                                     view_visitor visit, void *context)
{
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;
    struct hf_opened_view view;
    struct hf_status status = open_record(seal, unlocked, op, record, &parts, &plain);

    /* Not passed over: whoever decides by a list must know that it is not whole. */
    if (status.code == HF_CORRUPT) {
        return altered(op, record->path);
    }
    HF_TRY(status);
    if (parts.kind != (uint8_t)kind) {
        return HF_SUCCESS;
    }
    view = (struct hf_opened_view){
        .kind = kind,
        .path = record->path,
        .revision = record->revision,
        .seq = record->seq,
        .tombstone = (parts.flags & HF_RECORD_TOMBSTONE) != 0,
        .plain = hf_secret_or_none(plain),
    };
    return visit(context, &view);
}

/* One page; *out_after is where the next one begins, NULL after the last. */
static struct hf_status visit_page(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op, enum hf_kind kind, const char *prefix,
                                   const char *after, view_visitor visit, void *context,
                                   char **out_after)
{
    struct page page = { .count = 0 };
    struct hf_status status = hf_engine_list(seal->engine, op, prefix, after, copy_record, &page);

    if (page.is_full) {
        hf_op_clear(op);
        status = HF_SUCCESS;
    }
    for (size_t i = 0; i < page.count && status.code == HF_OK; i++) {
        status = visit_record(seal, unlocked, op, kind, page.items[i], visit, context);
    }
    *out_after = page.is_full ? hf_strdup(page.items[page.count - 1]->path) : NULL;
    page_done(&page);
    return status;
}

struct hf_status hf_seal_list(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                              const char *prefix, const char *after, view_visitor visit,
                              void *context)
{
    HF_AUTO_STRING from = after != NULL ? hf_strdup(after) : NULL;
    bool more = true;

    HF_ENTER(seal, op, unlocked);
    while (more) {
        char *next = NULL;
        struct hf_status status =
            visit_page(seal, unlocked, op, kind, prefix, from, visit, context, &next);

        /* A store that goes in circles must not keep us in one. */
        if (status.code == HF_OK && next != NULL && from != NULL && strcmp(next, from) <= 0) {
            status = altered(op, next);
        }
        free(from);
        from = next;
        more = next != NULL;
        HF_TRY(status);
    }
    return HF_SUCCESS;
}
