/* holdfast node: machines that join by their own key pair. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/join.h"
#include "cli/section.h"
#include "identity/caller.h"

/* What came as a word, or stands in the file that the word names, "-" for standard input. */
static struct hf_status read_word(struct cli *cli, const char *word, struct hf_buf *out)
{
    if (strncmp(word, "holdfast-", strlen("holdfast-")) == 0) {
        hf_buf_add_text(out, word);
        return HF_SUCCESS;
    }
    return cli_read_file(cli, word, out);
}

static struct hf_status start_crypto(struct cli *cli, struct hf_crypto **out)
{
    HF_TRY(hf_crypto_start(&cli->op));
    return hf_crypto_new(&cli->op, out);
}

static struct hf_status check_directory(struct cli *cli)
{
    return cli->directory != NULL
               ? HF_SUCCESS
               : hf_fail(&cli->op, HF_INVALID,
                         "this needs --dir D: the directory of the machine that joins");
}

/*
 * Nothing is taken unseen: a program says by the option what the other machine shows, a person at a
 * terminal is asked, and nobody else is believed.
 */
static struct hf_status must_ask(struct cli *cli, bool *out)
{
    bool is_given = cli_option(cli, "fingerprint") != NULL;

    if (!is_given && !isatty(STDIN_FILENO)) {
        return hf_fail(&cli->op, HF_INVALID,
                       "give --fingerprint F, as the other machine shows it: there is no terminal "
                       "to ask at");
    }
    *out = !is_given;
    return HF_SUCCESS;
}

static bool says_yes(void)
{
    char answer[8] = "";

    /* What is asked about may have been typed in, up to an end of the stream. */
    clearerr(stdin);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* --- on the machine that joins --- */

static struct hf_status print_joining(struct cli *cli, struct hf_crypto *crypto,
                                      const struct hf_join_request *request)
{
    const char *hosts = request->wish.hosts;
    char fingerprint[HF_FINGERPRINT_LEN];
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) json = hf_buf_new();
    struct hf_json_writer writer;

    HF_TRY(hf_join_request_fingerprint(crypto, &cli->op, request, fingerprint));
    HF_TRY(hf_join_request_print(crypto, &cli->op, request, text));
    if (!cli->json) {
        cli_print("Fingerprint: %s\n"
                  "Certificate: %s\n"
                  "Request:     %s\n\n"
                  "None of it is secret; the keys behind it stay in %s/secrets.\n"
                  "On an unlocked node, with the fingerprint as it is read out here:\n"
                  "    holdfast node approve REQUEST --fingerprint %s\n"
                  "Then here, with what that prints:\n"
                  "    holdfast --dir %s node accept BUNDLE --fingerprint ITS-FINGERPRINT\n",
                  fingerprint,
                  hosts[0] != '\0' ? hosts : "none is asked for: there is a secrets/server.crt",
                  hf_buf_text(text), cli->directory, fingerprint, cli->directory);
        return HF_SUCCESS;
    }
    hf_json_writer_init(&writer, json);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "name", request->name);
    hf_json_put_text(&writer, "site", request->site);
    hf_json_put_text(&writer, "fingerprint", fingerprint);
    hf_json_put_text(&writer, "certified_for", hosts);
    hf_json_put_text(&writer, "request", hf_buf_text(text));
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(json));
    return HF_SUCCESS;
}

static struct hf_status check_bundle(struct cli *cli, struct hf_crypto *crypto,
                                     const struct hf_join_bundle *bundle,
                                     char fingerprint[HF_FINGERPRINT_LEN])
{
    const char *typed = cli_option(cli, "fingerprint");
    bool ask = false;

    HF_TRY(hf_join_bundle_fingerprint(crypto, &cli->op, bundle, fingerprint));
    HF_TRY(must_ask(cli, &ask));
    if (ask) {
        (void)fprintf(stderr,
                      "Bundle for node %s, fingerprint %s.\n"
                      "This machine will open the store that made it, and no other.\n"
                      "Does the approving node show the same fingerprint? [y/N] ",
                      bundle->node.name, fingerprint);
        return says_yes() ? HF_SUCCESS : hf_fail(&cli->op, HF_INVALID, "nothing was accepted");
    }
    if (!hf_fingerprint_matches(fingerprint, typed)) {
        return hf_fail(&cli->op, HF_INVALID,
                       "the fingerprint of this bundle is %s, not the one given: it is not what "
                       "the approving node printed; do not accept it",
                       fingerprint);
    }
    return HF_SUCCESS;
}

static struct hf_status print_accepted(struct cli *cli, const struct hf_join_bundle *bundle,
                                       const char *fingerprint)
{
    HF_AUTO(buf) store = hf_buf_new();
    HF_AUTO(buf) json = hf_buf_new();
    struct hf_json_writer writer;

    hf_hex_add(store, hf_bytes_of(bundle->store_id, sizeof bundle->store_id));
    if (!cli->json) {
        cli_print("This machine is node %s of store %s, and opens no other.\n"
                  "Bundle fingerprint: %s\n"
                  "It starts unlocked by its own key once its store is that one:\n"
                  "    holdfastd --dir %s\n",
                  bundle->node.name, hf_buf_text(store), fingerprint, cli->directory);
        return HF_SUCCESS;
    }
    hf_json_writer_init(&writer, json);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "name", bundle->node.name);
    hf_json_put_text(&writer, "site", bundle->node.site);
    hf_json_put_text(&writer, "store", hf_buf_text(store));
    hf_json_put_text(&writer, "slot", bundle->slot);
    hf_json_put_u64(&writer, "root_generation", bundle->root_generation);
    hf_json_put_text(&writer, "bundle_fingerprint", fingerprint);
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(json));
    return HF_SUCCESS;
}

/* On standard error, so that it is seen beside --json, too. */
static void tell_configuration(const struct cli *cli, bool is_kept)
{
    if (is_kept) {
        (void)fprintf(stderr,
                      "%s/holdfast.conf was there and stays as it is: options that go into it have "
                      "no effect. Change it by hand, or move it away and give the command again.\n",
                      cli->directory);
    } else if (cli_option(cli, "store") == NULL) {
        (void)fprintf(stderr,
                      "No --store was given: %s/holdfast.conf names a store of its own on this "
                      "machine, not a database that nodes share. For one, move that file away and "
                      "give the command again with --store postgres --store-host HOST:PORT ...\n",
                      cli->directory);
    }
}

static struct hf_status node_accept(struct cli *cli)
{
    HF_AUTO(crypto) crypto = NULL;
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(join_bundle) bundle = NULL;
    HF_AUTO(caller) me = NULL;
    char fingerprint[HF_FINGERPRINT_LEN];
    HF_AUTO(buf) section = hf_buf_new();
    bool is_kept = false;
    struct hf_init_settings settings = {
        .directory = cli->directory,
        .listen_hadoop = cli_option(cli, "listen-hadoop"),
        .listen_admin = cli_option(cli, "listen-admin"),
        .keyring = cli_option(cli, "keyring"),
        .pseudo = cli_flag(cli, "hadoop-pseudo"),
        .allow_unlocked_memory = cli_flag(cli, "allow-unlocked-memory"),
    };

    HF_TRY(check_directory(cli));
    HF_TRY(start_crypto(cli, &crypto));
    HF_TRY(read_word(cli, cli->words[0], text));
    HF_TRY(hf_join_bundle_parse(crypto, &cli->op, hf_buf_bytes(text), &bundle));
    HF_TRY(check_bundle(cli, crypto, bundle, fingerprint));
    if (cli_option(cli, "store") != NULL) {
        HF_TRY(cli_store_section(cli, cli_option(cli, "store"), section));
        settings.store = hf_buf_text(section);
    }
    HF_TRY(hf_caller_from_uid(&cli->op, (uint32_t)getuid(), &me));
    settings.owner = getuid() != 0 ? me->name : NULL;
    HF_TRY(hf_join_accept(crypto, &cli->op, &settings, bundle, &is_kept));
    HF_TRY(print_accepted(cli, bundle, fingerprint));
    tell_configuration(cli, is_kept);
    return HF_SUCCESS;
}

/* A name into its place; what is too long is refused with all other names that cannot be. */
static void place(char out[HF_NODE_NAME_MAX + 1], const char *text)
{
    size_t len = strlen(text);

    if (len <= HF_NODE_NAME_MAX) {
        memcpy(out, text, len + 1);
    }
}

static struct hf_status node_join(struct cli *cli)
{
    const char *name = cli_option(cli, "name");
    const char *site = cli_option(cli, "site");
    HF_AUTO(crypto) crypto = NULL;
    struct hf_join_request request = { 0 };
    const char *hosts[CLI_HOSTS_MAX];
    size_t host_count = 0;

    HF_TRY(check_directory(cli));
    HF_TRY(start_crypto(cli, &crypto));
    if (name == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "node join needs --name N: what the node is called");
    }
    if (site != NULL && !hf_node_name_is_valid(site)) {
        return hf_fail(&cli->op, HF_INVALID,
                       "the name of a site has up to %d letters, digits, '.', '-' and '_'",
                       HF_NODE_NAME_MAX);
    }
    place(request.name, name);
    place(request.site, site != NULL ? site : "");
    HF_TRY(cli_hosts(cli, hosts, &host_count));
    HF_TRY(hf_join_prepare(crypto, &cli->op, cli->directory, hosts, host_count, &request));
    return print_joining(cli, crypto, &request);
}

/* --- on a node of the store --- */

static struct hf_status node_path(const struct cli *cli, const char *tail, char **out)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, "/api/v1/nodes/");
    hf_percent_add(path, hf_bytes_of_text(cli->words[0]));
    hf_buf_add_text(path, tail);
    *out = hf_strdup(hf_buf_text(path));
    return HF_SUCCESS;
}

/* A person is asked whether it is what the new machine shows; the node compares what was given. */
static struct hf_status confirm(struct cli *cli, struct hf_bytes text)
{
    HF_AUTO(crypto) crypto = NULL;
    struct hf_join_request request;
    char fingerprint[HF_FINGERPRINT_LEN];
    bool ask = false;

    HF_TRY(must_ask(cli, &ask));
    if (!ask) {
        return HF_SUCCESS;
    }
    HF_TRY(start_crypto(cli, &crypto));
    HF_TRY(hf_join_request_parse(crypto, &cli->op, text, &request));
    HF_TRY(hf_join_request_fingerprint(crypto, &cli->op, &request, fingerprint));
    (void)fprintf(stderr,
                  "Node %s, site %s, fingerprint %s.\n"
                  "It will open every key, and gets a certificate for: %s\n"
                  "Does the new machine show the same fingerprint? [y/N] ",
                  request.name, request.site[0] != '\0' ? request.site : "none", fingerprint,
                  request.wish.hosts[0] != '\0' ? request.wish.hosts : "nothing");
    return says_yes() ? HF_SUCCESS : hf_fail(&cli->op, HF_INVALID, "nothing was approved");
}

static struct hf_status print_approved(struct cli *cli, const struct hf_json *answer)
{
    const char *name = NULL;
    const char *fingerprint = NULL;
    const char *bundle = NULL;
    const char *bundle_fingerprint = NULL;
    const char *hosts = NULL;

    HF_TRY(hf_json_text(&cli->op, answer, "certified_for", &hosts));
    HF_TRY(hf_json_text(&cli->op, answer, "name", &name));
    HF_TRY(hf_json_text(&cli->op, answer, "fingerprint", &fingerprint));
    HF_TRY(hf_json_text(&cli->op, answer, "bundle", &bundle));
    HF_TRY(hf_json_text(&cli->op, answer, "bundle_fingerprint", &bundle_fingerprint));
    cli_print("Node %s with the key %s is approved, and has a slot.\n"
              "Its certificate is for: %s\n\n"
              "Bundle:             %s\n"
              "Bundle fingerprint: %s\n\n"
              "Neither is secret. On the new machine:\n"
              "    holdfast --dir D node accept BUNDLE --fingerprint %s\n",
              name, fingerprint, hosts[0] != '\0' ? hosts : "nothing, as it asked for none", bundle,
              bundle_fingerprint, bundle_fingerprint);
    return HF_SUCCESS;
}

static struct hf_status node_approve(struct cli *cli)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;

    HF_TRY(read_word(cli, cli->words[0], text));
    HF_TRY(confirm(cli, hf_buf_bytes(text)));
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "request", hf_buf_text(text));
    if (cli_option(cli, "fingerprint") != NULL) {
        hf_json_put_text(&writer, "fingerprint", cli_option(cli, "fingerprint"));
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, "POST", "/api/v1/nodes", hf_buf_bytes(body), &answer));
    return answer != NULL ? print_approved(cli, answer) : HF_SUCCESS;
}

static struct hf_status node_list(struct cli *cli)
{
    static const struct cli_column columns[] = {
        { "NAME", "name" },      { "SITE", "site" },         { "STATE", "state" },
        { "SINCE", "changed" },  { "KEY", "fingerprint" },   { "APPROVED", "approved" },
        { "BY", "approved_by" }, { "LAST PROVEN", "proven" }
    };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *nodes = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/nodes", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "nodes", &nodes));
        cli_print_table(nodes, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

static struct hf_status node_show(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;

    HF_TRY(node_path(cli, "", &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        cli_print_object(answer);
    }
    return HF_SUCCESS;
}

static struct hf_status node_drain(struct cli *cli)
{
    bool undo = cli_flag(cli, "undo");
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;

    HF_TRY(node_path(cli, "/drain", &path));
    HF_TRY(cli_call(cli, "POST", path,
                    hf_bytes_of_text(undo ? "{\"draining\":false}" : "{\"draining\":true}"),
                    &answer));
    if (answer != NULL) {
        cli_print(undo ? "Node %s serves again.\n"
                       : "Node %s is draining: it says that it is not ready, and goes on opening "
                         "what it is asked.\n",
                  cli->words[0]);
    }
    return HF_SUCCESS;
}

static struct hf_status node_serve_stale(struct cli *cli)
{
    HF_AUTO_STRING body = NULL;
    HF_AUTO(json) answer = NULL;
    uint64_t for_ms = 0;

    if (cli_option(cli, "for") == NULL) {
        return hf_fail(&cli->op, HF_INVALID,
                       "say for how long with --for, as in --for 4h; --for 0s ends it");
    }
    HF_TRY(cli_duration(cli, "for", 0, &for_ms));
    body = hf_format("{\"for_ms\":%" PRIu64 "}", for_ms);
    HF_TRY(cli_call(cli, "POST", "/api/v1/serve-stale", hf_bytes_of_text(body), &answer));
    if (answer != NULL) {
        cli_print(for_ms > 0
                      ? "This node opens existing versions for so long, however old its copy "
                        "of the store is.\n"
                      : "This node opens nothing without a lease that is older than its "
                        "keyrings allow.\n");
    }
    return HF_SUCCESS;
}

static struct hf_status print_revoked(struct cli *cli, const struct hf_json *answer)
{
    HF_AUTO(buf) what = hf_buf_new();
    HF_AUTO(buf) seq = hf_buf_new();
    const char *state = NULL;
    bool followed = false;

    HF_TRY(hf_json_text(&cli->op, answer, "state", &state));
    HF_TRY(hf_json_bool_or(&cli->op, answer, "followed", false, &followed));
    cli_add_value(seq, answer, "commit");
    cli_add_value(what, answer, "keyring");
    hf_buf_add_text(what, "/");
    cli_add_value(what, answer, "key");
    if (hf_json_has(answer, "version")) {
        hf_buf_add_text(what, "@");
        cli_add_value(what, answer, "version");
    }
    if (followed) {
        cli_print("This node has followed commit %s already: it knows of %s what the store says.\n",
                  hf_buf_text(seq), hf_buf_text(what));
    } else {
        cli_print("%s is %s on this node from now on, until it has followed commit %s.\n",
                  hf_buf_text(what), state, hf_buf_text(seq));
    }
    return HF_SUCCESS;
}

static struct hf_status node_revoke(struct cli *cli)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(json) answer = NULL;

    HF_TRY(cli_read_file(cli, cli->words[0], text));
    HF_TRY(cli_call(cli, "POST", "/api/v1/revocations", hf_buf_bytes(text), &answer));
    return answer != NULL ? print_revoked(cli, answer) : HF_SUCCESS;
}

static struct hf_status node_remove(struct cli *cli)
{
    bool kept = cli_flag(cli, "keep-root");
    bool is_asked = false;
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;

    HF_TRY(node_path(cli, kept ? "?keep_root=true" : "", &path));
    HF_TRY(cli_call(cli, "DELETE", path, HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    cli_print("Node %s and its slot are removed.\n", cli->words[0]);
    HF_TRY(hf_json_bool_or(&cli->op, answer, "this_node", false, &is_asked));
    if (is_asked) {
        cli_print("It is the node that was asked: it locks itself now, and serves nobody.\n");
    }
    return cli_print_removal(cli, answer, kept);
}

const struct command cli_member_commands[] = {
    { "node", "join", "", "name=|site=|host=",
      "Makes this machine's key pairs if it has none, and prints its join request.",
      "holdfast --dir /srv/holdfast node join --name node-2 --site east --host kms2.example.net",
      node_join },
    { "node", "accept", "BUNDLE|FILE",
      "fingerprint=|listen-hadoop=|listen-admin=|keyring=|hadoop-pseudo|allow-unlocked-memory|"
      "store=|" CLI_STORE_OPTIONS,
      "Ties this machine to the store that has approved it: pin, certificates, configuration.",
      "holdfast --dir /srv/holdfast node accept bundle.txt --fingerprint "
      "5B7W-NN8V-PPWV-PP9W-F7XQ --listen-hadoop 0.0.0.0:9600",
      node_accept },
    { "node", "approve", "REQUEST|FILE", "fingerprint=",
      "Makes a slot for the machine that printed the request, and prints what it needs.",
      "holdfast --dir /srv/holdfast node approve request.txt --fingerprint "
      "K7M2-9QXD-R4TB-0H6N-VE8C",
      node_approve },
    { "node", "list", "", "", "Shows every node that was approved, and when its slot last opened.",
      "holdfast --dir /srv/holdfast node list", node_list },
    { "node", "show", "NAME", "", "Shows one node.",
      "holdfast --dir /srv/holdfast node show node-2", node_show },
    { "node", "serve-stale", "", "for=",
      "Lets this node open keys for a time though nobody knows how old its copy of the store is.",
      "holdfast --dir /srv/holdfast node serve-stale --for 4h", node_serve_stale },
    { "node", "revoke", "FILE", "",
      "Gives a revocation to a node that is cut off: it uses that key no more, from now on.",
      "holdfast --dir /srv/holdfast node revoke sales.revocation", node_revoke },
    { "node", "drain", "NAME", "undo",
      "Lets clients leave a node: it says that it is not ready, and goes on opening.",
      "holdfast --dir /srv/holdfast node drain node-2", node_drain },
    { "node", "remove", "NAME", "keep-root",
      "Removes a node with its slot and puts a new root key in force, which it never held.",
      "holdfast --dir /srv/holdfast node remove node-2", node_remove },
    { 0 },
};
