/*
 * Counting uses: a table of its own per lane, and the book that brings them into the store. For
 * the files of this folder.
 */
#pragma once

#include <pthread.h>

#include "keys/keys.h"

struct hf_usage_entry;

struct hf_usage_table {
    struct hf_usage_entry **slots; /* linear probing */
    size_t capacity;
    size_t count;
};

struct hf_usage_lane {
    pthread_mutex_t lock; /* guards table and last */
    struct hf_usage_table table;
    struct hf_usage_entry *last; /* the one counted on last: batches hit it again and again */
};
void hf_usage_lane_init(struct hf_usage_lane *lane);
void hf_usage_lane_done(struct hf_usage_lane *lane);

/* What was taken from the lanes and is not in the store yet. */
struct hf_usage_book;
struct hf_usage_book *hf_usage_book_new(void);
void hf_usage_book_free(struct hf_usage_book *book);
