/* Certificates of our own authority, judged by OpenSSL's verifier as a TLS peer would. */
#include "crypto_world.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW_MS  UINT64_C(1800000000000)
#define YEAR_MS UINT64_C(31536000000)

static const char *const dns_names[] = { "kms.example.org", "*.nodes.example.org", NULL };
static const char *const addresses[] = { "127.0.0.1", "2001:db8::7", NULL };

static const struct hf_certificate_settings ca_settings = {
    .common_name = "Holdfast authority",
    .is_ca = true,
    .not_before_ms = NOW_MS,
    .not_after_ms = NOW_MS + 10 * YEAR_MS,
};

static const struct hf_certificate_settings server_settings = {
    .common_name = "node one",
    .dns_names = dns_names,
    .addresses = addresses,
    .not_before_ms = NOW_MS,
    .not_after_ms = NOW_MS + YEAR_MS,
};

static const struct hf_certificate_settings client_settings = {
    .common_name = "admin",
    .is_client = true,
    .not_before_ms = NOW_MS,
    .not_after_ms = NOW_MS + YEAR_MS,
};

static struct hf_pkey *new_pair(enum hf_pkey_kind kind)
{
    struct hf_pkey *pkey = NULL;

    assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, kind, &pkey));
    return pkey;
}

static struct hf_buf *make(const struct hf_certificate_settings *settings,
                           const struct hf_pkey *subject, const struct hf_pkey *issuer,
                           struct hf_bytes issuer_pem)
{
    struct hf_buf *pem = hf_buf_new();

    assert_ok(&world.op, hf_certificate_make(world.crypto, &world.op, settings, subject, issuer,
                                             issuer_pem, pem));
    return pem;
}

static X509 *parse(const struct hf_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    assert_non_null(certificate);
    assert_int_equal(BIO_ctrl_pending(bio), 0);
    BIO_free(bio);
    return certificate;
}

/* 0 or OpenSSL's number for what is wrong with leaf under that authority, for that purpose. */
static int verify(X509 *authority, X509 *leaf, int purpose, uint64_t at_ms)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int result;

    assert_int_equal(X509_STORE_add_cert(store, authority), 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, leaf, NULL), 1);
    assert_int_equal(X509_STORE_CTX_set_purpose(context, purpose), 1);
    X509_STORE_CTX_set_time(context, 0, (time_t)(at_ms / 1000));
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    result = X509_verify_cert(context) == 1 ? 0 : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return result;
}

static void peers_accept_them_for_their_purpose_and_in_their_time(void **unused)
{
    (void)unused;
    for (int kind = HF_PKEY_RSA_2048; kind <= HF_PKEY_ED25519; kind++) {
        HF_AUTO(pkey) ca_pair = new_pair((enum hf_pkey_kind)kind);
        HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);
        HF_AUTO(buf) ca_pem = make(&ca_settings, ca_pair, NULL, HF_BYTES_NONE);
        HF_AUTO(buf) server_pem = make(&server_settings, pair, ca_pair, hf_buf_bytes(ca_pem));
        HF_AUTO(buf) client_pem = make(&client_settings, pair, ca_pair, hf_buf_bytes(ca_pem));
        X509 *ca = parse(ca_pem);
        X509 *server = parse(server_pem);
        X509 *client = parse(client_pem);
        const struct {
            X509 *leaf;
            int purpose;
            uint64_t at_ms;
            int result;
        } cases[] = {
            { server, X509_PURPOSE_SSL_SERVER, NOW_MS + 1000, 0 },
            { server, X509_PURPOSE_SSL_CLIENT, NOW_MS + 1000, X509_V_ERR_INVALID_PURPOSE },
            { client, X509_PURPOSE_SSL_CLIENT, NOW_MS + 1000, 0 },
            { client, X509_PURPOSE_SSL_SERVER, NOW_MS + 1000, X509_V_ERR_INVALID_PURPOSE },
            { server, X509_PURPOSE_SSL_SERVER, NOW_MS - 1000, X509_V_ERR_CERT_NOT_YET_VALID },
            { server, X509_PURPOSE_SSL_SERVER, NOW_MS + YEAR_MS + 1000,
              X509_V_ERR_CERT_HAS_EXPIRED },
        };

        for (size_t i = 0; i < HF_COUNT(cases); i++) {
            assert_int_equal(verify(ca, cases[i].leaf, cases[i].purpose, cases[i].at_ms),
                             cases[i].result);
        }
        X509_free(ca);
        X509_free(server);
        X509_free(client);
    }
}

static void an_end_certificate_signs_no_other(void **unused)
{
    HF_AUTO(pkey) ca_pair = new_pair(HF_PKEY_P256);
    HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);
    HF_AUTO(buf) ca_pem = make(&ca_settings, ca_pair, NULL, HF_BYTES_NONE);
    HF_AUTO(buf) server_pem = make(&server_settings, pair, ca_pair, hf_buf_bytes(ca_pem));
    HF_AUTO(buf) out = hf_buf_new();
    X509 *ca = parse(ca_pem);

    (void)unused;
    assert_fails(&world.op,
                 hf_certificate_make(world.crypto, &world.op, &client_settings, pair, pair,
                                     hf_buf_bytes(server_pem), out),
                 HF_INVALID);
    assert_int_equal(out->len, 0);
    assert_int_equal(X509_get_pathlen(ca), 0);
    X509_free(ca);
}

static void the_names_and_addresses_are_those_asked_for(void **unused)
{
    static const struct {
        const char *host;
        int matches;
    } hosts[] = {
        { "kms.example.org", 1 },          { "a.nodes.example.org", 1 },
        { "nodes.example.org", 0 },        { "b.a.nodes.example.org", 0 },
        { "kms.example.org.evil.com", 0 }, { "node one", 0 },
    };
    HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);
    HF_AUTO(buf) pem = make(&server_settings, pair, NULL, HF_BYTES_NONE);
    X509 *certificate = parse(pem);
    char name[64];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(hosts); i++) {
        assert_int_equal(X509_check_host(certificate, hosts[i].host, 0, 0, NULL), hosts[i].matches);
    }
    assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "2001:db8::7", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.2", 0), 0);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                          sizeof name) > 0);
    assert_string_equal(name, "node one");
    X509_free(certificate);
}

static void the_extensions_say_what_the_key_is_for(void **unused)
{
    static const struct {
        const char *says;
        enum hf_pkey_kind kind;
        const struct hf_certificate_settings *settings;
        uint32_t usage;
        uint32_t purposes;
    } cases[] = {
        { "authority", HF_PKEY_P256, &ca_settings, KU_KEY_CERT_SIGN | KU_CRL_SIGN, UINT32_MAX },
        { "server", HF_PKEY_P256, &server_settings, KU_DIGITAL_SIGNATURE, XKU_SSL_SERVER },
        { "RSA server", HF_PKEY_RSA_2048, &server_settings,
          KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT, XKU_SSL_SERVER },
        { "client", HF_PKEY_ED25519, &client_settings, KU_DIGITAL_SIGNATURE, XKU_SSL_CLIENT },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(pkey) pair = new_pair(cases[i].kind);
        HF_AUTO(buf) pem = make(cases[i].settings, pair, NULL, HF_BYTES_NONE);
        X509 *certificate = parse(pem);

        if (X509_get_key_usage(certificate) != cases[i].usage ||
            X509_get_extended_key_usage(certificate) != cases[i].purposes) {
            fail_msg("%s: key usage %x, purposes %x", cases[i].says,
                     X509_get_key_usage(certificate), X509_get_extended_key_usage(certificate));
        }
        assert_int_equal(X509_get_version(certificate), 2);
        assert_int_equal(X509_check_ca(certificate), cases[i].settings->is_ca ? 1 : 0);
        assert_non_null(X509_get0_subject_key_id(certificate));
        X509_free(certificate);
    }
}

static void the_key_ids_lead_from_certificate_to_authority(void **unused)
{
    HF_AUTO(pkey) ca_pair = new_pair(HF_PKEY_P256);
    HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);
    HF_AUTO(buf) ca_pem = make(&ca_settings, ca_pair, NULL, HF_BYTES_NONE);
    HF_AUTO(buf) server_pem = make(&server_settings, pair, ca_pair, hf_buf_bytes(ca_pem));
    X509 *ca = parse(ca_pem);
    X509 *server = parse(server_pem);

    (void)unused;
    assert_int_equal(
        ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(ca), X509_get0_authority_key_id(server)), 0);
    assert_int_not_equal(
        ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(ca), X509_get0_subject_key_id(server)), 0);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(server)), 0);
    X509_free(ca);
    X509_free(server);
}

static void serial_numbers_are_positive_sixteen_bytes_and_never_the_same(void **unused)
{
    HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);
    uint8_t seen[32][16];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(seen); i++) {
        HF_AUTO(buf) pem = make(&client_settings, pair, NULL, HF_BYTES_NONE);
        X509 *certificate = parse(pem);
        const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

        assert_int_equal(ASN1_STRING_length(serial), sizeof seen[i]);
        assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
        memcpy(seen[i], ASN1_STRING_get0_data(serial), sizeof seen[i]);
        assert_true(seen[i][0] < 0x80);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(seen[i], seen[j], sizeof seen[i]);
        }
        X509_free(certificate);
    }
}

static void settings_that_make_no_sense_are_refused(void **unused)
{
    static const char *const bad_names[][2] = {
        { "", NULL },     { "a b", NULL },      { "a,DNS:evil", NULL },
        { "a\nb", NULL }, { "\xc3\xa4", NULL },
    };
    static const char *const bad_addresses[] = { "127.0.0.1.5", NULL };
    static const char long_name[] =
        "12345678901234567890123456789012345678901234567890123456789012345";
    static const struct {
        const char *says;
        struct hf_certificate_settings settings;
    } cases[] = {
        { "no common name", { .common_name = NULL, .not_after_ms = 1000 } },
        { "an empty common name", { .common_name = "", .not_after_ms = 1000 } },
        { "a long common name", { .common_name = long_name, .not_after_ms = 1000 } },
        { "it ends as it begins",
          { .common_name = "a", .not_before_ms = 1000, .not_after_ms = 1000 } },
        { "an empty DNS name",
          { .common_name = "a", .not_after_ms = 1000, .dns_names = bad_names[0] } },
        { "a space", { .common_name = "a", .not_after_ms = 1000, .dns_names = bad_names[1] } },
        { "two in one", { .common_name = "a", .not_after_ms = 1000, .dns_names = bad_names[2] } },
        { "a line end", { .common_name = "a", .not_after_ms = 1000, .dns_names = bad_names[3] } },
        { "not ASCII", { .common_name = "a", .not_after_ms = 1000, .dns_names = bad_names[4] } },
        { "no address", { .common_name = "a", .not_after_ms = 1000, .addresses = bad_addresses } },
    };
    HF_AUTO(pkey) pair = new_pair(HF_PKEY_P256);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_status status = hf_certificate_make(world.crypto, &world.op, &cases[i].settings,
                                                      pair, NULL, HF_BYTES_NONE, out);

        if (status.code != HF_INVALID || out->len != 0) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
}

static void an_issuer_that_does_not_fit_is_refused(void **unused)
{
    HF_AUTO(pkey) ca_pair = new_pair(HF_PKEY_P256);
    HF_AUTO(pkey) other = new_pair(HF_PKEY_P256);
    HF_AUTO(buf) ca_pem = make(&ca_settings, ca_pair, NULL, HF_BYTES_NONE);
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    assert_fails(&world.op,
                 hf_certificate_make(world.crypto, &world.op, &server_settings, other, other,
                                     hf_buf_bytes(ca_pem), out),
                 HF_INVALID);
    assert_fails(&world.op,
                 hf_certificate_make(world.crypto, &world.op, &server_settings, other, ca_pair,
                                     hf_bytes_of_text("-----BEGIN CERTIFICATE-----\n"), out),
                 HF_INVALID);
    assert_int_equal(out->len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_accept_them_for_their_purpose_and_in_their_time),
        cmocka_unit_test(an_end_certificate_signs_no_other),
        cmocka_unit_test(the_names_and_addresses_are_those_asked_for),
        cmocka_unit_test(the_extensions_say_what_the_key_is_for),
        cmocka_unit_test(the_key_ids_lead_from_certificate_to_authority),
        cmocka_unit_test(serial_numbers_are_positive_sixteen_bytes_and_never_the_same),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
        cmocka_unit_test(an_issuer_that_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
