/* Records that something is wrong with, by their paths: a tree of the C library. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "seal/seal_internal.h"

struct node {
    struct hf_damaged record; /* first: what is looked for is one */
    char path[];
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct hf_damaged *)a)->path, ((const struct hf_damaged *)b)->path);
}

struct hf_damaged *hf_by_path_find(void *const *tree, const char *path)
{
    const struct hf_damaged wanted = { .path = path };
    struct hf_damaged **place = tfind(&wanted, tree, compare);

    return place != NULL ? *place : NULL;
}

void hf_by_path_add(void **tree, const struct hf_damaged *record)
{
    size_t len = strlen(record->path) + 1;
    struct node *node = hf_alloc(sizeof *node + len);

    memcpy(node->path, record->path, len);
    node->record = (struct hf_damaged){ node->path, record->revision, record->seq };
    hf_assert(tsearch(node, tree, compare) != NULL);
}

void hf_by_path_remove(void **tree, struct hf_damaged *record)
{
    (void)tdelete(record, tree, compare);
    free(record);
}

void hf_by_path_clear(void **tree)
{
    tdestroy(*tree, free);
    *tree = NULL;
}

struct visit {
    void (*visit)(void *context, const struct hf_damaged *record);
    void *context;
};

static void visit_node(const void *node, VISIT which, void *context)
{
    const struct visit *visit = context;

    if (which == postorder || which == leaf) {
        visit->visit(visit->context, *(const struct hf_damaged *const *)node);
    }
}

void hf_by_path_each(const void *tree,
                     void (*visit)(void *context, const struct hf_damaged *record), void *context)
{
    struct visit each = { visit, context };

    twalk_r(tree, visit_node, &each);
}
