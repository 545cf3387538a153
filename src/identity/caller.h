/*
 * Who calls, and what proves it. Policy never matches across kinds of proof (promise P10).
 *
 * Threads: a caller does not change once made.
 */
#pragma once

#include "base/op.h"

enum hf_proof {
    HF_PROOF_SYSTEM, /* the server itself */
    HF_PROOF_CERT,   /* a client certificate of our authority or a configured one */
    HF_PROOF_UNIX,   /* SO_PEERCRED of the unix socket */
    HF_PROOF_KRB5,   /* Kerberos; comes with a later issue */
    HF_PROOF_TOKEN,  /* tokens; likewise */
    HF_PROOF_PSEUDO, /* the name the client claimed (Hadoop "simple") */
};

struct hf_caller {
    enum hf_proof proof;
    char *name;      /* "alice" */
    char *id;        /* "pseudo:alice": what policy, audit and usage see */
    char *address;   /* of the peer, may be "unix" */
    uint64_t issued; /* by a cookie: hf_cookies_generation() before it was checked; else 0 */
};

/* "cert", "unix", ... */
const char *hf_proof_name(enum hf_proof proof);

/* HF_INVALID for an empty name, one over 255 bytes, or one with control characters. */
HF_STATUS hf_caller_new(struct hf_op *op, enum hf_proof proof, const char *name,
                        const char *address, struct hf_caller **out);
void hf_caller_free(struct hf_caller *caller);
HF_DEFINE_CLEANUP(caller)

/* A unix user by number: its login name, or the number when it has none. */
HF_STATUS hf_caller_from_uid(struct hf_op *op, uint32_t uid, struct hf_caller **out);

/* The caller's id, "system" for none. */
const char *hf_op_caller_id(const struct hf_op *op);
