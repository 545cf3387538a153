/* See fixture.h. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

struct hf_crypto *fixture_crypto;
static struct hf_pkey *signer;

/* --- the environment --- */

static struct fixture_env *env_of(struct hf_env *env)
{
    return env->context;
}

static uint64_t env_realtime(struct hf_env *env)
{
    return env_of(env)->realtime_ms;
}

static uint64_t env_boottime(struct hf_env *env)
{
    return env_of(env)->boottime_ms;
}

/* 1, 2, 3, ... */
static void env_random(struct hf_env *env, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = ++env_of(env)->next_random;
    }
}

static const struct hf_env_ops env_ops = {
    .realtime_ms = env_realtime,
    .boottime_ms = env_boottime,
    .random = env_random,
};

/* --- the disk --- */

static struct fixture_disk *disk_of(struct hf_audit_disk *disk)
{
    return disk->context;
}

/* Counts a call; true when it has to fail, with errno set. */
static bool must_fail(struct fixture_disk *disk, enum disk_call kind)
{
    unsigned call = ++disk->calls;
    int error = disk->fail_kind[kind];

    disk->counts[kind]++;
    if (disk->gate_kind == (int)kind) {
        disk->waiting++;
        (void)pthread_mutex_lock(&disk->gate);
        (void)pthread_mutex_unlock(&disk->gate);
        disk->waiting--;
    }
    if (disk->fail_from != 0 && call >= disk->fail_from && call <= disk->fail_to) {
        error = disk->fail_errno;
    }
    if (error != 0) {
        errno = error;
    }
    return error != 0;
}

static ssize_t disk_write(struct hf_audit_disk *base, int fd, struct hf_bytes bytes, uint64_t at)
{
    struct fixture_disk *disk = disk_of(base);
    uint64_t space = disk->space;

    if (must_fail(disk, DISK_WRITE)) {
        return -1;
    }
    if (space == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (disk->short_writes && bytes.len > 1) {
        bytes.len /= 2;
    }
    if (space != UINT64_MAX) {
        bytes.len = bytes.len < space ? bytes.len : (size_t)space;
        disk->space -= bytes.len;
    }
    return disk->system.ops->write(&disk->system, fd, bytes, at);
}

static int disk_truncate(struct hf_audit_disk *base, int fd, uint64_t len)
{
    struct fixture_disk *disk = disk_of(base);

    return must_fail(disk, DISK_TRUNCATE) ? -1 : disk->system.ops->truncate(&disk->system, fd, len);
}

static int disk_sync(struct hf_audit_disk *base, int fd)
{
    struct fixture_disk *disk = disk_of(base);

    (void)fd; /* no test pulls the plug, and other tests need the disk */
    return must_fail(disk, DISK_SYNC) ? -1 : 0;
}

static int disk_sync_directory(struct hf_audit_disk *base, int fd)
{
    (void)fd;
    return must_fail(disk_of(base), DISK_SYNC_DIRECTORY) ? -1 : 0;
}

static int disk_create(struct hf_audit_disk *base, int directory, const char *name)
{
    struct fixture_disk *disk = disk_of(base);

    return must_fail(disk, DISK_CREATE) ? -1
                                        : disk->system.ops->create(&disk->system, directory, name);
}

static int disk_rename(struct hf_audit_disk *base, int directory, const char *from, const char *to)
{
    struct fixture_disk *disk = disk_of(base);

    return must_fail(disk, DISK_RENAME)
               ? -1
               : disk->system.ops->rename(&disk->system, directory, from, to);
}

static const struct hf_audit_disk_ops disk_ops = {
    .write = disk_write,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .sync_directory = disk_sync_directory,
    .create = disk_create,
    .rename = disk_rename,
};

/* --- programs and tests --- */

/* The private key of the test vector in docs/formats/audit.md: 32 bytes 00, 01, ... 1f. */
static struct hf_pkey *fixed_key(struct hf_op *op, uint8_t first)
{
    static const uint8_t head[16] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                      0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };
    uint8_t pkcs8[48];
    struct hf_pkey *pkey = NULL;

    memcpy(pkcs8, head, sizeof head);
    for (size_t i = 0; i < 32; i++) {
        pkcs8[sizeof head + i] = (uint8_t)(first + i);
    }
    assert_ok(op,
              hf_pkey_from_private(fixture_crypto, op, hf_bytes_of(pkcs8, sizeof pkcs8), &pkey));
    return pkey;
}

int fixture_start(void **unused)
{
    const struct hf_secret_settings settings = { .allow_unlocked = true };
    struct hf_env env;
    struct hf_op op;

    (void)unused;
    hf_env_system(&env);
    hf_op_init(&op, &env);
    assert_ok(&op, hf_secret_start(&op, &settings));
    assert_ok(&op, hf_crypto_start(&op));
    assert_ok(&op, hf_crypto_new(&op, &fixture_crypto));
    signer = fixed_key(&op, 0);
    return 0;
}

int fixture_stop(void **unused)
{
    (void)unused;
    hf_pkey_free(signer);
    hf_crypto_free(fixture_crypto);
    return 0;
}

struct hf_pkey *fixture_other_key(void)
{
    struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    return fixed_key(&op, 0x80);
}

int fixture_new(void **state)
{
    struct fixture *fixture = hf_alloc(sizeof *fixture);

    fixture->env.env.ops = &env_ops;
    fixture->env.env.context = &fixture->env;
    fixture->env.realtime_ms = 1795303860123U; /* 2026-11-21T23:31:00.123Z */
    fixture->env.boottime_ms = 10000;
    hf_audit_disk_system(&fixture->disk.system);
    fixture->disk.disk.ops = &disk_ops;
    fixture->disk.disk.context = &fixture->disk;
    fixture->disk.space = UINT64_MAX;
    fixture->disk.gate_kind = DISK_CALLS;
    assert_int_equal(pthread_mutex_init(&fixture->disk.gate, NULL), 0);
    fixture->disk.fail_errno = EIO;
    hf_op_init(&fixture->op, &fixture->env.env);
    (void)snprintf(fixture->directory, sizeof fixture->directory, "/tmp/holdfast-audit-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_ok(&fixture->op, hf_pkey_public(signer, &fixture->op, &fixture->public_key));
    fixture->settings = (struct hf_audit_settings){
        .directory = fixture->directory,
        .node = "node-1",
        .when_full = HF_AUDIT_FULL_STOP,
        .checkpoint_every = 8,
        .signer = signer,
    };
    *state = fixture;
    return 0;
}

int fixture_free(void **state)
{
    struct fixture *fixture = *state;
    DIR *names;

    fixture_close(fixture);
    names = opendir(fixture->directory);
    assert_non_null(names);
    for (struct dirent *entry = readdir(names); entry != NULL; entry = readdir(names)) {
        if (entry->d_name[0] != '.') {
            fixture_remove(fixture, entry->d_name);
        }
    }
    (void)closedir(names);
    assert_int_equal(rmdir(fixture->directory), 0);
    assert_int_equal(pthread_mutex_destroy(&fixture->disk.gate), 0);
    hf_buf_done(&fixture->public_key);
    free(fixture);
    return 0;
}

void fixture_open(struct fixture *fixture)
{
    assert_null(fixture->audit);
    assert_ok(&fixture->op, hf_audit_open_on(fixture_crypto, &fixture->op, &fixture->settings,
                                             &fixture->disk.disk, &fixture->audit));
}

void fixture_close(struct fixture *fixture)
{
    hf_audit_free(fixture->audit);
    fixture->audit = NULL;
}

void fixture_kill(struct fixture *fixture)
{
    for (size_t i = 0; i < DISK_CALLS; i++) {
        fixture->disk.fail_kind[i] = EIO;
    }
    fixture_close(fixture);
    for (size_t i = 0; i < DISK_CALLS; i++) {
        fixture->disk.fail_kind[i] = 0;
    }
    fixture->disk.fail_from = 0;
}

/* --- events --- */

struct hf_status fixture_append(struct fixture *fixture, struct hf_op *op, unsigned number)
{
    char caller[32];
    const struct hf_audit_event event = {
        .operation = "hadoop.decrypt",
        .outcome = "ok",
        .caller = caller,
        .address = "192.0.2.7",
        .door = "hadoop",
        .keyring = "default",
        .key = "orders",
        .has_version = true,
        .version = 3,
    };

    (void)snprintf(caller, sizeof caller, "pseudo:user-%u-", number);
    return hf_audit_append(fixture->audit, op, &event);
}

void fixture_fill(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, i));
    }
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
}

struct hf_status fixture_note(struct fixture *fixture, uint64_t seq)
{
    static const char note[] = "{\"operation\":\"key.rotate\",\"outcome\":\"ok\"}";

    return hf_audit_append_note(fixture->audit, &fixture->op, seq, 1795303860456U,
                                hf_bytes_of_text(note));
}

/* --- files --- */

static char *path_of(struct fixture *fixture, const char *name)
{
    return hf_format("%s/%s", fixture->directory, name);
}

struct hf_buf *fixture_read(struct fixture *fixture, const char *name)
{
    HF_AUTO_STRING path = path_of(fixture, name);
    FILE *file = fopen(path, "re");
    HF_AUTO(buf) content = hf_buf_new();
    size_t got;

    if (file == NULL) {
        return NULL;
    }
    do {
        got = fread(hf_buf_reserve(content, 65536), 1, 65536, file);
        hf_buf_grew(content, got);
    } while (got > 0);
    (void)fclose(file);
    return HF_TAKE(content);
}

void fixture_replace(struct fixture *fixture, const char *name, struct hf_bytes content)
{
    HF_AUTO_STRING path = path_of(fixture, name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    if (content.len > 0) {
        assert_int_equal(fwrite(content.data, 1, content.len, file), content.len);
    }
    assert_int_equal(fclose(file), 0);
}

void fixture_remove(struct fixture *fixture, const char *name)
{
    HF_AUTO_STRING path = path_of(fixture, name);

    assert_int_equal(unlink(path), 0);
}

bool fixture_has(struct fixture *fixture, const char *name)
{
    HF_AUTO_STRING path = path_of(fixture, name);

    return access(path, F_OK) == 0;
}

struct hf_status fixture_verify(struct fixture *fixture, const char *anchor,
                                struct hf_audit_report *out)
{
    return hf_audit_verify(fixture_crypto, &fixture->op, fixture->directory,
                           hf_buf_bytes(&fixture->public_key),
                           anchor != NULL ? hf_bytes_of_text(anchor) : HF_BYTES_NONE, out);
}

void fixture_assert_whole(struct fixture *fixture, struct hf_audit_report *out)
{
    assert_ok(&fixture->op, fixture_verify(fixture, NULL, out));
    assert_string_equal(out->problem, "");
}

static unsigned count_in(const struct hf_buf *content, const char *text)
{
    unsigned count = 0;
    const uint8_t *at = content->data;
    size_t left = content->len;
    const uint8_t *found;

    while (left > 0 && (found = memmem(at, left, text, strlen(text))) != NULL) {
        count++;
        left -= (size_t)(found - at) + 1;
        at = found + 1;
    }
    return count;
}

unsigned fixture_count(struct fixture *fixture, const char *text)
{
    HF_AUTO(buf) current = fixture_read(fixture, HF_AUDIT_CURRENT);
    unsigned count = current != NULL ? count_in(current, text) : 0;

    for (uint64_t number = 1;; number++) {
        char name[HF_AUDIT_NAME_MAX];
        HF_AUTO(buf) older = NULL;

        hf_audit_file_name(number, name);
        older = fixture_read(fixture, name);
        if (older == NULL) {
            return count;
        }
        count += count_in(older, text);
    }
}

struct hf_bytes fixture_line(struct hf_bytes text, unsigned number)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;

    for (;;) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));

        assert_non_null(newline);
        if (--number == 0) {
            return hf_bytes_of(at, (size_t)(newline - at) + 1);
        }
        at = newline + 1;
    }
}

void fixture_wait_until(bool (*condition)(struct fixture *fixture), struct fixture *fixture)
{
    const struct timespec pause = { 0, 5000000 };

    for (unsigned i = 0; i < 4000; i++) {
        if (condition(fixture)) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("waited 20 seconds in vain");
}
