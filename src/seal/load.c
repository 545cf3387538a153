/*
 * The scan at unlock: every record is opened, summed and told to its consumers.
 *
 * The engine's thread copies records into batches and a second thread works on them, if there is a
 * second processor and more than one batch; otherwise the same work is done in place. Consumers are
 * called by one thread at a time either way.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "seal/seal_internal.h"

#define BATCHES     3
#define BATCH_ITEMS 512
#define BATCH_BYTES ((size_t)256 << 10)
#define SCRATCH_LEN ((size_t)16 << 10)

struct item {
    size_t path;
    size_t body;
    size_t body_len;
    uint64_t revision;
    uint64_t seq;
};

struct batch {
    struct hf_buf bytes;
    struct item items[BATCH_ITEMS];
    size_t count;
};

struct loader {
    struct hf_seal *seal;
    struct hf_unlocked *unlocked;
    struct hf_op *op; /* of the thread that reads the store */

    /* Of the thread that works on records. */
    struct hf_record_opener opener;
    struct hf_secret *scratch;
    struct hf_load_report report;
    struct hf_op work_op;

    struct batch *batches; /* BATCHES of them, in a ring */
    pthread_t thread;
    bool has_thread;
    bool may_have_thread;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t moved;
    size_t filled; /* batches ever handed over */
    size_t worked; /* batches ever done */
    bool at_end;
    struct hf_status status; /* of the work */
};

static struct hf_status make_room(struct loader *loader, size_t len)
{
    if (loader->scratch != NULL && hf_secret_len(loader->scratch) >= len) {
        return HF_SUCCESS;
    }
    hf_secret_free(loader->scratch);
    loader->scratch = NULL;
    return hf_secret_new(&loader->work_op, len > SCRATCH_LEN ? len : SCRATCH_LEN, &loader->scratch);
}

static struct hf_status open_and_feed(struct loader *loader, const struct hf_record_place *place,
                                      uint64_t seq, struct hf_bytes body)
{
    struct hf_record_parts parts;
    struct hf_opened_view view;

    HF_TRY(hf_record_parse(&loader->work_op, body, &parts));
    if (parts.cipher.len > HF_CONTENT_MAX) {
        return hf_fail_cause(&loader->work_op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "it is larger than any record that was sealed");
    }
    HF_TRY(make_room(loader, parts.cipher.len));
    HF_TRY(hf_record_opener_open(&loader->opener, &loader->work_op, place, &parts,
                                 hf_secret_data(loader->scratch)));
    view = (struct hf_opened_view){
        .kind = (enum hf_kind)parts.kind,
        .path = place->path,
        .revision = place->revision,
        .seq = seq,
        .tombstone = (parts.flags & HF_RECORD_TOMBSTONE) != 0,
        .plain = parts.clear.len > 0
                     ? parts.clear
                     : hf_bytes_of(hf_secret_data(loader->scratch), parts.cipher.len),
    };
    return hf_feed_apply(&loader->seal->feed, &loader->work_op, &view);
}

/* One bad record must not stop all the others; it is told loudly. */
static struct hf_status work_on_record(struct loader *loader, const char *path, uint64_t revision,
                                       uint64_t seq, struct hf_bytes body)
{
    struct hf_record_place place = { .path = path, .revision = revision };
    struct hf_status status;

    HF_TRY(hf_sum_record(loader->unlocked, &loader->work_op, &place, body, &loader->report.digest));
    loader->report.count++;
    loader->report.last_seq = seq > loader->report.last_seq ? seq : loader->report.last_seq;
    status = open_and_feed(loader, &place, seq, body);
    if (status.code == HF_CORRUPT) {
        hf_damage_add(loader->seal, &(struct hf_damaged){ path, revision, seq },
                      loader->work_op.text);
        hf_op_clear(&loader->work_op);
        loader->report.damaged++;
        return HF_SUCCESS;
    }
    return status;
}

static struct hf_status work_on_batch(struct loader *loader, struct batch *batch)
{
    struct hf_status status = HF_SUCCESS;

    hf_feed_begin(&loader->seal->feed);
    for (size_t i = 0; i < batch->count && status.code == HF_OK; i++) {
        const struct item *item = &batch->items[i];

        status =
            work_on_record(loader, (const char *)batch->bytes.data + item->path, item->revision,
                           item->seq, hf_bytes_of(batch->bytes.data + item->body, item->body_len));
    }
    hf_feed_end(&loader->seal->feed);
    return status;
}

static void empty(struct batch *batch)
{
    hf_buf_clear(&batch->bytes);
    batch->count = 0;
}

/* Waits for the next batch; NULL at the end. */
static struct batch *next_batch(struct loader *loader)
{
    struct batch *batch = NULL;

    pthread_mutex_lock(&loader->lock);
    while (loader->worked == loader->filled && !loader->at_end) {
        pthread_cond_wait(&loader->moved, &loader->lock);
    }
    if (loader->worked < loader->filled) {
        batch = &loader->batches[loader->worked % BATCHES];
    }
    pthread_mutex_unlock(&loader->lock);
    return batch;
}

static void *work(void *context)
{
    struct loader *loader = context;
    struct batch *batch = next_batch(loader);

    while (batch != NULL) {
        struct hf_status status = loader->status;

        /* After a failure the rest is only passed through, so that the reader never waits. */
        if (status.code == HF_OK) {
            status = work_on_batch(loader, batch);
        }
        empty(batch);
        pthread_mutex_lock(&loader->lock);
        loader->status = status;
        loader->worked++;
        pthread_cond_broadcast(&loader->moved);
        pthread_mutex_unlock(&loader->lock);
        batch = next_batch(loader);
    }
    return NULL;
}

static bool has_second_processor(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 1;
}

/* Hands the batch being filled to the thread and waits until there is another one to fill. */
static struct hf_status hand_over(struct loader *loader)
{
    struct hf_status status;

    pthread_mutex_lock(&loader->lock);
    loader->filled++;
    pthread_cond_broadcast(&loader->moved);
    while (loader->filled - loader->worked == BATCHES) {
        pthread_cond_wait(&loader->moved, &loader->lock);
    }
    status = loader->status;
    pthread_mutex_unlock(&loader->lock);
    return status;
}

/* Signals are for the threads that the program made. */
static bool start_thread(struct loader *loader)
{
    sigset_t all;
    sigset_t old;
    bool started;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    started = pthread_create(&loader->thread, NULL, work, loader) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

static struct hf_status pass_on(struct loader *loader)
{
    struct batch *batch = &loader->batches[loader->filled % BATCHES];
    struct hf_status status;

    if (!loader->has_thread && loader->may_have_thread) {
        loader->has_thread = start_thread(loader);
        loader->may_have_thread = false;
    }
    if (loader->has_thread) {
        return hand_over(loader);
    }
    status = work_on_batch(loader, batch);
    empty(batch);
    return status;
}

static struct hf_status copy_record(void *context, const struct hf_record_view *record)
{
    struct loader *loader = context;
    struct batch *batch = &loader->batches[loader->filled % BATCHES];
    struct item *item = &batch->items[batch->count++];

    item->path = batch->bytes.len;
    hf_buf_add(&batch->bytes, record->path, strlen(record->path) + 1);
    item->body = batch->bytes.len;
    item->body_len = record->body.len;
    hf_buf_add_bytes(&batch->bytes, record->body);
    item->revision = record->revision;
    item->seq = record->seq;
    if (batch->count < BATCH_ITEMS && batch->bytes.len < BATCH_BYTES) {
        return HF_SUCCESS;
    }
    return pass_on(loader);
}

static void loader_init(struct loader *loader)
{
    loader->batches = hf_alloc_array(BATCHES, sizeof *loader->batches);
    loader->may_have_thread = has_second_processor();
    hf_record_opener_init(&loader->opener, loader->unlocked);
    hf_op_init(&loader->work_op, loader->op->env);
    loader->work_op.lane = loader->op->lane;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->moved, NULL);
}

static void loader_done(struct loader *loader)
{
    for (size_t i = 0; i < BATCHES; i++) {
        hf_buf_done(&loader->batches[i].bytes);
    }
    free(loader->batches);
    hf_record_opener_done(&loader->opener);
    hf_secret_free(loader->scratch);
    pthread_cond_destroy(&loader->moved);
    pthread_mutex_destroy(&loader->lock);
}

/* The rest of the records, once the store has shown its last one. */
static struct hf_status finish(struct loader *loader, struct hf_status listed)
{
    struct hf_status status = listed;

    if (loader->has_thread) {
        pthread_mutex_lock(&loader->lock);
        loader->filled += listed.code == HF_OK ? 1 : 0;
        loader->at_end = true;
        pthread_cond_broadcast(&loader->moved);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
        status = loader->status.code != HF_OK ? loader->status : listed;
    } else if (listed.code == HF_OK) {
        status = work_on_batch(loader, &loader->batches[0]);
    }
    return status;
}

struct hf_status hf_load(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                         struct hf_load_report *out)
{
    struct loader loader = { .seal = seal, .unlocked = unlocked, .op = op };
    struct hf_status status;

    loader_init(&loader);
    status = hf_engine_list(seal->engine, op, "", NULL, copy_record, &loader);
    status = finish(&loader, status);
    if (status.code == HF_OK) {
        *out = loader.report;
    } else if (loader.work_op.code != HF_OK) {
        status =
            hf_fail_cause(op, loader.work_op.code, loader.work_op.cause, "%s", loader.work_op.text);
    }
    loader_done(&loader);
    return status;
}
