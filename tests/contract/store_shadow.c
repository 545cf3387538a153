/* The shadow of a directory: what a power loss would leave of its files. */
#include "store_shadow.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define SECTOR    512
#define FILES_MAX 16

/* A change that was not synced yet; a truncation has no data. */
struct pending {
    int64_t at;
    size_t len;
    uint8_t *data;
};

struct shadow_file {
    char *name; /* without the directory */
    bool durable_name;
    struct hf_buf durable;
    struct pending *pending;
    size_t pending_count;
};

struct image_file {
    char *name;
    struct hf_buf bytes;
};

struct image {
    struct image_file files[FILES_MAX];
    size_t count;
};

static struct {
    pthread_mutex_t lock; /* guards everything */
    bool on;
    char *directory;
    struct shadow_file files[FILES_MAX];
    size_t count;
    uint64_t events;
    uint64_t at;
    bool taken;
    struct image images[SHADOW_LOSSES];
    void (*on_image)(void *context);
    void *context;
} shadow = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Makes it that long; new bytes are zero. */
static void resize(struct hf_buf *buf, size_t len)
{
    if (len > buf->len) {
        size_t more = len - buf->len;

        memset(hf_buf_reserve(buf, more), 0, more);
        hf_buf_grew(buf, more);
    }
    buf->len = len;
}

static void write_at(struct hf_buf *buf, size_t at, const uint8_t *data, size_t len)
{
    if (at + len > buf->len) {
        resize(buf, at + len);
    }
    memcpy(buf->data + at, data, len);
}

/* Whether a sector was lucky; the same in every run. */
static bool lucky(uint64_t event, size_t pending, size_t sector)
{
    uint64_t mixed = (event * 1000003U + pending) * 1000003U + sector + 1;

    mixed ^= mixed >> 33;
    mixed *= 0xff51afd7ed558ccdU;
    mixed ^= mixed >> 33;
    return (mixed & 1) != 0;
}

static void apply_torn(struct hf_buf *buf, const struct pending *pending, size_t number)
{
    size_t done = 0;

    if (pending->data == NULL) {
        if (lucky(shadow.at, number, 0)) {
            resize(buf, (size_t)pending->at);
        }
        return;
    }
    while (done < pending->len) {
        size_t at = (size_t)pending->at + done;
        size_t len = SECTOR - at % SECTOR;

        len = len < pending->len - done ? len : pending->len - done;
        if (lucky(shadow.at, number, at / SECTOR)) {
            write_at(buf, at, pending->data + done, len);
        }
        done += len;
    }
}

static void apply_whole(struct hf_buf *buf, const struct pending *pending)
{
    if (pending->data == NULL) {
        resize(buf, (size_t)pending->at);
    } else {
        write_at(buf, (size_t)pending->at, pending->data, pending->len);
    }
}

static void take_file(struct image *image, enum shadow_loss loss, const struct shadow_file *file)
{
    struct image_file *out;

    if (!file->durable_name && loss == SHADOW_LOSES_ALL) {
        return;
    }
    out = &image->files[image->count++];
    out->name = hf_strdup(file->name);
    hf_buf_add_bytes(&out->bytes, hf_buf_bytes(&file->durable));
    for (size_t i = 0; i < file->pending_count && loss != SHADOW_LOSES_ALL; i++) {
        if (loss == SHADOW_LOSES_NONE) {
            apply_whole(&out->bytes, &file->pending[i]);
        } else {
            apply_torn(&out->bytes, &file->pending[i], i);
        }
    }
}

/* With the lock held, before each event. */
static void count_event(void)
{
    shadow.events++;
    if (shadow.at == 0 || shadow.events != shadow.at) {
        return;
    }
    for (enum shadow_loss loss = 0; loss < SHADOW_LOSSES; loss++) {
        for (size_t i = 0; i < shadow.count; i++) {
            take_file(&shadow.images[loss], loss, &shadow.files[i]);
        }
    }
    shadow.taken = true;
    shadow.on_image(shadow.context);
}

/* The file of that path, or NULL if it lies elsewhere; shared memory is no file of a disk. */
static struct shadow_file *file_at(const char *path, bool make)
{
    size_t len = shadow.on ? strlen(shadow.directory) : 0;
    const char *name = path + len + 1;

    if (!shadow.on || strncmp(path, shadow.directory, len) != 0 || path[len] != '/') {
        return NULL;
    }
    for (size_t i = 0; i < shadow.count; i++) {
        if (strcmp(shadow.files[i].name, name) == 0) {
            return &shadow.files[i];
        }
    }
    if (!make) {
        return NULL;
    }
    hf_assert(shadow.count < FILES_MAX);
    shadow.files[shadow.count].name = hf_strdup(name);
    return &shadow.files[shadow.count++];
}

static void add_pending(struct shadow_file *file, int64_t at, const void *data, size_t len)
{
    struct pending *pending;

    file->pending = hf_realloc_array(file->pending, file->pending_count + 1, sizeof *file->pending);
    pending = &file->pending[file->pending_count++];
    *pending = (struct pending){ .at = at, .len = len };
    if (data != NULL) {
        pending->data = hf_alloc(len);
        memcpy(pending->data, data, len);
    }
}

static void clear_pending(struct shadow_file *file)
{
    for (size_t i = 0; i < file->pending_count; i++) {
        free(file->pending[i].data);
    }
    free(file->pending);
    file->pending = NULL;
    file->pending_count = 0;
}

void shadow_wrote(const char *path, const void *data, size_t len, int64_t at)
{
    struct shadow_file *file;

    pthread_mutex_lock(&shadow.lock);
    file = file_at(path, true);
    if (file != NULL) {
        count_event();
        add_pending(file, at, data, len);
    }
    pthread_mutex_unlock(&shadow.lock);
}

void shadow_truncated(const char *path, int64_t size)
{
    struct shadow_file *file;

    pthread_mutex_lock(&shadow.lock);
    file = file_at(path, true);
    if (file != NULL) {
        count_event();
        add_pending(file, size, NULL, 0);
    }
    pthread_mutex_unlock(&shadow.lock);
}

void shadow_synced(const char *path)
{
    struct shadow_file *file;

    pthread_mutex_lock(&shadow.lock);
    file = file_at(path, true);
    if (file != NULL) {
        count_event();
        for (size_t i = 0; i < file->pending_count; i++) {
            apply_whole(&file->durable, &file->pending[i]);
        }
        clear_pending(file);
        file->durable_name = true;
    }
    pthread_mutex_unlock(&shadow.lock);
}

static void forget_file(struct shadow_file *file)
{
    clear_pending(file);
    hf_buf_done(&file->durable);
    free(file->name);
    *file = shadow.files[--shadow.count];
    memset(&shadow.files[shadow.count], 0, sizeof *file);
}

void shadow_deleted(const char *path)
{
    struct shadow_file *file;

    pthread_mutex_lock(&shadow.lock);
    file = file_at(path, false);
    if (file != NULL) {
        count_event();
        forget_file(file);
    }
    pthread_mutex_unlock(&shadow.lock);
}

static void read_file(struct shadow_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    hf_assert(fd >= 0);
    while ((got = read(fd, hf_buf_reserve(&file->durable, 65536), 65536)) > 0) {
        hf_buf_grew(&file->durable, (size_t)got);
    }
    hf_assert(got == 0);
    (void)close(fd);
    file->durable_name = true;
}

void shadow_start(const char *directory)
{
    DIR *listing = opendir(directory);
    struct dirent *entry;

    hf_assert(listing != NULL);
    pthread_mutex_lock(&shadow.lock);
    shadow.on = true;
    shadow.directory = hf_strdup(directory);
    while ((entry = readdir(listing)) != NULL) {
        if (strncmp(entry->d_name, "store.db", 8) == 0) {
            HF_AUTO_STRING path = hf_format("%s/%s", directory, entry->d_name);

            read_file(file_at(path, true), path);
        }
    }
    pthread_mutex_unlock(&shadow.lock);
    (void)closedir(listing);
}

void shadow_stop(void)
{
    pthread_mutex_lock(&shadow.lock);
    while (shadow.count > 0) {
        forget_file(&shadow.files[0]);
    }
    for (enum shadow_loss loss = 0; loss < SHADOW_LOSSES; loss++) {
        for (size_t i = 0; i < shadow.images[loss].count; i++) {
            free(shadow.images[loss].files[i].name);
            hf_buf_done(&shadow.images[loss].files[i].bytes);
        }
        shadow.images[loss].count = 0;
    }
    free(shadow.directory);
    shadow.directory = NULL;
    shadow.on = false;
    shadow.taken = false;
    shadow.at = 0;
    shadow.events = 0;
    pthread_mutex_unlock(&shadow.lock);
}

void shadow_arm(uint64_t at, void (*on_image)(void *context), void *context)
{
    pthread_mutex_lock(&shadow.lock);
    shadow.at = at;
    shadow.on_image = on_image;
    shadow.context = context;
    pthread_mutex_unlock(&shadow.lock);
}

bool shadow_has_image(void)
{
    bool taken;

    pthread_mutex_lock(&shadow.lock);
    taken = shadow.taken;
    pthread_mutex_unlock(&shadow.lock);
    return taken;
}

void shadow_write_image(enum shadow_loss loss, const char *directory)
{
    pthread_mutex_lock(&shadow.lock);
    for (size_t i = 0; i < shadow.images[loss].count; i++) {
        const struct image_file *file = &shadow.images[loss].files[i];
        HF_AUTO_STRING path = hf_format("%s/%s", directory, file->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        hf_assert(fd >= 0);
        hf_assert(write(fd, file->bytes.data, file->bytes.len) == (ssize_t)file->bytes.len);
        (void)close(fd);
    }
    pthread_mutex_unlock(&shadow.lock);
}

uint64_t shadow_events(void)
{
    uint64_t events;

    pthread_mutex_lock(&shadow.lock);
    events = shadow.events;
    pthread_mutex_unlock(&shadow.lock);
    return events;
}

void shadow_make_pending(const char *name)
{
    HF_AUTO_STRING path = hf_format("%s/%s", shadow.directory, name);
    struct shadow_file *file;

    pthread_mutex_lock(&shadow.lock);
    file = file_at(path, false);
    hf_assert(file != NULL && file->durable.len > 0);
    add_pending(file, 0, file->durable.data, file->durable.len);
    hf_buf_clear(&file->durable);
    file->durable_name = false;
    pthread_mutex_unlock(&shadow.lock);
}
