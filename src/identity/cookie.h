/*
 * The signed "hadoop.auth" cookie (reference/hadoop-kms.md, 3.3): u=..&p=..&t=..&e=..&s=..
 *
 * The signing secrets, current and previous, live in the store ("secret/hadoop-cookie"), so that
 * every node accepts what one has issued; a new one is made each validity period.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/seal.h"

#define HF_COOKIE_PSEUDO   "simple-dt"
#define HF_COOKIE_KERBEROS "kerberos-dt"

struct hf_cookies;

/* validity_ms: how long a cookie lives; 0: 10 h. */
struct hf_cookies *hf_cookies_new(struct hf_seal *seal, uint64_t validity_ms);
void hf_cookies_free(struct hf_cookies *cookies);
HF_DEFINE_CLEANUP(cookies)

/*
 * Loads the secrets, makes or rolls them when due. Called after unlock and once a minute by the
 * daemon; waits.
 */
HF_STATUS hf_cookies_refresh(struct hf_cookies *cookies, struct hf_op *op);
/* The seal is locked: forget the secrets. */
void hf_cookies_clear(struct hf_cookies *cookies);

/* Appends the cookie's value (without quotes). HF_INVALID when the name has '&' or '='. */
HF_STATUS hf_cookies_make(struct hf_cookies *cookies, struct hf_op *op, const char *user,
                          const char *type, struct hf_buf *out);

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
