/* The record of the cookie secrets: read, written, rolled, and cookies taken back in it. */
#include "identity/cookie_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"

#define FORMAT_1   1 /* current and previous secret only */
#define FORMAT_2   2
#define SECRET_LEN 32
#define USER_MAX   255

static void forget_ends(struct hf_cookie_record *record)
{
    for (size_t i = 0; i < record->end_count; i++) {
        free(record->ends[i].user);
    }
    free(record->ends);
    record->ends = NULL;
    record->end_count = 0;
}

static void forget_secret(struct hf_cookie_secret *secret)
{
    hf_secret_free(secret->bytes);
    *secret = (struct hf_cookie_secret){ 0 };
}

void hf_cookie_record_done(struct hf_cookie_record *record)
{
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        forget_secret(&record->secrets[i]);
    }
    forget_ends(record);
}

/* --- reading --- */

static struct hf_status corrupt(struct hf_op *op)
{
    return hf_fail(op, HF_CORRUPT, "the record of the cookie secrets has an unknown form");
}

static struct hf_status copy_secrets(struct hf_op *op, const struct hf_bytes *parts,
                                     struct hf_cookie_record *out)
{
    if (parts[HF_COOKIE_CURRENT].len == 0) {
        return corrupt(op);
    }
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        if (parts[i].len > 0) {
            HF_TRY(hf_secret_copy(op, parts[i], &out->secrets[i].bytes));
        }
    }
    return HF_SUCCESS;
}

/* In strict order, so that one list has one form and can be searched. */
static bool take_end(struct hf_reader *reader, struct hf_cookie_record *out)
{
    struct hf_cookie_end end = { hf_take_text(reader), hf_take_u64(reader) };

    if (reader->failed || end.user[0] == '\0' || strlen(end.user) > USER_MAX ||
        (out->end_count > 0 && strcmp(out->ends[out->end_count - 1].user, end.user) >= 0)) {
        free(end.user);
        return false;
    }
    out->ends[out->end_count++] = end;
    return true;
}

static struct hf_status take_ends(struct hf_reader *reader, struct hf_op *op,
                                  struct hf_cookie_record *out)
{
    uint32_t count = hf_take_u32(reader);

    if (count > HF_COOKIE_ENDS_MAX) {
        return corrupt(op);
    }
    out->ends = hf_alloc_array((size_t)count + 1, sizeof *out->ends);
    for (uint32_t i = 0; i < count; i++) {
        if (!take_end(reader, out)) {
            return corrupt(op);
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_cookie_record_read(struct hf_op *op, struct hf_bytes plain,
                                       struct hf_cookie_record *out)
{
    struct hf_bytes parts[HF_COOKIE_SECRETS] = { 0 };
    struct hf_reader reader;
    uint8_t format;

    hf_reader_init(&reader, plain);
    format = hf_take_u8(&reader);
    if (format != FORMAT_1 && format != FORMAT_2) {
        return corrupt(op);
    }
    out->rolls_at_ms = hf_take_u64(&reader);
    for (size_t i = 0; i < HF_COOKIE_SECRETS && (format == FORMAT_2 || i < HF_COOKIE_NEXT); i++) {
        out->secrets[i].validity_ms = format == FORMAT_2 ? hf_take_u64(&reader) : 0;
        parts[i] = hf_take_bytes(&reader);
    }
    if (format == FORMAT_2) {
        HF_TRY(take_ends(&reader, op, out));
    }
    HF_TRY(hf_reader_end(&reader, op, "the record of the cookie secrets"));
    return copy_secrets(op, parts, out);
}

/* --- writing --- */

static struct hf_bytes secret_or_none(const struct hf_secret *secret)
{
    return secret != NULL ? hf_secret_bytes(secret) : HF_BYTES_NONE;
}

static uint8_t *append(uint8_t *at, struct hf_bytes bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    return at + bytes.len;
}

/* Of no secret, so it is put together in ordinary memory. */
static void write_ends(const struct hf_cookie_record *record, struct hf_buf *out)
{
    hf_put_u32(out, (uint32_t)record->end_count);
    for (size_t i = 0; i < record->end_count; i++) {
        hf_put_text(out, record->ends[i].user);
        hf_put_u64(out, record->ends[i].until_ms);
    }
}

struct hf_status hf_cookie_record_write(struct hf_op *op, const struct hf_cookie_record *record,
                                        struct hf_secret **out)
{
    HF_AUTO(buf) numbers = hf_buf_new();
    HF_AUTO(buf) ends = hf_buf_new();
    HF_AUTO(secret) plain = NULL;
    size_t len = 1 + 8;
    uint8_t *at;

    write_ends(record, ends);
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        len += 8 + 4 + secret_or_none(record->secrets[i].bytes).len;
    }
    HF_TRY(hf_secret_new(op, len + ends->len, &plain));
    hf_put_u8(numbers, FORMAT_2);
    hf_put_u64(numbers, record->rolls_at_ms);
    at = append(hf_secret_data(plain), hf_buf_bytes(numbers));
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        struct hf_bytes bytes = secret_or_none(record->secrets[i].bytes);

        hf_buf_clear(numbers);
        hf_put_u64(numbers, record->secrets[i].validity_ms);
        hf_put_u32(numbers, (uint32_t)bytes.len);
        at = append(append(at, hf_buf_bytes(numbers)), bytes);
    }
    (void)append(at, hf_buf_bytes(ends));
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

/* --- the list --- */

/* Where the user is on the list, or would be. */
static size_t place_of(const struct hf_cookie_record *record, const char *user, bool *out_found)
{
    size_t low = 0;
    size_t high = record->end_count;

    *out_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(record->ends[middle].user, user);

        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t hf_cookie_refused_until(const struct hf_cookie_record *record, const char *user)
{
    bool found;
    size_t place = place_of(record, user, &found);

    return found ? record->ends[place].until_ms : 0;
}

/* Those whose last cookie has ended, by the slowest clock too. */
static bool prune(struct hf_cookie_record *record, uint64_t now)
{
    size_t kept = 0;
    bool pruned;

    for (size_t i = 0; i < record->end_count; i++) {
        if (now > record->ends[i].until_ms + HF_COOKIE_SKEW_MS) {
            free(record->ends[i].user);
        } else {
            record->ends[kept++] = record->ends[i];
        }
    }
    pruned = kept < record->end_count;
    record->end_count = kept;
    return pruned;
}

/* --- secrets --- */

static struct hf_status make_secret(struct hf_crypto *crypto, struct hf_op *op,
                                    uint64_t validity_ms, struct hf_cookie_secret *out)
{
    forget_secret(out);
    out->validity_ms = validity_ms;
    return hf_random_secret(crypto, op, SECRET_LEN, &out->bytes);
}

/* How long a cookie may live that any of the secrets has signed. */
static uint64_t longest(const struct hf_cookie_record *record, uint64_t at_least)
{
    uint64_t most = at_least;

    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        if (record->secrets[i].validity_ms > most) {
            most = record->secrets[i].validity_ms;
        }
    }
    return most;
}

struct hf_status hf_cookie_record_end_all(struct hf_crypto *crypto, struct hf_op *op,
                                          uint64_t validity_ms, struct hf_cookie_record *record)
{
    forget_secret(&record->secrets[HF_COOKIE_PREVIOUS]);
    HF_TRY(make_secret(crypto, op, validity_ms, &record->secrets[HF_COOKIE_CURRENT]));
    HF_TRY(make_secret(crypto, op, validity_ms, &record->secrets[HF_COOKIE_NEXT]));
    forget_ends(record);
    record->rolls_at_ms = hf_env_realtime_ms(op->env) + validity_ms;
    return HF_SUCCESS;
}

/* The next secret was published a period ago, so every node has it. */
static struct hf_status roll(struct hf_crypto *crypto, struct hf_op *op, uint64_t validity_ms,
                             struct hf_cookie_record *record)
{
    struct hf_cookie_secret *secrets = record->secrets;

    forget_secret(&secrets[HF_COOKIE_PREVIOUS]);
    secrets[HF_COOKIE_PREVIOUS] = secrets[HF_COOKIE_CURRENT];
    secrets[HF_COOKIE_CURRENT] = secrets[HF_COOKIE_NEXT];
    secrets[HF_COOKIE_NEXT] = (struct hf_cookie_secret){ 0 };
    HF_TRY(make_secret(crypto, op, validity_ms, &secrets[HF_COOKIE_NEXT]));
    /* Until then the last cookie under the previous one has ended. */
    record->rolls_at_ms = hf_env_realtime_ms(op->env) + longest(record, validity_ms);
    return HF_SUCCESS;
}

/* A clock that was set back far must not keep one secret alive; a little does not matter. */
static bool is_due(const struct hf_cookie_record *record, uint64_t validity_ms, uint64_t now)
{
    return now >= record->rolls_at_ms ||
           record->rolls_at_ms - now > 2 * longest(record, validity_ms);
}

/* Format 1 had no next secret: it signs once every node has had a whole period to learn it. */
static struct hf_status publish_next(struct hf_crypto *crypto, struct hf_op *op,
                                     uint64_t validity_ms, struct hf_cookie_record *record)
{
    uint64_t earliest = hf_env_realtime_ms(op->env) + validity_ms;

    if (record->rolls_at_ms < earliest) {
        record->rolls_at_ms = earliest;
    }
    return make_secret(crypto, op, validity_ms, &record->secrets[HF_COOKIE_NEXT]);
}

/* Before a node makes cookies that live longer than the record says, the record says so. */
static bool extend(uint64_t validity_ms, uint64_t now, struct hf_cookie_record *record)
{
    struct hf_cookie_secret *current = &record->secrets[HF_COOKIE_CURRENT];

    if (current->validity_ms == 0 || current->validity_ms >= validity_ms) {
        return false;
    }
    current->validity_ms = validity_ms;
    if (record->rolls_at_ms < now + validity_ms) {
        record->rolls_at_ms = now + validity_ms;
    }
    return true;
}

struct hf_status hf_cookie_record_update(struct hf_crypto *crypto, struct hf_op *op,
                                         uint64_t validity_ms, struct hf_cookie_record *record,
                                         bool *out_changed)
{
    uint64_t now = hf_env_realtime_ms(op->env);
    bool pruned = prune(record, now);

    *out_changed = true;
    if (record->secrets[HF_COOKIE_CURRENT].bytes == NULL) {
        return hf_cookie_record_end_all(crypto, op, validity_ms, record);
    }
    if (record->secrets[HF_COOKIE_NEXT].bytes == NULL) {
        return publish_next(crypto, op, validity_ms, record);
    }
    if (is_due(record, validity_ms, now)) {
        HF_TRY(roll(crypto, op, validity_ms, record));
        (void)extend(validity_ms, now, record);
        return HF_SUCCESS;
    }
    *out_changed = extend(validity_ms, now, record) || pruned;
    return HF_SUCCESS;
}

/* --- cookies taken back --- */

static struct hf_status check_validity_known(struct hf_op *op,
                                             const struct hf_cookie_record *record)
{
    for (size_t i = 0; i < HF_COOKIE_SECRETS; i++) {
        if (record->secrets[i].bytes != NULL && record->secrets[i].validity_ms == 0) {
            return hf_fail(op, HF_WRONG_STATE,
                           "cookies are about that an older release signed, and how long they "
                           "live is not known; end all sessions instead");
        }
    }
    return HF_SUCCESS;
}

/* Nothing is pruned to make room but what has ended: rather nobody is added. */
static struct hf_status make_room(struct hf_op *op, struct hf_cookie_record *record, size_t place,
                                  const char *user)
{
    if (record->end_count >= HF_COOKIE_ENDS_MAX) {
        return hf_fail(op, HF_LIMITED,
                       "the cookies of %d users are taken back already, which is as many as one "
                       "can at a time; end all sessions instead",
                       HF_COOKIE_ENDS_MAX);
    }
    record->ends = hf_realloc_array(record->ends, record->end_count + 1, sizeof *record->ends);
    memmove(&record->ends[place + 1], &record->ends[place],
            (record->end_count - place) * sizeof *record->ends);
    record->ends[place] = (struct hf_cookie_end){ hf_strdup(user), 0 };
    record->end_count++;
    return HF_SUCCESS;
}

struct hf_status hf_cookie_record_end(struct hf_op *op, const char *user,
                                      struct hf_cookie_record *record)
{
    uint64_t until = hf_env_realtime_ms(op->env) + HF_COOKIE_SKEW_MS + longest(record, 0);
    struct hf_cookie_end *end;
    size_t place;
    bool found;

    if (user[0] == '\0' || strlen(user) > USER_MAX || strpbrk(user, "&=") != NULL) {
        return hf_fail(op, HF_INVALID, "a user has a name of 1 to %d bytes without '&' and '='",
                       USER_MAX);
    }
    HF_TRY(check_validity_known(op, record));
    (void)prune(record, hf_env_realtime_ms(op->env));
    place = place_of(record, user, &found);
    if (!found) {
        HF_TRY(make_room(op, record, place, user));
    }
    end = &record->ends[place];
    /* A cookie made since the last time ends one later than that, wherever its maker's clock is. */
    end->until_ms = until > end->until_ms ? until : end->until_ms + 1;
    return HF_SUCCESS;
}
