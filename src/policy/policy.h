/*
 * Policy: who may do what to which keys. Rules are allow or deny; deny wins; what no rule allows is
 * refused. Policies are documents in the store ("policy/<name>"), all of them in force together.
 *
 * A document (docs/policy.md):
 *   { "rules": [ { "effect": "allow", "who": ["pseudo:alice", "cert:etl-*"],
 *                  "roles": ["key-user"], "actions": ["key.export"],
 *                  "keyrings": ["hdfs"], "keys": ["sales-*"] } ] }
 * Patterns have '*' only; the kind of proof before ':' never matches by pattern: "*" alone is
 * refused, "pseudo:*" is fine. Left-out "keyrings" or "keys" mean all.
 *
 * A document may also say which identities are one person (docs/policy.md):
 *   { "persons": [ { "name": "root", "identities": ["unix:root", "cert:admin"] } ] }
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/seal.h"

/* Rows: enum, name, whether it concerns a key. Doors and docs use the names. */
/* clang-format off */
#define HF_ACTIONS(row) \
    row(HF_ACT_STATUS, "node.status", false) \
    row(HF_ACT_UNLOCK, "node.unlock", false) \
    row(HF_ACT_LOCK, "node.lock", false) \
    row(HF_ACT_SLOT_LIST, "slot.list", false) \
    row(HF_ACT_SLOT_CHANGE, "slot.change", false) \
    row(HF_ACT_KEYRING_CREATE, "keyring.create", true) \
    row(HF_ACT_KEYRING_READ, "keyring.read", true) \
    row(HF_ACT_KEYRING_CHANGE, "keyring.change", true) \
    row(HF_ACT_KEYRING_ROTATE, "keyring.rotate", true) \
    row(HF_ACT_KEY_CREATE, "key.create", true) \
    row(HF_ACT_KEY_IMPORT, "key.import", true) \
    row(HF_ACT_KEY_LIST, "key.list", true) \
    row(HF_ACT_KEY_READ, "key.read", true) \
    row(HF_ACT_KEY_ROTATE, "key.rotate", true) \
    row(HF_ACT_KEY_REWRAP, "key.rewrap", true) \
    row(HF_ACT_KEY_STATE, "key.state", true) \
    row(HF_ACT_KEY_DELETE, "key.delete", true) \
    row(HF_ACT_KEY_RECOVER, "key.recover", true) \
    row(HF_ACT_KEY_DESTROY, "key.destroy", true) \
    row(HF_ACT_KEY_EXPORT, "key.export", true) \
    row(HF_ACT_KEY_GENERATE, "key.generate", true) \
    row(HF_ACT_KEY_UNWRAP, "key.unwrap", true) \
    row(HF_ACT_KEY_REENCRYPT, "key.reencrypt", true) \
    row(HF_ACT_KEY_ENCRYPT, "key.encrypt", true) \
    row(HF_ACT_KEY_DECRYPT, "key.decrypt", true) \
    row(HF_ACT_KEY_SIGN, "key.sign", true) \
    row(HF_ACT_KEY_VERIFY, "key.verify", true) \
    row(HF_ACT_KEY_MAC, "key.mac", true) \
    row(HF_ACT_RANDOM, "random", false) \
    row(HF_ACT_POLICY_READ, "policy.read", false) \
    row(HF_ACT_POLICY_CHANGE, "policy.change", false) \
    row(HF_ACT_APPROVE, "approve", false) \
    row(HF_ACT_SESSION_END, "session.end", false) \
    row(HF_ACT_AUDIT_READ, "audit.read", false) \
    row(HF_ACT_WHY, "why", true) \
    row(HF_ACT_SLOT_TEST, "slot.test", false) \
    row(HF_ACT_SLOT_REMOVE, "slot.remove", false) \
    row(HF_ACT_ROOT_ROTATE, "root.rotate", false) \
    row(HF_ACT_SITE_PROMOTE, "site.promote", false) \
    row(HF_ACT_STORE_ACCEPT, "store.accept", false) \
    row(HF_ACT_DRILL_RUN, "drill.run", false) \
    row(HF_ACT_DRILL_READ, "drill.read", false) \
    row(HF_ACT_JOB_LIST, "job.list", false) \
    row(HF_ACT_NODE_LIST, "node.list", false) \
    row(HF_ACT_NODE_APPROVE, "node.approve", false) \
    row(HF_ACT_NODE_CHANGE, "node.change", false) \
    row(HF_ACT_NODE_REMOVE, "node.remove", false) \
    row(HF_ACT_SERVE_STALE, "node.serve-stale", false) \
    row(HF_ACT_KEY_REVOCATION, "key.revocation", true) \
    row(HF_ACT_NODE_REVOKE, "node.revoke", false)
/* clang-format on */

#define HF_ACTION_ENUM(id, name, concerns_key) id,
enum hf_action { HF_ACTIONS(HF_ACTION_ENUM) HF_ACTION_COUNT };
#undef HF_ACTION_ENUM

const char *hf_action_name(enum hf_action action);

struct hf_policy;

/* Registers with the seal as consumer of HF_KIND_POLICY, before unlock. */
struct hf_policy *hf_policy_new(struct hf_seal *seal);
/* Locks the seal, which would call us otherwise; called before hf_seal_free(). */
void hf_policy_free(struct hf_policy *policy);
HF_DEFINE_CLEANUP(policy)

/*
 * May this caller (its id, "pseudo:alice") do that? keyring and key may be NULL for actions that
 * concern none. The text of HF_DENIED names the rule that denied, or says that none allows.
 * Takes well under a microsecond: answers are cached per (caller, action, keyring, key).
 */
HF_STATUS hf_policy_check(struct hf_policy *policy, struct hf_op *op, const char *caller,
                          enum hf_action action, const char *keyring, const char *key);

/* Roles are fixed sets of actions: key-admin, key-user, auditor, operator. */
bool hf_role_has(const char *role, enum hf_action action, bool *out_known);

/*
 * Stages a document after checking it: HF_INVALID names rule and member. HF_DENIED when it would
 * give its author (caller id), or another identity of the same person, use or export he does not
 * have now, or make two persons of him; a second person must approve it, then author is NULL.
 * HF_CONFLICT at commit when any policy was changed meanwhile: stage again.
 */
HF_STATUS hf_policy_put(struct hf_policy *policy, struct hf_op *op, struct hf_txn *txn,
                        const char *name, struct hf_bytes document, const char *author);
/* Likewise: taking a denial away can give something too. HF_NOT_FOUND. */
HF_STATUS hf_policy_remove(struct hf_policy *policy, struct hf_op *op, struct hf_txn *txn,
                           const char *name, const char *author);
/* Whether no policy was ever put: then, and only then, the first may come from init. */
bool hf_policy_is_empty(struct hf_policy *policy);
/*
 * Whether every document that should be in force is there. When one is damaged, nothing is allowed
 * on keyrings and keys, because its denials are lost, until it is put again or removed.
 */
bool hf_policy_is_whole(struct hf_policy *policy);
/* Whether the documents in force say that two identities are one person. */
bool hf_policy_is_one_person(struct hf_policy *policy, const char *one, const char *other);
/* The document as it was put; HF_NOT_FOUND. */
HF_STATUS hf_policy_get(struct hf_policy *policy, struct hf_op *op, const char *name,
                        struct hf_buf *out);
void hf_policy_each(struct hf_policy *policy, void (*visit)(void *context, const char *name),
                    void *context);
/* Every rule that speaks of the caller, the action and the key, in words: for "policy explain". */
HF_STATUS hf_policy_explain(struct hf_policy *policy, struct hf_op *op, const char *caller,
                            enum hf_action action, const char *keyring, const char *key,
                            struct hf_buf *out);
HF_STATUS hf_action_parse(struct hf_op *op, const char *name, enum hf_action *out);
