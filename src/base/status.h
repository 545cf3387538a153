/*
 * How calls say whether they worked, and how locals give back what they own.
 */
#pragma once

/* What can go wrong, in words every door can answer. Each door maps all of them in one switch. */
enum hf_code {
    HF_OK = 0,
    HF_INVALID,         /* the caller's input is wrong */
    HF_UNAUTHENTICATED, /* nobody proved who calls */
    HF_DENIED,          /* policy says no */
    HF_NOT_FOUND,
    HF_EXISTS,
    HF_CONFLICT,    /* somebody else changed it first; read again and repeat */
    HF_WRONG_STATE, /* locked, disabled, deleted, waiting for approval */
    HF_TOO_LARGE,
    HF_LIMITED,     /* a limit of ours is reached; later may work */
    HF_NO_SPACE,    /* disk or locked memory is used up */
    HF_UNAVAILABLE, /* something we need does not answer */
    HF_IN_DOUBT,    /* the end of a write was not seen */
    HF_UNSUPPORTED,
    HF_CORRUPT,  /* stored bytes are not what we wrote */
    HF_LATER,    /* this thread may not wait; nothing has happened yet; ask again where one may */
    HF_INTERNAL, /* our own mistake */
};

/* A struct, so that the compiler never takes a status for a bool, a length or an errno. */
struct hf_status {
    enum hf_code code;
};

#define HF_STATUS     __attribute__((warn_unused_result)) struct hf_status
#define HF_SUCCESS    ((struct hf_status){ HF_OK })
#define HF_AUTO(type) __attribute__((cleanup(hf_##type##_cleanup))) struct hf_##type *

/* Pass a failure up. */
#define HF_TRY(call)                                                                               \
    do {                                                                                           \
        struct hf_status hf_try_status = (call);                                                   \
        if (hf_try_status.code != HF_OK) {                                                         \
            return hf_try_status;                                                                  \
        }                                                                                          \
    } while (0)

/* Hand over what a local owns: the local is NULL afterwards. */
#define HF_TAKE(name)                                                                              \
    ({                                                                                             \
        __typeof__(name) hf_taken = (name);                                                        \
        (name) = NULL;                                                                             \
        hf_taken;                                                                                  \
    })

/* Lets HF_AUTO(type) call hf_<type>_free() on every way out; the free function accepts NULL. */
#define HF_DEFINE_CLEANUP(type)                                                                    \
    static inline void hf_##type##_cleanup(struct hf_##type **object)                              \
    {                                                                                              \
        hf_##type##_free(*object);                                                                 \
    }

#define HF_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The code's name as written in logs and in the admin door: "not_found". */
const char *hf_code_name(enum hf_code code);

/* The one sentence a client gets for a code when nothing more may be told. */
const char *hf_code_sentence(enum hf_code code);
