/*
 * Keys in the byte order of their names: a list of sorted pages, so that adding, removing and
 * finding a place each cost a search in a list of pages and one in a page. For the files of this
 * folder.
 *
 * Threads: guarded like the index that owns it.
 */
#pragma once

#include "base/bytes.h"

struct hf_index_key;
struct hf_page;

struct hf_sorted {
    struct hf_page **pages;
    size_t page_count;
    size_t page_capacity;
    size_t count;
};

void hf_sorted_done(struct hf_sorted *sorted);
/* The key must not be in it. */
void hf_sorted_add(struct hf_sorted *sorted, struct hf_index_key *key);
/* The key must be in it. */
void hf_sorted_remove(struct hf_sorted *sorted, const struct hf_index_key *key);

/* A place in it, good until the next change. */
struct hf_sorted_place {
    size_t page;
    size_t at;
};
/* The place of the first key whose name sorts after that one; NULL: of the very first. */
struct hf_sorted_place hf_sorted_after(const struct hf_sorted *sorted, const struct hf_bytes *name);
/* The key at the place, which moves on; NULL at the end. */
struct hf_index_key *hf_sorted_next(const struct hf_sorted *sorted, struct hf_sorted_place *place);
