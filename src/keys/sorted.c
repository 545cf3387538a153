/* Sorted pages of keys. A page that is full splits; one that becomes empty goes away. */
#include "keys/sorted.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/index.h"

#define PAGE_MAX 256
#define PAGE_MIN 4 /* entries of a fresh page's memory: many keyrings are small */

struct hf_page {
    uint16_t count;
    uint16_t capacity;
    struct hf_index_key *keys[];
};

static struct hf_page *page_new(size_t capacity)
{
    struct hf_page *page = hf_alloc(sizeof *page + capacity * sizeof(struct hf_index_key *));

    page->capacity = (uint16_t)capacity;
    return page;
}

static int compare(struct hf_bytes a, struct hf_bytes b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static struct hf_bytes name_of(const struct hf_index_key *key)
{
    return hf_bytes_of(key->name, key->name_len);
}

/* The page where the name is or belongs: the last whose first key is not after it. */
static size_t find_page(const struct hf_sorted *sorted, struct hf_bytes name)
{
    size_t low = 0;
    size_t high = sorted->page_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (compare(name_of(sorted->pages[middle]->keys[0]), name) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How many keys of the page sort before the name, or up to it. */
static size_t find_in_page(const struct hf_page *page, struct hf_bytes name, bool up_to)
{
    size_t low = 0;
    size_t high = page->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(name_of(page->keys[middle]), name);

        if (order < 0 || (up_to && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void hf_sorted_done(struct hf_sorted *sorted)
{
    for (size_t i = 0; i < sorted->page_count; i++) {
        free(sorted->pages[i]);
    }
    free(sorted->pages);
    memset(sorted, 0, sizeof *sorted);
}

static void insert_page(struct hf_sorted *sorted, size_t at, struct hf_page *page)
{
    if (sorted->page_count == sorted->page_capacity) {
        sorted->page_capacity = sorted->page_capacity > 0 ? 2 * sorted->page_capacity : 1;
        sorted->pages =
            hf_realloc_array(sorted->pages, sorted->page_capacity, sizeof *sorted->pages);
    }
    memmove(sorted->pages + at + 1, sorted->pages + at,
            (sorted->page_count - at) * sizeof *sorted->pages);
    sorted->pages[at] = page;
    sorted->page_count++;
}

/*
 * Makes room in a full page and gives the page that the position falls into. Names often come in
 * order, so a page that grows at the very end stays full and a new one is begun.
 */
static size_t split(struct hf_sorted *sorted, size_t at, size_t *position)
{
    struct hf_page *page = sorted->pages[at];
    bool appends = at + 1 == sorted->page_count && *position == page->count;
    size_t stay = appends ? page->count : page->count / 2;
    struct hf_page *right = page_new(PAGE_MAX);

    right->count = (uint16_t)(page->count - stay);
    memcpy(right->keys, page->keys + stay, right->count * sizeof *right->keys);
    page->count = (uint16_t)stay;
    insert_page(sorted, at + 1, right);
    if (*position < stay || (*position == stay && !appends)) {
        return at;
    }
    *position -= stay;
    return at + 1;
}

static void grow(struct hf_sorted *sorted, size_t at)
{
    struct hf_page *page = sorted->pages[at];
    size_t capacity = 2 * (size_t)page->capacity;

    page = hf_realloc_array(page, 1, sizeof *page + capacity * sizeof *page->keys);
    page->capacity = (uint16_t)capacity;
    sorted->pages[at] = page;
}

void hf_sorted_add(struct hf_sorted *sorted, struct hf_index_key *key)
{
    struct hf_page *page = NULL;
    size_t at = 0;
    size_t position = 0;

    if (sorted->page_count == 0) {
        insert_page(sorted, 0, page_new(PAGE_MIN));
    }
    page = sorted->pages[sorted->page_count - 1];
    if (page->count == 0 || compare(name_of(page->keys[page->count - 1]), name_of(key)) < 0) {
        at = sorted->page_count - 1;
        position = page->count;
    } else {
        at = find_page(sorted, name_of(key));
        position = find_in_page(sorted->pages[at], name_of(key), false);
    }
    if (sorted->pages[at]->count == PAGE_MAX) {
        at = split(sorted, at, &position);
    } else if (sorted->pages[at]->count == sorted->pages[at]->capacity) {
        grow(sorted, at);
    }
    page = sorted->pages[at];
    memmove(page->keys + position + 1, page->keys + position,
            (page->count - position) * sizeof *page->keys);
    page->keys[position] = key;
    page->count++;
    sorted->count++;
}

void hf_sorted_remove(struct hf_sorted *sorted, const struct hf_index_key *key)
{
    size_t at = find_page(sorted, name_of(key));
    struct hf_page *page = sorted->pages[at];
    size_t position = find_in_page(page, name_of(key), false);

    hf_assert(position < page->count && page->keys[position] == key);
    page->count--;
    memmove(page->keys + position, page->keys + position + 1,
            (page->count - position) * sizeof *page->keys);
    sorted->count--;
    if (page->count == 0) {
        free(page);
        sorted->page_count--;
        memmove(sorted->pages + at, sorted->pages + at + 1,
                (sorted->page_count - at) * sizeof *sorted->pages);
    }
}

struct hf_sorted_place hf_sorted_after(const struct hf_sorted *sorted, const struct hf_bytes *name)
{
    struct hf_sorted_place place = { 0, 0 };

    if (name != NULL && sorted->page_count > 0) {
        place.page = find_page(sorted, *name);
        place.at = find_in_page(sorted->pages[place.page], *name, true);
    }
    return place;
}

struct hf_index_key *hf_sorted_next(const struct hf_sorted *sorted, struct hf_sorted_place *place)
{
    while (place->page < sorted->page_count) {
        const struct hf_page *page = sorted->pages[place->page];

        if (place->at < page->count) {
            return page->keys[place->at++];
        }
        place->page++;
        place->at = 0;
    }
    return NULL;
}
