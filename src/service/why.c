/* Why a key opens, or why not: each link of its chain, opened now. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "service/proof.h"
#include "service/target.h"

#define SIBLINGS_MAX 256 /* keys that are looked through for one that was proven */

struct chain {
    struct hf_call call;
    const struct hf_target *target;
    struct hf_slot_proofs *proofs;
    const struct hf_slot_proof *proof; /* the last one that opened the version */
    const struct hf_slot_proof *above; /* the last one that opened what the version is under */
    struct hf_serve_on serve_on;       /* of the keyring: what others proved counts for nothing */
    void (*visit)(void *context, const struct hf_why_link *link);
    void *context;
};

static struct hf_why_link link_of(const char *level, enum hf_link_health health)
{
    return (struct hf_why_link){ .level = level, .health = health };
}

static void add_date(char *to, size_t size, const char *before, uint64_t realtime_ms)
{
    HF_AUTO(buf) date = hf_buf_new();
    size_t len = strnlen(to, size);

    if (realtime_ms == 0) {
        hf_buf_add_text(date, "never");
    } else {
        hf_date_add(date, realtime_ms);
    }
    (void)snprintf(to + len, size - len, "%s%s", before, hf_buf_text(date));
}

/* --- who proved it before --- */

static void put_proof(const struct hf_slot_proof *proof, struct hf_why_link *link)
{
    if (proof != NULL) {
        (void)snprintf(link->proven_by, sizeof link->proven_by, "%.64s through slot %.64s",
                       proof->node, proof->slot_name);
        link->proven_ms = proof->when_ms;
    }
}

/* A version that is younger than the proof's commit is none of those it speaks of. */
static const struct hf_slot_proof *last_proof(const struct chain *chain, const char *path,
                                              uint64_t seq)
{
    const struct hf_slot_proof *last = NULL;

    for (size_t i = 0; i < chain->proofs->count; i++) {
        const struct hf_slot_proof *proof = chain->proofs->items[i];

        if (proof->seq >= seq && hf_slot_proof_covers(proof, path) &&
            hf_serve_on_serves(&chain->serve_on, proof->node) &&
            (last == NULL || hf_slot_proof_is_later(proof, last))) {
            last = proof;
        }
    }
    return last;
}

/* Of those that opened the root: by nodes that serve the keyring. */
static const struct hf_slot_proof *last_of_keyring(const struct chain *chain)
{
    const struct hf_slot_proof *last = NULL;

    for (size_t i = 0; i < chain->proofs->count; i++) {
        const struct hf_slot_proof *proof = chain->proofs->items[i];

        if (proof->opened && hf_serve_on_serves(&chain->serve_on, proof->node) &&
            (last == NULL || hf_slot_proof_is_later(proof, last))) {
            last = proof;
        }
    }
    return last;
}

/* A record that cannot be read was proven by nobody; its link says what is wrong with it. */
static const struct hf_slot_proof *proof_of(const struct chain *chain, struct hf_op *op,
                                            const char *name, uint32_t version)
{
    HF_AUTO_STRING path = hf_version_record_path(chain->target->keyring, name, version);
    const struct hf_slot_proof *proof = NULL;
    HF_AUTO(opened) opened = NULL;

    if (hf_seal_get(chain->call.service->seal, op, HF_KIND_VERSION, path, &opened).code == HF_OK) {
        proof = last_proof(chain, path, opened->seq);
    }
    hf_op_clear(op);
    return proof;
}

/* The latest proof of another version under the same keyring key, which was opened with it. */
struct sibling_search {
    const struct chain *chain;
    struct hf_op *op;
    uint32_t keyring_key;
    const char *name;                   /* the key that is looked at */
    const struct hf_slot_proof *newest; /* of all proofs: no sibling has a later one */
    const struct hf_slot_proof *found;
};

static void look_at_sibling(void *context, const struct hf_version_info *info)
{
    struct sibling_search *search = context;
    const struct hf_slot_proof *proof = NULL;

    if (search->found != search->newest && info->keyring_key == search->keyring_key) {
        proof = proof_of(search->chain, search->op, search->name, info->version);
    }
    if (proof != NULL && (search->found == NULL || hf_slot_proof_is_later(proof, search->found))) {
        search->found = proof;
    }
}

static void look_at_key(void *context, const char *name)
{
    struct sibling_search *search = context;
    const struct chain *chain = search->chain;

    search->name = name;
    if (search->found != search->newest &&
        hf_key_versions(chain->call.service->keys, search->op, chain->target->keyring, name,
                        look_at_sibling, search)
                .code != HF_OK) {
        hf_op_clear(search->op);
    }
}

/*
 * The chain of a version was opened as a whole: its proof is that of each link. Where the version
 * itself is younger than the last drill, or does not open, others have proven what is above it.
 */
static struct hf_status find_proofs(struct chain *chain, struct hf_op *op,
                                    const struct hf_version_info *info)
{
    struct sibling_search search = {
        .chain = chain,
        .op = op,
        .keyring_key = info->keyring_key,
        .newest = last_of_keyring(chain),
    };

    chain->proof = proof_of(chain, op, chain->target->name, info->version);
    chain->above = chain->proof;
    if (chain->proof != NULL || search.newest == NULL || info->keyring_key == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_key_names(chain->call.service->keys, op, chain->target->keyring, false, NULL,
                        SIBLINGS_MAX, look_at_key, &search));
    chain->above = search.found;
    return HF_SUCCESS;
}

/* Whoever opened the root in force, for whichever keyring; a drill of before has opened another. */
static const struct hf_slot_proof *last_of_root(const struct chain *chain, uint32_t generation)
{
    const struct hf_slot_proof *last = NULL;

    for (size_t i = 0; i < chain->proofs->count; i++) {
        const struct hf_slot_proof *proof = chain->proofs->items[i];

        if (proof->opened && proof->root_generation == generation &&
            (last == NULL || hf_slot_proof_is_later(proof, last))) {
            last = proof;
        }
    }
    return last;
}

static const struct hf_slot_proof *last_of_slot(const struct chain *chain, const char *slot)
{
    const struct hf_slot_proof *last = NULL;

    for (size_t i = 0; i < chain->proofs->count; i++) {
        const struct hf_slot_proof *proof = chain->proofs->items[i];

        if (proof->opened && strcmp(proof->slot, slot) == 0 &&
            (last == NULL || hf_slot_proof_is_later(proof, last))) {
            last = proof;
        }
    }
    return last;
}

/* Health of something that was just opened, or not. */
static enum hf_link_health health_of(struct hf_status status)
{
    if (status.code == HF_OK) {
        return HF_LINK_OPEN;
    }
    return status.code == HF_CORRUPT || status.code == HF_NOT_FOUND ? HF_LINK_BROKEN
                                                                    : HF_LINK_CLOSED;
}

/* --- the version --- */

struct version_search {
    uint32_t wanted;
    bool found;
    struct hf_version_info info;
};

static void match_version(void *context, const struct hf_version_info *info)
{
    struct version_search *search = context;

    if (info->version == search->wanted) {
        search->found = true;
        search->info = *info;
    }
}

/*
 * The version that stands for a key: as the index has it, because a rotation that is just being
 * committed is in the store before it is in force; else, when there is no primary one, the last.
 */
static uint32_t settle_version(const struct chain *chain, struct hf_op *op,
                               const struct hf_key_info *key)
{
    const struct hf_target *target = chain->target;
    uint32_t version = target->version;

    if (version == HF_LATEST &&
        hf_key_primary(chain->call.service->keys, op, target->keyring, target->name, &version)
                .code != HF_OK) {
        hf_op_clear(op);
        version = key->last_version;
    }
    return version;
}

static struct hf_status find_version(struct chain *chain, struct hf_op *op,
                                     const struct hf_key_info *key, struct hf_version_info *out)
{
    const struct hf_target *target = chain->target;
    struct hf_keys *keys = chain->call.service->keys;
    struct version_search search = { .wanted = settle_version(chain, op, key) };

    HF_TRY(hf_key_versions(keys, op, target->keyring, target->name, match_version, &search));
    if (!search.found) {
        HF_TRY(hf_key_check_version(keys, op, target->keyring, target->name, search.wanted));
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "'%.100s' has no version %" PRIu32, target->name, search.wanted);
    }
    chain->call.has_version = true;
    chain->call.version = search.wanted;
    *out = search.info;
    return HF_SUCCESS;
}

static bool is_destroyed(const struct hf_version_info *info)
{
    return info->state == HF_KEY_DESTROYED || info->state == HF_KEY_DESTROYED_COMPROMISED;
}

static void describe_destroyed(const struct hf_version_info *info, struct hf_why_link *link)
{
    link->health = HF_LINK_BROKEN;
    add_date(link->detail, sizeof link->detail, "destroyed ", info->destroyed_ms);
    (void)snprintf(link->detail + strlen(link->detail), sizeof link->detail - strlen(link->detail),
                   ": %.150s", info->reason);
}

static void describe_version(const struct hf_version_info *info, struct hf_status proven,
                             const struct hf_op *op, struct hf_why_link *link)
{
    HF_AUTO(buf) check = hf_buf_new();

    link->health = health_of(proven);
    if (proven.code != HF_OK) {
        (void)snprintf(link->detail, sizeof link->detail, "does not open: %.200s", op->text);
        return;
    }
    hf_hex_add(check, hf_bytes_of(info->check_value, sizeof info->check_value));
    (void)snprintf(link->detail, sizeof link->detail, "opened now, check value %s%s%s%.200s",
                   hf_buf_text(check), info->imported ? ", imported" : "",
                   info->reason[0] != '\0' ? "; " : "", info->reason);
    if (!hf_key_state_allows(info->state, HF_USE_PROCESS)) {
        link->health = HF_LINK_CLOSED;
        (void)snprintf(link->detail, sizeof link->detail,
                       info->candidate
                           ? "opened now; a candidate, in use once every node has opened it"
                           : "opened now, but its state refuses every use");
    }
}

/* The node that is asked has to serve it: where another one does, the drills of that one tell. */
static struct hf_status open_version(const struct chain *chain, struct hf_op *op, uint32_t version)
{
    const struct hf_target *target = chain->target;
    struct hf_service *service = chain->call.service;

    HF_TRY(hf_serve_on_need(service, op, target->keyring));
    return hf_key_prove(service->keys, op, target->keyring, target->name, version);
}

static struct hf_status open_keyring_key(const struct chain *chain, struct hf_op *op,
                                         uint32_t version)
{
    struct hf_service *service = chain->call.service;

    HF_TRY(hf_serve_on_need(service, op, chain->target->keyring));
    return hf_seal_keyring_key_open(service->seal, op, chain->target->keyring, version);
}

static struct hf_why_link prove_version(struct chain *chain, struct hf_op *op,
                                        const struct hf_version_info *info)
{
    const struct hf_target *target = chain->target;
    struct hf_why_link link = link_of("key version", HF_LINK_BROKEN);

    (void)snprintf(link.name, sizeof link.name, "%s/%s@%" PRIu32, target->keyring, target->name,
                   info->version);
    (void)snprintf(link.state, sizeof link.state, "%s", hf_key_state_name(info->state));
    if (is_destroyed(info)) {
        describe_destroyed(info, &link);
        return link;
    }
    describe_version(info, open_version(chain, op, info->version), op, &link);
    put_proof(chain->proof, &link);
    hf_op_clear(op);
    return link;
}

/* Hadoop's form has no tag by its nature: nobody can prove the text itself (promise P7). */
static void visit_edek(const struct chain *chain, const struct hf_why_link *version)
{
    struct hf_why_link link = link_of("ciphertext", version->health);

    (void)snprintf(link.name, sizeof link.name, "wrapped data key (Hadoop)");
    (void)snprintf(link.state, sizeof link.state, "carries no tag");
    (void)snprintf(
        link.detail, sizeof link.detail,
        "names %.150s, which is proven below; whether these bytes were changed cannot be "
        "told",
        version->name);
    chain->visit(chain->context, &link);
}

/* --- keyring key and main key --- */

static void visit_keyring_key(const struct chain *chain, struct hf_status opened,
                              const struct hf_op *op, const struct hf_keyring_key_info *info)
{
    struct hf_why_link link = link_of("keyring key", health_of(opened));

    (void)snprintf(link.name, sizeof link.name, "%s, version %" PRIu32, chain->target->keyring,
                   info->version);
    (void)snprintf(link.state, sizeof link.state, "%s",
                   opened.code == HF_OK ? "open" : "does not open");
    if (opened.code == HF_OK) {
        add_date(link.detail, sizeof link.detail, "aes-256, made ", info->created_ms);
    } else {
        (void)snprintf(link.detail, sizeof link.detail, "%.250s", op->text);
    }
    put_proof(chain->above, &link);
    chain->visit(chain->context, &link);
}

struct main_search {
    const struct hf_keyring_key_info *parent_of;
    bool found;
    struct hf_main_key_info info;
};

static void match_main(void *context, const struct hf_main_key_info *info)
{
    struct main_search *search = context;

    if (strcmp(info->name, search->parent_of->main_key) == 0 &&
        (!search->found || info->version == search->parent_of->main_version)) {
        search->found = true;
        search->info = *info;
    }
}

static const char *kind_name(enum hf_pkey_kind kind)
{
    switch (kind) {
    case HF_PKEY_RSA_2048:
        return "rsa-2048";
    case HF_PKEY_RSA_3072:
        return "rsa-3072";
    case HF_PKEY_RSA_4096:
        return "rsa-4096";
    case HF_PKEY_P256:
    case HF_PKEY_P384:
    case HF_PKEY_P521:
    case HF_PKEY_ED25519:
        break;
    }
    return "no key that wraps";
}

/* Its health is that of what it opened: the keyring key. */
static struct hf_status visit_main_key(const struct chain *chain, struct hf_op *op,
                                       const struct hf_keyring_key_info *keyring_key,
                                       enum hf_link_health health)
{
    struct main_search search = { .parent_of = keyring_key };
    struct hf_why_link link = link_of("main key", health);

    HF_TRY(hf_seal_main_keys(chain->call.service->seal, op, match_main, &search));
    (void)snprintf(link.name, sizeof link.name, "%s, version %" PRIu32, keyring_key->main_key,
                   keyring_key->main_version);
    if (!search.found) {
        link.health = HF_LINK_BROKEN;
        (void)snprintf(link.state, sizeof link.state, "not there");
    } else {
        (void)snprintf(link.state, sizeof link.state, "%s",
                       search.info.customer_managed ? "customer-managed" : "system-managed");
        (void)snprintf(link.detail, sizeof link.detail, "%s, version %" PRIu32 " in force, made ",
                       kind_name(search.info.kind), search.info.version);
        add_date(link.detail, sizeof link.detail, "", search.info.created_ms);
    }
    put_proof(chain->above, &link);
    chain->visit(chain->context, &link);
    return HF_SUCCESS;
}

/* --- root and slots --- */

static void visit_root(const struct chain *chain)
{
    struct hf_seal *seal = chain->call.service->seal;
    struct hf_why_link link = link_of("root key", HF_LINK_OPEN);

    (void)snprintf(link.name, sizeof link.name, "generation %" PRIu32,
                   hf_seal_root_generation(seal));
    (void)snprintf(link.state, sizeof link.state, "%s",
                   hf_seal_root_is_moving(seal) ? "records are being moved to it" : "unlocked");
    (void)snprintf(link.detail, sizeof link.detail, "in locked memory since the node was unlocked");
    put_proof(last_of_root(chain, hf_seal_root_generation(seal)), &link);
    chain->visit(chain->context, &link);
}

/* The last drill through it, or, for a slot of people's, the last time that somebody opened it. */
static void put_slot_proof(const struct chain *chain, const struct hf_slot_info *slot,
                           struct hf_why_link *link)
{
    const struct hf_slot_proof *proof = last_of_slot(chain, slot->id);

    if (proof != NULL) {
        put_proof(proof, link);
    } else if (slot->proven_ms != 0) {
        (void)snprintf(link->proven_by, sizeof link->proven_by, "%s",
                       slot->needs_human ? "a person" : "a node that opened it");
        link->proven_ms = slot->proven_ms;
    }
}

/* Green only for what has opened this root and needs nobody: others are a hope. */
static void visit_slot(void *context, const struct hf_slot_info *slot)
{
    const struct chain *chain = context;
    struct hf_why_link link = link_of("slot", HF_LINK_CLOSED);
    uint32_t generation = hf_seal_root_generation(chain->call.service->seal);
    const char *state = "needs a person";

    (void)snprintf(link.name, sizeof link.name, "%s (%s)", slot->name, slot->protector);
    if (!slot->verified) {
        link.health = HF_LINK_BROKEN;
        state = "its record was changed";
    } else if (slot->proven_ms == 0) {
        state = slot->needs_human ? "needs a person, never proven" : "never proven";
    } else if (hf_slot_is_proven(slot, generation) && !slot->needs_human) {
        link.health = HF_LINK_OPEN;
        state = "proven";
    }
    (void)snprintf(link.state, sizeof link.state, "%s", state);
    if (slot->verified && slot->proven_ms != 0 && !hf_slot_is_proven(slot, generation)) {
        (void)snprintf(link.state, sizeof link.state, "not proven since root %" PRIu32, generation);
    }
    (void)snprintf(link.detail, sizeof link.detail, "%s", slot->offline ? "kept apart, " : "");
    add_date(link.detail, sizeof link.detail, "last proven ", slot->proven_ms);
    put_slot_proof(chain, slot, &link);
    chain->visit(chain->context, &link);
}

/* --- the chain --- */

/* A record that is not what was written ends the chain: what is above it cannot be opened. */
static struct hf_status visit_altered(const struct chain *chain, struct hf_op *op,
                                      const char *level)
{
    const struct hf_target *target = chain->target;
    struct hf_why_link link = link_of(level, HF_LINK_BROKEN);

    (void)snprintf(link.name, sizeof link.name, "%s/%s", target->keyring, target->name);
    (void)snprintf(link.state, sizeof link.state, "altered");
    (void)snprintf(link.detail, sizeof link.detail, "%.250s", op->text);
    hf_op_clear(op);
    chain->visit(chain->context, &link);
    return HF_SUCCESS;
}

static struct hf_status walk_parents(struct chain *chain, struct hf_op *op, uint32_t keyring_key)
{
    struct hf_seal *seal = chain->call.service->seal;
    struct hf_keyring_key_info info;
    struct hf_status opened =
        hf_seal_keyring_key_info(seal, op, chain->target->keyring, keyring_key, &info);

    if (opened.code == HF_CORRUPT) {
        return visit_altered(chain, op, "keyring key");
    }
    HF_TRY(opened);
    opened = open_keyring_key(chain, op, keyring_key);
    visit_keyring_key(chain, opened, op, &info);
    hf_op_clear(op);
    HF_TRY(visit_main_key(chain, op, &info, health_of(opened)));
    visit_root(chain);
    return hf_seal_slots(seal, op, visit_slot, chain);
}

/* What is deleted opens nothing, but can come back. */
static void visit_deleted(const struct chain *chain, const struct hf_key_info *key)
{
    struct hf_why_link link = link_of("key", HF_LINK_CLOSED);

    (void)snprintf(link.name, sizeof link.name, "%s/%s", key->keyring, key->name);
    (void)snprintf(link.state, sizeof link.state, "deleted");
    add_date(link.detail, sizeof link.detail, "refused everywhere; can be recovered until ",
             key->destroy_at_ms);
    chain->visit(chain->context, &link);
}

/* From a version that is there, down. */
static struct hf_status walk_version(struct chain *chain, struct hf_op *op,
                                     const struct hf_version_info *info)
{
    struct hf_why_link version;

    HF_TRY(find_proofs(chain, op, info));
    version = prove_version(chain, op, info);

    if (chain->target->is_edek) {
        visit_edek(chain, &version);
    }
    chain->visit(chain->context, &version);
    return is_destroyed(info) ? HF_SUCCESS : walk_parents(chain, op, info->keyring_key);
}

static struct hf_status walk(struct chain *chain, struct hf_op *op)
{
    const struct hf_target *target = chain->target;
    HF_AUTO(key_info) key = NULL;
    struct hf_version_info info = { 0 };
    struct hf_status status =
        hf_key_get(chain->call.service->keys, op, target->keyring, target->name, true, &key);

    if (status.code == HF_OK && key->deleted) {
        visit_deleted(chain, key);
        return HF_SUCCESS;
    }
    if (status.code == HF_OK) {
        status = find_version(chain, op, key, &info);
    }
    if (status.code == HF_CORRUPT) {
        return visit_altered(chain, op, key != NULL ? "key version" : "key");
    }
    HF_TRY(status);
    return walk_version(chain, op, &info);
}

/* One that is not there is told by its key, which is not there either. */
static void find_serve_on(struct chain *chain, struct hf_op *op)
{
    struct hf_service *service = chain->call.service;
    struct hf_keyring_info info;

    if (service->shared_store &&
        hf_keyring_get(service->keys, op, chain->target->keyring, &info).code == HF_OK) {
        chain->serve_on = info.settings.serve_on;
    }
    hf_op_clear(op);
}

struct hf_status hf_service_why(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *what,
                                void (*visit)(void *context, const struct hf_why_link *link),
                                void *context)
{
    HF_AUTO(slot_proofs) proofs = NULL;
    struct hf_target target;
    struct chain chain = {
        .call = { .service = service, .action = HF_ACT_WHY },
        .target = &target,
        .visit = visit,
        .context = context,
    };

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "every link is opened now, which takes a while");
    }
    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(hf_target_read(service, op, keyring, what, &target));
    chain.call.keyring = target.keyring;
    chain.call.key = target.name;
    HF_TRY(hf_call_allow(&chain.call, op));
    find_serve_on(&chain, op);
    HF_TRY(hf_slot_proofs_read(service, op, &proofs));
    chain.proofs = proofs;
    return hf_call_end(&chain.call, op, walk(&chain, op));
}
