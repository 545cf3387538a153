/* The admin door's routes and who may come in: the table is the documentation. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/admin_internal.h"
#include "base/alloc.h"
#include "base/text.h"

#define KIB(n) ((size_t)(n)*1024)
#define RINGS  "/api/v1/keyrings"
#define RING   RINGS "/:keyring"
#define KEYS   RING "/keys"
#define KEY    KEYS "/:key"

static const struct hf_route routes[] = {
    { HF_POST, KEY "/encrypt", KIB(256), HF_INLINE, hf_admin_encrypt },
    { HF_POST, KEY "/decrypt", KIB(256), HF_INLINE, hf_admin_decrypt },
    { HF_POST, KEY "/reencrypt", KIB(256), HF_INLINE, hf_admin_reencrypt },
    { HF_POST, KEY "/data-key", KIB(16), HF_INLINE, hf_admin_data_key },
    { HF_POST, KEY "/mac", KIB(256), HF_INLINE, hf_admin_mac },
    { HF_POST, KEY "/mac-verify", KIB(256), HF_INLINE, hf_admin_mac_verify },
    { HF_POST, KEY "/sign", KIB(256), HF_WORKER, hf_admin_sign },
    { HF_POST, KEY "/verify", KIB(256), HF_WORKER, hf_admin_verify },

    { HF_GET, "/api/v1/status", 0, HF_WORKER, hf_admin_status },
    { HF_POST, "/api/v1/unlock", KIB(16), HF_WORKER, hf_admin_unlock },
    { HF_POST, "/api/v1/lock", KIB(1), HF_WORKER, hf_admin_lock },
    { HF_GET, "/api/v1/slots", 0, HF_WORKER, hf_admin_slots },
    { HF_POST, "/api/v1/slots", KIB(16), HF_WORKER, hf_admin_slot_add },
    { HF_DELETE, "/api/v1/slots/:slot", KIB(1), HF_WORKER, hf_admin_slot_remove },
    { HF_POST, "/api/v1/slots/:slot/test", KIB(16), HF_WORKER, hf_admin_slot_test },
    { HF_POST, "/api/v1/serve-stale", KIB(1), HF_WORKER, hf_admin_serve_stale },
    { HF_POST, "/api/v1/revocations", KIB(4), HF_WORKER, hf_admin_node_revoke },
    { HF_GET, "/api/v1/nodes", 0, HF_WORKER, hf_admin_nodes },
    { HF_POST, "/api/v1/nodes", KIB(16), HF_WORKER, hf_admin_node_approve },
    { HF_GET, "/api/v1/nodes/:node", 0, HF_WORKER, hf_admin_node },
    { HF_DELETE, "/api/v1/nodes/:node", KIB(1), HF_WORKER, hf_admin_node_remove },
    { HF_POST, "/api/v1/nodes/:node/drain", KIB(1), HF_WORKER, hf_admin_node_drain },
    { HF_POST, "/api/v1/sessions/end", KIB(4), HF_WORKER, hf_admin_session_end },
    { HF_POST, "/api/v1/sites/:site/promote", KIB(1), HF_WORKER, hf_admin_site_promote },
    { HF_POST, "/api/v1/store/accept-history", KIB(1), HF_WORKER, hf_admin_accept_history },
    { HF_GET, "/api/v1/root", 0, HF_WORKER, hf_admin_root },
    { HF_POST, "/api/v1/root/rotate", KIB(1), HF_WORKER, hf_admin_root_rotate },
    { HF_POST, "/api/v1/why", KIB(16), HF_WORKER, hf_admin_why },
    { HF_POST, "/api/v1/drill", KIB(1), HF_WORKER, hf_admin_drill },
    { HF_GET, "/api/v1/drill", 0, HF_WORKER, hf_admin_drill_list },
    { HF_GET, "/api/v1/drill/:drill", 0, HF_WORKER, hf_admin_drill_show },
    { HF_GET, "/api/v1/drill/:drill/receipt", 0, HF_WORKER, hf_admin_drill_receipt },
    { HF_POST, "/api/v1/what-if", KIB(64), HF_WORKER, hf_admin_what_if },
    { HF_POST, "/api/v1/min-cut", KIB(16), HF_WORKER, hf_admin_min_cut },
    { HF_GET, "/api/v1/jobs", 0, HF_WORKER, hf_admin_job_list },
    { HF_POST, "/api/v1/random", KIB(1), HF_INLINE, hf_admin_random },

    { HF_GET, RINGS, 0, HF_WORKER, hf_admin_keyring_list },
    { HF_POST, RINGS, KIB(16), HF_WORKER, hf_admin_keyring_create },
    { HF_GET, RING, 0, HF_WORKER, hf_admin_keyring_get },
    { HF_PATCH, RING, KIB(16), HF_WORKER, hf_admin_keyring_change },
    { HF_POST, RING "/rotate", KIB(1), HF_WORKER, hf_admin_keyring_rotate },

    { HF_GET, KEYS, 0, HF_WORKER, hf_admin_key_list },
    { HF_POST, KEYS, KIB(256), HF_WORKER, hf_admin_key_create },
    { HF_GET, KEY, 0, HF_WORKER, hf_admin_key_get },
    { HF_DELETE, KEY, KIB(4), HF_WORKER, hf_admin_key_delete },
    { HF_POST, KEY "/rotate", KIB(256), HF_WORKER, hf_admin_key_rotate },
    { HF_POST, KEY "/primary", KIB(4), HF_WORKER, hf_admin_key_primary },
    { HF_POST, KEY "/rewrap", KIB(4), HF_WORKER, hf_admin_key_rewrap },
    { HF_POST, KEY "/state", KIB(4), HF_WORKER, hf_admin_key_state },
    { HF_POST, KEY "/recover", KIB(4), HF_WORKER, hf_admin_key_recover },
    { HF_POST, KEY "/destroy", KIB(4), HF_WORKER, hf_admin_key_destroy },
    { HF_POST, KEY "/export", KIB(4), HF_WORKER, hf_admin_key_export },
    { HF_GET, KEY "/versions/:version/usage", 0, HF_WORKER, hf_admin_key_usage },
    { HF_GET, KEY "/public", 0, HF_WORKER, hf_admin_key_public },
    { HF_GET, KEY "/revocation", 0, HF_WORKER, hf_admin_key_revocation },

    { HF_GET, "/api/v1/policies", 0, HF_WORKER, hf_admin_policy_list },
    { HF_GET, "/api/v1/policies/:policy", 0, HF_WORKER, hf_admin_policy_get },
    { HF_PUT, "/api/v1/policies/:policy", KIB(256), HF_WORKER, hf_admin_policy_put },
    { HF_DELETE, "/api/v1/policies/:policy", KIB(1), HF_WORKER, hf_admin_policy_remove },
    { HF_POST, "/api/v1/explain", KIB(16), HF_WORKER, hf_admin_policy_explain },
    { HF_GET, "/api/v1/approvals", 0, HF_WORKER, hf_admin_approval_list },
    { HF_POST, "/api/v1/approvals/:approval/approve", KIB(1), HF_WORKER, hf_admin_approve },
    { 0 },
};

static void free_caller(void *caller)
{
    hf_caller_free(caller);
}

static struct hf_status identify(struct hf_op *op, struct hf_conn *conn, struct hf_caller **out)
{
    const char *name = NULL;
    const char *fingerprint = NULL;
    uint32_t uid = 0;
    uint32_t gid = 0;

    if (hf_conn_peer_user(conn, op, &uid, &gid).code == HF_OK) {
        return hf_caller_from_uid(op, uid, out);
    }
    if (hf_conn_peer_certificate(conn, op, &name, &fingerprint).code != HF_OK) {
        return hf_fail(op, HF_UNAUTHENTICATED,
                       "come over the unix socket, or with a client certificate");
    }
    return hf_caller_new(op, HF_PROOF_CERT, name, hf_conn_peer_address(conn), out);
}

/* A client that repeats a write says so by its own request id: 32 hex digits. */
static struct hf_status take_request_id(struct hf_op *op, const struct hf_request *request)
{
    struct hf_bytes given = hf_request_header(request, "Idempotency-Key");
    HF_AUTO(buf) id = hf_buf_new();

    if (given.data == NULL) {
        return HF_SUCCESS;
    }
    if (hf_hex_decode(op, given, id).code != HF_OK || id->len != HF_REQUEST_ID_LEN) {
        return hf_fail(op, HF_INVALID, "Idempotency-Key must be %d hex digits",
                       2 * HF_REQUEST_ID_LEN);
    }
    memcpy(op->request_id.bytes, id->data, HF_REQUEST_ID_LEN);
    return HF_SUCCESS;
}

static bool is_json(struct hf_bytes type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    return type.len >= len && strncasecmp((const char *)type.data, json, len) == 0 &&
           (type.len == len || type.data[len] == ';' || type.data[len] == ' ');
}

/*
 * A page in an administrator's browser can send forms with his certificate, but neither JSON nor
 * without saying so: any other type than ours is refused, with a body or without.
 */
static bool refuse_other_types(const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_bytes type = hf_request_header(request, "Content-Type");

    if (type.data != NULL ? is_json(type) : hf_request_body(request).len == 0) {
        return false;
    }
    put_error(reply, 415, hf_code_name(HF_INVALID),
              "send the body as JSON, with Content-Type: application/json", HF_CAUSE_NONE);
    return true;
}

static struct hf_status admit(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply,
                              bool *out_answered)
{
    HF_AUTO(caller) caller = NULL;

    HF_TRY(identify(op, hf_exchange_conn(exchange), &caller));
    hf_op_clear(op);
    op->caller = caller;
    op->door = "admin";
    hf_exchange_keep(exchange, HF_TAKE(caller), free_caller);
    *out_answered = refuse_other_types(request, reply);
    return take_request_id(op, request);
}

struct hf_admin *hf_admin_new(const struct hf_admin_settings *settings)
{
    struct hf_admin *admin = hf_alloc(sizeof *admin);

    admin->settings = *settings;
    admin->door = (struct hf_door){
        .name = "admin",
        .prefix = "/api/v1/",
        .routes = routes,
        .context = admin,
        .admit = admit,
        .fail = hf_admin_fail,
    };
    return admin;
}

void hf_admin_free(struct hf_admin *admin)
{
    free(admin);
}

const struct hf_door *hf_admin_door(const struct hf_admin *admin)
{
    return &admin->door;
}

struct hf_service *service_of(const struct hf_exchange *exchange)
{
    const struct hf_admin *admin = hf_exchange_context(exchange);

    return admin->settings.service;
}
