/* What the files of the policy share: the documents in force and the lock over them. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "policy/cache.h"
#include "policy/rules.h"

#define HF_POLICY_PREFIX "policy/"
#define HF_POLICY_LIST   ".set" /* no document can have this name */
#define HF_POLICY_FORMAT 1

/* A line of the list of documents in force. */
struct hf_listed {
    char *name;
    uint64_t revision;
};

struct hf_policy {
    struct hf_seal *seal;
    _Atomic uint64_t generation;    /* grows with every change; changed under the lock only */
    pthread_rwlock_t lock;          /* guards the rest but decisions */
    struct hf_document **documents; /* sorted by name */
    size_t count, room;
    /*
     * The record "policy/.set" lists the documents in force, and every change of policy rewrites
     * it. So a document that is damaged or put back in an older state is missed, instead of
     * silently taking its denials with it; and changes made side by side meet in it.
     */
    struct hf_listed *listed;
    size_t listed_count;
    uint64_t list_revision; /* 0: there is none */
    bool is_complete;       /* every document of the list is there */
    struct hf_decisions *decisions;
};

/* The place of a document by name, removed ones included, or NULL. The caller holds the lock. */
struct hf_document *hf_policy_find(const struct hf_policy *policy, const char *name);
/*
 * The rules in force, without the document of that name (NULL: with all), and those changed (NULL:
 * none). out has room for one more than there are documents. The caller holds the lock.
 */
void hf_policy_collect(const struct hf_policy *policy, const char *name,
                       const struct hf_rules *changed, struct hf_rule_sets *out);
/*
 * Whether the list is complete and is itself what was written last: an altered list never came
 * here, and what it would have put in force is not known. The caller holds the lock.
 */
bool hf_policy_is_sound(const struct hf_policy *policy);
