/*
 * The record of the cookie secrets (docs/formats/cookie.md): which secrets sign and which are good,
 * and whose cookies were taken back.
 *
 * Cookies say only when they end. So each secret says for how long cookies under it live at most,
 * and a user's cookies are taken back by when the last of them can end.
 *
 * Threads: no state.
 */
#pragma once

#include "crypto/crypto.h"

/* Cookies are signed with the current secret. The next one is known to all before it signs. */
enum {
    HF_COOKIE_CURRENT,
    HF_COOKIE_PREVIOUS,
    HF_COOKIE_NEXT,
    HF_COOKIE_SECRETS,
};

struct hf_cookie_secret {
    struct hf_secret *bytes; /* NULL: there is none */
    uint64_t validity_ms;    /* of the cookies under it, at most; 0: format 1 did not say */
};

#define HF_COOKIE_ENDS_MAX 10000
/* Clocks of nodes differ by less. */
#define HF_COOKIE_SKEW_MS 300000U

struct hf_cookie_end {
    char *user;
    uint64_t until_ms; /* cookies that end then or earlier are refused */
};

/* Zeroed: one that says nothing yet. */
struct hf_cookie_record {
    uint64_t rolls_at_ms;
    struct hf_cookie_secret secrets[HF_COOKIE_SECRETS];
    struct hf_cookie_end *ends; /* by user, in order */
    size_t end_count;
};
void hf_cookie_record_done(struct hf_cookie_record *record);

/* Format 1 and 2. *out, zeroed before, may be filled in part where it fails; HF_CORRUPT. */
HF_STATUS hf_cookie_record_read(struct hf_op *op, struct hf_bytes plain,
                                struct hf_cookie_record *out);
/* Format 2, in secret memory from end to end. */
HF_STATUS hf_cookie_record_write(struct hf_op *op, const struct hf_cookie_record *record,
                                 struct hf_secret **out);

/* Until when the user's cookies are refused; 0: they are not. */
uint64_t hf_cookie_refused_until(const struct hf_cookie_record *record, const char *user);

/*
 * What a node whose cookies live for validity_ms has to change now: a roll that is due, a secret
 * that lacks, a validity longer than the record's, cookies taken back that have ended anyway. Gives
 * whether anything was changed.
 */
HF_STATUS hf_cookie_record_update(struct hf_crypto *crypto, struct hf_op *op, uint64_t validity_ms,
                                  struct hf_cookie_record *record, bool *out_changed);
/*
 * Takes back all cookies that the user has now. HF_WRONG_STATE while nobody knows how long those
 * live that were signed before format 2; HF_LIMITED when too many users are on the list.
 */
HF_STATUS hf_cookie_record_end(struct hf_op *op, const char *user, struct hf_cookie_record *record);
/* New secrets: no cookie that was made before is good. */
HF_STATUS hf_cookie_record_end_all(struct hf_crypto *crypto, struct hf_op *op, uint64_t validity_ms,
                                   struct hf_cookie_record *record);
