/* The pin file: what this node remembers of the store, outside of it (docs/formats/pin.md). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "protect/private_file.h"
#include "seal/seal_internal.h"

#define TITLE    "holdfast pin 1"
#define FILE_MAX 4096
#define ACCEPT   "accept-history"

void hf_pin_print(const struct hf_pin *pin, struct hf_buf *out)
{
    hf_buf_add_text(out, TITLE "\nstore ");
    hf_hex_add(out, hf_bytes_of(pin->store_id, HF_STORE_ID_LEN));
    hf_buf_add_text(out, "\n");
    if (pin->has_root) {
        hf_buf_add_format(out, "root %" PRIu32 " ", pin->generation);
        hf_hex_add(out, hf_bytes_of(pin->commitment, HF_SHA256_LEN));
        hf_buf_add_text(out, "\n");
    }
    if (pin->has_head) {
        hf_buf_add_format(out, "head %" PRIu64 " ", pin->seq);
        hf_hex_add(out, hf_bytes_of(pin->link, HF_DIGEST_LEN));
        hf_buf_add_text(out, "\n");
    }
    if (pin->accept_history) {
        hf_buf_add_text(out, ACCEPT "\n");
    }
}

static bool take_hex(const char *text, uint8_t *out, size_t len)
{
    struct hf_op scratch = { 0 };
    HF_AUTO(buf) bytes = hf_buf_new();

    if (text == NULL || strlen(text) != 2 * len ||
        hf_hex_decode(&scratch, hf_bytes_of_text(text), bytes).code != HF_OK) {
        return false;
    }
    memcpy(out, bytes->data, len);
    return true;
}

static bool take_number(const char *text, uint64_t max, uint64_t *out)
{
    struct hf_op scratch = { 0 };

    return text != NULL && hf_parse_u64(&scratch, text, max, out).code == HF_OK;
}

static bool parse_root(struct hf_pin *pin, const char *number, const char *hex)
{
    uint64_t generation = 0;

    if (!take_number(number, UINT32_MAX, &generation) ||
        !take_hex(hex, pin->commitment, HF_SHA256_LEN)) {
        return false;
    }
    pin->generation = (uint32_t)generation;
    pin->has_root = true;
    return true;
}

static bool parse_head(struct hf_pin *pin, const char *number, const char *hex)
{
    pin->has_head =
        take_number(number, UINT64_MAX, &pin->seq) && take_hex(hex, pin->link, HF_DIGEST_LEN);
    return pin->has_head;
}

/* One line after the title. */
static bool parse_line(struct hf_pin *pin, char *line, bool *has_store)
{
    char *rest = line;
    const char *word = strsep(&rest, " ");
    const char *first = strsep(&rest, " ");
    const char *second = strsep(&rest, " ");

    if (rest != NULL) {
        return false;
    }
    if (strcmp(word, "store") == 0 && second == NULL && !*has_store) {
        *has_store = take_hex(first, pin->store_id, HF_STORE_ID_LEN);
        return *has_store;
    }
    if (strcmp(word, "root") == 0 && !pin->has_root) {
        return parse_root(pin, first, second);
    }
    if (strcmp(word, "head") == 0 && !pin->has_head) {
        return parse_head(pin, first, second);
    }
    pin->accept_history = strcmp(word, ACCEPT) == 0 && first == NULL;
    return pin->accept_history;
}

static bool parse_lines(struct hf_pin *pin, char *text)
{
    char *rest = text;
    const char *title = strsep(&rest, "\n");
    bool has_store = false;

    if (strcmp(title, TITLE) != 0) {
        return false;
    }
    while (rest != NULL && *rest != '\0') {
        char *line = strsep(&rest, "\n");

        /* A line without its end may have lost something. */
        if (rest == NULL || !parse_line(pin, line, &has_store)) {
            return false;
        }
    }
    return has_store;
}

struct hf_status hf_pin_parse(struct hf_op *op, struct hf_bytes text, struct hf_pin *out)
{
    struct hf_pin pin = { 0 };
    HF_AUTO_STRING lines = hf_strndup((const char *)text.data, text.len);

    if (strlen(lines) != text.len || !parse_lines(&pin, lines)) {
        return hf_fail(op, HF_CORRUPT,
                       "is not a pin file of a form that this release knows; if its loss is "
                       "understood, move it away");
    }
    *out = pin;
    return HF_SUCCESS;
}

static struct hf_status file_failed(struct hf_op *op, const char *doing, const char *file,
                                    int error)
{
    return hf_fail(op, error == ENOSPC ? HF_NO_SPACE : HF_UNAVAILABLE, "%s %s: %s", doing, file,
                   strerror(error));
}

/* Gives the number of bytes, or -1 with errno. */
static ssize_t read_file(const char *file, uint8_t *out, size_t max)
{
    size_t len = 0;
    ssize_t got = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && got > 0 && len < max) {
        got = read(fd, out + len, max - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        int error = errno;

        close(fd);
        errno = error;
    }
    return fd < 0 || got < 0 ? -1 : (ssize_t)len;
}

struct hf_status hf_pin_read(struct hf_op *op, const char *file, struct hf_pin *out)
{
    uint8_t text[FILE_MAX];
    ssize_t len = read_file(file, text, sizeof text);

    if (len < 0 && errno == ENOENT) {
        return hf_fail(op, HF_NOT_FOUND, "there is no pin file %s", file);
    }
    if (len < 0) {
        return file_failed(op, "reading", file, errno);
    }
    if (hf_pin_parse(op, hf_bytes_of(text, (size_t)len), out).code != HF_OK) {
        return hf_fail(op, HF_CORRUPT, "%.150s %s", file, op->text);
    }
    return HF_SUCCESS;
}

struct hf_status hf_pin_write(struct hf_op *op, const char *file, const struct hf_pin *pin)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_pin_print(pin, text);
    return hf_private_file_replace(op, file, hf_buf_bytes(text));
}

/* --- what the pin says about a store --- */

struct hf_status hf_pin_fail_went_back(struct hf_op *op, uint64_t stands, uint64_t seen)
{
    return hf_fail(op, HF_WRONG_STATE,
                   "the store went back in time: it stands at commit %" PRIu64
                   ", and this node has seen %" PRIu64
                   "; bring the newer store back, or give up what came after with "
                   "'holdfast store accept-history'",
                   stands, seen);
}

static struct hf_status other_history(struct hf_op *op, const struct hf_pin *pin, uint64_t stands)
{
    return hf_fail(op, HF_WRONG_STATE,
                   "the store has another history: what this node saw as commit %" PRIu64
                   " is not in the store that stands at commit %" PRIu64
                   "; bring the right store back, or take this one as it is with "
                   "'holdfast store accept-history'",
                   pin->seq, stands);
}

static struct hf_status check_pinned_head(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                          struct hf_op *op, const struct hf_pin *pin,
                                          const struct hf_head *head)
{
    struct hf_status status;

    if (head->seq < pin->seq) {
        return hf_pin_fail_went_back(op, head->seq, pin->seq);
    }
    if (head->seq == pin->seq) {
        return memcmp(head->link, pin->link, HF_DIGEST_LEN) == 0
                   ? HF_SUCCESS
                   : other_history(op, pin, head->seq);
    }
    status = hf_history_verify(seal, unlocked, op, pin->seq, pin->link, head);
    if (status.code == HF_CORRUPT) {
        return other_history(op, pin, head->seq);
    }
    if (status.code == HF_NOT_FOUND) {
        HF_INFO(seal->env,
                "the change log begins after commit %" PRIu64
                ", so the way from there cannot be checked",
                pin->seq);
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

struct hf_status hf_pin_check_head(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op, const struct hf_head *head)
{
    uint64_t min_seq = atomic_load(&seal->min_seq);
    struct hf_pin pin;
    bool is_pinned;

    if (head->seq < min_seq) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store stands at commit %" PRIu64 ", below commit %" PRIu64
                       " that --min-seq demands: it is an older copy; bring the newer store back",
                       head->seq, min_seq);
    }
    pthread_mutex_lock(&seal->pin_lock);
    pin = seal->pin;
    is_pinned = seal->has_pin && pin.has_head && !pin.accept_history;
    pthread_mutex_unlock(&seal->pin_lock);
    return is_pinned ? check_pinned_head(seal, unlocked, op, &pin, head) : HF_SUCCESS;
}

/* A root that came after the pinned one keeps it in a record, so that this can be seen. */
static struct hf_status succeeds(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, const struct hf_pin *pin, bool *out)
{
    uint8_t commitment[HF_SHA256_LEN];
    HF_AUTO(secret) root = NULL;
    struct hf_status status = hf_root_retired(unlocked, seal->engine, op, pin->generation, &root);

    *out = false;
    if (status.code == HF_NOT_FOUND || status.code == HF_CORRUPT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    HF_TRY(hf_root_commitment(seal->crypto, op, root, seal->store_id, pin->generation, commitment));
    *out = memcmp(pin->commitment, commitment, sizeof commitment) == 0;
    return HF_SUCCESS;
}

static bool same_pin(const struct hf_pin *a, const struct hf_pin *b)
{
    HF_AUTO(buf) text_a = hf_buf_new();
    HF_AUTO(buf) text_b = hf_buf_new();

    hf_pin_print(a, text_a);
    hf_pin_print(b, text_b);
    return hf_bytes_equal(hf_buf_bytes(text_a), hf_buf_bytes(text_b));
}

static struct hf_status older_root(struct hf_seal *seal, struct hf_op *op, const struct hf_pin *pin,
                                   uint32_t generation)
{
    /* An old store has an old root; whoever accepts its history accepts that too. */
    if (pin->accept_history) {
        HF_WARNING(seal->env,
                   "the operator accepts a store under root generation %" PRIu32
                   ", older than generation %" PRIu32 " that this node has seen",
                   generation, pin->generation);
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_WRONG_STATE,
                   "the store went back in time: its root key is generation %" PRIu32
                   ", and this node has seen generation %" PRIu32
                   "; bring the newer store back, or give up what came after with "
                   "'holdfast store accept-history'",
                   generation, pin->generation);
}

struct hf_status hf_pin_check_root(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op)
{
    uint8_t commitment[HF_SHA256_LEN];
    uint32_t generation;
    struct hf_pin pin;
    bool fits;

    HF_TRY(hf_root_commit(unlocked, op, &generation, commitment));
    pthread_mutex_lock(&seal->pin_lock);
    pin = seal->pin;
    pin.has_root = seal->has_pin && pin.has_root;
    pthread_mutex_unlock(&seal->pin_lock);
    if (!pin.has_root) {
        return HF_SUCCESS;
    }
    if (generation < pin.generation) {
        return older_root(seal, op, &pin, generation);
    }
    fits = memcmp(pin.commitment, commitment, sizeof commitment) == 0;
    if (generation > pin.generation) {
        HF_TRY(succeeds(seal, unlocked, op, &pin, &fits));
    }
    return fits ? HF_SUCCESS
                : hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_OTHER_STORE,
                                "the store's root key is not the one that this node knows; use "
                                "the right store, or move %.150s away",
                                seal->pin_file != NULL ? seal->pin_file : "the pin");
}

/* Writes if it says something new. pin_lock is held, or nobody else has the seal yet. */
static struct hf_status keep(struct hf_seal *seal, struct hf_op *op, const struct hf_pin *pin)
{
    if (seal->has_pin && same_pin(&seal->pin, pin)) {
        return HF_SUCCESS;
    }
    if (seal->pin_file != NULL) {
        HF_TRY(hf_pin_write(op, seal->pin_file, pin));
    }
    seal->pin = *pin;
    seal->has_pin = true;
    return HF_SUCCESS;
}

static struct hf_status pin_head(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, const struct hf_head *head)
{
    struct hf_pin pin = { .has_root = true, .has_head = true };

    memcpy(pin.store_id, seal->store_id, HF_STORE_ID_LEN);
    HF_TRY(hf_root_commit(unlocked, op, &pin.generation, pin.commitment));
    pin.seq = head->seq;
    memcpy(pin.link, head->link, HF_DIGEST_LEN);
    return keep(seal, op, &pin);
}

struct hf_status hf_pin_keep(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                             const struct hf_head *head)
{
    struct hf_status status;

    pthread_mutex_lock(&seal->pin_lock);
    status = pin_head(seal, unlocked, op, head);
    pthread_mutex_unlock(&seal->pin_lock);
    return status;
}

struct hf_status hf_pin_keep_store(struct hf_seal *seal, struct hf_op *op)
{
    struct hf_pin pin = { 0 };

    memcpy(pin.store_id, seal->store_id, HF_STORE_ID_LEN);
    return keep(seal, op, &pin);
}

struct hf_status hf_seal_pin(struct hf_seal *seal, struct hf_op *op)
{
    struct hf_status status = HF_SUCCESS;
    struct hf_head head = { 0 };

    /* A commit that was in doubt, or another's, may have passed the consumers by. */
    HF_TRY(hf_seal_follow(seal, op, &head.seq));
    HF_ENTER(seal, op, unlocked);
    pthread_mutex_lock(&seal->feed.lock);
    head.seq = seal->feed.delivered;
    memcpy(head.link, seal->feed.link, HF_DIGEST_LEN);
    pthread_mutex_unlock(&seal->feed.lock);
    pthread_mutex_lock(&seal->pin_lock);
    /* Another may have been quicker with a newer one. */
    if (!seal->pin.has_head || head.seq >= seal->pin.seq) {
        status = pin_head(seal, unlocked, op, &head);
    }
    pthread_mutex_unlock(&seal->pin_lock);
    return status;
}

struct hf_status hf_seal_accept_history(struct hf_seal *seal, struct hf_op *op)
{
    struct hf_pin pin = { .accept_history = true };
    struct hf_status status;

    if (hf_seal_is_unlocked(seal)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store is open, so there is nothing to accept; lock it first");
    }
    pthread_mutex_lock(&seal->pin_lock);
    memcpy(pin.store_id, seal->store_id, HF_STORE_ID_LEN);
    if (seal->has_pin) {
        pin.has_root = seal->pin.has_root;
        pin.generation = seal->pin.generation;
        memcpy(pin.commitment, seal->pin.commitment, HF_SHA256_LEN);
    }
    status = keep(seal, op, &pin);
    pthread_mutex_unlock(&seal->pin_lock);
    return status;
}
