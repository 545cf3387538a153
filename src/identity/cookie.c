/* Cookie secrets: loaded from the store, rolled in time, with a MAC context ready on each lane. */
#include "identity/cookie.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/text.h"
#include "identity/cookie_text.h"

#define SECRET_PATH      "secret/hadoop-cookie"
#define SECRET_FORMAT    1
#define SECRET_LEN       32
#define DEFAULT_VALIDITY 36000000U /* 10 h, as Hadoop has it */
#define LANES            64
#define ROLL_ATTEMPTS    16
#define KNOWN_COUNT      8   /* a power of two */
#define KNOWN_LEN        256 /* longer cookies are checked each time */

/* Cookies are signed with the current secret; those of the one before are still good. */
enum { CURRENT, PREVIOUS, SECRET_COUNT };

/* A cookie whose signature was found right: a client sends the same one with each request. */
struct known {
    struct hf_secret *value; /* KNOWN_LEN bytes, or NULL */
    size_t len;
    size_t text_len; /* the part that is signed */
};

struct lane {
    _Alignas(64) pthread_mutex_t lock; /* guards the rest; threads rarely share a lane */
    uint64_t generation;
    struct hf_mac *macs[SECRET_COUNT];
    struct known known[KNOWN_COUNT]; /* under the secrets of this generation */
};

struct hf_cookies {
    struct hf_seal *seal;
    uint64_t validity_ms;
    _Atomic uint64_t generation; /* grows whenever the secrets change */
    pthread_rwlock_t lock;       /* guards secrets */
    struct hf_secret *secrets[SECRET_COUNT];
    struct lane lanes[LANES];
};

/* What the store's record says. */
struct stored {
    uint64_t revision; /* 0: there is none */
    uint64_t rolls_at_ms;
    struct hf_secret *secrets[SECRET_COUNT];
};

static void stored_done(struct stored *stored)
{
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        hf_secret_free(stored->secrets[i]);
    }
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
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        hf_mac_free(lane->macs[i]);
        lane->macs[i] = NULL;
    }
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        hf_secret_free(lane->known[i].value);
        lane->known[i] = (struct known){ 0 };
    }
    lane->generation = 0;
}

void hf_cookies_clear(struct hf_cookies *cookies)
{
    pthread_rwlock_wrlock(&cookies->lock);
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        hf_secret_free(cookies->secrets[i]);
        cookies->secrets[i] = NULL;
    }
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

static struct hf_status read_stored(struct hf_op *op, const struct hf_opened *opened,
                                    struct stored *out)
{
    struct hf_reader reader;
    struct hf_bytes parts[SECRET_COUNT];
    uint8_t format;

    hf_reader_init(&reader, hf_secret_bytes(opened->plain));
    format = hf_take_u8(&reader);
    out->rolls_at_ms = hf_take_u64(&reader);
    parts[CURRENT] = hf_take_bytes(&reader);
    parts[PREVIOUS] = hf_take_bytes(&reader);
    HF_TRY(hf_reader_end(&reader, op, "the record of the cookie secrets"));
    if (format != SECRET_FORMAT || parts[CURRENT].len == 0) {
        return hf_fail(op, HF_CORRUPT, "the record of the cookie secrets has an unknown form");
    }
    HF_TRY(hf_secret_copy(op, parts[CURRENT], &out->secrets[CURRENT]));
    if (parts[PREVIOUS].len > 0) {
        HF_TRY(hf_secret_copy(op, parts[PREVIOUS], &out->secrets[PREVIOUS]));
    }
    out->revision = opened->revision;
    return HF_SUCCESS;
}

static struct hf_status load(struct hf_cookies *cookies, struct hf_op *op, struct stored *out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(cookies->seal, op, HF_KIND_SECRET, SECRET_PATH, &opened);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    if (opened->tombstone || opened->plain == NULL) {
        out->revision = opened->revision;
        return HF_SUCCESS;
    }
    return read_stored(op, opened, out);
}

/* A clock that was set back far must not keep one secret alive; a little does not matter. */
static bool is_due(const struct hf_cookies *cookies, const struct stored *stored, uint64_t now)
{
    return stored->secrets[CURRENT] == NULL || now >= stored->rolls_at_ms ||
           stored->rolls_at_ms - now > 2 * cookies->validity_ms;
}

static struct hf_bytes secret_or_none(const struct hf_secret *secret)
{
    return secret != NULL ? hf_secret_bytes(secret) : HF_BYTES_NONE;
}

/* The record's content, written in secret memory from end to end. */
static struct hf_status write_stored(struct hf_op *op, uint64_t rolls_at_ms,
                                     struct hf_bytes current, struct hf_bytes previous,
                                     struct hf_secret **out)
{
    const struct hf_bytes parts[SECRET_COUNT] = { current, previous };
    HF_AUTO(buf) numbers = hf_buf_new();
    HF_AUTO(secret) plain = NULL;
    uint8_t *at;

    HF_TRY(hf_secret_new(op, 1 + 8 + 4 + current.len + 4 + previous.len, &plain));
    at = hf_secret_data(plain);
    hf_put_u8(numbers, SECRET_FORMAT);
    hf_put_u64(numbers, rolls_at_ms);
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        hf_put_u32(numbers, (uint32_t)parts[i].len);
        memcpy(at, numbers->data, numbers->len);
        at += numbers->len;
        if (parts[i].len > 0) {
            memcpy(at, parts[i].data, parts[i].len);
            at += parts[i].len;
        }
        hf_buf_clear(numbers);
    }
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
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

/* Commits a new current secret over what was loaded; HF_CONFLICT when another node was first. */
static struct hf_status roll(struct hf_cookies *cookies, struct hf_op *op,
                             const struct stored *stored)
{
    HF_AUTO(secret) fresh = NULL;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_random_secret(hf_seal_crypto(cookies->seal), op, SECRET_LEN, &fresh));
    HF_TRY(write_stored(op, hf_env_realtime_ms(op->env) + cookies->validity_ms,
                        hf_secret_bytes(fresh), secret_or_none(stored->secrets[CURRENT]), &plain));
    HF_TRY(hf_txn_new(cookies->seal, op, &txn));
    HF_TRY(
        hf_txn_put(txn, op, HF_KIND_SECRET, SECRET_PATH, stored->revision, hf_secret_bytes(plain)));
    return commit_own(txn, op);
}

static bool same_secret(const struct hf_secret *a, const struct hf_secret *b)
{
    return a == b || (a != NULL && b != NULL && hf_secret_equal(a, b));
}

/* Takes the secrets over; lanes make their contexts anew only when something has changed. */
static void install(struct hf_cookies *cookies, struct stored *stored)
{
    pthread_rwlock_wrlock(&cookies->lock);
    if (!same_secret(cookies->secrets[CURRENT], stored->secrets[CURRENT]) ||
        !same_secret(cookies->secrets[PREVIOUS], stored->secrets[PREVIOUS])) {
        for (size_t i = 0; i < SECRET_COUNT; i++) {
            hf_secret_free(cookies->secrets[i]);
            cookies->secrets[i] = HF_TAKE(stored->secrets[i]);
        }
        atomic_fetch_add(&cookies->generation, 1);
    }
    pthread_rwlock_unlock(&cookies->lock);
}

/* One look at the store: *out_done when what it holds is good now and was taken over. */
static struct hf_status refresh_once(struct hf_cookies *cookies, struct hf_op *op, bool *out_done)
{
    struct stored stored = { 0 };
    struct hf_status status = load(cookies, op, &stored);

    if (status.code == HF_OK && !is_due(cookies, &stored, hf_env_realtime_ms(op->env))) {
        install(cookies, &stored);
        *out_done = true;
    } else if (status.code == HF_OK) {
        status = roll(cookies, op, &stored);
        if (status.code == HF_CONFLICT) {
            hf_op_clear(op);
            status = HF_SUCCESS;
        }
    }
    stored_done(&stored);
    return status;
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

/* --- signing and checking --- */

/* Makes the lane's contexts anew if the secrets have changed. The caller holds the lane. */
static struct hf_status lane_follow(struct hf_cookies *cookies, struct hf_op *op, struct lane *lane)
{
    struct hf_status status = HF_SUCCESS;

    if (lane->generation == atomic_load(&cookies->generation)) {
        return HF_SUCCESS;
    }
    lane_forget(lane);
    pthread_rwlock_rdlock(&cookies->lock);
    for (size_t i = 0; i < SECRET_COUNT && status.code == HF_OK; i++) {
        if (cookies->secrets[i] != NULL) {
            status = hf_mac_new(hf_seal_crypto(cookies->seal), op,
                                hf_secret_bytes(cookies->secrets[i]), &lane->macs[i]);
        }
    }
    if (status.code == HF_OK) {
        lane->generation = atomic_load(&cookies->generation);
    }
    pthread_rwlock_unlock(&cookies->lock);
    return status;
}

/* The lane of op, locked and with its contexts up to date. */
static struct hf_status lane_take(struct hf_cookies *cookies, struct hf_op *op, struct lane **out)
{
    struct lane *lane = &cookies->lanes[op->lane % LANES];
    struct hf_status status;

    pthread_mutex_lock(&lane->lock);
    status = lane_follow(cookies, op, lane);
    if (status.code == HF_OK && lane->macs[CURRENT] == NULL) {
        status = hf_fail(op, HF_WRONG_STATE,
                         "the node is locked: cookies cannot be made or checked before it is "
                         "unlocked");
    }
    if (status.code != HF_OK) {
        pthread_mutex_unlock(&lane->lock);
        return status;
    }
    *out = lane;
    return HF_SUCCESS;
}

struct hf_status hf_cookies_make(struct hf_cookies *cookies, struct hf_op *op, const char *user,
                                 const char *type, struct hf_buf *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_cookie cookie = { 0 };
    struct lane *lane;
    struct hf_bytes part;
    uint8_t signature[HF_SHA256_LEN];
    struct hf_status status;

    if (strlen(user) >= sizeof cookie.user || strlen(type) >= sizeof cookie.type) {
        return hf_fail(op, HF_INVALID, "the user's name is too long for a cookie");
    }
    (void)snprintf(cookie.user, sizeof cookie.user, "%s", user);
    (void)snprintf(cookie.type, sizeof cookie.type, "%s", type);
    cookie.expires_ms = hf_env_realtime_ms(op->env) + cookies->validity_ms;
    HF_TRY(hf_cookie_write(op, &cookie, text));

    part = hf_buf_bytes(text);
    HF_TRY(lane_take(cookies, op, &lane));
    status = hf_mac_compute(lane->macs[CURRENT], op, &part, 1, signature);
    pthread_mutex_unlock(&lane->lock);
    HF_TRY(status);

    hf_buf_add_bytes(out, part);
    hf_buf_add_text(out, "&s=");
    hf_base64_add(out, hf_bytes_of(signature, sizeof signature));
    return HF_SUCCESS;
}

/* Whether one of the secrets made the signature. */
static struct hf_status find_signature(struct hf_op *op, struct lane *lane,
                                       const struct hf_cookie_parts *parts, bool *out_found)
{
    struct hf_bytes given = hf_bytes_of(parts->signature, sizeof parts->signature);
    uint8_t signature[HF_SHA256_LEN];

    *out_found = false;
    for (size_t i = 0; i < SECRET_COUNT && lane->macs[i] != NULL && !*out_found; i++) {
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

struct hf_status hf_cookies_verify(struct hf_cookies *cookies, struct hf_op *op,
                                   struct hf_bytes value, struct hf_cookie *out)
{
    struct hf_bytes text = HF_BYTES_NONE;
    struct lane *lane;
    struct hf_status status;

    HF_TRY(lane_take(cookies, op, &lane));
    status = check_signature(op, lane, value, &text);
    pthread_mutex_unlock(&lane->lock);
    HF_TRY(status);
    /* What it says is held against the clock each time. */
    return hf_cookie_read(op, text, out);
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
