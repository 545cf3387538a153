/* The state of the node, item by item, each with what to do about it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "cluster/cluster.h"
#include "service/canary.h"
#include "service/ways.h"

struct report {
    struct hf_service *service;
    void (*visit)(void *context, const struct hf_status_item *item);
    void *context;
};

static void tell(const struct report *report, enum hf_light light, const char *name,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
static void tell(const struct report *report, enum hf_light light, const char *name,
                 const char *format, ...)
{
    struct hf_status_item item = { .light = light };
    va_list arguments;

    (void)snprintf(item.name, sizeof item.name, "%s", name);
    va_start(arguments, format);
    (void)vsnprintf(item.text, sizeof item.text, format, arguments);
    va_end(arguments);
    report->visit(report->context, &item);
}

/* --- the seal --- */

struct first_path {
    char text[151];
};

static void take_first(void *context, const struct hf_damaged *record)
{
    struct first_path *first = context;

    if (first->text[0] == '\0') {
        (void)snprintf(first->text, sizeof first->text, "%.150s", record->path);
    }
}

static void report_seal(const struct report *report)
{
    struct hf_seal *seal = report->service->seal;
    struct first_path first = { .text = "" };
    uint64_t damaged;

    if (!hf_seal_is_unlocked(seal)) {
        tell(report, HF_RED, "seal", "%s",
             atomic_load(&report->service->removed)
                 ? "locked: this node was removed from its store, and its key never comes back; "
                   "move it away and begin again with 'holdfast node join'"
                 : "locked: nothing is served; 'holdfast unlock' opens it");
        return;
    }
    damaged = hf_seal_damage(seal, take_first, &first);
    if (damaged > 0) {
        tell(report, HF_RED, "seal",
             "unlocked, but %" PRIu64 " records of the store are altered and are refused; the log "
             "names them; restore them from a backup; the first is %.150s",
             damaged, first.text);
    } else {
        tell(report, HF_GREEN, "seal", "unlocked, root generation %" PRIu32 ", commit %" PRIu64,
             hf_seal_root_generation(seal), hf_seal_seq(seal));
    }
}

static void report_policy(const struct report *report)
{
    struct hf_policy *policy = report->service->policy;

    if (!hf_policy_is_whole(policy)) {
        tell(report, HF_RED, "policy",
             "a policy is damaged, so nothing is allowed on keys; put it again or remove it");
    } else if (hf_policy_is_empty(policy)) {
        tell(report, HF_AMBER, "policy", "there is none, so nobody may do anything");
    } else {
        tell(report, HF_GREEN, "policy", "in force");
    }
}

/* --- proofs --- */

static const struct hf_slot_proof *worst_proof(const struct hf_slot_proofs *proofs)
{
    const struct hf_slot_proof *worst = proofs->items[0];

    for (size_t i = 1; i < proofs->count; i++) {
        const struct hf_slot_proof *proof = proofs->items[i];

        if (hf_slot_proof_is_good(worst) &&
            (!hf_slot_proof_is_good(proof) || proof->when_ms < worst->when_ms)) {
            worst = proof;
        }
    }
    return worst;
}

/* The keyring that lacks most of the ways it wants. */
struct lacking {
    const char *keyring; /* NULL: none does */
    size_t ways;
    uint32_t wanted;
};

static struct lacking find_lacking(const struct hf_ways *ways)
{
    struct lacking found = { .keyring = NULL };

    for (size_t i = 0; i < ways->keyring_count; i++) {
        const char *keyring = ways->keyrings[i]->name;
        size_t least = hf_ways_least(ways, keyring);
        uint32_t wanted = hf_ways_wanted(ways, keyring);

        if (least < wanted &&
            (found.keyring == NULL || wanted - least > found.wanted - found.ways)) {
            found = (struct lacking){ keyring, least, wanted };
        }
    }
    return found;
}

/* The proof that leaves most versions without a row; NULL: none does. */
static const struct hf_slot_proof *find_unlisted(const struct hf_slot_proofs *proofs)
{
    const struct hf_slot_proof *found = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < proofs->count; i++) {
        uint64_t unlisted = hf_slot_proof_unlisted(proofs->items[i]);

        if (unlisted > most) {
            most = unlisted;
            found = proofs->items[i];
        }
    }
    return found;
}

static void report_ways(const struct report *report, const struct hf_ways *ways,
                        const struct hf_slot_proof *worst, uint64_t now_ms)
{
    uint64_t every_ms = report->service->drill_every_ms;
    struct lacking lacking = find_lacking(ways);
    const struct hf_slot_proof *unlisted = find_unlisted(ways->proofs);
    HF_AUTO(buf) date = hf_buf_new();

    hf_date_add(date, worst->when_ms);
    if (!hf_slot_proof_is_good(worst)) {
        tell(report, HF_RED, "proofs",
             "on %.64s through slot %.64s something did not open at %s; 'holdfast drill' says what",
             worst->node, worst->slot_name, hf_buf_text(date));
    } else if (lacking.keyring != NULL) {
        tell(report, HF_AMBER, "proofs",
             "some key versions of keyring %.64s open in %zu independent ways without a person, "
             "and %" PRIu32 " are wanted; add slots or nodes",
             lacking.keyring, lacking.ways, lacking.wanted);
    } else if (unlisted != NULL) {
        tell(report, HF_AMBER, "proofs",
             "on %.64s through slot %.64s %" PRIu64 " key versions opened of keyrings that found "
             "no room in the proof, so in how many ways they open is not known",
             unlisted->node, unlisted->slot_name, hf_slot_proof_unlisted(unlisted));
    } else if (every_ms != 0 && now_ms > worst->when_ms + 2 * every_ms) {
        tell(report, HF_AMBER, "proofs",
             "that of %.64s through slot %.64s is of %s; is that node locked or gone?", worst->node,
             worst->slot_name, hf_buf_text(date));
    } else {
        tell(report, HF_GREEN, "proofs", "every key version opened at %s or later",
             hf_buf_text(date));
    }
}

/* Before the first drill there is nothing to tell; the daemon runs it within a minute. */
static struct hf_status report_proofs(const struct report *report, struct hf_op *op)
{
    HF_AUTO(slot_proofs) proofs = NULL;
    HF_AUTO(ways) ways = NULL;

    HF_TRY(hf_slot_proofs_read(report->service, op, &proofs));
    if (proofs->count == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_ways_new(report->service, op, &proofs, &ways));
    report_ways(report, ways, worst_proof(ways->proofs), hf_env_realtime_ms(op->env));
    return HF_SUCCESS;
}

/* --- slots --- */

struct slot_counts {
    uint32_t generation; /* the root in force; 0 while locked */
    unsigned all, proven, unattended, false_ones;
};

/* While locked nothing can be checked, and what the records say counts. */
static bool counts_as_proven(const struct slot_counts *counts, const struct hf_slot_info *slot)
{
    return counts->generation == 0 ? slot->proven_generation == slot->root_generation
                                   : hf_slot_is_proven(slot, counts->generation);
}

static void count_slot(void *context, const struct hf_slot_info *slot)
{
    struct slot_counts *counts = context;

    counts->all++;
    counts->proven += counts_as_proven(counts, slot);
    counts->unattended += !slot->needs_human;
    counts->false_ones += !slot->verified;
}

static struct hf_status report_slots(const struct report *report, struct hf_op *op)
{
    struct slot_counts counts = { .generation = hf_seal_root_generation(report->service->seal) };

    HF_TRY(hf_seal_slots(report->service->seal, op, count_slot, &counts));
    if (hf_seal_is_unlocked(report->service->seal) && counts.false_ones > 0) {
        tell(report, HF_RED, "slots", "%u of %u slot records were changed outside; make new slots",
             counts.false_ones, counts.all);
    } else if (counts.all < 2) {
        tell(report, HF_AMBER, "slots",
             "only one slot opens the root; if it is lost, everything is: add another");
    } else if (counts.proven < counts.all) {
        tell(report, HF_AMBER, "slots",
             "%u of %u slots have never been seen to open the root in force; prove each once with "
             "'holdfast slot test'",
             counts.all - counts.proven, counts.all);
    } else {
        tell(report, HF_GREEN, "slots", "%u slots, all proven, %u open without a person",
             counts.all, counts.unattended);
    }
    return HF_SUCCESS;
}

/* --- members --- */

static struct hf_status report_member(const struct report *report, struct hf_op *op)
{
    const char *site = report->service->site;
    enum hf_membership standing = HF_STANDS_ALONE;
    size_t members = 0;

    HF_TRY(hf_node_membership(report->service, op, &standing, &members));
    switch (standing) {
    case HF_STANDS_ALONE:
        break;
    case HF_STANDS_MEMBER:
        tell(report, HF_GREEN, "member", "one of %zu that the store has had, %s%.64s", members,
             site[0] != '\0' ? "at site " : "without a site", site);
        break;
    case HF_STANDS_FIRST:
        tell(report, HF_AMBER, "member",
             "this node is not a member yet, and becomes the first as soon as the store takes it: "
             "the log says what is in the way");
        break;
    case HF_STANDS_KEYLESS:
        tell(report, HF_RED, "member",
             "this node is not a member: its configuration names no slot with protector = "
             "\"node\"; add one with file = \"secrets/node-join.key\" and start again");
        break;
    case HF_STANDS_REMOVED:
        tell(report, HF_RED, "member",
             "this node was removed from its store, and its key never comes back; move it away and "
             "begin again with 'holdfast node join'");
        break;
    case HF_STANDS_APART:
        tell(report, HF_RED, "member",
             "this node is not a member: 'holdfast node join' here, then 'holdfast node approve' "
             "on a node that is");
        break;
    }
    return HF_SUCCESS;
}

/* How long it was silent before that, nobody has written down. */
static void report_one_away(const struct report *report, const struct hf_member *member,
                            uint64_t now_ms)
{
    uint64_t seconds = now_ms > member->changed_ms ? (now_ms - member->changed_ms) / 1000 : 0;
    char name[sizeof((struct hf_status_item *)0)->name];

    (void)snprintf(name, sizeof name, "member %.40s", member->node.name);
    if (strcmp(member->node.name, report->service->node) == 0) {
        tell(report, HF_AMBER, name,
             "this node is away for %" PRIu64 " s: it has no lease; it comes back by itself once "
             "it follows the store",
             seconds);
    } else {
        tell(report, HF_AMBER, name,
             "%.64s is away: no news for %" PRIu64 " s and more; changes do not wait for it; start "
             "it, or 'holdfast node remove' it if it is gone for good",
             member->node.name, seconds);
    }
}

static struct hf_status report_away(const struct report *report, struct hf_op *op)
{
    HF_AUTO(members) members = NULL;

    if (!report->service->shared_store) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_members_read(report->service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        if (hf_member_is_away(members->items[i])) {
            report_one_away(report, members->items[i], hf_env_realtime_ms(op->env));
        }
    }
    return HF_SUCCESS;
}

/* --- the lease --- */

/* What is quiet for longer than leases last is said by name. */
#define QUIET_MS 5000

struct quiet {
    struct hf_buf names;
    size_t members;
    size_t count;
};

static void note_quiet(void *context, const struct hf_cluster_member *member)
{
    struct quiet *quiet = context;

    quiet->members++;
    if (!member->self && (!member->seen || member->quiet_ms > QUIET_MS)) {
        hf_buf_add_format(&quiet->names, "%s%.32s", quiet->count > 0 ? ", " : "", member->node);
        quiet->count++;
    }
}

static void report_stale(const struct report *report, const struct hf_cluster_view *view)
{
    if (view->stale_ms == UINT64_MAX) {
        tell(report, HF_RED, "lease",
             "none, and nobody knows how old this node's copy of the store is: it opens nothing; "
             "bring the database back, or see 'holdfast node serve-stale'");
    } else {
        tell(report, HF_AMBER, "lease",
             "none for %" PRIu64 " s: nothing is changed here, keys open for the max_stale of "
             "their keyring; look at the database, or whether this node is a member",
             view->stale_ms / 1000);
    }
}

static void report_lease(const struct report *report)
{
    struct hf_cluster *cluster = report->service->cluster;
    struct quiet quiet = { .count = 0 };
    struct hf_cluster_view view;

    if (cluster == NULL) {
        return;
    }
    hf_buf_init(&quiet.names);
    hf_cluster_look(cluster, &view, note_quiet, &quiet);
    if (view.lease == 0) {
        report_stale(report, &view);
    } else if (quiet.count > 0) {
        tell(report, HF_AMBER, "lease", "held; nothing was heard of %.150s, so changes take longer",
             hf_buf_text(&quiet.names));
    } else {
        tell(report, HF_GREEN, "lease", "held, as one of %zu nodes that report", quiet.members);
    }
    hf_buf_done(&quiet.names);
}

/* --- proofs of new versions --- */

static size_t count_away(const struct hf_members *members)
{
    size_t count = 0;

    for (size_t i = 0; i < members->count; i++) {
        count += hf_member_is_away(members->items[i]);
    }
    return count;
}

/* Which nodes open a version that is made now, and whether this one has opened all of the others'.
 */
static struct hf_status report_versions(const struct report *report, struct hf_op *op)
{
    struct hf_cluster *cluster = report->service->cluster;
    HF_AUTO(members) members = NULL;
    struct quiet quiet = { .count = 0 };
    struct hf_cluster_view view;
    size_t away;

    if (cluster == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_members_read(report->service->seal, op, &members));
    away = count_away(members);
    hf_buf_init(&quiet.names);
    hf_cluster_look(cluster, &view, note_quiet, &quiet);
    hf_buf_done(&quiet.names);
    if (view.unopened > 0) {
        tell(report, HF_RED, "versions",
             "%" PRIu64 " that other nodes have promoted do not open here: %.150s; mend that, then "
             "'holdfast lock' and 'holdfast unlock' try them again",
             view.unopened, view.unopened_text);
    } else if (view.opens_missed) {
        tell(report, HF_AMBER, "versions",
             "what came into use while this node was away is not opened yet; it has no lease "
             "before");
    } else if (quiet.count + away > 0) {
        tell(report, HF_AMBER, "versions",
             "new ones are proven on %zu of %zu nodes now; the others open them before they have a "
             "lease again",
             quiet.members - quiet.count, quiet.members + away);
    } else {
        tell(report, HF_GREEN, "versions", "new ones are proven on %zu of %zu nodes", quiet.members,
             quiet.members);
    }
    return HF_SUCCESS;
}

/* --- memory and audit --- */

static void report_memory(const struct report *report)
{
    size_t used, max;
    enum hf_secret_backing backing = hf_secret_backing();

    hf_secret_usage(&used, &max);
    if (backing == HF_SECRET_UNLOCKED) {
        tell(report, HF_AMBER, "memory",
             "key memory is not locked: keys can reach swap; raise the limit of locked memory and "
             "drop 'allow_unlocked'");
    } else if (used > max / 10 * 9) {
        tell(report, HF_AMBER, "memory", "%zu of %zu bytes of key memory are in use", used, max);
    } else {
        tell(report, HF_GREEN, "memory", "%s, %zu of %zu bytes in use",
             backing == HF_SECRET_MEMFD ? "hidden from the kernel" : "locked", used, max);
    }
}

static void report_audit(const struct report *report)
{
    uint64_t lost = 0;
    bool full = false;

    hf_audit_health(report->service->audit, &lost, &full);
    if (full) {
        tell(report, HF_RED, "audit", "the disk of the audit trail is full; make room");
    } else if (lost > 0) {
        tell(report, HF_AMBER, "audit", "%" PRIu64 " lines were lost while the disk was full",
             lost);
    } else {
        tell(report, HF_GREEN, "audit", "every line is written");
    }
}

/* --- keyrings --- */

static void report_canary(void *context, const char *keyring, struct hf_status status,
                          const char *text)
{
    const struct report *report = context;
    char name[sizeof((struct hf_status_item *)0)->name];

    (void)snprintf(name, sizeof name, "keyring %.39s", keyring);
    if (status.code == HF_OK) {
        tell(report, HF_GREEN, name, "its canary opens");
    } else {
        tell(report, HF_RED, name, "its canary does not open: %.200s", text);
    }
}

/* Said only while there is something to say: the generation stands with the seal. */
static struct hf_status report_root(const struct report *report, struct hf_op *op)
{
    struct hf_root_info info;

    if (hf_seal_root_is_lost(report->service->seal)) {
        tell(report, HF_RED, "root",
             "it was rotated while this node was away, and none of its slots has opened the new "
             "one yet: was this node removed? Else 'holdfast lock' and 'holdfast unlock'");
        return HF_SUCCESS;
    }
    if (!hf_seal_root_is_moving(report->service->seal)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_seal_root_info(report->service->seal, op, &info));
    if (info.stuck > 0) {
        tell(report, HF_RED, "root",
             "the rotation to root generation %" PRIu32 " cannot end: %" PRIu64
             " records do not open; restore them from a backup",
             info.generation, info.stuck);
    } else {
        tell(report, HF_AMBER, "root",
             "records are being moved to root generation %" PRIu32 ": %" PRIu64 " of %" PRIu64
             " looked at; it goes on by itself",
             info.generation, info.checked, info.records);
    }
    return HF_SUCCESS;
}

/* Said only while there are any. */
static void report_revocations(const struct report *report)
{
    struct hf_revocations_view view;

    hf_revocations_look(report->service->revocations, &view);
    if (view.unread) {
        tell(report, HF_RED, "revocations",
             "those that were given to this node cannot be read, as the log says: without a lease "
             "it opens nothing, unless 'holdfast node serve-stale' lets it open what may be "
             "revoked; bring the database back");
    } else if (view.count > 0) {
        tell(report, HF_AMBER, "revocations",
             "%zu were given to this node by hand and are in force here; all have ended once it "
             "has followed commit %" PRIu64,
             view.count, view.until_seq);
    }
}

/* What cannot be read is red, and keeps nothing else from being told. */
static void tell_failure(const struct report *report, struct hf_op *op, const char *name,
                         struct hf_status status)
{
    if (status.code != HF_OK) {
        tell(report, HF_RED, name, "cannot be told: %.250s", op->text);
        hf_op_clear(op);
    }
}

static void report_all(struct report *report, struct hf_op *op)
{
    static const struct {
        const char *name;
        struct hf_status (*report)(const struct report *report, struct hf_op *op);
    } sections[] = {
        { "root", report_root },         { "member", report_member }, { "away", report_away },
        { "versions", report_versions }, { "proofs", report_proofs },
    };

    report_seal(report);
    tell_failure(report, op, "slots", report_slots(report, op));
    report_memory(report);
    report_audit(report);
    if (!hf_seal_is_unlocked(report->service->seal)) {
        return;
    }
    for (size_t i = 0; i < HF_COUNT(sections); i++) {
        tell_failure(report, op, sections[i].name, sections[i].report(report, op));
    }
    report_lease(report);
    report_revocations(report);
    report_policy(report);
    tell_failure(report, op, "keyrings",
                 hf_canary_each(report->service, op, report_canary, report));
}

struct hf_status hf_service_status(struct hf_service *service, struct hf_op *op,
                                   void (*visit)(void *context, const struct hf_status_item *item),
                                   void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_STATUS };
    struct report report = { service, visit, context };
    struct hf_status recorded;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "status opens a canary of every keyring");
    }
    /* While locked there is no policy to ask; the daemon has let in only who owns the node. */
    if (hf_seal_is_unlocked(service->seal)) {
        HF_TRY(hf_call_allow(&call, op));
    }
    report_all(&report, op);
    recorded = hf_call_end(&call, op, HF_SUCCESS);
    /* It says what is wrong and nothing of keys, so it is told where the trail takes no line too.
     */
    if (recorded.code == HF_NO_SPACE) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return recorded;
}
