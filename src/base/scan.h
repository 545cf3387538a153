/*
 * The strict flat scanner for hot bodies: objects of strings, numbers, null and one level of
 * objects, and arrays of such objects, read in place without a tree.
 *
 * It walks the text once. Names and strings come back as raw views between their quotes;
 * hf_scan_text() resolves escapes where a string has any. Duplicate names in one object, control
 * characters, broken escapes, bytes that are not UTF-8, and anything after the value are refused,
 * and so are an object of more than 64 members and nesting deeper than four.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

enum hf_scan_kind {
    HF_SCAN_STRING,
    HF_SCAN_NUMBER,
    HF_SCAN_TRUE,
    HF_SCAN_FALSE,
    HF_SCAN_NULL,
    HF_SCAN_OBJECT, /* raw is the whole text of the object, braces included */
    HF_SCAN_ARRAY,
};

struct hf_scan_value {
    enum hf_scan_kind kind;
    struct hf_bytes raw; /* strings: between the quotes */
    bool escaped;        /* strings: raw has a backslash */
    bool present;        /* the member was there at all */
};

/* One member to look for; inner: what to look for in it on the same walk, if it is an object. */
struct hf_scan_member {
    const char *name;
    struct hf_scan_value value;
    struct hf_scan_member *inner;
    size_t inner_count;
};

/*
 * Fill the members found in the object that text holds; others are checked and passed over.
 * HF_INVALID with the byte offset when it is not a valid object.
 */
HF_STATUS hf_scan_object(struct hf_op *op, struct hf_bytes text, struct hf_scan_member *members,
                         size_t count);

/*
 * Walk an array: *at starts as the whole text and moves on; *out is the next element.
 * Returns HF_OK with out->present false after the last one. HF_INVALID if it is not an array; what
 * is wrong further on shows only when the walk comes there.
 */
struct hf_scan_array {
    struct hf_bytes text;
    size_t at;
    bool started;
};
void hf_scan_array_init(struct hf_scan_array *array, struct hf_bytes text);
HF_STATUS hf_scan_array_next(struct hf_op *op, struct hf_scan_array *array,
                             struct hf_scan_value *out);

/* The same, and when the element is an object, its members are filled on the same walk. */
HF_STATUS hf_scan_array_next_object(struct hf_op *op, struct hf_scan_array *array,
                                    struct hf_scan_member *members, size_t count,
                                    struct hf_scan_value *out);

/*
 * A short cut for arrays of many elements alike. A likeness is an object that was scanned whole and
 * the places of those of its strings that may differ, added in the order of the text; one that has
 * escapes, or is out of order, makes it like nothing.
 */
#define HF_SCAN_VALUES_MAX 4
struct hf_scan_likeness {
    struct hf_bytes element;
    struct {
        size_t at;
        size_t end;
    } values[HF_SCAN_VALUES_MAX];
    size_t count;
};
void hf_scan_likeness_init(struct hf_scan_likeness *likeness, struct hf_bytes element);
void hf_scan_likeness_add(struct hf_scan_likeness *likeness, const struct hf_scan_value *value);
/*
 * Steps over the next element if it differs from the likeness in nothing but the characters of its
 * values, which are as long, valid, without escapes, and come back as raw views. False: the walk
 * has not moved, and hf_scan_array_next() says what is there.
 */
bool hf_scan_array_next_alike(struct hf_scan_array *array, const struct hf_scan_likeness *likeness,
                              struct hf_bytes values[HF_SCAN_VALUES_MAX]);

/* The string with its escapes resolved, as UTF-8 appended to out; HF_INVALID if not a string. */
HF_STATUS hf_scan_text(struct hf_op *op, const struct hf_scan_value *value, struct hf_buf *out);
