/* Who calls, as Hadoop's authentication filter decides it (reference/hadoop-kms.md, 3.1 to 3.3). */
#include <string.h>
#include <strings.h>

#include "hadoop/hadoop_internal.h"

#define COOKIE "hadoop.auth"

static void free_caller(void *caller)
{
    hf_caller_free(caller);
}

static void set_cookie(struct hf_reply *reply, const char *value, bool secure)
{
    struct hf_buf line;

    hf_buf_init(&line);
    hf_buf_add_format(&line, "%s=%s; %sHttpOnly", COOKIE, value, secure ? "Secure; " : "");
    hf_reply_header(reply, "Set-Cookie", hf_buf_text(&line));
    hf_buf_done(&line);
}

/* 401 in the filter's form: an emptied cookie, an HTML page, and the reason that clients read. */
static void refuse(struct hf_hadoop *hadoop, struct hf_reply *reply, const char *reason)
{
    reply->status = 401;
    hf_reply_reason(reply, reason);
    if (hadoop->settings.allow_pseudo) {
        hf_reply_header(reply, "WWW-Authenticate", "PseudoAuth");
    }
    set_cookie(reply, "", hadoop->settings.secure);
    reply->content_type = "text/html;charset=utf-8";
    hf_buf_add_text(&reply->body, "<html><head><title>401</title></head>"
                                  "<body>Authentication required</body></html>\n");
}

static struct hf_status by_cookie(struct hf_hadoop *hadoop, struct hf_op *op,
                                  const struct hf_request *request, const char *address,
                                  struct hf_caller **out)
{
    struct hf_bytes value = hf_request_cookie(request, COOKIE);
    uint64_t generation = hf_cookies_generation(hadoop->settings.cookies);
    struct hf_cookie cookie;

    if (value.len == 0) {
        return hf_fail(op, HF_UNAUTHENTICATED, "Authentication required");
    }
    HF_TRY(hf_cookies_verify(hadoop->settings.cookies, op, value, &cookie));
    /* A cookie is worth what its kind of proof is worth at this listener now. */
    if (strcmp(cookie.type, HF_COOKIE_PSEUDO) != 0 || !hadoop->settings.allow_pseudo) {
        return hf_fail(op, HF_UNAUTHENTICATED, "Invalid AuthenticationToken type");
    }
    HF_TRY(hf_caller_new(op, HF_PROOF_PSEUDO, cookie.user, address, out));
    (*out)->issued = generation;
    return HF_SUCCESS;
}

static struct hf_status by_claimed_name(struct hf_hadoop *hadoop, struct hf_op *op,
                                        const struct hf_request *request, const char *address,
                                        struct hf_reply *reply, struct hf_caller **out)
{
    HF_AUTO(buf) name = hf_buf_new();
    HF_AUTO(buf) value = hf_buf_new();
    HF_AUTO(buf) quoted = hf_buf_new();

    HF_TRY(hf_request_parameter(op, request, "user.name", false, 0, name));
    HF_TRY(hf_caller_new(op, HF_PROOF_PSEUDO, hf_buf_text(name), address, out));
    HF_TRY(
        hf_cookies_make(hadoop->settings.cookies, op, hf_buf_text(name), HF_COOKIE_PSEUDO, value));
    hf_buf_add_format(quoted, "\"%s\"", hf_buf_text(value));
    set_cookie(reply, hf_buf_text(quoted), hadoop->settings.secure);
    return HF_SUCCESS;
}

static struct hf_status by_certificate(struct hf_op *op, struct hf_exchange *exchange,
                                       const char *address, struct hf_caller **out)
{
    const char *name = NULL;
    const char *fingerprint = NULL;

    HF_TRY(hf_conn_peer_certificate(hf_exchange_conn(exchange), op, &name, &fingerprint));
    return hf_caller_new(op, HF_PROOF_CERT, name, address, out);
}

/*
 * Cookie, then claimed name, then certificate. A bad cookie is not the end: only its words stay,
 * for the reason phrase, because clients look for "Invalid signature" there (3.2).
 */
static struct hf_status identify(struct hf_hadoop *hadoop, struct hf_op *op,
                                 struct hf_exchange *exchange, const struct hf_request *request,
                                 struct hf_reply *reply, struct hf_caller **out)
{
    const char *address = hf_exchange_peer_address(exchange);
    char why[HF_OP_TEXT_MAX];
    struct hf_status by = by_cookie(hadoop, op, request, address, out);

    /* The node was locked, or unlocked, this very moment: nothing is said about the cookie. */
    if (by.code == HF_OK || by.code == HF_WRONG_STATE) {
        return by;
    }
    memcpy(why, op->text, sizeof why);
    if (hadoop->settings.allow_pseudo) {
        struct hf_status status = by_claimed_name(hadoop, op, request, address, reply, out);

        if (status.code != HF_NOT_FOUND) {
            return status;
        }
    }
    if (by_certificate(op, exchange, address, out).code == HF_OK) {
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_UNAUTHENTICATED, "%s", why);
}

/* Delegation tokens and proxy users are not served: whoever sends one must not pass as another. */
static bool refuse_other_identities(struct hf_op *op, const struct hf_request *request,
                                    struct hf_reply *reply, const char *user)
{
    HF_AUTO(buf) value = hf_buf_new();

    if (hf_request_parameter(op, request, "doAs", true, 0, value).code == HF_OK) {
        HF_AUTO(buf) text = hf_buf_new();

        hf_buf_add_format(text, "User: %s is not allowed to impersonate %s", user,
                          hf_buf_text(value));
        put_exception(reply, 403, CLASS_AUTHORIZATION, hf_buf_text(text));
        return true;
    }
    return false;
}

static bool refuse_delegation_token(struct hf_op *op, const struct hf_request *request,
                                    struct hf_reply *reply)
{
    HF_AUTO(buf) value = hf_buf_new();

    if (hf_request_cookie(request, COOKIE).len == 0 &&
        (hf_request_header(request, "X-Hadoop-Delegation-Token").data != NULL ||
         hf_request_parameter(op, request, "delegation", false, 0, value).code == HF_OK)) {
        put_exception(reply, 403, CLASS_AUTHENTICATION,
                      "This server has not issued the delegation token");
        return true;
    }
    return false;
}

/*
 * The first OPTIONS without credentials is how every client begins; anything else without them is
 * somebody who tries.
 */
static void note_stranger(struct hf_hadoop *hadoop, struct hf_op *op,
                          const struct hf_exchange *exchange, const struct hf_request *request)
{
    if (hf_request_method(request) != HF_OPTIONS || hf_request_cookie(request, COOKIE).len > 0) {
        hf_service_unauthenticated(hadoop->settings.service, op, hadoop->door.name,
                                   hf_exchange_peer_address(exchange));
    }
}

struct hf_status hf_hadoop_admit(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply,
                                 bool *out_answered)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(caller) caller = NULL;
    struct hf_status status;

    /*
     * First of all: cookies cannot be checked while their secrets are sealed, and a client whom we
     * refuse by 401 or 403 does not go on to another server.
     */
    HF_TRY(hf_service_check_unlocked(hadoop->settings.service, op));
    if (refuse_delegation_token(op, request, reply)) {
        *out_answered = true;
        return HF_SUCCESS;
    }
    status = identify(hadoop, op, exchange, request, reply, &caller);
    if (status.code == HF_UNAUTHENTICATED) {
        refuse(hadoop, reply, op->text);
        note_stranger(hadoop, op, exchange, request);
        *out_answered = true;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    if (caller == NULL) {
        return hf_fail(op, HF_INTERNAL, "a caller was identified and is not there");
    }
    hf_op_clear(op);
    if (refuse_other_identities(op, request, reply, caller->name)) {
        *out_answered = true;
        return HF_SUCCESS;
    }
    hf_op_clear(op);
    op->caller = caller;
    hf_exchange_keep(exchange, HF_TAKE(caller), free_caller);
    if (hf_request_method(request) == HF_OPTIONS) {
        put_empty(reply);
        *out_answered = true;
    }
    return HF_SUCCESS;
}
