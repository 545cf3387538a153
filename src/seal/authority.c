/* The store's own authority. */
#include "seal/authority.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define KEY         "authority-key"
#define CERTIFICATE "authority-certificate"
#define YEAR_MS     (365ULL * 24 * 3600 * 1000)
#define YEARS       2
#define YEARS_OWN   20
/* Clocks differ: a certificate is good from an hour before. */
#define EARLIER_MS ((uint64_t)3600 * 1000)

struct hf_status hf_authority_make(struct hf_seal *seal, struct hf_op *op)
{
    struct hf_crypto *crypto = hf_seal_crypto(seal);
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    const struct hf_certificate_settings settings = {
        .common_name = "Holdfast authority",
        .is_ca = true,
        .not_before_ms = now_ms - EARLIER_MS,
        .not_after_ms = now_ms + YEARS_OWN * YEAR_MS,
    };
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(secret) pkcs8 = NULL;
    HF_AUTO(buf) pem = hf_buf_new();

    HF_TRY(hf_pkey_generate(crypto, op, HF_PKEY_P256, &key));
    HF_TRY(hf_certificate_make(crypto, op, &settings, key, key, HF_BYTES_NONE, pem));
    HF_TRY(hf_pkey_private(key, op, &pkcs8));
    HF_TRY(hf_seal_secret_put(seal, op, KEY, hf_secret_bytes(pkcs8)));
    return hf_seal_secret_put(seal, op, CERTIFICATE, hf_buf_bytes(pem));
}

struct hf_status hf_authority_certificate(struct hf_seal *seal, struct hf_op *op,
                                          struct hf_buf *out)
{
    HF_AUTO(secret) pem = NULL;

    HF_TRY(hf_seal_secret(seal, op, CERTIFICATE, 0, &pem));
    hf_buf_add_bytes(out, hf_secret_bytes(pem));
    return HF_SUCCESS;
}

static struct hf_status open_key(struct hf_seal *seal, struct hf_op *op, struct hf_pkey **out)
{
    HF_AUTO(secret) pkcs8 = NULL;

    HF_TRY(hf_seal_secret(seal, op, KEY, 0, &pkcs8));
    return hf_pkey_load_private(hf_seal_crypto(seal), op, hf_secret_bytes(pkcs8), out);
}

/* --- names and addresses --- */

/* Both lists end with NULL and point into text, where the commas were. */
struct hosts {
    char *text;
    const char **names;
    const char **addresses;
};

static void hosts_done(struct hosts *hosts)
{
    free(hosts->text);
    free(hosts->names);
    free(hosts->addresses);
}

bool hf_host_is_address(const char *host)
{
    return strspn(host, "0123456789.") == strlen(host) || strchr(host, ':') != NULL;
}

static void split(const char *text, struct hosts *out)
{
    size_t room = strlen(text) / 2 + 2;
    size_t names = 0;
    size_t addresses = 0;
    char *rest = NULL;

    *out = (struct hosts){ .text = hf_strdup(text),
                           .names = hf_alloc_array(room, sizeof *out->names),
                           .addresses = hf_alloc_array(room, sizeof *out->addresses) };
    for (char *host = strtok_r(out->text, ",", &rest); host != NULL;
         host = strtok_r(NULL, ",", &rest)) {
        if (hf_host_is_address(host)) {
            out->addresses[addresses++] = host;
        } else {
            out->names[names++] = host;
        }
    }
}

/* --- signing --- */

struct hf_status hf_authority_issue(struct hf_seal *seal, struct hf_op *op,
                                    const struct hf_authority_order *order, struct hf_buf *out)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    struct hf_certificate_settings settings = {
        .common_name = order->common_name,
        .is_client = order->hosts == NULL,
        .not_before_ms = now_ms - EARLIER_MS,
        .not_after_ms = now_ms + YEARS * YEAR_MS,
    };
    HF_AUTO(pkey) authority = NULL;
    HF_AUTO(buf) issuer = hf_buf_new();
    struct hosts hosts = { 0 };
    struct hf_status status;

    HF_TRY(open_key(seal, op, &authority));
    HF_TRY(hf_authority_certificate(seal, op, issuer));
    if (order->hosts != NULL) {
        split(order->hosts, &hosts);
        settings.dns_names = hosts.names;
        settings.addresses = hosts.addresses;
    }
    status = hf_certificate_make(hf_seal_crypto(seal), op, &settings, order->key, authority,
                                 hf_buf_bytes(issuer), out);
    hosts_done(&hosts);
    return status;
}

struct hf_status hf_authority_renew(struct hf_seal *seal, struct hf_op *op, struct hf_bytes pem,
                                    struct hf_buf *out)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    HF_AUTO(pkey) authority = NULL;
    HF_AUTO(buf) issuer = hf_buf_new();

    HF_TRY(open_key(seal, op, &authority));
    HF_TRY(hf_authority_certificate(seal, op, issuer));
    return hf_certificate_renew(hf_seal_crypto(seal), op, pem, authority, hf_buf_bytes(issuer),
                                now_ms - EARLIER_MS, now_ms + YEARS * YEAR_MS, out);
}
