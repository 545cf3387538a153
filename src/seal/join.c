/* Join requests, bundles and fingerprints: docs/formats/join.md. */
#include "seal/join.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/authority.h"
#include "seal/seal_internal.h"

#define CHECKSUM_LEN      8
#define DNS_NAME_MAX      253
#define FINGERPRINT_SIGNS 20
#define FINGERPRINT_GROUP 4
#define FINGERPRINT_BITS  5

/* One kind of text: "<word>2:<base64 of payload and checksum>". */
struct form {
    const char *word; /* what stands before the version */
    const char *what; /* for messages */
    size_t max;       /* bytes of text */
};
#define FORM_VERSION    "2:"
#define CERTIFICATE_MAX 8192

static const struct form request_form = { "holdfast-join-", "a join request", 4096 };
static const struct form bundle_form = { "holdfast-bundle-", "a join bundle", 40960 };

/* --- fingerprints --- */

/* 32 signs that are not mistaken for each other (Crockford's base 32). */
static const char signs[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static struct hf_status fingerprint(struct hf_crypto *crypto, struct hf_op *op, const char *label,
                                    struct hf_bytes bytes, char out[HF_FINGERPRINT_LEN])
{
    HF_AUTO(buf) labelled = hf_buf_new();
    uint8_t digest[HF_SHA256_LEN];
    char *at = out;

    hf_buf_add_text(labelled, label);
    hf_buf_add_bytes(labelled, bytes);
    HF_TRY(hf_sha256(crypto, op, hf_buf_bytes(labelled), digest));
    for (unsigned i = 0; i < FINGERPRINT_SIGNS; i++) {
        unsigned bit = i * FINGERPRINT_BITS;
        unsigned two = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

        if (i > 0 && i % FINGERPRINT_GROUP == 0) {
            *at++ = '-';
        }
        *at++ = signs[two >> (16 - FINGERPRINT_BITS - bit % 8) & 31];
    }
    *at = '\0';
    return HF_SUCCESS;
}

struct hf_status hf_node_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                     const uint8_t public_key[HF_X25519_LEN],
                                     char out[HF_FINGERPRINT_LEN])
{
    return fingerprint(crypto, op, "holdfast node v1", hf_bytes_of(public_key, HF_X25519_LEN), out);
}

/* The sign that was meant; '\0' for what stands between groups. */
static char meant(char typed)
{
    char sign = (char)toupper((unsigned char)typed);

    if (sign == '-' || sign == ' ') {
        return '\0';
    }
    if (sign == 'O') {
        return '0';
    }
    return sign == 'I' || sign == 'L' ? '1' : sign;
}

bool hf_fingerprint_matches(const char *fingerprint, const char *typed)
{
    for (;;) {
        while (*fingerprint == '-') {
            fingerprint++;
        }
        while (*typed != '\0' && meant(*typed) == '\0') {
            typed++;
        }
        if (*fingerprint == '\0' || *typed == '\0') {
            return *fingerprint == *typed;
        }
        if (*fingerprint++ != meant(*typed++)) {
            return false;
        }
    }
}

/* --- the text around a payload --- */

static struct hf_status checksum(struct hf_crypto *crypto, struct hf_op *op,
                                 const struct form *form, struct hf_bytes payload,
                                 uint8_t out[HF_SHA256_LEN])
{
    HF_AUTO(buf) whole = hf_buf_new();

    hf_buf_add_text(whole, form->word);
    hf_buf_add_text(whole, FORM_VERSION);
    hf_buf_add_bytes(whole, payload);
    return hf_sha256(crypto, op, hf_buf_bytes(whole), out);
}

static struct hf_status wrap_text(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct form *form, struct hf_buf *payload,
                                  struct hf_buf *out)
{
    uint8_t sum[HF_SHA256_LEN];

    HF_TRY(checksum(crypto, op, form, hf_buf_bytes(payload), sum));
    hf_buf_add(payload, sum, CHECKSUM_LEN);
    hf_buf_add_text(out, form->word);
    hf_buf_add_text(out, FORM_VERSION);
    hf_base64_add(out, hf_buf_bytes(payload));
    return HF_SUCCESS;
}

/* Mail programs break lines, and people copy the ends of lines too. */
static void without_space(struct hf_bytes text, struct hf_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr(" \t\r\n", text.data[i]) == NULL || text.data[i] == '\0') {
            hf_buf_add(out, text.data + i, 1);
        }
    }
}

static struct hf_status find_base64(struct hf_op *op, const struct form *form, struct hf_bytes text,
                                    struct hf_bytes *out)
{
    size_t word_len = strlen(form->word);
    size_t head_len = word_len + strlen(FORM_VERSION);

    if (text.len <= word_len || memcmp(text.data, form->word, word_len) != 0) {
        return hf_fail(op, HF_INVALID, "this is not %s: it begins with \"%s\"", form->what,
                       form->word);
    }
    if (text.len < head_len ||
        memcmp(text.data + word_len, FORM_VERSION, strlen(FORM_VERSION)) != 0) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "%s of another version than 2; use the same Holdfast on both machines",
                       form->what);
    }
    *out = hf_bytes_of(text.data + head_len, text.len - head_len);
    return HF_SUCCESS;
}

static struct hf_status is_damaged(struct hf_op *op, const struct form *form)
{
    return hf_fail(op, HF_INVALID, "%s is cut or was edited; copy the whole of it again",
                   form->what);
}

/* Appends the payload without its checksum, which is right. */
static struct hf_status unwrap_text(struct hf_crypto *crypto, struct hf_op *op,
                                    const struct form *form, struct hf_bytes text,
                                    struct hf_buf *out)
{
    HF_AUTO(buf) packed = hf_buf_new();
    uint8_t sum[HF_SHA256_LEN];
    struct hf_bytes base64;
    size_t len = 0;

    if (text.len > form->max) {
        return hf_fail(op, HF_TOO_LARGE, "%s has at most %zu bytes", form->what, form->max);
    }
    without_space(text, packed);
    HF_TRY(find_base64(op, form, hf_buf_bytes(packed), &base64));
    if (!hf_base64_decode_strict(base64, hf_buf_reserve(out, hf_base64_max(base64.len)), &len) ||
        len < CHECKSUM_LEN) {
        return is_damaged(op, form);
    }
    len -= CHECKSUM_LEN;
    HF_TRY(checksum(crypto, op, form, hf_bytes_of(out->data + out->len, len), sum));
    if (memcmp(sum, out->data + out->len + len, CHECKSUM_LEN) != 0) {
        return is_damaged(op, form);
    }
    hf_buf_grew(out, len);
    return HF_SUCCESS;
}

/* --- who joins --- */

bool hf_node_name_is_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t len = strlen(name);

    return len > 0 && len <= HF_NODE_NAME_MAX && strspn(name, allowed) == len;
}

static struct hf_status check_names(struct hf_op *op, const char *name, const char *site)
{
    if (!hf_node_name_is_valid(name)) {
        return hf_fail(op, HF_INVALID,
                       "the name of a node has 1 to %d letters, digits, '.', '-' and '_'",
                       HF_NODE_NAME_MAX);
    }
    if (site[0] != '\0' && !hf_node_name_is_valid(site)) {
        return hf_fail(op, HF_INVALID,
                       "the name of a site has up to %d letters, digits, '.', '-' and '_'",
                       HF_NODE_NAME_MAX);
    }
    return HF_SUCCESS;
}

static void put_node(struct hf_buf *out, const struct hf_join_request *node)
{
    hf_put_text(out, node->name);
    hf_put_text(out, node->site);
    hf_buf_add(out, node->public_key, HF_X25519_LEN);
}

static void take_raw(struct hf_reader *reader, uint8_t *out, size_t len)
{
    struct hf_bytes raw = hf_take_raw(reader, len);

    if (raw.len == len) {
        memcpy(out, raw.data, len);
    }
}

static struct hf_status take_node(struct hf_op *op, struct hf_reader *reader,
                                  struct hf_join_request *out)
{
    HF_AUTO_STRING name = hf_take_text(reader);
    HF_AUTO_STRING site = hf_take_text(reader);

    take_raw(reader, out->public_key, HF_X25519_LEN);
    if (reader->failed) {
        return HF_SUCCESS; /* the end of the reader says so */
    }
    HF_TRY(check_names(op, name, site));
    memcpy(out->name, name, strlen(name) + 1);
    memcpy(out->site, site, strlen(site) + 1);
    return HF_SUCCESS;
}

/* --- the request --- */

static bool host_is_valid(const char *host)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t len = strlen(host);
    struct in6_addr address;

    if (hf_host_is_address(host)) {
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    }
    return len <= DNS_NAME_MAX && strspn(host, allowed) == len;
}

bool hf_join_hosts_are_valid(const char *hosts)
{
    HF_AUTO_STRING copy = NULL;
    char *rest;
    bool valid = true;

    if (strlen(hosts) >= HF_JOIN_HOSTS_MAX) {
        return false;
    }
    copy = hf_strdup(hosts);
    rest = copy;
    while (valid && rest != NULL) {
        const char *host = strsep(&rest, ",");

        valid = host[0] != '\0' && host_is_valid(host);
    }
    return valid;
}

/* Both or neither. */
static struct hf_status check_wish(struct hf_op *op, size_t key_len, const char *hosts)
{
    bool is_none = key_len == 0 && hosts[0] == '\0';

    return is_none || (key_len > 0 && key_len <= HF_JOIN_KEY_MAX && hf_join_hosts_are_valid(hosts))
               ? HF_SUCCESS
               : hf_fail(op, HF_INVALID,
                         "a certificate is for DNS names and IP addresses without ports, fewer "
                         "than %d bytes of them with commas between them",
                         HF_JOIN_HOSTS_MAX);
}

static struct hf_status put_request(struct hf_op *op, const struct hf_join_request *request,
                                    struct hf_buf *out)
{
    const struct hf_join_wish *wish = &request->wish;

    HF_TRY(check_names(op, request->name, request->site));
    HF_TRY(check_wish(op, wish->key_len, wish->hosts));
    put_node(out, request);
    hf_put_bytes(out, hf_bytes_of(wish->key, wish->key_len));
    hf_put_text(out, wish->hosts);
    return HF_SUCCESS;
}

struct hf_status hf_join_request_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                             const struct hf_join_request *request,
                                             char out[HF_FINGERPRINT_LEN])
{
    HF_AUTO(buf) payload = hf_buf_new();

    HF_TRY(put_request(op, request, payload));
    return fingerprint(crypto, op, "holdfast join v2", hf_buf_bytes(payload), out);
}

struct hf_status hf_join_request_print(struct hf_crypto *crypto, struct hf_op *op,
                                       const struct hf_join_request *request, struct hf_buf *out)
{
    HF_AUTO(buf) payload = hf_buf_new();

    HF_TRY(put_request(op, request, payload));
    return wrap_text(crypto, op, &request_form, payload, out);
}

static struct hf_status take_wish(struct hf_op *op, struct hf_reader *reader,
                                  struct hf_join_wish *out)
{
    struct hf_bytes key = hf_take_bytes(reader);
    HF_AUTO_STRING hosts = hf_take_text(reader);

    if (reader->failed) {
        return HF_SUCCESS; /* the end of the reader says so */
    }
    HF_TRY(check_wish(op, key.len, hosts));
    if (key.len > 0) {
        memcpy(out->key, key.data, key.len);
    }
    out->key_len = key.len;
    memcpy(out->hosts, hosts, strlen(hosts) + 1);
    return HF_SUCCESS;
}

struct hf_status hf_join_request_parse(struct hf_crypto *crypto, struct hf_op *op,
                                       struct hf_bytes text, struct hf_join_request *out)
{
    HF_AUTO(buf) payload = hf_buf_new();
    struct hf_join_request request = { 0 };
    struct hf_reader reader;

    HF_TRY(unwrap_text(crypto, op, &request_form, text, payload));
    hf_reader_init(&reader, hf_buf_bytes(payload));
    HF_TRY(take_node(op, &reader, &request));
    HF_TRY(take_wish(op, &reader, &request.wish));
    if (hf_reader_end(&reader, op, "a join request").code != HF_OK) {
        return is_damaged(op, &request_form);
    }
    *out = request;
    return HF_SUCCESS;
}

/* --- the bundle --- */

void hf_join_bundle_free(struct hf_join_bundle *bundle)
{
    if (bundle != NULL) {
        hf_buf_done(&bundle->authority);
        hf_buf_done(&bundle->certificate);
        free(bundle);
    }
}

static struct hf_status put_bundle(struct hf_op *op, const struct hf_join_bundle *bundle,
                                   struct hf_buf *out)
{
    HF_AUTO(buf) slot = hf_buf_new();

    HF_TRY(check_names(op, bundle->node.name, bundle->node.site));
    HF_TRY(hf_hex_decode(op, hf_bytes_of_text(bundle->slot), slot));
    if (slot->len != HF_SLOT_ID_LEN || bundle->authority.len > HF_AUTHORITY_MAX ||
        bundle->certificate.len > CERTIFICATE_MAX) {
        return hf_fail(op, HF_INVALID, "a join bundle cannot hold this slot or these certificates");
    }
    put_node(out, &bundle->node);
    hf_buf_add_bytes(out, hf_buf_bytes(slot));
    hf_buf_add(out, bundle->store_id, HF_STORE_ID_LEN);
    hf_put_u32(out, bundle->root_generation);
    hf_buf_add(out, bundle->root_commitment, HF_SHA256_LEN);
    hf_put_bytes(out, hf_buf_bytes(&bundle->authority));
    hf_put_bytes(out, hf_buf_bytes(&bundle->certificate));
    return HF_SUCCESS;
}

struct hf_status hf_join_bundle_print(struct hf_crypto *crypto, struct hf_op *op,
                                      const struct hf_join_bundle *bundle, struct hf_buf *out)
{
    HF_AUTO(buf) payload = hf_buf_new();

    HF_TRY(put_bundle(op, bundle, payload));
    return wrap_text(crypto, op, &bundle_form, payload, out);
}

struct hf_status hf_join_bundle_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                            const struct hf_join_bundle *bundle,
                                            char out[HF_FINGERPRINT_LEN])
{
    HF_AUTO(buf) payload = hf_buf_new();

    HF_TRY(put_bundle(op, bundle, payload));
    return fingerprint(crypto, op, "holdfast bundle v1", hf_buf_bytes(payload), out);
}

static struct hf_status take_bundle(struct hf_op *op, struct hf_reader *reader,
                                    struct hf_join_bundle *out)
{
    HF_AUTO(buf) slot = hf_buf_new();
    struct hf_bytes authority;
    struct hf_bytes certificate;

    HF_TRY(take_node(op, reader, &out->node));
    hf_hex_add(slot, hf_take_raw(reader, HF_SLOT_ID_LEN));
    take_raw(reader, out->store_id, HF_STORE_ID_LEN);
    out->root_generation = hf_take_u32(reader);
    take_raw(reader, out->root_commitment, HF_SHA256_LEN);
    authority = hf_take_bytes(reader);
    certificate = hf_take_bytes(reader);
    if (hf_reader_end(reader, op, "a join bundle").code != HF_OK ||
        authority.len > HF_AUTHORITY_MAX || certificate.len > CERTIFICATE_MAX) {
        return is_damaged(op, &bundle_form);
    }
    memcpy(out->slot, hf_buf_text(slot), sizeof out->slot);
    hf_buf_add_bytes(&out->authority, authority);
    hf_buf_add_bytes(&out->certificate, certificate);
    return HF_SUCCESS;
}

struct hf_status hf_join_bundle_parse(struct hf_crypto *crypto, struct hf_op *op,
                                      struct hf_bytes text, struct hf_join_bundle **out)
{
    HF_AUTO(join_bundle) bundle = hf_alloc(sizeof *bundle);
    HF_AUTO(buf) payload = hf_buf_new();
    struct hf_reader reader;

    HF_TRY(unwrap_text(crypto, op, &bundle_form, text, payload));
    hf_reader_init(&reader, hf_buf_bytes(payload));
    HF_TRY(take_bundle(op, &reader, bundle));
    *out = HF_TAKE(bundle);
    return HF_SUCCESS;
}

/* A store without an authority gives no certificate, and the machine brings its own. */
static struct hf_status add_certificates(struct hf_seal *seal, struct hf_op *op,
                                         const struct hf_join_request *node,
                                         struct hf_join_bundle *bundle)
{
    const struct hf_join_wish *wish = &node->wish;
    struct hf_authority_order order = { .common_name = node->name, .hosts = wish->hosts };
    struct hf_status status = hf_authority_certificate(seal, op, &bundle->authority);
    HF_AUTO(pkey) key = NULL;

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    if (wish->key_len == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_pkey_from_public(seal->crypto, op, hf_bytes_of(wish->key, wish->key_len), &key));
    order.key = key;
    return hf_authority_issue(seal, op, &order, &bundle->certificate);
}

struct hf_status hf_join_bundle_make(struct hf_seal *seal, struct hf_op *op,
                                     const struct hf_join_request *node, const char *slot,
                                     struct hf_join_bundle **out)
{
    HF_AUTO(join_bundle) bundle = hf_alloc(sizeof *bundle);

    HF_ENTER(seal, op, unlocked);
    bundle->node = *node;
    memcpy(bundle->slot, slot, strnlen(slot, sizeof bundle->slot - 1));
    memcpy(bundle->store_id, seal->store_id, HF_STORE_ID_LEN);
    HF_TRY(hf_root_commit(unlocked, op, &bundle->root_generation, bundle->root_commitment));
    HF_TRY(add_certificates(seal, op, node, bundle));
    *out = HF_TAKE(bundle);
    return HF_SUCCESS;
}

struct hf_status hf_join_bundle_pin(struct hf_op *op, const struct hf_join_bundle *bundle,
                                    const char *pin_file)
{
    struct hf_pin pin = { .has_root = true, .generation = bundle->root_generation };
    struct hf_pin old;
    struct hf_status status = hf_pin_read(op, pin_file, &old);

    if (status.code == HF_OK) {
        return memcmp(old.store_id, bundle->store_id, HF_STORE_ID_LEN) == 0
                   ? HF_SUCCESS
                   : hf_fail(op, HF_EXISTS,
                             "%s pins another store: this node belongs to that one; a node joins "
                             "one store only",
                             pin_file);
    }
    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    memcpy(pin.store_id, bundle->store_id, HF_STORE_ID_LEN);
    memcpy(pin.commitment, bundle->root_commitment, HF_SHA256_LEN);
    return hf_pin_write(op, pin_file, &pin);
}
