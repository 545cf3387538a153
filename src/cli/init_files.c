/* The files that holdfast init and holdfast node accept write. */
#include "cli/init_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protect/private_file.h"
#include "seal/join.h"

struct hf_status hf_init_check_directory(struct hf_op *op, const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;
    bool empty = true;

    if (stream == NULL && errno == ENOENT) {
        return HF_SUCCESS;
    }
    if (stream == NULL) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot look into %s: %s", directory, strerror(errno));
    }
    while ((entry = readdir(stream)) != NULL) {
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    }
    (void)closedir(stream);
    if (!empty) {
        return hf_fail(op, HF_EXISTS,
                       "%s is not empty: init makes a new node and never touches an old one",
                       directory);
    }
    return HF_SUCCESS;
}

struct hf_status hf_init_write_passphrase(struct hf_crypto *crypto, struct hf_op *op,
                                          const char *path)
{
    /* 32 signs that are not mistaken for each other: 5 bits each. */
    static const char signs[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    HF_AUTO(secret) random = NULL;
    HF_AUTO(secret) text = NULL;
    char *at;

    HF_TRY(hf_random_secret(crypto, op, 32, &random));
    HF_TRY(hf_secret_new(op, 32 + 7 + 1, &text));
    at = (char *)hf_secret_data(text);
    for (size_t i = 0; i < 32; i++) {
        if (i > 0 && i % 4 == 0) {
            *at++ = '-';
        }
        *at++ = signs[hf_secret_data(random)[i] & 31];
    }
    *at = '\n';
    return hf_private_file_create(op, path, hf_secret_bytes(text));
}

static void add_admin_listener(const struct hf_init_settings *settings, struct hf_buf *out)
{
    hf_buf_add_text(out, "\nlistener \"admin\" {\n"
                         "    address = \"unix:admin.sock\"\n"
                         "    doors = { \"admin\", \"health\" }\n"
                         "}\n");
    if (settings->listen_admin != NULL) {
        hf_buf_add_format(out,
                          "\nlistener \"admin-tls\" {\n"
                          "    address = \"%s\"\n"
                          "    doors = { \"admin\", \"health\" }\n"
                          "    client_ca = \"ca.crt\"\n"
                          "    require_client_certificate = yes\n"
                          "}\n",
                          settings->listen_admin);
    }
}

/* Inside quotes of the configuration these would not stand for themselves. */
static struct hf_status check_text(struct hf_op *op, const char *option, const char *text)
{
    if (text == NULL) {
        return HF_SUCCESS;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr("\"\\$", *c) != NULL) {
            return hf_fail(op, HF_INVALID, "--%s has a sign that a configuration cannot hold: %s",
                           option, text);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_texts(struct hf_op *op, const struct hf_init_settings *settings)
{
    HF_TRY(check_text(op, "node", settings->node));
    if (settings->is_shared && !hf_node_name_is_valid(settings->node)) {
        return hf_fail(op, HF_INVALID,
                       "the name of a node has 1 to %d letters, digits, '.', '-' and '_'",
                       HF_NODE_NAME_MAX);
    }
    HF_TRY(check_text(op, "site", settings->site));
    HF_TRY(check_text(op, "keyring", settings->keyring));
    HF_TRY(check_text(op, "listen-hadoop", settings->listen_hadoop));
    return check_text(op, "listen-admin", settings->listen_admin);
}

static void add_top(const struct hf_init_settings *settings, const char *maker, struct hf_buf *out)
{
    hf_buf_add_format(out,
                      "# Made by %s. Every setting: holdfastd --settings\n"
                      "# Relative paths are below the node's directory.\n\n",
                      maker);
    hf_buf_add_format(out, "node = \"%s\"\n", settings->node);
    if (settings->site != NULL) {
        hf_buf_add_format(out, "site = \"%s\"\n", settings->site);
    }
    if (settings->owner != NULL) {
        hf_buf_add_format(out, "owner = \"%s\"\n", settings->owner);
    }
    hf_buf_add_text(out, "\n");
    if (settings->store != NULL) {
        hf_buf_add_format(out, "%s\n", settings->store);
    }
    if (settings->allow_unlocked_memory) {
        hf_buf_add_text(out, "memory {\n    allow_unlocked = yes\n}\n\n");
    }
}

static void add_slot(const char *name, const char *protector, const char *file, struct hf_buf *out)
{
    hf_buf_add_format(out, "slot \"%s\" {\n    protector = \"%s\"\n    file = \"%s\"\n}\n", name,
                      protector, file);
}

void hf_init_own_slot(const char *name, struct hf_buf *out)
{
    add_slot(name, "node", HF_NODE_KEY_FILE, out);
}

static void add_first_slot(const struct hf_init_settings *settings, struct hf_buf *out)
{
    hf_buf_add_text(out,
                    "# Tried at start. The offline slot is not named here: a person opens it.\n");
    if (settings->is_shared) {
        hf_init_own_slot(settings->node, out);
    } else {
        add_slot(settings->node, "keyfile", HF_KEY_FILE, out);
    }
}

static void add_hadoop_listener(const struct hf_init_settings *settings, struct hf_buf *out)
{
    hf_buf_add_format(out,
                      "\nlistener \"hadoop\" {\n"
                      "    address = \"%s\"\n"
                      "    doors = { \"hadoop\", \"health\" }\n"
                      "    client_ca = \"ca.crt\"\n"
                      "    hadoop_keyring = \"%s\"\n",
                      settings->listen_hadoop, settings->keyring);
    if (settings->pseudo) {
        hf_buf_add_text(out, "    # Believes the user name that a client claims: loopback only.\n"
                             "    pseudo = yes\n");
    }
    hf_buf_add_text(out, "}\n");
}

/* What the server would refuse is told now, while nothing is in place, without the passing path. */
static struct hf_status read_config(struct hf_op *op, const char *directory, const char *path,
                                    struct hf_config **out)
{
    char text[HF_OP_TEXT_MAX];
    const char *words = text;

    if (hf_config_load(op, directory, path, out).code == HF_OK) {
        return HF_SUCCESS;
    }
    memcpy(text, op->text, sizeof text);
    if (strncmp(text, path, strlen(path)) == 0) {
        words += strlen(path);
        words += strspn(words, ":0123456789 ");
    }
    return hf_fail(op, HF_INVALID, "holdfastd would refuse this: %.300s", words);
}

struct hf_status hf_init_write_config(struct hf_op *op, const char *directory,
                                      const struct hf_init_settings *settings,
                                      struct hf_config **out_config)
{
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO_STRING path = hf_format("%s/holdfast.conf", directory);

    HF_TRY(check_texts(op, settings));
    add_top(settings, "holdfast init", out);
    add_first_slot(settings, out);
    add_hadoop_listener(settings, out);
    add_admin_listener(settings, out);
    HF_TRY(hf_private_file_create(op, path, hf_buf_bytes(out)));
    return read_config(op, directory, path, out_config);
}

/* The unix socket needs no certificate. */
static void add_listeners_for_later(const struct hf_init_settings *settings, struct hf_buf *out)
{
    struct hf_init_settings local = *settings;

    local.listen_admin = NULL;
    hf_buf_add_format(out,
                      "\n# Once there are secrets/server.crt and secrets/server.key, clients are "
                      "served too:\n"
                      "# listener \"hadoop\" {\n"
                      "#     address = \"%s\"\n"
                      "#     doors = { \"hadoop\", \"health\" }\n"
                      "#     client_ca = \"ca.crt\"\n"
                      "# }\n",
                      settings->listen_hadoop);
    add_admin_listener(&local, out);
}

struct hf_status hf_init_write_joined_config(struct hf_op *op, const char *directory,
                                             const struct hf_init_settings *settings,
                                             bool has_certificate)
{
    HF_AUTO(config) config = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO_STRING path = hf_format("%s/holdfast.conf", directory);
    struct hf_status status;

    HF_TRY(check_texts(op, settings));
    add_top(settings, "holdfast node accept", out);
    hf_buf_add_text(out, "# This machine's own key, made here by holdfast node join.\n");
    hf_init_own_slot(settings->node, out);
    if (has_certificate) {
        add_hadoop_listener(settings, out);
        add_admin_listener(settings, out);
    } else {
        add_listeners_for_later(settings, out);
    }
    HF_TRY(hf_private_file_create(op, path, hf_buf_bytes(out)));
    status = read_config(op, directory, path, &config);
    if (status.code != HF_OK) {
        /* Else the next accept would take it for one that is right. */
        (void)unlink(path);
    }
    return status;
}

void hf_init_default_listener(struct hf_init_settings *settings)
{
    settings->listen_hadoop =
        settings->listen_hadoop != NULL ? settings->listen_hadoop : "127.0.0.1:9600";
    settings->keyring = settings->keyring != NULL ? settings->keyring : "hadoop";
}

struct hf_status hf_init_join_hosts(struct hf_op *op, const char *const *hosts, size_t count,
                                    struct hf_buf *out)
{
    hf_buf_add_text(out, "localhost,127.0.0.1,::1");
    for (size_t i = 0; i < count; i++) {
        if (hosts[i][0] == '\0' || strchr(hosts[i], ',') != NULL) {
            return hf_fail(op, HF_INVALID, "\"%.100s\" is not a DNS name", hosts[i]);
        }
        hf_buf_add_format(out, ",%s", hosts[i]);
    }
    return HF_SUCCESS;
}

struct hf_status hf_init_make_tls_key(struct hf_crypto *crypto, struct hf_op *op, const char *path,
                                      struct hf_pkey **out)
{
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(secret) pem = NULL;

    HF_TRY(hf_pkey_generate(crypto, op, HF_PKEY_P256, &key));
    HF_TRY(hf_pkey_private_pem(key, op, &pem));
    HF_TRY(hf_private_file_create(op, path, hf_secret_bytes(pem)));
    *out = HF_TAKE(key);
    return HF_SUCCESS;
}

struct hf_status hf_init_make_audit_key(struct hf_crypto *crypto, struct hf_op *op,
                                        const char *directory, struct hf_pkey **out)
{
    HF_AUTO(pkey) signer = NULL;
    HF_AUTO(secret) pkcs8 = NULL;
    HF_AUTO(buf) spki = hf_buf_new();
    HF_AUTO_STRING public_path = hf_format("%s/audit.pub", directory);
    HF_AUTO_STRING private_path = hf_format("%s/secrets/audit.key", directory);

    HF_TRY(hf_pkey_generate(crypto, op, HF_PKEY_ED25519, &signer));
    HF_TRY(hf_pkey_private(signer, op, &pkcs8));
    HF_TRY(hf_pkey_public(signer, op, spki));
    HF_TRY(hf_public_file_create(op, public_path, hf_buf_bytes(spki)));
    HF_TRY(hf_private_file_create(op, private_path, hf_secret_bytes(pkcs8)));
    *out = HF_TAKE(signer);
    return HF_SUCCESS;
}

struct hf_status hf_init_sync_parent(struct hf_op *op, const char *path)
{
    HF_AUTO_STRING copy = hf_strdup(path);
    const char *parent = dirname(copy);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (!done) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot sync %s: %s", parent, strerror(errno));
    }
    return HF_SUCCESS;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void hf_init_remove_tree(const char *directory)
{
    (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
