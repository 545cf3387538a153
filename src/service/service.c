/* The service itself: its parts, and what lives as long as it does. */
#include <stdlib.h>

#include "base/alloc.h"
#include "service/internal.h"

/* Some hundred bytes each. In a node's first seconds every change is one. */
#define REPEATS_MAX 1000000

struct hf_service *hf_service_new(const struct hf_service_parts *parts)
{
    struct hf_service *service = hf_alloc(sizeof *service);

    service->seal = parts->seal;
    service->keys = parts->keys;
    service->policy = parts->policy;
    service->audit = parts->audit;
    service->cookies = parts->cookies;
    service->cluster = parts->cluster;
    service->max_waiting = parts->max_waiting;
    service->shared_store = parts->shared_store;
    service->node = hf_strdup(parts->node != NULL ? parts->node : "");
    service->site = hf_strdup(parts->site != NULL ? parts->site : "");
    service->store = parts->store;
    service->outside = parts->outside;
    service->signer = parts->signer;
    service->slots = parts->slots;
    service->slot_count = parts->slot_count;
    service->min_ways = parts->min_ways > 0 ? parts->min_ways : 1;
    service->drill_every_ms = parts->drill_every_ms;
    pthread_mutex_init(&service->feeder, NULL);
    pthread_mutex_init(&service->drill.lock, NULL);
    service->repeats = hf_repeats_new(REPEATS_MAX);
    service->revocations = hf_revocations_new();
    hf_jobs_start(service);
    return service;
}

void hf_service_free(struct hf_service *service)
{
    if (service == NULL) {
        return;
    }
    hf_jobs_stop(service);
    hf_repeats_free(service->repeats);
    hf_revocations_free(service->revocations);
    hf_drill_watch_free(service->watch);
    pthread_mutex_destroy(&service->drill.lock);
    pthread_mutex_destroy(&service->feeder);
    free(service->node);
    free(service->site);
    free(service);
}
