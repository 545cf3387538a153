/* The file in which a node keeps the revocations that were brought to it, beside its copy. */
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "daemon/node_internal.h"
#include "protect/private_file.h"

#define FILE_MAX ((size_t)512 << 10)

static char *path_of(const struct hf_node *node)
{
    return hf_format("%s/revoked", node->config->store_mirror);
}

struct hf_status hf_node_keep_revocations(void *context, struct hf_op *op, struct hf_bytes content)
{
    HF_AUTO_STRING path = path_of(context);

    if (content.len > FILE_MAX) {
        return hf_fail(op, HF_LIMITED,
                       "%s has no room for it; 'holdfast lock' stops all use of keys", path);
    }
    return hf_private_file_replace(op, path, content);
}

struct hf_status hf_node_recall_revocations(void *context, struct hf_op *op, struct hf_secret **out)
{
    HF_AUTO_STRING path = path_of(context);

    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return HF_SUCCESS;
    }
    return hf_private_file_read(op, path, FILE_MAX, out);
}
