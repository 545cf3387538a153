/* What the service cannot do itself for sites: opening the node again, and speaking with Patroni.
 */
#include "base/alloc.h"
#include "client/client.h"
#include "daemon/node_internal.h"

#define PATRONI_MS 10000

/* After a history was accepted: as at a start, but a node that stays locked is a failure. */
static struct hf_status reopen(void *context, struct hf_op *op)
{
    struct hf_node *node = context;

    HF_TRY(hf_node_unlock(node, op));
    if (!hf_seal_is_unlocked(node->seal)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "no slot opens the node without a person: 'holdfast unlock' does");
    }
    hf_node_unlocked(node);
    return HF_SUCCESS;
}

static const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* Patroni removes what is null from the configuration of its cluster, and promotes the leader. */
static struct hf_status end_standby_cluster(void *context, struct hf_op *op,
                                            const struct hf_site_stand *stand)
{
    static const char order[] = "{\"standby_cluster\": null}";
    const struct hf_client_settings settings = {
        .url = stand->patroni,
        .ca_file = text_or_null(stand->ca),
        .certificate_file = text_or_null(stand->certificate),
        .key_file = text_or_null(stand->key),
        .timeout_ms = PATRONI_MS,
    };
    HF_AUTO(client) client = NULL;
    HF_AUTO(buf) answer = hf_buf_new();
    struct hf_status status;

    (void)context;
    HF_TRY(hf_client_new(op, &settings, &client));
    status = hf_client_call(client, op, "PATCH", "/config", hf_bytes_of_text(order), answer);
    if (status.code != HF_OK && hf_client_is_in_doubt(client)) {
        HF_AUTO_STRING reason = hf_strdup(op->text);

        return hf_fail(op, HF_IN_DOUBT,
                       "Patroni at %.100s was told to promote %.80s, and its answer was not seen: "
                       "%.160s; 'holdfast status' shows whether it is the primary",
                       stand->patroni, stand->name, reason);
    }
    return status;
}

struct hf_service_outside hf_node_outside(struct hf_node *node)
{
    return (struct hf_service_outside){ .context = node,
                                        .locked = hf_node_locked,
                                        .reopen = reopen,
                                        .end_standby_cluster = end_standby_cluster,
                                        .keep_revocations = hf_node_keep_revocations,
                                        .recall_revocations = hf_node_recall_revocations };
}
