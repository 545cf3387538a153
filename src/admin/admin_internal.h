/*
 * What the files of the admin door share.
 */
#pragma once

#include "admin/admin.h"
#include "base/json.h"

struct hf_admin {
    struct hf_admin_settings settings;
    struct hf_door door;
};

struct hf_service *service_of(const struct hf_exchange *exchange);

/* --- form.c --- */

/* Starts a 200 answer that is one JSON object; the caller fills and closes it. */
void start_object(struct hf_reply *reply, struct hf_json_writer *writer);
/* 200 and a JSON document that the service has written. */
struct hf_status answer_json(struct hf_reply *reply, const struct hf_buf *json);
/* 200 and {}. */
struct hf_status put_done(struct hf_reply *reply);
/* The body as JSON with only these members; an absent body is an empty object. */
struct hf_status take_body(struct hf_op *op, const struct hf_request *request,
                           const char *const *members, struct hf_json **out);
/* "version" of the body, HF_LATEST when absent. */
struct hf_status take_version(struct hf_op *op, const struct hf_json *body, uint32_t *out);
/* The same for calls that change one version, which must be named. */
struct hf_status take_one_version(struct hf_op *op, const struct hf_json *body, uint32_t *out);
/* A base64 member, standard or URL-safe, into memory that is wiped. */
struct hf_status take_needed_bytes(struct hf_op *op, const struct hf_json *body, const char *name,
                                   struct hf_secret **out);
/* The same for one that may be absent: then *out stays as it is. */
struct hf_status take_bytes(struct hf_op *op, const struct hf_json *body, const char *name,
                            struct hf_secret **out);
struct hf_bytes bytes_or_none(const struct hf_secret *secret);
struct hf_status take_query(struct hf_op *op, const struct hf_request *request, const char *name,
                            struct hf_buf *out, bool *out_given);
/* Only the owner of the node and root, over the unix socket; what: "a locked node is opened". */
struct hf_status check_owner(struct hf_op *op, const struct hf_admin *admin, const char *what);
/* "protector", "passphrase" and "file" (the owner's only); the passphrase outlives *out. */
struct hf_status take_protector(struct hf_op *op, const struct hf_admin *admin,
                                const struct hf_json *body, struct hf_protector_settings *out,
                                struct hf_secret **out_passphrase);
void put_date_or_null(struct hf_json_writer *writer, const char *name, uint64_t date_ms);
/* The query "keep_root" of removals, false when absent; and what a removal answers. */
struct hf_status take_keep_root(struct hf_op *op, const struct hf_request *request, bool *out);
void put_removal(struct hf_json_writer *writer, bool keep_root, uint32_t generation);
const char *ring_of(const struct hf_request *request);
const char *key_of(const struct hf_request *request);
/* Base64 of secret bytes into the reply, which is wiped when sent. */
void put_secret(struct hf_json_writer *writer, const char *name, const struct hf_secret *secret);

/* An answer that says what was wrong and what to do. */
void put_error(struct hf_reply *reply, int status, const char *code, const char *message,
               enum hf_cause cause);
void hf_admin_fail(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                   const struct hf_request *request, struct hf_reply *reply);

/* Handlers: one declaration each, in the order of the route table in door.c. */
#define HANDLER(name)                                                                              \
    struct hf_status hf_admin_##name(struct hf_op *op, struct hf_exchange *exchange,               \
                                     const struct hf_request *request, struct hf_reply *reply)

/* node.c */
HANDLER(status);
HANDLER(unlock);
HANDLER(lock);
HANDLER(why);
/* slots.c */
HANDLER(slots);
HANDLER(slot_add);
HANDLER(slot_test);
HANDLER(slot_remove);
HANDLER(root);
HANDLER(root_rotate);
/* drill.c */
HANDLER(drill);
HANDLER(drill_list);
HANDLER(drill_show);
HANDLER(drill_receipt);
HANDLER(what_if);
HANDLER(min_cut);
/* jobs.c */
HANDLER(job_list);
/* nodes.c */
HANDLER(nodes);
HANDLER(node);
HANDLER(node_approve);
HANDLER(node_drain);
HANDLER(serve_stale);
HANDLER(node_remove);
HANDLER(node_revoke);
/* sessions.c */
HANDLER(session_end);
/* sites.c */
HANDLER(site_promote);
HANDLER(accept_history);
/* keyrings.c */
HANDLER(keyring_list);
HANDLER(keyring_create);
HANDLER(keyring_get);
HANDLER(keyring_change);
HANDLER(keyring_rotate);
/* keys.c */
HANDLER(key_list);
HANDLER(key_create);
HANDLER(key_get);
HANDLER(key_delete);
HANDLER(key_rotate);
HANDLER(key_primary);
HANDLER(key_rewrap);
HANDLER(key_state);
HANDLER(key_recover);
HANDLER(key_destroy);
HANDLER(key_export);
HANDLER(key_usage);
HANDLER(key_public);
HANDLER(key_revocation);
/* use.c */
HANDLER(data_key);
HANDLER(encrypt);
HANDLER(decrypt);
HANDLER(reencrypt);
HANDLER(sign);
HANDLER(verify);
HANDLER(mac);
HANDLER(mac_verify);
HANDLER(random);
/* policy.c */
HANDLER(policy_list);
HANDLER(policy_get);
HANDLER(policy_put);
HANDLER(policy_remove);
HANDLER(policy_explain);
HANDLER(approval_list);
HANDLER(approve);
