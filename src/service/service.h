/*
 * The service: what Holdfast does, one file per operation: authorise, do, audit. Doors decode, call
 * one of these, encode. Takes and gives plain values only.
 *
 * The caller is op->caller. Every call is audited, denials too: control operations by a note that
 * commits with their effect, data operations by a line written before the answer leaves. Control
 * operations wait; data operations answer HF_LATER when they would have to and op may not wait.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "audit/audit.h"
#include "identity/caller.h"
#include "keys/keys.h"
#include "policy/policy.h"
#include "seal/member.h"

struct hf_service;
struct hf_cluster;
struct hf_cookies;
struct hf_revocation;

/* The secret of the store that its nodes authenticate what they say to each other with. */
#define HF_CLUSTER_SECRET "cluster"

/* A slot that this node may open without a person. */
struct hf_drill_slot {
    const char *name; /* as in the configuration; a slot of the store of that name is meant */
    struct hf_protector_settings protector;
};

/* What the daemon does for the service; each NULL where there is no daemon. */
struct hf_service_outside {
    void *context;
    /* The seal was locked: what is kept besides it is wiped. */
    void (*locked)(void *context);
    /* Opens it again through the slots that need no person. HF_WRONG_STATE when none does. */
    struct hf_status (*reopen)(void *context, struct hf_op *op);
    /* Has the Patroni of a standby cluster make it a cluster of its own. */
    struct hf_status (*end_standby_cluster)(void *context, struct hf_op *op,
                                            const struct hf_site_stand *stand);
    /* Keeps what hf_service_node_revoke() is given, durably, in the place of what was kept. */
    struct hf_status (*keep_revocations)(void *context, struct hf_op *op, struct hf_bytes content);
    /* What it was last given; *out stays NULL when that is nothing. */
    struct hf_status (*recall_revocations)(void *context, struct hf_op *op, struct hf_secret **out);
};

struct hf_service_parts { /* all borrowed */
    struct hf_seal *seal;
    struct hf_keys *keys;
    struct hf_policy *policy;
    struct hf_audit *audit;
    struct hf_cookies *cookies; /* that the Hadoop door issues; NULL: none */
    const char *node;
    bool shared_store;          /* other nodes commit to the same store */
    struct hf_cluster *cluster; /* leases and acknowledgement among them; NULL: none */
    unsigned max_waiting; /* changes that may wait at a time, for a lease or for the same change;
0: no limit */

    const struct hf_store_settings *store; /* of the engine; NULL: it cannot be opened again */
    struct hf_service_outside outside;

    /* Proofs. */
    const char *site;             /* where the node stands; NULL: no name */
    const struct hf_pkey *signer; /* of receipts: the audit trail's Ed25519 key */
    const struct hf_drill_slot *slots;
    size_t slot_count;
    uint32_t min_ways;       /* where a keyring does not say: fewer ways are amber; 0: 1 */
    uint64_t drill_every_ms; /* twice that without a drill is amber; 0: none is due */
};
struct hf_service *hf_service_new(const struct hf_service_parts *parts);
void hf_service_free(struct hf_service *service);
HF_DEFINE_CLEANUP(service)

/* --- the audit feeder: brings control notes from the store's log into the trail --- */

/* Appends all notes the trail does not have yet. After unlock, and then by the daemon's feeder. */
HF_STATUS hf_service_feed_audit(struct hf_service *service, struct hf_op *op);

/* --- requests that may be repeated without an id (Hadoop's client) --- */

/*
 * The request id for a write of that key which its client may repeat: derived from what was asked.
 * If the same was asked before and its answer was not written in full, or another node (or this one
 * before its restart) committed it within window_ms, that id; else a new one. It follows from what
 * was asked and how the key stands, so that nodes which are asked the same while the store does not
 * answer take it for one request. Sets op->request_id and keeps the request's digest for the
 * commit.
 */
struct hf_repeat;
HF_STATUS hf_service_repeat_begin(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  const char *key, const struct hf_bytes *asked, size_t count,
                                  uint64_t window_ms, struct hf_repeat **out);
/* The answer's fate; frees repeat. written: in full, to a live socket. */
void hf_service_repeat_end(struct hf_repeat *repeat, bool written);

/* A caller who proved nothing: aggregated in the trail by address and door, never refused here. */
void hf_service_unauthenticated(struct hf_service *service, struct hf_op *op, const char *door,
                                const char *address);

/* --- what callers were issued --- */

/*
 * Takes back every cookie that the Hadoop user has now, or with NULL those of all users: when this
 * has succeeded no node accepts them. HF_WRONG_STATE and HF_LIMITED say that only all can be ended.
 */
HF_STATUS hf_service_session_end(struct hf_service *service, struct hf_op *op, const char *user);

/* --- keyrings --- */

/* out (may be NULL) gets what was made: whoever may create needs no right to read it then. */
HF_STATUS hf_service_keyring_create(struct hf_service *service, struct hf_op *op, const char *name,
                                    const struct hf_keyring_settings *settings,
                                    struct hf_keyring_info *out);
HF_STATUS hf_service_keyring_change(struct hf_service *service, struct hf_op *op, const char *name,
                                    const struct hf_keyring_settings *settings);
HF_STATUS hf_service_keyring_rotate(struct hf_service *service, struct hf_op *op, const char *name,
                                    uint32_t *out_version);
HF_STATUS hf_service_keyring_get(struct hf_service *service, struct hf_op *op, const char *name,
                                 struct hf_keyring_info *out);
HF_STATUS hf_service_keyring_list(struct hf_service *service, struct hf_op *op,
                                  void (*visit)(void *context, const struct hf_keyring_info *info),
                                  void *context);

/* --- keys: control --- */

/*
 * plan->material set: also needs key.import. out_material, unless NULL, gets the material where the
 * key is exportable and the caller has key.export (with an export record on disk before), else
 * NULL.
 */
HF_STATUS hf_service_key_create(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, const struct hf_key_plan *plan,
                                uint32_t *out_version, struct hf_secret **out_material);
HF_STATUS hf_service_key_rotate(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, const struct hf_secret *material,
                                uint32_t *out_version, struct hf_secret **out_material);
HF_STATUS hf_service_key_set_primary(struct hf_service *service, struct hf_op *op,
                                     const char *keyring, const char *name, uint32_t version);
HF_STATUS hf_service_key_rewrap(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t *out_moved);
HF_STATUS hf_service_key_state(struct hf_service *service, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version, enum hf_key_event event,
                               const char *reason);
HF_STATUS hf_service_key_delete(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, const char *reason);
HF_STATUS hf_service_key_recover(struct hf_service *service, struct hf_op *op, const char *keyring,
                                 const char *name);
/* Where the keyring asks for two people: HF_WRONG_STATE with the approval's id in the text until
 * another caller with "approve" has approved it. force always asks for two. */
HF_STATUS hf_service_key_destroy(struct hf_service *service, struct hf_op *op, const char *keyring,
                                 const char *name, uint32_t version, bool force,
                                 const char *reason);
/* Takes the scheduled destruction of one version back. */
HF_STATUS hf_service_key_keep(struct hf_service *service, struct hf_op *op, const char *keyring,
                              const char *name, uint32_t version);
HF_STATUS hf_service_key_export(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t version, struct hf_secret **out,
                                uint32_t *out_version);

/* --- keys: reading --- */

/* or_deleted: a deleted key is shown too, with when it is destroyed. */
HF_STATUS hf_service_key_get(struct hf_service *service, struct hf_op *op, const char *keyring,
                             const char *name, bool or_deleted, struct hf_key_info **out);
/* The public half of an asymmetric version (HF_LATEST: the primary one) as SubjectPublicKeyInfo. */
HF_STATUS hf_service_key_public(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t version, struct hf_buf *out_spki,
                                uint32_t *out_version);
HF_STATUS hf_service_key_versions(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  const char *name,
                                  void (*visit)(void *context, const struct hf_version_info *info),
                                  void *context);
HF_STATUS hf_service_key_names(struct hf_service *service, struct hf_op *op, const char *keyring,
                               bool deleted, const char *after, size_t limit,
                               void (*visit)(void *context, const char *name), void *context);
/*
 * A key as the Hadoop door can serve it: live, and AES, for a zone under another kind could never
 * be read. Any other is HF_NOT_FOUND; HF_UNAVAILABLE when it is not born as far as this node knows,
 * but another may know better.
 */
HF_STATUS hf_service_hadoop_key(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, struct hf_key_info **out);
/* The names of all such keys that the caller may list. */
HF_STATUS hf_service_hadoop_names(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  void (*visit)(void *context, const char *name), void *context);
/* Deleted keys that the caller may list, each with when it is destroyed. */
HF_STATUS hf_service_key_deleted(struct hf_service *service, struct hf_op *op, const char *keyring,
                                 const char *after, size_t limit,
                                 void (*visit)(void *context, const char *name,
                                               uint64_t destroy_at_ms),
                                 void *context);
HF_STATUS hf_service_key_usage(struct hf_service *service, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version, struct hf_usage *out);

/*
 * Whether a live key of that name is there: only for reading an ambiguous name (Hadoop's '+');
 * tells nothing to the caller, so it asks no policy.
 */
bool hf_service_key_exists(struct hf_service *service, const char *keyring, const char *name);
/* Hadoop's cache invalidation: only the right to roll or to delete is checked, and audited. */
HF_STATUS hf_service_hadoop_invalidate(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name);

/* --- data keys --- */

/* count new data keys under the primary version; as long as the key. */
HF_STATUS hf_service_hadoop_generate(struct hf_service *service, struct hf_op *op,
                                     const char *keyring, const char *name, size_t count,
                                     struct hf_edek *out);
/* Writes edek->len bytes of plaintext into secret memory. */
HF_STATUS hf_service_hadoop_decrypt(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *name,
                                    const struct hf_edek *edek, struct hf_secret **out);
/* Same data key and iv under the primary version, in place; those already there stay. All or none.
 */
HF_STATUS hf_service_hadoop_reencrypt(struct hf_service *service, struct hf_op *op,
                                      const char *keyring, const char *name, struct hf_edek *edeks,
                                      size_t count);

/*
 * Data keys in our own form: plain (NULL: not wanted, or without key.decrypt, which
 * would open it) and wrapped, a
 * ciphertext of docs/formats/ciphertext.md with aad bound.
 */
HF_STATUS hf_service_data_key_generate(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, size_t len,
                                       struct hf_bytes aad, struct hf_secret **out_plain,
                                       struct hf_buf *out_wrapped);
HF_STATUS hf_service_encrypt(struct hf_service *service, struct hf_op *op, const char *keyring,
                             const char *name, uint32_t version, struct hf_bytes aad,
                             const struct hf_secret *plain, struct hf_buf *out);
HF_STATUS hf_service_decrypt(struct hf_service *service, struct hf_op *op, const char *keyring,
                             const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                             struct hf_secret **out);
HF_STATUS hf_service_reencrypt(struct hf_service *service, struct hf_op *op, const char *keyring,
                               const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                               struct hf_buf *out, uint32_t *out_version);

/* --- signatures, MACs, random --- */

HF_STATUS hf_service_sign(struct hf_service *service, struct hf_op *op, const char *keyring,
                          const char *name, uint32_t version, enum hf_signature scheme,
                          enum hf_hash hash, struct hf_bytes message, struct hf_buf *out,
                          uint32_t *out_version);
HF_STATUS hf_service_verify(struct hf_service *service, struct hf_op *op, const char *keyring,
                            const char *name, uint32_t version, enum hf_signature scheme,
                            enum hf_hash hash, struct hf_bytes message, struct hf_bytes signature,
                            bool *out_valid);
HF_STATUS hf_service_mac(struct hf_service *service, struct hf_op *op, const char *keyring,
                         const char *name, uint32_t version, enum hf_hash hash,
                         struct hf_bytes message, struct hf_buf *out, uint32_t *out_version);
HF_STATUS hf_service_mac_verify(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t version, enum hf_hash hash,
                                struct hf_bytes message, struct hf_bytes mac, bool *out_valid);
HF_STATUS hf_service_random(struct hf_service *service, struct hf_op *op, size_t len,
                            struct hf_secret **out);

/* --- policy and approvals --- */

HF_STATUS hf_service_policy_put(struct hf_service *service, struct hf_op *op, const char *name,
                                struct hf_bytes document);
HF_STATUS hf_service_policy_remove(struct hf_service *service, struct hf_op *op, const char *name);
/*
 * The first policy, for init: these identities ("unix:root", "cert:admin") are one person, and the
 * first administrators of them get operator and key-admin, and so no use of keys. HF_WRONG_STATE
 * once there has been any policy.
 */
HF_STATUS hf_service_bootstrap_policy(struct hf_service *service, struct hf_op *op,
                                      const char *const *identities, size_t count,
                                      size_t administrators);
HF_STATUS hf_service_policy_get(struct hf_service *service, struct hf_op *op, const char *name,
                                struct hf_buf *out);
HF_STATUS hf_service_policy_list(struct hf_service *service, struct hf_op *op,
                                 void (*visit)(void *context, const char *name), void *context);
HF_STATUS hf_service_policy_explain(struct hf_service *service, struct hf_op *op,
                                    const char *caller, const char *action, const char *keyring,
                                    const char *key, struct hf_buf *out);

struct hf_approval_info {
    char id[33];
    char operation[64];
    char keyring[64];
    char *key;
    char *requester;
    char *approver; /* NULL: not yet */
    uint64_t created_ms, expires_ms;
};
HF_STATUS hf_service_approval_list(struct hf_service *service, struct hf_op *op,
                                   void (*visit)(void *context,
                                                 const struct hf_approval_info *info),
                                   void *context);
/* HF_DENIED for the one who asked. */
HF_STATUS hf_service_approve(struct hf_service *service, struct hf_op *op, const char *id);

/* --- why: the protection chain --- */

enum hf_link_health { HF_LINK_OPEN, HF_LINK_CLOSED, HF_LINK_BROKEN };
struct hf_why_link {
    const char *level; /* "ciphertext", "key" (a deleted one), "key version", "keyring key", "main
                          key", "root key", "slot" */
    char name[512];
    char state[64];      /* "active", "open", "needs a human", ... */
    char detail[256];    /* check value, algorithm, custody */
    char proven_by[160]; /* "node-1 through slot backup": the last drill; "" when none has */
    uint64_t proven_ms;  /* when; 0: never */
    enum hf_link_health health;
};
/*
 * The chain from a key (its primary), a version or a Hadoop EDEK down to the slots, each link
 * checked by opening it now. what: "keyring/name", "keyring/name@3", or the EDEK as JSON (then
 * keyring is given apart).
 */
HF_STATUS hf_service_why(struct hf_service *service, struct hf_op *op, const char *keyring,
                         const char *what,
                         void (*visit)(void *context, const struct hf_why_link *link),
                         void *context);

/* --- proofs: that everything opens (docs/drill.md) --- */

#define HF_DRILL_ID 17 /* 16 hex digits and the terminator */

/*
 * Asks every node for its part of a drill: to open every key version through every slot that it has
 * without a person, each apart from what is served, to keep that as the proof of the day (unless
 * for one keyring only) and to sign it. Gives the drill's id and does not wait for it. One at a
 * time among all nodes: HF_WRONG_STATE while another runs. wait_ms (0: 120 s) is how long nothing
 * may be heard of a node before it counts as silent. What does not open is a result, no failure.
 */
HF_STATUS hf_service_drill(struct hf_service *service, struct hf_op *op, const char *keyring,
                           uint64_t wait_ms, char out_id[HF_DRILL_ID]);
/* These answer JSON; id "last" is the newest drill. HF_NOT_FOUND: the last 32 are kept. */
HF_STATUS hf_service_drill_list(struct hf_service *service, struct hf_op *op, struct hf_buf *out);
/* How far each node is. */
HF_STATUS hf_service_drill_show(struct hf_service *service, struct hf_op *op, const char *id,
                                struct hf_buf *out);
/* The signed receipt (docs/formats/receipt.md); HF_WRONG_STATE until the drill has ended. */
HF_STATUS hf_service_drill_receipt(struct hf_service *service, struct hf_op *op, const char *id,
                                   struct hf_buf *out);

/* For the daemon, some times a second: whether a part of a drill is to be done here. */
HF_STATUS hf_service_drill_is_asked(struct hf_service *service, struct hf_op *op, bool *out);
/* Does it, if there is one: on a thread of its own, since it takes a while. op has no caller. */
HF_STATUS hf_service_drill_part(struct hf_service *service, struct hf_op *op);
/* The node stops: a part that runs here ends soon, and no job begins. */
void hf_service_drill_stop(struct hf_service *service);
/* Brings the metrics to what the last proofs say. For the daemon, now and then. */
HF_STATUS hf_service_proof_metrics(struct hf_service *service, struct hf_op *op);

/* Answers JSON: what would become unreadable without these ("node:a", "slot:b", "site:c"). */
HF_STATUS hf_service_what_if(struct hf_service *service, struct hf_op *op, const char *const *lost,
                             size_t count, struct hf_buf *out);
/* Answers JSON: the fewest losses that would end the key ("keyring/name"; NULL: the weakest). */
HF_STATUS hf_service_min_cut(struct hf_service *service, struct hf_op *op, const char *what,
                             struct hf_buf *out);

/* --- jobs: the server's own work (docs/jobs.md) --- */

/*
 * One turn of all jobs, for a thread of the daemon: op has no caller. What is due and no other
 * node's is done for about a second each; failures are logged. *out_more: there is more to do
 * now; else it is called again within a second.
 */
void hf_service_run_jobs(struct hf_service *service, struct hf_op *op, bool *out_more);

enum hf_job_state { HF_JOB_RESTS, HF_JOB_DUE, HF_JOB_RUNS, HF_JOB_FAILED };
const char *hf_job_state_name(enum hf_job_state state);
struct hf_job_info {
    const char *name;
    enum hf_job_state state;
    const char *node;      /* who did it last, or does it; "": nobody yet */
    uint64_t begun_ms;     /* the last run; 0: never */
    uint64_t active_ms;    /* when it was last heard of */
    uint64_t ended_ms;     /* 0: it runs */
    uint64_t done, total;  /* of it; total 0: not known */
    const char *text;      /* why it failed; "" */
    uint64_t due_since_ms; /* as this node sees it; 0: nothing is to do */
    uint64_t next_look_ms; /* when this node looks again; 0: all the time */
};
/* The state of every job, by name, as all nodes share it. */
HF_STATUS hf_service_job_list(struct hf_service *service, struct hf_op *op,
                              void (*visit)(void *context, const struct hf_job_info *info),
                              void *context);

/* --- the node --- */

enum hf_light { HF_GREEN, HF_AMBER, HF_RED };
const char *hf_light_name(enum hf_light light);
struct hf_status_item {
    enum hf_light light;
    char name[48];  /* "seal", "slots", "audit", "memory" */
    char text[256]; /* what is so, and what to do about it */
};
/* The daemon adds its own items (listeners, certificates). Anyone with node.status. */
HF_STATUS hf_service_status(struct hf_service *service, struct hf_op *op,
                            void (*visit)(void *context, const struct hf_status_item *item),
                            void *context);
HF_STATUS hf_service_slots(struct hf_service *service, struct hf_op *op,
                           void (*visit)(void *context, const struct hf_slot_info *slot),
                           void *context);
/* A new way to open the root, proven before it counts. */
HF_STATUS hf_service_slot_add(struct hf_service *service, struct hf_op *op, const char *name,
                              bool offline, const struct hf_protector_settings *protector,
                              struct hf_slot_info *out);
/*
 * Proves that a slot (by id or name) opens the root in force, now, and records it. HF_DENIED for a
 * wrong secret.
 */
HF_STATUS hf_service_slot_test(struct hf_service *service, struct hf_op *op, const char *slot,
                               const struct hf_protector_settings *protector,
                               struct hf_slot_info *out);
/*
 * Removes a slot (by id or name) and, unless keep_root, begins a root rotation in the same commit;
 * *out_generation is the root then in force. HF_WRONG_STATE for the last slot and the last proven
 * one, while a rotation is under way (unless keep_root), and, where a keyring asks for two people,
 * with the approval's id in the text until another caller has approved it.
 */
HF_STATUS hf_service_slot_remove(struct hf_service *service, struct hf_op *op, const char *slot,
                                 bool keep_root, uint32_t *out_generation);

/* --- nodes that join by their own key pair (seal/member.h) --- */

struct hf_node_info {
    const struct hf_member *member; /* its wish: what an approval has just certified */
    char fingerprint[HF_FINGERPRINT_LEN];
    uint64_t proven_ms; /* when its slot was last seen to open the root; 0: never, or gone */
    uint32_t proven_generation; /* the root it opened then */
};
typedef void hf_node_visit(void *context, const struct hf_node_info *node);

/*
 * Takes in the node of a join request: member and slot in one commit, once for its key; asked again
 * it gives the same. *out is the text of the bundle that the new node needs, with a certificate by
 * the store's authority for what the request asks for. HF_INVALID when the
 * request is none, or when fingerprint (what the new machine shows; NULL: not compared) is another,
 * HF_EXISTS when name or key are taken, HF_WRONG_STATE for a key that was removed and, where a
 * keyring asks for two people, with the approval's id in the text.
 */
HF_STATUS hf_service_node_approve(struct hf_service *service, struct hf_op *op, const char *request,
                                  const char *fingerprint, hf_node_visit *visit, void *context,
                                  struct hf_buf *out,
                                  char out_bundle_fingerprint[HF_FINGERPRINT_LEN]);
HF_STATUS hf_service_node_list(struct hf_service *service, struct hf_op *op, hf_node_visit *visit,
                               void *context);
HF_STATUS hf_service_node_show(struct hf_service *service, struct hf_op *op, const char *name,
                               hf_node_visit *visit, void *context);
/*
 * Lets this node open existing versions for so long (0: no more) though it has no lease and nobody
 * knows how old its copy is; not where a keyring's max_stale is 0, and not for wrapping.
 * HF_WRONG_STATE for a store that is this node's alone.
 */
HF_STATUS hf_service_serve_stale(struct hf_service *service, struct hf_op *op, uint64_t for_ms);
/* A draining node says that it is not ready, so that clients leave it; or is taken back. */
HF_STATUS hf_service_node_drain(struct hf_service *service, struct hf_op *op, const char *name,
                                bool draining, hf_node_visit *visit, void *context);

/*
 * Revocations that are carried by hand to a node that is cut off (service/revocation.h).
 *
 * The first makes one on a node with a lease: of a key that is deleted or destroyed (HF_LATEST), or
 * of a version that is suspended, deactivated, compromised or destroyed, once that is in force
 * everywhere; HF_WRONG_STATE when it is in use. Waits for a lease as a change does.
 *
 * The second takes one on any node, with a lease or without. When it has succeeded the node uses
 * key or version no more than the state in the revocation allows, also after a restart, until it
 * has followed the commit; *out_followed: it has already, and nothing was kept. HF_INVALID with the
 * cause other_store or altered, HF_LIMITED when there are too many.
 *
 * A store that is this node's alone has none of it: HF_WRONG_STATE.
 */
HF_STATUS hf_service_key_revocation(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *name, uint32_t version,
                                    struct hf_revocation *out);
HF_STATUS hf_service_node_revoke(struct hf_service *service, struct hf_op *op,
                                 const struct hf_revocation *revocation, bool *out_followed);
/*
 * For the daemon. After each unlock, before it may open anything without a lease: a failure says
 * that what was revoked here is not known, so that nothing is opened then. And while it is open,
 * often: those end whose commit is followed. That takes no lock while there are none.
 */
HF_STATUS hf_service_revocations_recall(struct hf_service *service, struct hf_op *op);
void hf_service_revocations_end(struct hf_service *service, struct hf_op *op);

/*
 * Removes member and slot and begins a root rotation, as hf_service_slot_remove() does.
 * HF_WRONG_STATE for the last member of a shared store. A node may remove itself.
 */
HF_STATUS hf_service_node_remove(struct hf_service *service, struct hf_op *op, const char *name,
                                 bool keep_root, uint32_t *out_generation);
/* Whether that is this node's name among those of a shared store. */
bool hf_service_node_is_this(const struct hf_service *service, const char *name);

/*
 * Where this node stands on the list of members, kept right: the first node of a shared store
 * becomes a member by itself, making its key pair if it has none, and a member that was configured
 * to another site is recorded there. For the daemon: op has no caller. Any other node is left as it
 * is, and status says what it lacks.
 */
HF_STATUS hf_service_node_enroll(struct hf_service *service, struct hf_op *op);
/*
 * A node whose key was removed from the list locks itself, whoever unlocked it: what it knows is
 * wiped, and status says why. For the daemon, after each unlock and as soon as its entry changes.
 */
HF_STATUS hf_service_node_leave(struct hf_service *service, struct hf_op *op);
/*
 * Members that have been silent for some seconds are away from now on, so that nobody waits for
 * them; and this node, if it is away and could have a lease, is back. For the daemon, once a
 * second; waits for at most some seconds.
 */
HF_STATUS hf_service_node_presence(struct hf_service *service, struct hf_op *op);

/* --- sites (docs/sites.md) --- */

struct hf_site_order {
    bool dry_run;      /* only tells */
    bool force;        /* though another host still says that it is the primary */
    uint64_t may_lose; /* so many commits that were answered, and no more */
};
/*
 * Makes the standby of a site the primary, and answers JSON: where it stands, what is lost with
 * that, and what is still to be done. HF_WRONG_STATE when something speaks against it that the
 * order does not allow, HF_IN_DOUBT when the promotion was begun and its end not seen.
 */
HF_STATUS hf_service_site_promote(struct hf_service *service, struct hf_op *op, const char *site,
                                  const struct hf_site_order *order, struct hf_buf *out);
struct hf_accept_order {
    bool dry_run;
    bool force; /* though something that was taken away comes back, or what vanishes is not known */
};
/*
 * Gives up what this node's copy has and the store does not, and follows the store as it stands;
 * the node is locked meanwhile. Answers JSON with each commit that vanishes; the trail has them
 * before. HF_WRONG_STATE when there is nothing to accept, or for what needs force.
 */
HF_STATUS hf_service_accept_history(struct hf_service *service, struct hf_op *op,
                                    const struct hf_accept_order *order, struct hf_buf *out);

/*
 * A certificate of this node that the store's authority has signed, again with later dates: for the
 * daemon, in time. HF_DENIED for one that somebody else has signed.
 */
HF_STATUS hf_service_node_certificate(struct hf_service *service, struct hf_op *op,
                                      struct hf_bytes pem, struct hf_buf *out);

/* A new root in force; HF_WRONG_STATE until the rotation before has ended. */
HF_STATUS hf_service_root_rotate(struct hf_service *service, struct hf_op *op,
                                 uint32_t *out_generation);
HF_STATUS hf_service_root_status(struct hf_service *service, struct hf_op *op,
                                 struct hf_root_info *out);
/* While locked there is no policy: the daemon lets only the unix user that owns the node in. */
HF_STATUS hf_service_unlock(struct hf_service *service, struct hf_op *op,
                            const struct hf_protector_settings *protector,
                            struct hf_slot_info *out_slot);
HF_STATUS hf_service_lock(struct hf_service *service, struct hf_op *op);
/* HF_WRONG_STATE while the node is locked: for doors that must not even ask who calls then. */
HF_STATUS hf_service_check_unlocked(struct hf_service *service, struct hf_op *op);
/* Opens one canary per keyring through the whole chain: what /health/ready stands on. A draining
 * node is not ready. */
HF_STATUS hf_service_ready(struct hf_service *service, struct hf_op *op);
