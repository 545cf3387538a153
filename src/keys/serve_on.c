/* The nodes that serve a keyring. */
#include "keys/serve_on.h"

#include <stdlib.h>
#include <string.h>

#include "keys/lane.h"
#include "seal/join.h"

struct hf_status hf_serve_on_add(struct hf_op *op, struct hf_serve_on *list, const char *name)
{
    if (!hf_node_name_is_valid(name)) {
        return hf_fail(op, HF_INVALID, "serve_on: '%.64s' is no name of a node", name);
    }
    if (hf_serve_on_names(list, name)) {
        return hf_fail(op, HF_INVALID, "serve_on names the node %s twice", name);
    }
    if (list->count == HF_SERVE_ON_MAX) {
        return hf_fail(op, HF_INVALID, "serve_on names %d nodes at most", HF_SERVE_ON_MAX);
    }
    memcpy(list->names[list->count++], name, strlen(name) + 1);
    return HF_SUCCESS;
}

bool hf_serve_on_names(const struct hf_serve_on *list, const char *node)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], node) == 0) {
            return true;
        }
    }
    return false;
}

bool hf_serve_on_serves(const struct hf_serve_on *list, const char *node)
{
    return list->count == 0 || hf_serve_on_names(list, node);
}

bool hf_serve_on_equal(const struct hf_serve_on *a, const struct hf_serve_on *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; i < a->count && equal; i++) {
        equal = hf_serve_on_names(b, a->names[i]);
    }
    return equal;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

void hf_serve_on_sort(struct hf_serve_on *list)
{
    qsort(list->names, list->count, sizeof list->names[0], compare_names);
}

bool hf_keyring_is_served_by(struct hf_keys *keys, const struct hf_op *op, const char *name,
                             const char *node)
{
    const struct hf_index_keyring *keyring;
    struct hf_lane *lane;
    bool served;

    if (!hf_index_has_serve_on(keys->index)) {
        return true;
    }
    lane = hf_lane_lock(keys, op);
    keyring = hf_index_keyring(keys->index, name);
    served = keyring == NULL || hf_serve_on_serves(&keyring->record.serve_on, node);
    hf_lane_unlock(lane);
    return served;
}
