/* TLS contexts: what files they accept, whom they let in, and that they can be replaced. */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/text.h"
#include "certificates.h"
#include "tls/tls.h"

#define DAY_S 86400

static struct hf_env env;
static struct test_authority *authority;

static const struct test_subject subjects[] = {
    { "server", "localhost", "localhost", -60, DAY_S, false, 0 },
    { "rsa", "localhost", "localhost", -60, DAY_S, false, 2048 },
    { "expired", "localhost", NULL, -DAY_S, -60, false, 0 },
    { "early", "localhost", NULL, 3600, DAY_S, false, 0 },
    { "alice", "alice", "alice.example", -60, DAY_S, true, 0 },
    { "nameless", NULL, "host.example", -60, DAY_S, true, 0 },
    { "nobody", NULL, NULL, -60, DAY_S, true, 0 },
    { "late", "late", NULL, -DAY_S, -60, true, 0 },
};

static int set_up(void **unused)
{
    (void)unused;
    hf_env_system(&env);
    authority = test_authority_new();
    for (size_t i = 0; i < HF_COUNT(subjects); i++) {
        test_authority_issue(authority, &subjects[i]);
    }
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    test_authority_free(authority);
    return 0;
}

static struct hf_status make(struct hf_op *op, const char *certificate, const char *key,
                             const char *ca, enum hf_tls_clients clients, struct hf_tls **out)
{
    HF_AUTO_STRING certificate_file = test_authority_path(authority, certificate);
    HF_AUTO_STRING key_file = test_authority_path(authority, key);
    HF_AUTO_STRING ca_file = ca != NULL ? test_authority_path(authority, ca) : NULL;
    const struct hf_tls_settings settings = {
        .certificate_file = certificate_file,
        .key_file = key_file,
        .ca_file = ca_file,
        .clients = clients,
    };

    return hf_tls_new(op, &settings, out);
}

/* As a reload does it: tried first, then taken over. */
static struct hf_status reload(struct hf_tls *tls, struct hf_op *op, const char *certificate,
                               const char *key, const char *ca, enum hf_tls_clients clients)
{
    struct hf_tls *fresh = NULL;

    HF_TRY(make(op, certificate, key, ca, clients, &fresh));
    hf_tls_take(tls, fresh);
    return HF_SUCCESS;
}

static void write_file(const char *file, const char *text)
{
    HF_AUTO_STRING path = test_authority_path(authority, file);
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static const struct {
    const char *says;
    const char *certificate;
    const char *key;
    const char *ca;
    enum hf_tls_clients clients;
    enum hf_code code;
    const char *text; /* that the failure names */
} files[] = {
    { "a pair", "server.pem", "server.key", NULL, HF_TLS_CLIENTS_NONE, HF_OK, "" },
    { "a pair of RSA", "rsa.pem", "rsa.key", NULL, HF_TLS_CLIENTS_NONE, HF_OK, "" },
    { "clients by an authority", "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_REQUIRED,
      HF_OK, "" },
    { "clients without an authority", "server.pem", "server.key", NULL, HF_TLS_CLIENTS_OPTIONAL,
      HF_INVALID, "CA file" },
    { "no certificate file", "none.pem", "server.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID,
      "none.pem" },
    { "no key file", "server.pem", "none.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID, "none.key" },
    { "no authority file", "server.pem", "server.key", "none.pem", HF_TLS_CLIENTS_REQUIRED,
      HF_INVALID, "none.pem" },
    { "a key of another certificate", "server.pem", "rsa.key", NULL, HF_TLS_CLIENTS_NONE,
      HF_INVALID, "does not belong" },
    { "a certificate that has expired", "expired.pem", "expired.key", NULL, HF_TLS_CLIENTS_NONE,
      HF_INVALID, "expired.pem" },
    { "a certificate that is not valid yet", "early.pem", "early.key", NULL, HF_TLS_CLIENTS_NONE,
      HF_INVALID, "early.pem" },
    { "a key where the certificate should be", "server.key", "server.key", NULL,
      HF_TLS_CLIENTS_NONE, HF_INVALID, "server.key" },
    { "a certificate where the key should be", "server.pem", "ca.pem", NULL, HF_TLS_CLIENTS_NONE,
      HF_INVALID, "ca.pem" },
    { "a key that others may read", "server.pem", "open.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID,
      "0604" },
    { "a key that the group may write", "server.pem", "group.key", NULL, HF_TLS_CLIENTS_NONE,
      HF_INVALID, "0620" },
    { "an encrypted key", "server.pem", "locked.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID,
      "locked.key" },
    { "a broken certificate", "broken.pem", "server.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID,
      "broken.pem" },
    { "a directory", ".", "server.key", NULL, HF_TLS_CLIENTS_NONE, HF_INVALID, "regular" },
};

static void copy_key(const char *file, mode_t mode)
{
    HF_AUTO_STRING from = test_authority_path(authority, "server.key");
    HF_AUTO_STRING to = test_authority_path(authority, file);
    char text[4096] = "";
    FILE *in = fopen(from, "r");

    assert_non_null(in);
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    assert_int_equal(fclose(in), 0);
    write_file(file, text);
    assert_int_equal(chmod(to, mode), 0);
}

static void lock_key(void)
{
    HF_AUTO_STRING path = test_authority_path(authority, "locked.key");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0600), 0);
    EVP_PKEY_free(key);
}

static void each_set_of_files_is_judged_as_the_table_says(void **unused)
{
    (void)unused;
    copy_key("open.key", 0604);
    copy_key("group.key", 0620);
    lock_key();
    write_file("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    for (size_t i = 0; i < HF_COUNT(files); i++) {
        HF_AUTO(tls) tls = NULL;
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        status = make(&op, files[i].certificate, files[i].key, files[i].ca, files[i].clients, &tls);
        if (status.code != files[i].code || strstr(op.text, files[i].text) == NULL) {
            fail_msg("%s: got %s: %s", files[i].says, hf_code_name(status.code), op.text);
        }
    }
}

/* ---- Handshakes over a pair of memory buffers ---- */

struct peers {
    SSL_CTX *context;
    SSL *client;
    SSL *server;
};

static void move(SSL *from, SSL *to)
{
    char bytes[16384];
    int len;

    while ((len = BIO_read(SSL_get_wbio(from), bytes, sizeof bytes)) > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(to), bytes, len), len);
    }
}

static void give_memory(SSL *ssl)
{
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

/* Both ends of a connection that has not begun; certificate names the client's files or is NULL. */
static void open_peers(struct peers *peers, struct hf_tls *tls, const char *certificate)
{
    peers->context = SSL_CTX_new(TLS_client_method());
    if (certificate != NULL) {
        HF_AUTO_STRING pem = hf_format("%s/%s.pem", test_authority_dir(authority), certificate);
        HF_AUTO_STRING key = hf_format("%s/%s.key", test_authority_dir(authority), certificate);

        assert_int_equal(SSL_CTX_use_certificate_file(peers->context, pem, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(peers->context, key, SSL_FILETYPE_PEM), 1);
    }
    peers->client = SSL_new(peers->context);
    peers->server = hf_tls_accept(tls);
    assert_non_null(peers->server);
    give_memory(peers->client);
    give_memory(peers->server);
    SSL_set_connect_state(peers->client);
    SSL_set_accept_state(peers->server);
}

static void close_peers(struct peers *peers)
{
    /* Otherwise OpenSSL takes the end for a failure and resumes the session no more. */
    SSL_set_shutdown(peers->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peers->client);
    SSL_free(peers->server);
    SSL_CTX_free(peers->context);
}

/* True when both ends finish. */
static bool shake_hands(struct peers *peers)
{
    for (unsigned i = 0; i < 10; i++) {
        int client = SSL_do_handshake(peers->client);
        int server;

        move(peers->client, peers->server);
        server = SSL_do_handshake(peers->server);
        move(peers->server, peers->client);
        if (client == 1 && server == 1) {
            return true;
        }
    }
    return false;
}

static const struct {
    const char *says;
    enum hf_tls_clients clients;
    const char *certificate;
    bool finishes;
    enum hf_code code;
    const char *name;
} clients[] = {
    { "nobody is asked", HF_TLS_CLIENTS_NONE, "alice", true, HF_UNAUTHENTICATED, NULL },
    { "optional, with a certificate", HF_TLS_CLIENTS_OPTIONAL, "alice", true, HF_OK, "alice" },
    { "optional, without", HF_TLS_CLIENTS_OPTIONAL, NULL, true, HF_UNAUTHENTICATED, NULL },
    { "optional, with an expired one", HF_TLS_CLIENTS_OPTIONAL, "late", false, HF_OK, NULL },
    { "optional, with one of a stranger", HF_TLS_CLIENTS_OPTIONAL, "stranger", false, HF_OK, NULL },
    { "required, with a certificate", HF_TLS_CLIENTS_REQUIRED, "alice", true, HF_OK, "alice" },
    { "required, without", HF_TLS_CLIENTS_REQUIRED, NULL, false, HF_OK, NULL },
    { "a certificate for servers only", HF_TLS_CLIENTS_REQUIRED, "server", false, HF_OK, NULL },
    { "without a common name, the DNS name", HF_TLS_CLIENTS_REQUIRED, "nameless", true, HF_OK,
      "host.example" },
    { "without any name", HF_TLS_CLIENTS_REQUIRED, "nobody", true, HF_UNAUTHENTICATED, NULL },
};

static void make_stranger(void)
{
    static const struct test_subject subject = { "stranger", "alice", NULL, -60, DAY_S, true, 0 };
    struct test_authority *other = test_authority_new();
    HF_AUTO_STRING from_pem = test_authority_path(other, "stranger.pem");
    HF_AUTO_STRING from_key = test_authority_path(other, "stranger.key");
    HF_AUTO_STRING to_pem = test_authority_path(authority, "stranger.pem");
    HF_AUTO_STRING to_key = test_authority_path(authority, "stranger.key");

    test_authority_issue(other, &subject);
    assert_int_equal(rename(from_pem, to_pem), 0);
    assert_int_equal(rename(from_key, to_key), 0);
    test_authority_free(other);
}

static void each_client_is_let_in_or_not_as_the_table_says(void **unused)
{
    (void)unused;
    make_stranger();
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        HF_AUTO(tls) tls = NULL;
        HF_AUTO(buf) name = hf_buf_new();
        HF_AUTO(buf) fingerprint = hf_buf_new();
        struct peers peers;
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", clients[i].clients, &tls));
        open_peers(&peers, tls, clients[i].certificate);
        if (shake_hands(&peers) != clients[i].finishes) {
            fail_msg("%s: the handshake should %s", clients[i].says,
                     clients[i].finishes ? "finish" : "fail");
        }
        if (clients[i].finishes) {
            status = hf_tls_peer(&op, peers.server, name, fingerprint);
            if (status.code != clients[i].code) {
                fail_msg("%s: got %s: %s", clients[i].says, hf_code_name(status.code), op.text);
            }
            assert_int_equal(fingerprint->len, status.code == HF_OK ? 64 : 0);
            assert_string_equal(hf_buf_text(name), clients[i].name != NULL ? clients[i].name : "");
        }
        close_peers(&peers);
    }
}

static void the_fingerprint_is_the_digest_of_the_certificate(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    HF_AUTO(buf) name = hf_buf_new();
    HF_AUTO(buf) fingerprint = hf_buf_new();
    HF_AUTO(buf) expected = hf_buf_new();
    unsigned char digest[32];
    unsigned int len = 0;
    struct peers peers;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_REQUIRED, &tls));
    open_peers(&peers, tls, "alice");
    assert_true(shake_hands(&peers));
    assert_ok(&op, hf_tls_peer(&op, peers.server, name, fingerprint));
    assert_int_equal(X509_digest(SSL_get_certificate(peers.client), EVP_sha256(), digest, &len), 1);
    hf_hex_add(expected, hf_bytes_of(digest, len));
    assert_string_equal(hf_buf_text(fingerprint), hf_buf_text(expected));
    close_peers(&peers);
}

static const struct {
    const char *says;
    int version;
    const char *ciphers; /* of TLS 1.2 */
    const char *groups;
    bool finishes;
} offers[] = {
    { "TLS 1.3", TLS1_3_VERSION, NULL, NULL, true },
    { "TLS 1.2 with ECDHE and GCM", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, true },
    { "TLS 1.2 with CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", NULL, false },
    { "TLS 1.2 without forward secrecy", TLS1_2_VERSION, "AES256-GCM-SHA384", NULL, false },
    { "TLS 1.1", TLS1_1_VERSION, "DEFAULT:@SECLEVEL=0", NULL, false },
    { "P-256", TLS1_3_VERSION, NULL, "P-256", true },
    { "X25519", TLS1_3_VERSION, NULL, "X25519", true },
    { "P-521 only", TLS1_3_VERSION, NULL, "P-521", false },
};

static void old_versions_and_ciphers_are_refused(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", NULL, HF_TLS_CLIENTS_NONE, &tls));
    for (size_t i = 0; i < HF_COUNT(offers); i++) {
        struct peers peers;

        open_peers(&peers, tls, NULL);
        assert_int_equal(SSL_set_min_proto_version(peers.client, offers[i].version), 1);
        assert_int_equal(SSL_set_max_proto_version(peers.client, offers[i].version), 1);
        if (offers[i].ciphers != NULL) {
            assert_int_equal(SSL_set_cipher_list(peers.client, offers[i].ciphers), 1);
        }
        if (offers[i].groups != NULL) {
            assert_int_equal(SSL_set1_groups_list(peers.client, offers[i].groups), 1);
        }
        if (shake_hands(&peers) != offers[i].finishes) {
            fail_msg("%s: the handshake should %s", offers[i].says,
                     offers[i].finishes ? "finish" : "fail");
        }
        close_peers(&peers);
    }
}

/* Takes what the server sends after the handshake, tickets among it. */
static SSL_SESSION *take_session(struct peers *peers)
{
    char byte;

    assert_int_equal(SSL_write(peers->server, "x", 1), 1);
    move(peers->server, peers->client);
    assert_int_equal(SSL_read(peers->client, &byte, 1), 1);
    return SSL_get1_session(peers->client);
}

static bool resumes(struct hf_tls *tls, SSL_SESSION *session, const char *name)
{
    HF_AUTO(buf) found = hf_buf_new();
    HF_AUTO(buf) fingerprint = hf_buf_new();
    struct peers peers;
    struct hf_op op;
    bool reused;

    hf_op_init(&op, &env);
    open_peers(&peers, tls, "alice");
    assert_int_equal(SSL_set_session(peers.client, session), 1);
    assert_true(shake_hands(&peers));
    reused = SSL_session_reused(peers.server) == 1;
    assert_ok(&op, hf_tls_peer(&op, peers.server, found, fingerprint));
    assert_string_equal(hf_buf_text(found), name);
    close_peers(&peers);
    return reused;
}

static void a_resumed_session_still_knows_its_peer(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    SSL_SESSION *session = NULL;
    struct peers peers;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_REQUIRED, &tls));
    open_peers(&peers, tls, "alice");
    assert_true(shake_hands(&peers));
    session = take_session(&peers);
    close_peers(&peers);
    assert_true(resumes(tls, session, "alice"));
    /* Whom the new authority signs is asked anew: no ticket outlives a reload. */
    assert_ok(&op, reload(tls, &op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_REQUIRED));
    assert_false(resumes(tls, session, "alice"));
    SSL_SESSION_free(session);
}

static uint64_t later_ms;

static uint64_t late_realtime_ms(struct hf_env *unused)
{
    (void)unused;
    return later_ms;
}

static void a_peer_whose_certificate_has_ended_is_nobody(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_env_ops late_ops = *env.ops;
    struct hf_env late_env = env;
    struct peers peers;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_REQUIRED, &tls));
    open_peers(&peers, tls, "alice");
    assert_true(shake_hands(&peers));
    late_ops.realtime_ms = late_realtime_ms;
    late_env.ops = &late_ops;
    later_ms = hf_env_realtime_ms(&env) + 2UL * DAY_S * 1000;
    hf_op_init(&op, &late_env);
    assert_fails(&op, hf_tls_peer(&op, peers.server, name, name), HF_UNAUTHENTICATED);
    close_peers(&peers);
}

static void the_end_of_the_certificate_is_known(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    struct hf_op op;
    uint64_t now = hf_env_realtime_ms(&env);

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", NULL, HF_TLS_CLIENTS_NONE, &tls));
    assert_in_range(hf_tls_expires_ms(tls), now + (DAY_S - 600) * 1000UL,
                    now + (DAY_S + 600) * 1000UL);
}

static void the_chain_is_what_the_file_says(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    struct peers peers;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    /* The issuer is known, as whom clients must be signed by, but it is not in server.pem. */
    assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_OPTIONAL, &tls));
    open_peers(&peers, tls, NULL);
    assert_true(shake_hands(&peers));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(peers.client)), 1);
    close_peers(&peers);
}

static void sees_certificate(struct hf_tls *tls, const char *file)
{
    HF_AUTO_STRING path = test_authority_path(authority, file);
    FILE *in = fopen(path, "r");
    X509 *expected = NULL;
    X509 *seen = NULL;
    struct peers peers;

    assert_non_null(in);
    expected = PEM_read_X509(in, NULL, NULL, NULL);
    assert_int_equal(fclose(in), 0);
    open_peers(&peers, tls, NULL);
    assert_true(shake_hands(&peers));
    seen = SSL_get1_peer_certificate(peers.client);
    assert_int_equal(X509_cmp(seen, expected), 0);
    X509_free(seen);
    X509_free(expected);
    close_peers(&peers);
}

static void a_reload_takes_new_files_and_keeps_the_old_ones_on_failure(void **unused)
{
    static const struct test_subject first = { "live", "one", "localhost", -60, DAY_S, false, 0 };
    static const struct test_subject second = { "live", "two", "localhost", -60, 2L * DAY_S,
                                                false,  0 };
    HF_AUTO(tls) tls = NULL;
    struct peers before;
    struct hf_op op;
    uint64_t expires;
    char byte;

    (void)unused;
    hf_op_init(&op, &env);
    test_authority_issue(authority, &first);
    assert_ok(&op, make(&op, "live.pem", "live.key", NULL, HF_TLS_CLIENTS_NONE, &tls));
    open_peers(&before, tls, NULL);
    assert_true(shake_hands(&before));
    expires = hf_tls_expires_ms(tls);
    test_authority_issue(authority, &second);
    assert_ok(&op, reload(tls, &op, "live.pem", "live.key", NULL, HF_TLS_CLIENTS_NONE));
    assert_true(hf_tls_expires_ms(tls) > expires);
    sees_certificate(tls, "live.pem");

    write_file("live.key", "nothing\n");
    assert_fails(&op, reload(tls, &op, "live.pem", "live.key", NULL, HF_TLS_CLIENTS_NONE),
                 HF_INVALID);
    sees_certificate(tls, "live.pem");

    /* The connection from before goes on. */
    assert_int_equal(SSL_write(before.client, "x", 1), 1);
    move(before.client, before.server);
    assert_int_equal(SSL_read(before.server, &byte, 1), 1);
    close_peers(&before);
}

static void *accept_many(void *context)
{
    for (unsigned i = 0; i < 200; i++) {
        SSL *ssl = hf_tls_accept(context);

        if (ssl == NULL) {
            return NULL;
        }
        SSL_free(ssl);
    }
    return context;
}

static void reload_and_accept_may_run_at_once(void **unused)
{
    HF_AUTO(tls) tls = NULL;
    pthread_t threads[2];
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, make(&op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_OPTIONAL, &tls));
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, accept_many, tls), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_ok(&op,
                  reload(tls, &op, "server.pem", "server.key", "ca.pem", HF_TLS_CLIENTS_OPTIONAL));
    }
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        void *result = NULL;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, tls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_set_of_files_is_judged_as_the_table_says),
        cmocka_unit_test(each_client_is_let_in_or_not_as_the_table_says),
        cmocka_unit_test(the_fingerprint_is_the_digest_of_the_certificate),
        cmocka_unit_test(old_versions_and_ciphers_are_refused),
        cmocka_unit_test(a_resumed_session_still_knows_its_peer),
        cmocka_unit_test(a_peer_whose_certificate_has_ended_is_nobody),
        cmocka_unit_test(the_chain_is_what_the_file_says),
        cmocka_unit_test(the_end_of_the_certificate_is_known),
        cmocka_unit_test(a_reload_takes_new_files_and_keeps_the_old_ones_on_failure),
        cmocka_unit_test(reload_and_accept_may_run_at_once),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
