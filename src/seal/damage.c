/* The list of records that do not open: what an operator has to restore. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "seal/seal_internal.h"

#define NAMED_MAX 1000 /* in the log */

void hf_damage_init(struct hf_damage *damage)
{
    memset(damage, 0, sizeof *damage);
    pthread_mutex_init(&damage->lock, NULL);
}

void hf_damage_clear(struct hf_damage *damage)
{
    pthread_mutex_lock(&damage->lock);
    hf_by_path_clear(&damage->records);
    damage->total = 0;
    pthread_mutex_unlock(&damage->lock);
}

void hf_damage_done(struct hf_damage *damage)
{
    hf_damage_clear(damage);
    pthread_mutex_destroy(&damage->lock);
}

void hf_damage_add(struct hf_seal *seal, const struct hf_damaged *record, const char *why)
{
    struct hf_damage *damage = &seal->damage;
    struct hf_damaged *known;
    bool is_named = false;

    pthread_mutex_lock(&damage->lock);
    known = hf_by_path_find(&damage->records, record->path);
    if (known != NULL && record->revision > known->revision) {
        known->revision = record->revision;
        known->seq = record->seq;
    } else if (known == NULL) {
        hf_by_path_add(&damage->records, record);
        is_named = ++damage->total <= NAMED_MAX;
    }
    pthread_mutex_unlock(&damage->lock);
    if (is_named) {
        HF_ERROR(seal->env, "the record %.300s (revision %" PRIu64 ") does not open: %s",
                 record->path, record->revision, why);
    }
}

void hf_damage_heal(struct hf_seal *seal, const char *path, uint64_t revision)
{
    struct hf_damage *damage = &seal->damage;
    struct hf_damaged *known;

    if (atomic_load(&damage->total) == 0) {
        return;
    }
    pthread_mutex_lock(&damage->lock);
    known = hf_by_path_find(&damage->records, path);
    if (known != NULL && known->revision < revision) {
        hf_by_path_remove(&damage->records, known);
        damage->total--;
    }
    pthread_mutex_unlock(&damage->lock);
}

void hf_damage_read(struct hf_seal *seal, const char *path)
{
    hf_damage_heal(seal, path, 1);
}

enum hf_harm hf_seal_harm(struct hf_seal *seal, const char *path)
{
    struct hf_damage *damage = &seal->damage;
    const struct hf_damaged *known;
    enum hf_harm harm = HF_HARM_NONE;

    if (atomic_load(&damage->total) == 0) {
        return HF_HARM_NONE;
    }
    pthread_mutex_lock(&damage->lock);
    known = hf_by_path_find(&damage->records, path);
    if (known != NULL) {
        harm = known->revision == 0 ? HF_HARM_MISSED : HF_HARM_UNTOLD;
    }
    pthread_mutex_unlock(&damage->lock);
    return harm;
}

uint64_t hf_seal_damage(struct hf_seal *seal,
                        void (*visit)(void *context, const struct hf_damaged *record),
                        void *context)
{
    struct hf_damage *damage = &seal->damage;
    uint64_t total;

    if (visit == NULL) {
        return atomic_load(&damage->total);
    }
    pthread_mutex_lock(&damage->lock);
    hf_by_path_each(damage->records, visit, context);
    total = damage->total;
    pthread_mutex_unlock(&damage->lock);
    return total;
}
