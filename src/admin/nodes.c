/* Nodes that join by their own key pair. */
#include <string.h>

#include "admin/admin_internal.h"
#include "service/revocation.h"

static void put_node(struct hf_json_writer *writer, const struct hf_node_info *node)
{
    const struct hf_member *member = node->member;

    hf_json_put_text(writer, "name", member->node.name);
    hf_json_put_text(writer, "site", member->node.site);
    hf_json_put_text(writer, "state", hf_member_state_name(member->state));
    hf_json_put_text(writer, "fingerprint", node->fingerprint);
    hf_json_put_base64(writer, "public_key",
                       hf_bytes_of(member->node.public_key, sizeof member->node.public_key));
    hf_json_put_text(writer, "slot", member->slot);
    hf_json_put_date(writer, "approved", member->approved_ms);
    hf_json_put_text(writer, "approved_by", member->approved_by);
    hf_json_put_date(writer, "changed", member->changed_ms);
    put_date_or_null(writer, "proven", node->proven_ms);
    hf_json_put_u64(writer, "proven_generation", node->proven_generation);
}

static void add_node(void *context, const struct hf_node_info *node)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    put_node(writer, node);
    hf_json_close_object(writer);
}

static void put_approved(void *context, const struct hf_node_info *node)
{
    put_node(context, node);
    hf_json_put_text(context, "certified_for", node->member->node.wish.hosts);
}

static void put_members_of(void *context, const struct hf_node_info *node)
{
    put_node(context, node);
}

HANDLER(nodes)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "nodes");
    HF_TRY(hf_service_node_list(service_of(exchange), op, add_node, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(node)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    HF_TRY(hf_service_node_show(service_of(exchange), op, hf_request_segment(request, "node"),
                                put_members_of, &writer));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(node_approve)
{
    static const char *const members[] = { "request", "fingerprint", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) bundle = hf_buf_new();
    char bundle_fingerprint[HF_FINGERPRINT_LEN];
    struct hf_json_writer writer;
    const char *join_request = NULL;
    const char *fingerprint = NULL;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text(op, body, "request", &join_request));
    HF_TRY(hf_json_text_or(op, body, "fingerprint", NULL, &fingerprint));
    start_object(reply, &writer);
    HF_TRY(hf_service_node_approve(service_of(exchange), op, join_request, fingerprint,
                                   put_approved, &writer, bundle, bundle_fingerprint));
    hf_json_put_text(&writer, "bundle", hf_buf_text(bundle));
    hf_json_put_text(&writer, "bundle_fingerprint", bundle_fingerprint);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(serve_stale)
{
    static const char *const members[] = { "for_ms", NULL };
    HF_AUTO(json) body = NULL;
    uint64_t for_ms = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_u64_or(op, body, "for_ms", UINT64_MAX, &for_ms));
    if (for_ms == UINT64_MAX) {
        return hf_fail(op, HF_INVALID,
                       "\"for_ms\" is missing: for how many milliseconds; 0 ends it");
    }
    HF_TRY(hf_service_serve_stale(service_of(exchange), op, for_ms));
    return put_done(reply);
}

HANDLER(node_drain)
{
    static const char *const members[] = { "draining", NULL };
    HF_AUTO(json) body = NULL;
    struct hf_json_writer writer;
    bool draining = true;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_bool_or(op, body, "draining", true, &draining));
    start_object(reply, &writer);
    HF_TRY(hf_service_node_drain(service_of(exchange), op, hf_request_segment(request, "node"),
                                 draining, put_members_of, &writer));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(node_remove)
{
    struct hf_json_writer writer;
    uint32_t generation = 0;
    bool keep_root = false;

    HF_TRY(take_keep_root(op, request, &keep_root));
    HF_TRY(hf_service_node_remove(service_of(exchange), op, hf_request_segment(request, "node"),
                                  keep_root, &generation));
    start_object(reply, &writer);
    hf_json_put_bool(
        &writer, "this_node",
        hf_service_node_is_this(service_of(exchange), hf_request_segment(request, "node")));
    put_removal(&writer, keep_root, generation);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* The body is a revocation as 'holdfast key revocation' has written it. */
HANDLER(node_revoke)
{
    struct hf_revocation revocation;
    struct hf_json_writer writer;
    bool followed = false;

    HF_TRY(hf_revocation_read(op, hf_request_body(request), &revocation));
    HF_TRY(hf_service_node_revoke(service_of(exchange), op, &revocation, &followed));
    start_object(reply, &writer);
    hf_json_put_text(&writer, "keyring", revocation.keyring);
    hf_json_put_text(&writer, "key", revocation.key);
    if (revocation.version != HF_LATEST) {
        hf_json_put_u64(&writer, "version", revocation.version);
    }
    hf_json_put_text(&writer, "state", hf_revoked_as_name(revocation.as));
    hf_json_put_u64(&writer, "commit", revocation.seq);
    hf_json_put_bool(&writer, "followed", followed);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
