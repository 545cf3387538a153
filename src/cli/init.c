/* holdfast init: the flow, from an empty directory to a node that can start. */
#include "cli/init.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/init_files.h"
#include "protect/private_file.h"
#include "seal/authority.h"
#include "service/service.h"

/* One init under way; everything is below the temporary directory until the end. */
struct making {
    const struct hf_init_settings *settings;
    char *directory; /* where it is built */
    struct hf_config *config;
    struct hf_crypto *crypto;
    struct hf_engine *engine;
    struct hf_seal *seal;
    struct hf_pkey *audit_signer;
};

static char *below(const struct making *making, const char *name)
{
    return hf_format("%s/%s", making->directory, name);
}

/* --- slots --- */

/* As a member of a cluster does, or with a file that one can have a copy of. */
static struct hf_status open_own(struct hf_op *op, const struct making *making,
                                 struct hf_protector **out)
{
    bool is_shared = making->settings->is_shared;
    HF_AUTO_STRING path = below(making, is_shared ? HF_NODE_KEY_FILE : HF_KEY_FILE);
    const struct hf_protector_settings settings = { .kind = is_shared ? "node" : "keyfile",
                                                    .file = path };

    HF_TRY(is_shared ? hf_node_key_create(making->crypto, op, path)
                     : hf_keyfile_create(making->crypto, op, path));
    return hf_protector_open(making->crypto, op, &settings, out);
}

static struct hf_status open_passphrase(struct hf_op *op, const struct making *making,
                                        struct hf_protector **out)
{
    HF_AUTO_STRING path = making->settings->passphrase_file != NULL
                              ? hf_strdup(making->settings->passphrase_file)
                              : below(making, "offline/passphrase");
    const struct hf_protector_settings settings = { .kind = "passphrase", .file = path };

    if (making->settings->passphrase_file == NULL) {
        HF_TRY(hf_init_write_passphrase(making->crypto, op, path));
    }
    return hf_protector_open(making->crypto, op, &settings, out);
}

static enum hf_pkey_kind main_key_kind(unsigned bits)
{
    if (bits == 2048) {
        return HF_PKEY_RSA_2048;
    }
    return bits == 4096 ? HF_PKEY_RSA_4096 : HF_PKEY_RSA_3072;
}

/* Is the store not below the node's directory, so that it does not appear with it? */
static bool is_elsewhere(const struct making *making)
{
    const struct hf_config *config = making->config;

    return config != NULL &&
           (strcmp(config->store_engine, "sqlite") != 0 ||
            strncmp(config->store_directory, making->directory, strlen(making->directory)) != 0);
}

static struct hf_status make_store(struct hf_op *op, struct making *making)
{
    HF_AUTO(protector) own = NULL;
    HF_AUTO(protector) passphrase = NULL;
    HF_AUTO_STRING pin = below(making, "state/pin");
    struct hf_store_settings settings = {
        .engine = making->config->store_engine,
        .directory = making->config->store_directory,
        .hosts = (const char *const *)making->config->store_hosts,
        .synchronous = making->config->store_synchronous,
        .allow_fewer = making->config->store_allow_fewer,
        .create = true,
        /* Then it appears with the last step, as the directory does. */
        .arriving = is_elsewhere(making),
    };
    struct hf_slot_plan slots[2];
    struct hf_init_plan plan = { 0 };

    HF_TRY(open_own(op, making, &own));
    HF_TRY(open_passphrase(op, making, &passphrase));
    HF_TRY(hf_random_public(making->crypto, op, settings.store_id, sizeof settings.store_id));
    HF_TRY(hf_engine_open(op, &settings, &making->engine));
    slots[0] = (struct hf_slot_plan){ making->settings->node, own, false };
    slots[1] = (struct hf_slot_plan){ "offline", passphrase, true };
    plan.slots = slots;
    plan.slot_count = HF_COUNT(slots);
    plan.main_key_kind = main_key_kind(making->settings->main_key_bits);
    return hf_seal_create(making->crypto, op, making->engine, pin, &plan, &making->seal);
}

/* --- authority and certificates --- */

/* The name is that of the files too: secrets/<name>.crt and .key. */
static struct hf_status make_certificate(struct hf_op *op, const struct making *making,
                                         const char *name, struct hf_authority_order *order)
{
    HF_AUTO_STRING key_name = hf_format("secrets/%s.key", name);
    HF_AUTO_STRING pem_name = hf_format("secrets/%s.crt", name);
    HF_AUTO_STRING key_path = below(making, key_name);
    HF_AUTO_STRING pem_path = below(making, pem_name);
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(buf) pem = hf_buf_new();

    HF_TRY(hf_init_make_tls_key(making->crypto, op, key_path, &key));
    order->key = key;
    HF_TRY(hf_authority_issue(making->seal, op, order, pem));
    return hf_public_file_create(op, pem_path, hf_buf_bytes(pem));
}

/* The authority's private key exists as a sealed record only. */
static struct hf_status make_authority(struct hf_op *op, const struct making *making)
{
    const struct hf_init_settings *settings = making->settings;
    HF_AUTO_STRING path = below(making, "ca.crt");
    HF_AUTO(buf) pem = hf_buf_new();
    HF_AUTO(buf) hosts = hf_buf_new();
    struct hf_authority_order server = { .common_name = "holdfast" };
    struct hf_authority_order admin = { .common_name = "admin" };

    HF_TRY(hf_init_join_hosts(op, settings->hosts, settings->host_count, hosts));
    server.hosts = hf_buf_text(hosts);
    HF_TRY(hf_authority_make(making->seal, op));
    HF_TRY(hf_authority_certificate(making->seal, op, pem));
    HF_TRY(hf_public_file_create(op, path, hf_buf_bytes(pem)));
    HF_TRY(make_certificate(op, making, "server", &server));
    return make_certificate(op, making, "admin", &admin);
}

/* --- first keyring and policy --- */

static struct hf_status fill(struct hf_op *op, const struct making *making,
                             struct hf_service *service)
{
    HF_AUTO(caller) caller = NULL;
    const char *identities[] = { NULL, "cert:admin" };
    /* The certificate has rights only where there is a listener to show it to. */
    size_t administrators = making->settings->listen_admin != NULL ? 2 : 1;
    struct hf_keyring_settings settings;
    struct hf_status status;

    HF_TRY(hf_caller_from_uid(op, (uint32_t)getuid(), &caller));
    identities[0] = caller->id;
    op->caller = caller;
    op->door = "init";
    hf_keyring_settings_default(&settings);
    status =
        hf_service_bootstrap_policy(service, op, identities, HF_COUNT(identities), administrators);
    if (status.code == HF_OK) {
        status = hf_service_keyring_create(service, op, making->settings->keyring, &settings, NULL);
    }
    op->caller = NULL;
    return status;
}

static struct hf_status make_keyring_and_policy(struct hf_op *op, struct making *making)
{
    HF_AUTO(keys) keys = NULL;
    HF_AUTO(policy) policy = NULL;
    HF_AUTO(audit) audit = NULL;
    HF_AUTO(service) service = NULL;
    HF_AUTO_STRING directory = below(making, "audit");
    const struct hf_audit_settings settings = { .directory = directory,
                                                .node = making->settings->node,
                                                .signer = making->audit_signer };
    struct hf_service_parts parts = { .seal = making->seal, .node = making->settings->node };
    struct hf_status status;

    HF_TRY(hf_audit_open(making->crypto, op, &settings, &audit));
    keys = hf_keys_new(making->seal, 1);
    policy = hf_policy_new(making->seal);
    parts.keys = keys;
    parts.policy = policy;
    parts.audit = audit;
    service = hf_service_new(&parts);
    status = fill(op, making, service);
    if (status.code == HF_OK) {
        status = hf_seal_pin(making->seal, op);
    }
    /* Locked before what it feeds goes away. */
    hf_seal_lock(making->seal);
    return status;
}

/* --- the whole --- */

static struct hf_status make_directories(struct hf_op *op, const struct making *making)
{
    static const char *const names[] = { "store", "secrets", "offline", "state", "audit" };

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_AUTO_STRING path = below(making, names[i]);

        if (mkdir(path, 0700) != 0) {
            return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", path, strerror(errno));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status make_everything(struct hf_op *op, struct making *making)
{
    HF_TRY(hf_crypto_new(op, &making->crypto));
    HF_TRY(make_directories(op, making));
    HF_TRY(hf_init_write_config(op, making->directory, making->settings, &making->config));
    HF_TRY(make_store(op, making));
    HF_TRY(make_authority(op, making));
    HF_TRY(hf_init_make_audit_key(making->crypto, op, making->directory, &making->audit_signer));
    return make_keyring_and_policy(op, making);
}

/* The engine stays for its last step. */
static void close_upper_half(struct making *making)
{
    hf_pkey_free(making->audit_signer);
    hf_seal_free(making->seal);
    making->audit_signer = NULL;
    making->seal = NULL;
}

static void close_making(struct making *making)
{
    close_upper_half(making);
    hf_engine_free(making->engine);
    hf_config_free(making->config);
    hf_crypto_free(making->crypto);
    making->config = NULL;
    making->engine = NULL;
    making->crypto = NULL;
}

static void tell(const struct hf_init_settings *settings, struct hf_buf *out)
{
    const char *d = settings->directory;

    hf_buf_add_format(out, "The node %s is made in %s.\n\n", settings->node, d);
    if (settings->passphrase_file == NULL) {
        hf_buf_add_format(
            out,
            "The offline slot opens with the passphrase in\n    %s/offline/passphrase\n"
            "It alone can open all keys when this machine is lost: move it to a safe place\n"
            "away from here. Until then, status is amber.\n\n",
            d);
    } else {
        hf_buf_add_format(
            out,
            "The offline slot opens with the passphrase of %s: keep it in a safe place\n"
            "away from here. It opens all keys when this machine is lost.\n\n",
            settings->passphrase_file);
    }
    hf_buf_add_format(
        out,
        "Serve it:          holdfastd --dir %s\n"
        "Look at it:        holdfast --dir %s status\n"
        "Let a user in:     holdfast --dir %s policy grant --who pseudo:alice --role key-user\n"
        "Hadoop's property: hadoop.security.key.provider.path = kms://https@%s/kms\n"
        "Clients trust:     %s/ca.crt\n",
        d, d, d, settings->listen_hadoop, d);
}

/* "D/" and "." as what they stand for: the node is built beside D. */
static char *plain_path(const char *directory)
{
    char *path = realpath(directory, NULL);
    size_t len = strlen(directory);

    if (path != NULL) {
        return path;
    }
    while (len > 1 && directory[len - 1] == '/') {
        len--;
    }
    return hf_strndup(directory, len);
}

static struct hf_status make_beside(struct hf_op *op, struct making *making)
{
    const char *directory = making->settings->directory;

    making->directory = hf_format("%s.init-XXXXXX", directory);
    if (mkdtemp(making->directory) != NULL) {
        return HF_SUCCESS;
    }
    if (errno == ENOENT) {
        return hf_fail(op, HF_UNAVAILABLE, "the directory above %s is not there: make it first",
                       directory);
    }
    return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", making->directory, strerror(errno));
}

static struct hf_status put_in_place(struct hf_op *op, const struct making *making)
{
    const char *directory = making->settings->directory;

    /* Replaces an empty directory, and nothing else. */
    if (rename(making->directory, directory) == 0) {
        return hf_init_sync_parent(op, directory);
    }
    if (errno == EBUSY || errno == EXDEV) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "%s is in use as a mount point: name a directory below it", directory);
    }
    return hf_fail(op, errno == ENOTEMPTY || errno == EEXIST ? HF_EXISTS : HF_UNAVAILABLE,
                   "cannot put the node at %s: %s", directory, strerror(errno));
}

static struct hf_status settle(struct hf_op *op, const struct making *making)
{
    if (hf_engine_settle(making->engine, op).code == HF_OK) {
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_UNAVAILABLE,
                   "%s is made, but not its store: %.300s; remove the directory and the schema "
                   "\"..._arriving\" of the database, and begin again",
                   making->settings->directory, op->text);
}

static void fill_in_defaults(struct hf_init_settings *settings)
{
    settings->node = settings->node != NULL ? settings->node : "node-1";
    hf_init_default_listener(settings);
    settings->main_key_bits = settings->main_key_bits != 0 ? settings->main_key_bits : 3072;
}

static struct hf_status make_node(struct hf_op *op, struct making *making)
{
    struct hf_status status;

    HF_TRY(hf_init_check_directory(op, making->settings->directory));
    HF_TRY(make_beside(op, making));
    status = make_everything(op, making);
    close_upper_half(making);
    if (status.code == HF_OK && !is_elsewhere(making)) {
        hf_engine_free(making->engine);
        making->engine = NULL;
    }
    if (status.code == HF_OK) {
        status = put_in_place(op, making);
    }
    if (status.code != HF_OK) {
        hf_init_remove_tree(making->directory);
    } else if (is_elsewhere(making)) {
        status = settle(op, making);
    }
    close_making(making);
    return status;
}

struct hf_status hf_init_node(struct hf_op *op, const struct hf_init_settings *given,
                              struct hf_buf *out)
{
    HF_AUTO_STRING directory = plain_path(given->directory);
    struct hf_init_settings settings = *given;
    struct making making = { .settings = &settings };
    struct hf_status status;

    fill_in_defaults(&settings);
    settings.directory = directory;
    status = make_node(op, &making);
    free(making.directory);
    HF_TRY(status);
    tell(&settings, out);
    return HF_SUCCESS;
}
