/* The room that requests of all connections share: taken while bytes wait, given back after. */
#include "http/internal.h"

/* What an unfinished request may hold without asking: heads of usual ones. */
#define FREE_BYTES 2048
/* A complete one is answered at once or waits for a worker, and the workers' queue has its end. */
#define FREE_COMPLETE_BYTES 16384

static size_t wanted(const struct hf_http *http)
{
    bool is_complete = http->stage == HF_HTTP_READY || http->stage == HF_HTTP_GIVEN;
    size_t held = http->in.len - http->start + http->chunks.len + http->later.len;

    return held > (is_complete ? FREE_COMPLETE_BYTES : FREE_BYTES) ? held : 0;
}

static bool take(struct hf_http_room *room, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&room->used_bytes, bytes, memory_order_relaxed);

    if (bytes <= room->max_bytes && before <= room->max_bytes - bytes) {
        return true;
    }
    atomic_fetch_sub_explicit(&room->used_bytes, bytes, memory_order_relaxed);
    hf_metric_add(room->refused, 1);
    return false;
}

void hf_http_room_give_back(struct hf_http *http)
{
    size_t want = http->room_taken > 0 ? wanted(http) : 0;

    if (want < http->room_taken) {
        atomic_fetch_sub_explicit(&http->limits.room->used_bytes, http->room_taken - want,
                                  memory_order_relaxed);
        http->room_taken = want;
    }
}

bool hf_http_room_settle(struct hf_http *http)
{
    size_t want = wanted(http);

    if (http->limits.room == NULL || want == http->room_taken) {
        return true;
    }
    if (want < http->room_taken) {
        hf_http_room_give_back(http);
        return true;
    }
    if (!take(http->limits.room, want - http->room_taken)) {
        return false;
    }
    http->room_taken = want;
    return true;
}

void hf_http_room_leave(struct hf_http *http)
{
    if (http->room_taken > 0) {
        atomic_fetch_sub_explicit(&http->limits.room->used_bytes, http->room_taken,
                                  memory_order_relaxed);
        http->room_taken = 0;
    }
}
