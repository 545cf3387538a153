/* Cookies: the record followed, rolled in time, with a MAC context ready on each lane. */
#include "identity/cookie.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "identity/cookie_record.h"
#include "identity/cookie_text.h"

#define SECRET_PATH      "secret/hadoop-cookie"
#define DEFAULT_VALIDITY 36000000U /* 10 h, as Hadoop has it */
#define LANES            64
#define ROLL_ATTEMPTS    16
#define KNOWN_COUNT      8   /* a power of two */
#define KNOWN_LEN        256 /* longer cookies are checked each time */

/* What the record said at one revision; does not change. Held by lanes that still go by it. */
struct terms {
    atomic_uint holders;
    uint64_t revision; /* 0: there is no record */
    struct hf_cookie_record record;
};

/* A cookie whose signature was found right: a client sends the same one with each request. */
struct known {
    struct hf_secret *value; /* KNOWN_LEN bytes, or NULL */
    size_t len;
    size_t text_len; /* the part that is signed */
};

struct lane {
    _Alignas(64) pthread_mutex_t lock; /* guards the rest; threads rarely share a lane */
    uint64_t generation;
    struct terms *terms;
    struct hf_mac *macs[HF_COOKIE_SECRETS];
    struct known known[KNOWN_COUNT]; /* under the secrets of this generation */
};

struct hf_cookies {
    struct hf_seal *seal;
    uint64_t validity_ms;
    _Atomic uint64_t generation; /* grows whenever the terms change */
    pthread_rwlock_t lock;       /* guards terms */
    struct terms *terms;         /* NULL: the seal is locked */
    struct lane lanes[LANES];
};

static void terms_free(struct terms *terms)
{
    if (terms != NULL && atomic_fetch_sub(&terms->holders, 1) == 1) {
        hf_cookie_record_done(&terms->record);
        free(terms);
    }
}

static void terms_cleanup(struct terms **terms)
{
    terms_free(*terms);
}
#define AUTO_TERMS __attribute__((cleanup(terms_cleanup))) struct terms *

static struct terms *terms_new(uint64_t revision)
{
    struct terms *terms = hf_alloc(sizeof *terms);

    atomic_init(&terms->holders, 1);
    terms->revision = revision;
    return terms;
}

struct hf_cookies *hf_cookies_new(struct hf_seal *seal, uint64_t validity_ms)
{
    struct hf_cookies *cookies = aligned_alloc(64, sizeof *cookies);

    if (cookies == NULL) {
        abort();
    }
    memset(cookies, 0, sizeof *cookies);
    cookies->seal = seal;
    cookies->validity_ms = validity_ms != 0 ? validity_ms : DEFAULT_VALIDITY;
    atomic_init(&cookies->generation, 1);
    pthread_rwlock_init(&cookies->lock, NULL);
    for (size_t i = 0; i < LANES; i++) {
        pthread_mutex_init(&cookies->lanes[i].lock, NULL);
    }
    return cookies;
}

/* The caller holds the lane. */
static void lane_forget(struct lane *lane)
{
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        hf_mac_free(lane->macs[i]);
        lane->macs[i] = NULL;
    }
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        hf_secret_free(lane->known[i].value);
        lane->known[i] = (struct known){ 0 };
    }
    terms_free(lane->terms);
    lane->terms = NULL;
    lane->generation = 0;
}

uint64_t hf_cookies_generation(const struct hf_cookies *cookies)
{
    return atomic_load(&cookies->generation);
}

void hf_cookies_clear(struct hf_cookies *cookies)
{
    pthread_rwlock_wrlock(&cookies->lock);
    terms_free(cookies->terms);
    cookies->terms = NULL;
    atomic_fetch_add(&cookies->generation, 1);
    pthread_rwlock_unlock(&cookies->lock);

    for (size_t i = 0; i < LANES; i++) {
        pthread_mutex_lock(&cookies->lanes[i].lock);
        lane_forget(&cookies->lanes[i]);
        pthread_mutex_unlock(&cookies->lanes[i].lock);
    }
}

void hf_cookies_free(struct hf_cookies *cookies)
{
    if (cookies == NULL) {
        return;
    }
    hf_cookies_clear(cookies);
    for (size_t i = 0; i < LANES; i++) {
        pthread_mutex_destroy(&cookies->lanes[i].lock);
    }
    pthread_rwlock_destroy(&cookies->lock);
    free(cookies);
}

/* --- the record --- */

/*
 * Takes the terms over, unless others are there that are as new: who reads the store may come later
 * than who is told of its commits. Lanes make their contexts anew only when something has
 * changed. The caller holds the lock for writing.
 */
static void install(struct hf_cookies *cookies, struct terms **terms)
{
    if (cookies->terms == NULL || (*terms)->revision > cookies->terms->revision) {
        terms_free(cookies->terms);
        cookies->terms = HF_TAKE(*terms);
        atomic_fetch_add(&cookies->generation, 1);
    }
}

static struct hf_status read_terms(struct hf_op *op, uint64_t revision, bool tombstone,
                                   struct hf_bytes plain, struct terms **out)
{
    AUTO_TERMS terms = terms_new(revision);

    if (!tombstone && plain.len > 0) {
        HF_TRY(hf_cookie_record_read(op, plain, &terms->record));
    }
    *out = HF_TAKE(terms);
    return HF_SUCCESS;
}

/*
 * What cannot be read may take cookies back, so none is good then. At unlock it is called while the
 * seal is locked still; no lock comes in between.
 */
static struct hf_status apply(void *context, struct hf_op *op, const struct hf_opened_view *record)
{
    struct hf_cookies *cookies = context;
    AUTO_TERMS terms = NULL;
    struct hf_status status;

    if (strcmp(record->path, SECRET_PATH) != 0) {
        return HF_SUCCESS;
    }
    status = read_terms(op, record->revision, record->tombstone, record->plain, &terms);
    if (status.code != HF_OK) {
        terms = terms_new(record->revision);
    }
    pthread_rwlock_wrlock(&cookies->lock);
    install(cookies, &terms);
    pthread_rwlock_unlock(&cookies->lock);
    return status;
}

static void clear(void *context)
{
    hf_cookies_clear(context);
}

void hf_cookies_follow(struct hf_cookies *cookies)
{
    const struct hf_consumer consumer = {
        .kind = HF_KIND_SECRET, .apply = apply, .clear = clear, .context = cookies
    };

    hf_seal_add_consumer(cookies->seal, &consumer);
}

/* From the store; without a record the terms say nothing, and have revision 0. */
static struct hf_status load(struct hf_cookies *cookies, struct hf_op *op, struct terms **out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(cookies->seal, op, HF_KIND_SECRET, SECRET_PATH, &opened);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return read_terms(op, 0, true, HF_BYTES_NONE, out);
    }
    HF_TRY(status);
    return read_terms(op, opened->revision, opened->tombstone,
                      opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE, out);
}

static struct hf_status stage(struct hf_op *op, struct hf_txn *txn, const struct terms *terms)
{
    HF_AUTO(secret) plain = NULL;

    HF_TRY(hf_cookie_record_write(op, &terms->record, &plain));
    return hf_txn_put(txn, op, HF_KIND_SECRET, SECRET_PATH, terms->revision,
                      hf_secret_bytes(plain));
}

/* The change is the server's own: the id of the request that led here is for another one. */
static struct hf_status commit_own(struct hf_txn *txn, struct hf_op *op)
{
    struct hf_request_id request_id = op->request_id;
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;

    memset(&op->request_id, 0, sizeof op->request_id);
    status = hf_txn_commit(txn, op, &commit);
    op->request_id = request_id;
    hf_secret_free(commit.result);
    return status;
}

/* Commits what was changed; when another node was first, the next look tells. */
static struct hf_status commit_terms(struct hf_cookies *cookies, struct hf_op *op,
                                     const struct terms *terms)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_status status;

    HF_TRY(hf_txn_new(cookies->seal, op, &txn));
    HF_TRY(stage(op, txn, terms));
    status = commit_own(txn, op);
    if (status.code == HF_CONFLICT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

/*
 * The seal is locked before its consumers are cleared, so what was read before a lock is either
 * cleared after this, or not taken over.
 */
static void install_if_unlocked(struct hf_cookies *cookies, struct terms **terms)
{
    pthread_rwlock_wrlock(&cookies->lock);
    if (hf_seal_is_unlocked(cookies->seal)) {
        install(cookies, terms);
    }
    pthread_rwlock_unlock(&cookies->lock);
}

/* One look at the store: *out_done when what it holds is good now and was taken over. */
static struct hf_status refresh_once(struct hf_cookies *cookies, struct hf_op *op, bool *out_done)
{
    AUTO_TERMS terms = NULL;
    bool changed = false;

    HF_TRY(load(cookies, op, &terms));
    HF_TRY(hf_cookie_record_update(hf_seal_crypto(cookies->seal), op, cookies->validity_ms,
                                   &terms->record, &changed));
    if (changed) {
        return commit_terms(cookies, op, terms);
    }
    install_if_unlocked(cookies, &terms);
    *out_done = true;
    return HF_SUCCESS;
}

struct hf_status hf_cookies_refresh(struct hf_cookies *cookies, struct hf_op *op)
{
    bool done = false;

    for (int attempt = 0; attempt < ROLL_ATTEMPTS; attempt++) {
        HF_TRY(refresh_once(cookies, op, &done));
        if (done) {
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_CONFLICT, "other nodes keep changing the cookie secrets");
}

struct hf_status hf_cookies_end_stage(struct hf_cookies *cookies, struct hf_op *op,
                                      struct hf_txn *txn, const char *user)
{
    struct hf_crypto *crypto = hf_seal_crypto(cookies->seal);
    AUTO_TERMS terms = NULL;
    bool changed = false;

    HF_TRY(load(cookies, op, &terms));
    if (user == NULL) {
        HF_TRY(hf_cookie_record_end_all(crypto, op, cookies->validity_ms, &terms->record));
    } else {
        HF_TRY(hf_cookie_record_update(crypto, op, cookies->validity_ms, &terms->record, &changed));
        HF_TRY(hf_cookie_record_end(op, user, &terms->record));
    }
    return stage(op, txn, terms);
}

/* --- signing and checking --- */

/* Makes the lane's contexts anew if the secrets have changed. The caller holds the lane. */
static struct hf_status lane_follow(struct hf_cookies *cookies, struct hf_op *op, struct lane *lane)
{
    uint64_t generation;

    if (lane->generation == atomic_load(&cookies->generation)) {
        return HF_SUCCESS;
    }
    lane_forget(lane);
    pthread_rwlock_rdlock(&cookies->lock);
    generation = atomic_load(&cookies->generation);
    lane->terms = cookies->terms;
    if (lane->terms != NULL) {
        atomic_fetch_add(&lane->terms->holders, 1);
    }
    pthread_rwlock_unlock(&cookies->lock);

    for (size_t i = 0; lane->terms != NULL && i < HF_COOKIE_SECRETS; i++) {
        const struct hf_secret *secret = lane->terms->record.secrets[i].bytes;

        if (secret != NULL) {
            HF_TRY(hf_mac_new(hf_seal_crypto(cookies->seal), op, hf_secret_bytes(secret),
                              &lane->macs[i]));
        }
    }
    lane->generation = generation;
    return HF_SUCCESS;
}

/* The lane of op, locked and with its contexts up to date. */
static struct hf_status lane_take(struct hf_cookies *cookies, struct hf_op *op, struct lane **out)
{
    struct lane *lane = &cookies->lanes[op->lane % LANES];
    struct hf_status status;

    pthread_mutex_lock(&lane->lock);
    status = lane_follow(cookies, op, lane);
    if (status.code == HF_OK && lane->macs[HF_COOKIE_CURRENT] == NULL) {
        status = hf_fail(op, HF_WRONG_STATE,
                         "the node is locked, or the record of the cookie secrets does not open: "
                         "cookies cannot be made or checked before that");
    }
    if (status.code != HF_OK) {
        pthread_mutex_unlock(&lane->lock);
        return status;
    }
    *out = lane;
    return HF_SUCCESS;
}

/*
 * When a cookie that is made now ends: not later than the record lets cookies under this secret
 * live, because by that it is known when the last one of a user has ended; but later than those of
 * his that were taken back.
 */
static uint64_t end_of(const struct hf_cookies *cookies, const struct hf_op *op,
                       const struct hf_cookie_record *record, const char *user)
{
    uint64_t most = record->secrets[HF_COOKIE_CURRENT].validity_ms;
    uint64_t validity = most != 0 && most < cookies->validity_ms ? most : cookies->validity_ms;
    uint64_t end = hf_env_realtime_ms(op->env) + validity;
    uint64_t refused_until = hf_cookie_refused_until(record, user);

    return end > refused_until ? end : refused_until + 1;
}

/* Appends text and signature. The caller holds the lane. */
static struct hf_status make_on_lane(struct hf_cookies *cookies, struct hf_op *op,
                                     struct lane *lane, struct hf_cookie *cookie,
                                     struct hf_buf *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    uint8_t signature[HF_SHA256_LEN];
    struct hf_bytes part;

    cookie->expires_ms = end_of(cookies, op, &lane->terms->record, cookie->user);
    HF_TRY(hf_cookie_write(op, cookie, text));
    part = hf_buf_bytes(text);
    HF_TRY(hf_mac_compute(lane->macs[HF_COOKIE_CURRENT], op, &part, 1, signature));
    hf_buf_add_bytes(out, part);
    hf_buf_add_text(out, "&s=");
    hf_base64_add(out, hf_bytes_of(signature, sizeof signature));
    return HF_SUCCESS;
}

struct hf_status hf_cookies_make(struct hf_cookies *cookies, struct hf_op *op, const char *user,
                                 const char *type, struct hf_buf *out)
{
    struct hf_cookie cookie = { 0 };
    struct lane *lane;
    struct hf_status status;

    if (strlen(user) >= sizeof cookie.user || strlen(type) >= sizeof cookie.type) {
        return hf_fail(op, HF_INVALID, "the user's name is too long for a cookie");
    }
    (void)snprintf(cookie.user, sizeof cookie.user, "%s", user);
    (void)snprintf(cookie.type, sizeof cookie.type, "%s", type);
    HF_TRY(lane_take(cookies, op, &lane));
    status = make_on_lane(cookies, op, lane, &cookie, out);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

/* Whether one of the secrets made the signature. */
static struct hf_status find_signature(struct hf_op *op, struct lane *lane,
                                       const struct hf_cookie_parts *parts, bool *out_found)
{
    struct hf_bytes given = hf_bytes_of(parts->signature, sizeof parts->signature);
    uint8_t signature[HF_SHA256_LEN];

    *out_found = false;
    for (size_t i = 0; i < HF_COOKIE_SECRETS && !*out_found; i++) {
        if (lane->macs[i] == NULL) {
            continue;
        }
        HF_TRY(hf_mac_compute(lane->macs[i], op, &parts->text, 1, signature));
        *out_found = hf_bytes_equal_constant_time(given, hf_bytes_of(signature, sizeof signature));
    }
    return HF_SUCCESS;
}

/* Where a cookie is remembered, if it is: by a character of its signature, which is random. */
static struct known *known_place(struct lane *lane, struct hf_bytes value)
{
    static const size_t from_end = 4;

    return &lane->known[value.len < from_end ? 0 : value.data[value.len - from_end] % KNOWN_COUNT];
}

static bool is_known(const struct known *known, struct hf_bytes value)
{
    return known->value != NULL &&
           hf_bytes_equal_constant_time(
               value, hf_bytes_of(hf_secret_bytes(known->value).data, known->len));
}

/* Whoever has the cookie is its user, so it lies where secrets do; where they find no room, not. */
static void remember(struct hf_op *op, struct known *known, struct hf_bytes value, size_t text_len)
{
    if (value.len > KNOWN_LEN) {
        return;
    }
    if (known->value == NULL && hf_secret_new(op, KNOWN_LEN, &known->value).code != HF_OK) {
        hf_op_clear(op);
        return;
    }
    memcpy(hf_secret_data(known->value), value.data, value.len);
    known->len = value.len;
    known->text_len = text_len;
}

/* The text of a cookie that one of the secrets has signed. The caller holds the lane. */
static struct hf_status check_signature(struct hf_op *op, struct lane *lane, struct hf_bytes value,
                                        struct hf_bytes *out_text)
{
    struct known *known = known_place(lane, value);
    struct hf_cookie_parts parts;
    bool found;

    if (is_known(known, value)) {
        *out_text = hf_bytes_of(value.data, known->text_len);
        return HF_SUCCESS;
    }
    HF_TRY(hf_cookie_split(op, value, &parts));
    HF_TRY(find_signature(op, lane, &parts, &found));
    if (!found) {
        return hf_cookie_bad_signature(op);
    }
    remember(op, known, value, parts.text.len);
    *out_text = parts.text;
    return HF_SUCCESS;
}

/* What it says is held against the clock and the list each time. The caller holds the lane. */
static struct hf_status verify_on_lane(struct hf_op *op, struct lane *lane, struct hf_bytes value,
                                       struct hf_cookie *out)
{
    struct hf_bytes text = HF_BYTES_NONE;
    struct hf_cookie cookie;

    HF_TRY(check_signature(op, lane, value, &text));
    HF_TRY(hf_cookie_read(op, text, &cookie));
    if (cookie.expires_ms <= hf_cookie_refused_until(&lane->terms->record, cookie.user)) {
        return hf_cookie_expired(op);
    }
    *out = cookie;
    return HF_SUCCESS;
}

struct hf_status hf_cookies_verify(struct hf_cookies *cookies, struct hf_op *op,
                                   struct hf_bytes value, struct hf_cookie *out)
{
    struct lane *lane;
    struct hf_status status;

    HF_TRY(lane_take(cookies, op, &lane));
    status = verify_on_lane(op, lane, value, out);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

struct hf_status hf_cookie_sign(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes secret,
                                struct hf_bytes text, struct hf_buf *out_base64)
{
    HF_AUTO(mac) mac = NULL;
    uint8_t signature[HF_SHA256_LEN];

    HF_TRY(hf_mac_new(crypto, op, secret, &mac));
    HF_TRY(hf_mac_compute(mac, op, &text, 1, signature));
    hf_base64_add(out_base64, hf_bytes_of(signature, sizeof signature));
    return HF_SUCCESS;
}
