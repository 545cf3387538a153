/*
 * The signed "hadoop.auth" cookie (reference/hadoop-kms.md, 3.3): u=..&p=..&t=..&e=..&s=..
 *
 * The signing secrets live in the store ("secret/hadoop-cookie"), with whose cookies were taken
 * back, so that every node accepts what one has issued, and refuses it once it was given back. A
 * new secret is there for a whole period before it signs.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/seal.h"

#define HF_COOKIE_PSEUDO   "simple-dt"
#define HF_COOKIE_KERBEROS "kerberos-dt"

struct hf_cookies;

/*
 * validity_ms: how long a cookie lives; 0: 10 h. Cookies of users whose cookies were taken back
 * live longer by five minutes at most.
 */
struct hf_cookies *hf_cookies_new(struct hf_seal *seal, uint64_t validity_ms);
void hf_cookies_free(struct hf_cookies *cookies);
HF_DEFINE_CLEANUP(cookies)

/*
 * From now on the record is taken over the moment it is applied. Before unlock; the seal must be
 * locked for good before hf_cookies_free().
 */
void hf_cookies_follow(struct hf_cookies *cookies);
/*
 * Loads the secrets, makes or rolls them when due. Called after unlock and once a minute by the
 * daemon; waits.
 */
HF_STATUS hf_cookies_refresh(struct hf_cookies *cookies, struct hf_op *op);
/* The seal is locked: forget the secrets. */
void hf_cookies_clear(struct hf_cookies *cookies);
/*
 * Stages that every cookie which the user has now is refused, or with NULL that those of all users
 * are. HF_INVALID for a name that no cookie can have; HF_WRONG_STATE and HF_LIMITED where only all
 * can be ended; the text says so. Waits.
 */
HF_STATUS hf_cookies_end_stage(struct hf_cookies *cookies, struct hf_op *op, struct hf_txn *txn,
                               const char *user);

/* Appends the cookie's value (without quotes). HF_INVALID when the name has '&' or '='. */
HF_STATUS hf_cookies_make(struct hf_cookies *cookies, struct hf_op *op, const char *user,
                          const char *type, struct hf_buf *out);

/* Another number whenever cookies that were good may be good no longer. Never 0. */
uint64_t hf_cookies_generation(const struct hf_cookies *cookies);

struct hf_cookie {
    char user[256];
    char type[32];
    uint64_t expires_ms;
};
/*
 * HF_UNAUTHENTICATED with Hadoop's own words as op->text: "AuthenticationToken expired",
 * "org.apache.hadoop.security.authentication.util.SignerException: Invalid signature", ...
 */
HF_STATUS hf_cookies_verify(struct hf_cookies *cookies, struct hf_op *op, struct hf_bytes value,
                            struct hf_cookie *out);

/* For tests and for sharing secrets with old nodes: sign with a given secret. */
HF_STATUS hf_cookie_sign(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes secret,
                         struct hf_bytes text, struct hf_buf *out_base64);
