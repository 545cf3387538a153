/* The machine that joins: its key pair, its request, and what it takes from a bundle. */
#include "cli/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/init_files.h"
#include "protect/private_file.h"
#include "protect/protector.h"

static struct hf_status make_directory(struct hf_op *op, const char *directory, const char *name)
{
    HF_AUTO_STRING path = hf_format("%s/%s", directory, name);

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", path, strerror(errno));
    }
    return HF_SUCCESS;
}

/* Whether there is nothing at the path, so that it can be made. */
static bool is_missing(const char *path)
{
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static char *key_path(const char *directory)
{
    return hf_format("%s/" HF_NODE_KEY_FILE, directory);
}

struct hf_status hf_join_prepare(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                 struct hf_join_request *request)
{
    HF_AUTO_STRING path = key_path(directory);
    HF_AUTO(buf) trial = hf_buf_new();

    HF_TRY(hf_join_request_print(crypto, op, request, trial));
    HF_TRY(make_directory(op, directory, ""));
    HF_TRY(make_directory(op, directory, "secrets"));
    if (is_missing(path)) {
        HF_TRY(hf_node_key_create(crypto, op, path));
    }
    return hf_node_key_public(crypto, op, path, request->public_key);
}

/* --- accepting --- */

static struct hf_status check_key(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                  const struct hf_join_bundle *bundle)
{
    HF_AUTO_STRING path = key_path(directory);
    uint8_t public_key[HF_X25519_LEN];

    if (is_missing(path)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "there is no %s: begin with 'holdfast node join' on this machine", path);
    }
    HF_TRY(hf_node_key_public(crypto, op, path, public_key));
    if (memcmp(public_key, bundle->node.public_key, sizeof public_key) != 0) {
        return hf_fail(op, HF_INVALID,
                       "the bundle is for another machine: node %s was approved with another key "
                       "than the one in %s",
                       bundle->node.name, path);
    }
    return HF_SUCCESS;
}

static struct hf_status write_authority(struct hf_op *op, const char *directory,
                                        const struct hf_join_bundle *bundle)
{
    HF_AUTO_STRING path = hf_format("%s/ca.crt", directory);

    return bundle->authority.len > 0 && is_missing(path)
               ? hf_public_file_create(op, path, hf_buf_bytes(&bundle->authority))
               : HF_SUCCESS;
}

static struct hf_status write_audit_key(struct hf_crypto *crypto, struct hf_op *op,
                                        const char *directory)
{
    HF_AUTO_STRING path = hf_format("%s/secrets/audit.key", directory);
    HF_AUTO_STRING public_path = hf_format("%s/audit.pub", directory);
    HF_AUTO(pkey) signer = NULL;

    if (!is_missing(path)) {
        return HF_SUCCESS;
    }
    /* The public half of a pair that was never finished would be in the way. */
    (void)unlink(public_path);
    return hf_init_make_audit_key(crypto, op, directory, &signer);
}

struct hf_status hf_join_accept(struct hf_crypto *crypto, struct hf_op *op,
                                const struct hf_accept_settings *settings,
                                const struct hf_join_bundle *bundle)
{
    static const char *const names[] = { "store", "state", "audit" };
    const char *directory = settings->directory;
    const struct hf_init_settings config = {
        .directory = directory,
        .node = bundle->node.name,
        .owner = settings->owner,
        .allow_unlocked_memory = settings->allow_unlocked_memory,
    };
    HF_AUTO_STRING pin = hf_format("%s/state/pin", directory);
    HF_AUTO_STRING path = hf_format("%s/holdfast.conf", directory);

    HF_TRY(check_key(crypto, op, directory, bundle));
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_TRY(make_directory(op, directory, names[i]));
    }
    /* First of all, so that this machine never meets a store without it. */
    HF_TRY(hf_join_bundle_pin(op, bundle, pin));
    HF_TRY(write_authority(op, directory, bundle));
    HF_TRY(write_audit_key(crypto, op, directory));
    return is_missing(path) ? hf_init_write_joined_config(op, directory, &config) : HF_SUCCESS;
}
