/*
 * Approvals: records by which a second person lets one request through, once, within a day
 * (docs/formats/approval.md).
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/text.h"
#include "service/internal.h"

#define PREFIX        "approval/"
#define RECORD_FORMAT 1
#define LIFE_MS       86400000U
#define ID_LEN        16

struct approval {
    char id[HF_APPROVAL_ID];
    uint64_t revision;
    char *operation;
    char *keyring;
    char *key;
    uint32_t version;
    uint8_t digest[HF_DIGEST_LEN];
    char *requester;
    uint64_t created_ms, expires_ms;
    char *approver; /* "": not yet */
    uint64_t approved_ms;
    bool used;
};

static void approval_done(struct approval *approval)
{
    free(approval->operation);
    free(approval->keyring);
    free(approval->key);
    free(approval->requester);
    free(approval->approver);
}

/* --- the record --- */

static void write_approval(const struct approval *approval, struct hf_buf *out)
{
    hf_put_u8(out, RECORD_FORMAT);
    hf_put_text(out, approval->operation);
    hf_put_text(out, approval->keyring);
    hf_put_text(out, approval->key);
    hf_put_u32(out, approval->version);
    hf_put_bytes(out, hf_bytes_of(approval->digest, sizeof approval->digest));
    hf_put_text(out, approval->requester);
    hf_put_u64(out, approval->created_ms);
    hf_put_u64(out, approval->expires_ms);
    hf_put_text(out, approval->approver);
    hf_put_u64(out, approval->approved_ms);
    hf_put_u8(out, approval->used);
}

static struct hf_status read_approval(struct hf_op *op, const char *path, uint64_t revision,
                                      struct hf_bytes plain, struct approval *out)
{
    const char *id = path + strlen(PREFIX);
    struct hf_reader reader;
    struct hf_bytes digest;
    uint8_t format;

    hf_reader_init(&reader, plain);
    format = hf_take_u8(&reader);
    out->operation = hf_take_text(&reader);
    out->keyring = hf_take_text(&reader);
    out->key = hf_take_text(&reader);
    out->version = hf_take_u32(&reader);
    digest = hf_take_bytes(&reader);
    out->requester = hf_take_text(&reader);
    out->created_ms = hf_take_u64(&reader);
    out->expires_ms = hf_take_u64(&reader);
    out->approver = hf_take_text(&reader);
    out->approved_ms = hf_take_u64(&reader);
    out->used = hf_take_u8(&reader) != 0;
    HF_TRY(hf_reader_end(&reader, op, "an approval"));
    if (format != RECORD_FORMAT || digest.len != sizeof out->digest ||
        strlen(id) >= HF_APPROVAL_ID) {
        return hf_fail(op, HF_CORRUPT, "an approval has an unknown form");
    }
    memcpy(out->digest, digest.data, digest.len);
    memcpy(out->id, id, strlen(id) + 1);
    out->revision = revision;
    return HF_SUCCESS;
}

static struct hf_status load(struct hf_service *service, struct hf_op *op, const char *id,
                             struct approval *out)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO_STRING path = NULL;
    struct hf_status status;

    if (strlen(id) != 2 * (size_t)ID_LEN || strspn(id, "0123456789abcdef") != strlen(id)) {
        return hf_fail(op, HF_INVALID, "an approval's id has %d hex digits", 2 * ID_LEN);
    }
    path = hf_format(PREFIX "%s", id);
    status = hf_seal_get(service->seal, op, HF_KIND_APPROVAL, path, &opened);
    if (status.code == HF_NOT_FOUND) {
        return hf_fail(op, HF_NOT_FOUND, "there is no approval %s", id);
    }
    HF_TRY(status);
    return read_approval(op, path, opened->revision,
                         opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE,
                         out);
}

static struct hf_status stage(struct hf_op *op, struct hf_txn *txn, const struct approval *approval)
{
    HF_AUTO(buf) plain = hf_buf_new();
    HF_AUTO_STRING path = hf_format(PREFIX "%s", approval->id);

    write_approval(approval, plain);
    return hf_txn_put(txn, op, HF_KIND_APPROVAL, path, approval->revision, hf_buf_bytes(plain));
}

static bool is_open(const struct approval *approval, uint64_t now)
{
    return !approval->used && now < approval->expires_ms;
}

static bool is_approved(const struct approval *approval)
{
    return approval->approver[0] != '\0';
}

/* --- finding --- */

struct search {
    struct hf_op *op;
    const struct hf_ask *ask;
    uint64_t now;
    char approved[HF_APPROVAL_ID]; /* "": none */
    char waiting[HF_APPROVAL_ID];
    uint64_t waiting_until_ms;
};

static bool is_asked(const struct approval *approval, const struct search *search)
{
    const struct hf_ask *ask = search->ask;

    return is_open(approval, search->now) && approval->version == ask->version &&
           strcmp(approval->operation, ask->operation) == 0 &&
           strcmp(approval->keyring, ask->keyring) == 0 && strcmp(approval->key, ask->key) == 0 &&
           memcmp(approval->digest, ask->digest, sizeof approval->digest) == 0 &&
           strcmp(approval->requester, hf_op_caller_id(search->op)) == 0;
}

static struct hf_status look(void *context, const struct hf_opened_view *view)
{
    struct search *search = context;
    struct approval approval = { 0 };
    struct hf_status status = HF_SUCCESS;

    if (!view->tombstone) {
        status = read_approval(search->op, view->path, view->revision, view->plain, &approval);
        if (status.code == HF_OK && is_asked(&approval, search)) {
            char *found = is_approved(&approval) ? search->approved : search->waiting;

            memcpy(found, approval.id, HF_APPROVAL_ID);
            search->waiting_until_ms = approval.expires_ms;
        }
    }
    approval_done(&approval);
    return status;
}

static struct hf_status search_all(struct hf_service *service, struct hf_op *op,
                                   const struct hf_ask *ask, struct search *out)
{
    *out = (struct search){ .op = op, .ask = ask, .now = hf_env_realtime_ms(op->env) };
    return hf_seal_list(service->seal, op, HF_KIND_APPROVAL, PREFIX, NULL, look, out);
}

struct hf_status hf_ask_digest(struct hf_service *service, struct hf_op *op, struct hf_ask *ask,
                               struct hf_bytes parts)
{
    return hf_sha256(hf_seal_crypto(service->seal), op, parts, ask->digest);
}

struct hf_status hf_approval_find(struct hf_service *service, struct hf_op *op,
                                  const struct hf_ask *ask, char out_id[HF_APPROVAL_ID])
{
    struct search search;

    HF_TRY(search_all(service, op, ask, &search));
    memcpy(out_id, search.approved, HF_APPROVAL_ID);
    return HF_SUCCESS;
}

struct hf_status hf_approval_use(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                                 const char *id)
{
    struct approval approval = { 0 };
    struct hf_status status = load(service, op, id, &approval);

    if (status.code == HF_OK &&
        (!is_open(&approval, hf_env_realtime_ms(op->env)) || !is_approved(&approval))) {
        status = hf_fail(op, HF_WRONG_STATE, "approval %s is used up or expired; ask again", id);
    }
    if (status.code == HF_OK) {
        approval.used = true;
        status = stage(op, txn, &approval);
    }
    approval_done(&approval);
    return status;
}

/* --- asking --- */

static struct hf_status commit_request(const struct hf_call *call, struct hf_op *op,
                                       const struct approval *approval, enum hf_code code)
{
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(buf) note = hf_buf_new();
    HF_AUTO_STRING detail = hf_format("waits for a second person: approval %s", approval->id);
    struct hf_request_id request_id = op->request_id;
    struct hf_txn_commit commit = { 0 };
    struct hf_audit_event event;
    struct hf_status status;

    hf_call_event(call, op, hf_code_name(code), &event);
    event.detail = detail;
    hf_audit_event_write(&event, note);
    HF_TRY(hf_txn_new(call->service->seal, op, &txn));
    HF_TRY(stage(op, txn, approval));
    hf_txn_note(txn, hf_buf_bytes(note));
    /* The caller's id is for what he asked, which happens later or never. */
    memset(&op->request_id, 0, sizeof op->request_id);
    status = hf_txn_commit(txn, op, &commit);
    op->request_id = request_id;
    hf_secret_free(commit.result);
    return status;
}

static struct hf_status make_request(const struct hf_call *call, struct hf_op *op,
                                     const struct hf_ask *ask, enum hf_code code,
                                     struct search *out)
{
    HF_AUTO(buf) id = hf_buf_new();
    struct approval approval = {
        .operation = hf_strdup(ask->operation),
        .keyring = hf_strdup(ask->keyring),
        .key = hf_strdup(ask->key),
        .version = ask->version,
        .requester = hf_strdup(hf_op_caller_id(op)),
        .created_ms = hf_env_realtime_ms(op->env),
        .expires_ms = hf_env_realtime_ms(op->env) + LIFE_MS,
        .approver = hf_strdup(""),
    };
    uint8_t random[ID_LEN];
    struct hf_status status;

    hf_env_random(op->env, random, sizeof random);
    hf_hex_add(id, hf_bytes_of(random, sizeof random));
    memcpy(approval.id, hf_buf_text(id), HF_APPROVAL_ID);
    memcpy(approval.digest, ask->digest, sizeof approval.digest);
    status = commit_request(call, op, &approval, code);
    memcpy(out->waiting, approval.id, HF_APPROVAL_ID);
    out->waiting_until_ms = approval.expires_ms;
    approval_done(&approval);
    return status;
}

static struct hf_status say_waiting(struct hf_op *op, const struct search *search,
                                    enum hf_code code)
{
    HF_AUTO(buf) until = hf_buf_new();

    hf_date_add(until, search->waiting_until_ms);
    return hf_fail(op, code,
                   "this needs a second person: approval %s waits until %s for another caller with "
                   "'approve'; then ask again",
                   search->waiting, hf_buf_text(until));
}

struct hf_status hf_approval_wait(const struct hf_call *call, struct hf_op *op,
                                  const struct hf_ask *ask, enum hf_code code)
{
    struct search search;
    struct hf_status status = search_all(call->service, op, ask, &search);

    if (status.code != HF_OK) {
        return hf_call_end(call, op, status);
    }
    if (search.waiting[0] != '\0') {
        return hf_call_end(call, op, say_waiting(op, &search, code));
    }
    status = make_request(call, op, ask, code, &search);
    if (status.code != HF_OK) {
        return hf_call_end(call, op, status);
    }
    /* The request's own note is the record of this call. */
    hf_call_count(call, op, code);
    return say_waiting(op, &search, code);
}

/* --- approving --- */

/*
 * Two identities of one name may be one person, those that policy puts together are; what is only
 * claimed may be anybody.
 */
static struct hf_status check_person(struct hf_service *service, struct hf_op *op,
                                     const struct approval *approval)
{
    const struct hf_caller *caller = op->caller;
    const char *name = strchr(approval->requester, ':');

    if (caller == NULL) {
        return hf_fail(op, HF_DENIED, "the server itself approves nothing");
    }
    if (caller->proof == HF_PROOF_PSEUDO) {
        return hf_fail(op, HF_DENIED, "'%.100s' is a name without proof; it cannot approve",
                       caller->id);
    }
    if (strcmp(caller->id, approval->requester) == 0 ||
        (name != NULL && strcmp(caller->name, name + 1) == 0)) {
        return hf_fail(op, HF_DENIED, "%.100s asked for this; a second person approves it",
                       approval->requester);
    }
    if (hf_policy_is_one_person(service->policy, caller->id, approval->requester)) {
        return hf_fail(op, HF_DENIED,
                       "%.100s asked for this and is, as policy says, the same person as %.100s; a "
                       "second person approves it",
                       approval->requester, caller->id);
    }
    return HF_SUCCESS;
}

static struct hf_status check_open(struct hf_op *op, const struct approval *approval)
{
    if (approval->used) {
        return hf_fail(op, HF_WRONG_STATE, "approval %s is used up", approval->id);
    }
    if (hf_env_realtime_ms(op->env) >= approval->expires_ms) {
        return hf_fail(op, HF_WRONG_STATE, "approval %s has expired; it must be asked for again",
                       approval->id);
    }
    return HF_SUCCESS;
}

static struct hf_status stage_approval(struct hf_control *control, struct hf_op *op,
                                       struct hf_txn *txn)
{
    struct approval *approval = control->context;
    char id[HF_APPROVAL_ID];

    /* Read again for every attempt: it may have been used or approved meanwhile. */
    memcpy(id, approval->id, sizeof id);
    approval_done(approval);
    memset(approval, 0, sizeof *approval);
    memcpy(approval->id, id, sizeof id);
    HF_TRY(load(control->call.service, op, id, approval));
    HF_TRY(check_open(op, approval));
    HF_TRY(check_person(control->call.service, op, approval));
    if (!is_approved(approval)) {
        free(approval->approver);
        approval->approver = hf_strdup(hf_op_caller_id(op));
        approval->approved_ms = hf_env_realtime_ms(op->env);
    }
    return stage(op, txn, approval);
}

struct hf_status hf_service_approve(struct hf_service *service, struct hf_op *op, const char *id)
{
    struct approval approval = { 0 };
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO_STRING detail = NULL;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_APPROVE },
        .stage = stage_approval,
        .context = &approval,
        .asked = asked,
    };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    status = load(service, op, id, &approval);
    if (status.code == HF_OK) {
        detail = hf_format("approval %s: '%s' on '%.60s' '%.200s' asked by %.200s", id,
                           approval.operation, approval.keyring, approval.key, approval.requester);
        control.call.detail = detail;
        hf_put_text(asked, id);
        status = hf_control_run(&control, op);
    } else {
        status = hf_call_end(&control.call, op, status);
    }
    approval_done(&approval);
    return status;
}

/* --- listing --- */

struct listing {
    struct hf_op *op;
    uint64_t now;
    void (*visit)(void *context, const struct hf_approval_info *info);
    void *context;
};

static void copy_short(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

static struct hf_status show(void *context, const struct hf_opened_view *view)
{
    struct listing *listing = context;
    struct approval approval = { 0 };
    struct hf_approval_info info = { 0 };
    struct hf_status status = HF_SUCCESS;

    if (!view->tombstone) {
        status = read_approval(listing->op, view->path, view->revision, view->plain, &approval);
        if (status.code == HF_OK && is_open(&approval, listing->now)) {
            memcpy(info.id, approval.id, sizeof info.id);
            copy_short(info.operation, sizeof info.operation, approval.operation);
            copy_short(info.keyring, sizeof info.keyring, approval.keyring);
            info.key = approval.key;
            info.requester = approval.requester;
            info.approver = is_approved(&approval) ? approval.approver : NULL;
            info.created_ms = approval.created_ms;
            info.expires_ms = approval.expires_ms;
            listing->visit(listing->context, &info);
        }
    }
    approval_done(&approval);
    return status;
}

struct hf_status hf_service_approval_list(struct hf_service *service, struct hf_op *op,
                                          void (*visit)(void *context,
                                                        const struct hf_approval_info *info),
                                          void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_APPROVE, .detail = "list" };
    struct listing listing = { op, hf_env_realtime_ms(op->env), visit, context };

    HF_TRY(hf_call_allow(&call, op));
    return hf_call_end(
        &call, op, hf_seal_list(service->seal, op, HF_KIND_APPROVAL, PREFIX, NULL, show, &listing));
}
