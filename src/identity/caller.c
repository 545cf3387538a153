/* Callers: one block of memory that holds the identity with its proof and the peer's address. */
#include "identity/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"

#define NAME_MAX_BYTES      255
#define USER_BUFFER_DEFAULT 4096
#define USER_BUFFER_MAX     (1U << 20)

const char *hf_proof_name(enum hf_proof proof)
{
    static const char *const names[] = {
        [HF_PROOF_SYSTEM] = "system", [HF_PROOF_CERT] = "cert",   [HF_PROOF_UNIX] = "unix",
        [HF_PROOF_KRB5] = "krb5",     [HF_PROOF_TOKEN] = "token", [HF_PROOF_PSEUDO] = "pseudo",
    };

    return names[proof];
}

static bool has_control_character(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte < 0x20 || byte == 0x7f) {
            return true;
        }
    }
    return false;
}

static struct hf_status check_name(struct hf_op *op, const char *name)
{
    size_t len = strlen(name);

    if (len == 0) {
        return hf_fail(op, HF_INVALID, "the caller's name is empty");
    }
    if (len > NAME_MAX_BYTES) {
        return hf_fail(op, HF_INVALID, "the caller's name has %zu bytes; %d are allowed", len,
                       NAME_MAX_BYTES);
    }
    if (has_control_character(name)) {
        return hf_fail(op, HF_INVALID, "the caller's name has control characters");
    }
    /* Else two callers could look the same in the audit trail. */
    if (!hf_text_is_utf8(hf_bytes_of_text(name))) {
        return hf_fail(op, HF_INVALID, "the caller's name is not UTF-8");
    }
    return HF_SUCCESS;
}

struct hf_status hf_caller_new(struct hf_op *op, enum hf_proof proof, const char *name,
                               const char *address, struct hf_caller **out)
{
    const char *kind = hf_proof_name(proof);
    const char *from = address != NULL ? address : "";
    size_t kind_len = strlen(kind);
    struct hf_caller *caller;
    size_t id_len, address_len;

    HF_TRY(check_name(op, name));
    id_len = kind_len + 1 + strlen(name);
    address_len = strlen(from);
    caller = hf_alloc(sizeof *caller + id_len + 1 + address_len + 1);
    caller->proof = proof;
    caller->id = (char *)(caller + 1);
    caller->name = caller->id + kind_len + 1;
    caller->address = caller->id + id_len + 1;
    (void)snprintf(caller->id, id_len + 1, "%s:%s", kind, name);
    memcpy(caller->address, from, address_len + 1);
    *out = caller;
    return HF_SUCCESS;
}

void hf_caller_free(struct hf_caller *caller)
{
    free(caller);
}

/* Without a descriptor the list of users cannot be read, and not every library says so. */
static bool may_open_files(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* The login name of a user, or NULL when it has none. The caller frees it. */
static char *login_name(uint32_t uid)
{
    long suggested = sysconf(_SC_GETPW_R_SIZE_MAX);
    size_t size = suggested > 0 ? (size_t)suggested : USER_BUFFER_DEFAULT;
    char *buffer = NULL;
    char *name = NULL;
    struct passwd entry, *found = NULL;
    int error;

    do {
        buffer = hf_realloc_array(buffer, size, 1);
        error = getpwuid_r(uid, &entry, buffer, size, &found);
        size *= 2;
    } while (error == ERANGE && size <= USER_BUFFER_MAX);
    if (error == 0 && found != NULL) {
        name = hf_strdup(entry.pw_name);
    }
    free(buffer);
    return name;
}

struct hf_status hf_caller_from_uid(struct hf_op *op, uint32_t uid, struct hf_caller **out)
{
    HF_AUTO_STRING name = login_name(uid);

    if (name == NULL && !may_open_files()) {
        return hf_fail(op, HF_UNAVAILABLE, "the name of user %u cannot be looked up: %s", uid,
                       strerror(errno));
    }
    if (name == NULL) {
        name = hf_format("%u", uid);
    }
    return hf_caller_new(op, HF_PROOF_UNIX, name, "unix", out);
}

const char *hf_op_caller_id(const struct hf_op *op)
{
    return op->caller != NULL ? op->caller->id : "system";
}
