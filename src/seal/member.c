/* Members: sealed records of the nodes that were approved (docs/formats/member.md). */
#include "seal/member.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT     1
#define PREFIX     "member/"
#define FORMER_MAX ((size_t)1000 * HF_X25519_LEN)
/* Beside the first member's record, so that there is one first member only. */
#define FIRST_PATH "secret/first-member"

void hf_member_free(struct hf_member *member)
{
    if (member != NULL) {
        hf_buf_done(&member->former);
        free(member);
    }
}

const char *hf_member_state_name(enum hf_member_state state)
{
    static const char *const names[] = { [HF_MEMBER_APPROVED] = "approved",
                                         [HF_MEMBER_DRAINING] = "draining",
                                         [HF_MEMBER_REMOVED] = "removed",
                                         [HF_MEMBER_AWAY] = "away",
                                         [HF_MEMBER_AWAY_DRAINING] = "away-draining" };

    return names[state];
}

bool hf_member_is_away(const struct hf_member *member)
{
    return member->state == HF_MEMBER_AWAY || member->state == HF_MEMBER_AWAY_DRAINING;
}

bool hf_member_is_draining(const struct hf_member *member)
{
    return member->state == HF_MEMBER_DRAINING || member->state == HF_MEMBER_AWAY_DRAINING;
}

enum hf_member_state hf_member_state_of(bool away, bool draining)
{
    static const enum hf_member_state states[2][2] = {
        { HF_MEMBER_APPROVED, HF_MEMBER_DRAINING },
        { HF_MEMBER_AWAY, HF_MEMBER_AWAY_DRAINING },
    };

    return states[away][draining];
}

/* --- the content --- */

struct hf_status hf_member_encode(struct hf_op *op, const struct hf_member *member,
                                  struct hf_buf *out)
{
    HF_AUTO(buf) slot = hf_buf_new();

    HF_TRY(hf_hex_decode(op, hf_bytes_of_text(member->slot), slot));
    hf_put_u8(out, FORMAT);
    hf_put_text(out, member->node.name);
    hf_put_text(out, member->node.site);
    hf_buf_add(out, member->node.public_key, HF_X25519_LEN);
    hf_buf_add_bytes(out, hf_buf_bytes(slot));
    hf_put_u64(out, member->approved_ms);
    hf_put_text(out, member->approved_by);
    hf_put_u8(out, (uint8_t)member->state);
    hf_put_u64(out, member->changed_ms);
    hf_put_bytes(out, hf_buf_bytes(&member->former));
    return HF_SUCCESS;
}

/* A text into its place in a struct; false when it does not fit. */
static bool place(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len < size) {
        memcpy(out, text, len + 1);
    }
    return len < size;
}

static bool is_sound(const struct hf_member *member, uint8_t format, uint8_t state)
{
    return format == FORMAT && state >= HF_MEMBER_APPROVED && state <= HF_MEMBER_AWAY_DRAINING &&
           hf_node_name_is_valid(member->node.name) &&
           (member->node.site[0] == '\0' || hf_node_name_is_valid(member->node.site)) &&
           member->former.len % HF_X25519_LEN == 0 && member->former.len <= FORMER_MAX;
}

struct hf_status hf_member_parse(struct hf_op *op, struct hf_bytes content, struct hf_member **out)
{
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    HF_AUTO(buf) slot = hf_buf_new();
    HF_AUTO_STRING name = NULL;
    HF_AUTO_STRING site = NULL;
    HF_AUTO_STRING approved_by = NULL;
    struct hf_reader reader;
    struct hf_bytes key;
    uint8_t format;
    uint8_t state;
    bool fits;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    name = hf_take_text(&reader);
    site = hf_take_text(&reader);
    key = hf_take_raw(&reader, HF_X25519_LEN);
    hf_hex_add(slot, hf_take_raw(&reader, HF_SLOT_ID_LEN));
    member->approved_ms = hf_take_u64(&reader);
    approved_by = hf_take_text(&reader);
    state = hf_take_u8(&reader);
    member->changed_ms = hf_take_u64(&reader);
    hf_buf_add_bytes(&member->former, hf_take_bytes(&reader));
    HF_TRY(hf_reader_end(&reader, op, "a member"));
    fits = place(member->node.name, sizeof member->node.name, name) &&
           place(member->node.site, sizeof member->node.site, site) &&
           place(member->slot, sizeof member->slot, hf_buf_text(slot)) &&
           place(member->approved_by, sizeof member->approved_by, approved_by);
    if (!fits || !is_sound(member, format, state)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a member is not in a form that this release knows");
    }
    memcpy(member->node.public_key, key.data, HF_X25519_LEN);
    member->state = (enum hf_member_state)state;
    *out = HF_TAKE(member);
    return HF_SUCCESS;
}

/* --- reading --- */

/* The name has signs only that stand for themselves in a path. */
static char *path_of(const char *name)
{
    return hf_format(PREFIX "%s", name);
}

static struct hf_status parse_at(struct hf_op *op, const char *path, uint64_t revision,
                                 struct hf_bytes plain, struct hf_member **out)
{
    HF_AUTO(member) member = NULL;

    HF_TRY(hf_member_parse(op, plain, &member));
    if (strcmp(member->node.name, path + strlen(PREFIX)) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%.200s holds another member", path);
    }
    member->revision = revision;
    *out = HF_TAKE(member);
    return HF_SUCCESS;
}

struct hf_status hf_member_get(struct hf_seal *seal, struct hf_op *op, const char *name,
                               struct hf_member **out)
{
    HF_AUTO_STRING path = path_of(name);
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = { HF_NOT_FOUND };

    if (hf_node_name_is_valid(name)) {
        status = hf_seal_get(seal, op, HF_KIND_MEMBER, path, &opened);
    }
    if (status.code == HF_NOT_FOUND) {
        return hf_fail(op, HF_NOT_FOUND,
                       "no node \"%.64s\" was approved here; 'holdfast node list' shows them",
                       name);
    }
    HF_TRY(status);
    return parse_at(op, path, opened->revision, hf_opened_content(opened), out);
}

void hf_members_free(struct hf_members *members)
{
    if (members != NULL) {
        for (size_t i = 0; i < members->count; i++) {
            hf_member_free(members->items[i]);
        }
        free(members->items);
        free(members);
    }
}

struct listing {
    struct hf_op *op;
    struct hf_members *members;
};

static struct hf_status collect(void *context, const struct hf_opened_view *view)
{
    const struct listing *listing = context;
    struct hf_members *members = listing->members;
    struct hf_member *member = NULL;

    if (view->tombstone) {
        return HF_SUCCESS;
    }
    HF_TRY(parse_at(listing->op, view->path, view->revision, view->plain, &member));
    members->items = hf_realloc_array(members->items, members->count + 1, sizeof *members->items);
    members->items[members->count++] = member;
    return HF_SUCCESS;
}

struct hf_status hf_members_read(struct hf_seal *seal, struct hf_op *op, struct hf_members **out)
{
    HF_AUTO(members) members = hf_alloc(sizeof *members);
    struct listing listing = { op, members };

    HF_TRY(hf_seal_list(seal, op, HF_KIND_MEMBER, PREFIX, NULL, collect, &listing));
    *out = HF_TAKE(members);
    return HF_SUCCESS;
}

bool hf_member_had_key(const struct hf_member *member, const uint8_t public_key[HF_X25519_LEN])
{
    for (size_t at = 0; at < member->former.len; at += HF_X25519_LEN) {
        if (memcmp(member->former.data + at, public_key, HF_X25519_LEN) == 0) {
            return true;
        }
    }
    return false;
}

/* --- changing --- */

static struct hf_status stage(struct hf_op *op, struct hf_txn *txn, const struct hf_member *member)
{
    HF_AUTO_STRING path = path_of(member->node.name);
    HF_AUTO(buf) content = hf_buf_new();

    HF_TRY(hf_member_encode(op, member, content));
    return hf_txn_put(txn, op, HF_KIND_MEMBER, path, member->revision, hf_buf_bytes(content));
}

static struct hf_status make_slot(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                  const struct hf_join_request *node, const char *name,
                                  struct hf_slot_info *out)
{
    const struct hf_protector_settings settings = {
        .kind = "node",
        .public_key = hf_bytes_of(node->public_key, HF_X25519_LEN),
    };
    struct hf_slot_plan plan = { .name = name };
    HF_AUTO(protector) protector = NULL;

    HF_TRY(hf_protector_open(seal->crypto, op, &settings, &protector));
    plan.protector = protector;
    return hf_seal_slot_stage(seal, op, txn, &plan, out);
}

/* The record of a node that is a member from now on. */
static struct hf_status stage_new(struct hf_op *op, struct hf_txn *txn,
                                  const struct hf_join_request *node, const char *slot_id,
                                  const char *approved_by, struct hf_member *member)
{
    member->node = *node;
    memcpy(member->slot, slot_id, sizeof member->slot);
    memset(member->approved_by, 0, sizeof member->approved_by);
    memcpy(member->approved_by, approved_by, strnlen(approved_by, sizeof member->approved_by - 1));
    member->state = HF_MEMBER_APPROVED;
    member->approved_ms = hf_env_realtime_ms(op->env);
    member->changed_ms = member->approved_ms;
    return stage(op, txn, member);
}

struct hf_status hf_member_add_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                     const struct hf_join_request *node, const char *approved_by,
                                     struct hf_member *member)
{
    struct hf_slot_info slot;

    if (member->former.len >= FORMER_MAX) {
        return hf_fail(op, HF_INVALID, "too many nodes had the name \"%s\"; take another one",
                       node->name);
    }
    HF_TRY(make_slot(seal, op, txn, node, node->name, &slot));
    if (member->revision != 0) {
        hf_buf_add(&member->former, member->node.public_key, HF_X25519_LEN);
    }
    return stage_new(op, txn, node, slot.id, approved_by, member);
}

struct hf_status hf_member_first_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                       const struct hf_join_request *node, const char *approved_by,
                                       const struct hf_slot_info *slot)
{
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    struct hf_slot_info made = *slot;

    if (slot->id[0] == '\0') {
        HF_TRY(make_slot(seal, op, txn, node, slot->name, &made));
    }
    HF_TRY(hf_txn_put(txn, op, HF_KIND_SECRET, FIRST_PATH, 0, hf_bytes_of_text(node->name)));
    return stage_new(op, txn, node, made.id, approved_by, member);
}

struct hf_status hf_member_first_is_taken(struct hf_seal *seal, struct hf_op *op, bool *out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(seal, op, HF_KIND_SECRET, FIRST_PATH, &opened);

    /* One that is altered is there all the same. */
    if (status.code == HF_OK || status.code == HF_NOT_FOUND || status.code == HF_CORRUPT) {
        *out = status.code != HF_NOT_FOUND;
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

struct hf_status hf_member_change_stage(struct hf_op *op, struct hf_txn *txn,
                                        enum hf_member_state state, struct hf_member *member)
{
    if (member->state != state) {
        member->state = state;
        member->changed_ms = hf_env_realtime_ms(op->env);
    }
    return stage(op, txn, member);
}
