/*
 * holdfast store accept-history --offline: for a node whose daemon does not start, because the
 * store that it alone uses went back in time.
 */
#include <inttypes.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/alloc.h"
#include "cli/accept.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "identity/caller.h"
#include "protect/private_file.h"
#include "seal/seal.h"

#define AUDIT_KEY_MAX 4096

/* What is opened for it, in this order. */
struct accepting {
    struct hf_config *config;
    struct hf_crypto *crypto;
    struct hf_engine *engine;
    struct hf_seal *seal;
    struct hf_pkey *signer;
    struct hf_audit *audit;
};

static void accepting_done(struct accepting *accepting)
{
    hf_audit_free(accepting->audit);
    hf_pkey_free(accepting->signer);
    hf_seal_free(accepting->seal);
    hf_engine_free(accepting->engine);
    hf_crypto_free(accepting->crypto);
    hf_config_free(accepting->config);
}

static struct hf_status open_audit(struct cli *cli, struct accepting *accepting)
{
    const struct hf_config *config = accepting->config;
    struct hf_audit_settings settings = { .directory = config->audit_directory,
                                          .node = config->node,
                                          .max_file_bytes = config->audit_max_file_bytes };
    HF_AUTO(secret) key = NULL;

    HF_TRY(hf_private_file_read(&cli->op, config->audit_key_file, AUDIT_KEY_MAX, &key));
    HF_TRY(hf_pkey_from_private(accepting->crypto, &cli->op, hf_secret_bytes(key),
                                &accepting->signer));
    settings.signer = accepting->signer;
    return hf_audit_open(accepting->crypto, &cli->op, &settings, &accepting->audit);
}

/* The trail and the store are one process's: with a daemon there, this ends. */
static struct hf_status open_all(struct cli *cli, struct accepting *accepting)
{
    struct hf_op *op = &cli->op;
    const char *directory = cli_directory(cli);
    HF_AUTO_STRING file = cli->directory != NULL ? hf_format("%s/holdfast.conf", directory)
                                                 : hf_strdup("/etc/holdfast/holdfast.conf");
    struct hf_store_settings settings = { 0 };

    HF_TRY(hf_config_load(op, directory, file, &accepting->config));
    if (accepting->config->store_mirror != NULL) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "a node with a copy of a shared store starts from that: ask its daemon, "
                       "without --offline");
    }
    HF_TRY(hf_crypto_start(op));
    HF_TRY(hf_crypto_new(op, &accepting->crypto));
    settings.engine = accepting->config->store_engine;
    settings.directory = accepting->config->store_directory;
    HF_TRY(hf_engine_open(op, &settings, &accepting->engine));
    HF_TRY(hf_seal_open(accepting->crypto, op, accepting->engine, accepting->config->pin_file,
                        &accepting->seal));
    return open_audit(cli, accepting);
}

static struct hf_status record(struct cli *cli, struct accepting *accepting, uint64_t seq)
{
    HF_AUTO(caller) caller = NULL;
    HF_AUTO_STRING detail = hf_format("offline: the store is taken as it stands, at commit %" PRIu64
                                      "; what this node has seen after that is given up",
                                      seq);
    struct hf_audit_event event = { .operation = "store.accept",
                                    .outcome = "ok",
                                    .detail = detail };

    HF_TRY(hf_caller_from_uid(&cli->op, (uint32_t)getuid(), &caller));
    event.caller = caller->id;
    HF_TRY(hf_audit_append(accepting->audit, &cli->op, &event));
    return hf_audit_sync(accepting->audit, &cli->op);
}

static struct hf_status accept(struct cli *cli, struct accepting *accepting)
{
    struct hf_store_state state;

    HF_TRY(open_all(cli, accepting));
    HF_TRY(hf_engine_state(accepting->engine, &cli->op, &state, NULL));
    if (!cli_flag(cli, "force") || cli_flag(cli, "dry-run")) {
        return hf_fail(
            &cli->op, HF_WRONG_STATE,
            "the store stands at commit %" PRIu64
            ", and what this node has seen after that is not known any more: keys that "
            "were made then are gone, and what was deleted or withdrawn then comes back; "
            "the audit trail has it. Take it with --force",
            state.seq);
    }
    HF_TRY(record(cli, accepting, state.seq));
    HF_TRY(hf_seal_accept_history(accepting->seal, &cli->op));
    cli_print("The node takes the store as it stands, at commit %" PRIu64
              ", when it is next unlocked. Do again what was deleted or withdrawn after that: the "
              "audit trail has it.\n",
              state.seq);
    return HF_SUCCESS;
}

struct hf_status cli_accept_offline(struct cli *cli)
{
    struct accepting accepting = { 0 };
    struct hf_status status = accept(cli, &accepting);

    accepting_done(&accepting);
    return status;
}
