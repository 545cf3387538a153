/*
 * JSON for administration: a strict reader over Jansson and a writer that needs no tree.
 *
 * The reader takes an object or an array. It refuses duplicate names, zero characters, bytes that
 * are not UTF-8, nesting beyond 32 and anything after the value. Its memory is wiped when freed,
 * because requests may carry plaintext.
 *
 * Threads: one value is used by one thread at a time.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"
#include "base/secret.h"

struct hf_json;

/* HF_INVALID with line and column in the text. The caller frees *out. */
HF_STATUS hf_json_parse(struct hf_op *op, struct hf_bytes text, struct hf_json **out);
void hf_json_free(struct hf_json *json);
HF_DEFINE_CLEANUP(json)

/*
 * Members of an object. A view into the value; HF_INVALID names the member that is missing or of
 * another type. The _or forms give the default when the member is absent or null.
 */
HF_STATUS hf_json_text(struct hf_op *op, const struct hf_json *object, const char *name,
                       const char **out);
HF_STATUS hf_json_text_or(struct hf_op *op, const struct hf_json *object, const char *name,
                          const char *absent, const char **out);
HF_STATUS hf_json_u64_or(struct hf_op *op, const struct hf_json *object, const char *name,
                         uint64_t absent, uint64_t *out);
HF_STATUS hf_json_bool_or(struct hf_op *op, const struct hf_json *object, const char *name,
                          bool absent, bool *out);
/* Base64 (lenient) into secret memory. */
HF_STATUS hf_json_secret(struct hf_op *op, const struct hf_json *object, const char *name,
                         struct hf_secret **out);
/* An array or object member, or NULL when absent or null; the view lives as long as object. */
HF_STATUS hf_json_array_or(struct hf_op *op, const struct hf_json *object, const char *name,
                           const struct hf_json **out);
HF_STATUS hf_json_object_or(struct hf_op *op, const struct hf_json *object, const char *name,
                            const struct hf_json **out);
bool hf_json_has(const struct hf_json *object, const char *name);
/* HF_INVALID naming the first member of object that is not in the NULL-terminated list. */
HF_STATUS hf_json_only(struct hf_op *op, const struct hf_json *object, const char *const *names);

bool hf_json_is_object(const struct hf_json *value);
bool hf_json_is_array(const struct hf_json *value);
/* How many elements an array has, or members an object. */
size_t hf_json_count(const struct hf_json *value);
const struct hf_json *hf_json_at(const struct hf_json *array, size_t index);
/* Adds the value as JSON text, on one line. */
void hf_json_add(struct hf_buf *out, const struct hf_json *value);
/* The text of a string value, NULL for any other. */
const char *hf_json_string(const struct hf_json *value);
/* Walks the members of an object in the order they stood. */
void hf_json_each(const struct hf_json *object,
                  void (*visit)(void *context, const char *name, const struct hf_json *value),
                  void *context);

/* The writer: commas are its own affair. Text is escaped; invalid UTF-8 becomes U+FFFD. */
struct hf_json_writer {
    struct hf_buf *out;
    bool comma;
};

void hf_json_writer_init(struct hf_json_writer *writer, struct hf_buf *out);
void hf_json_open_object(struct hf_json_writer *writer, const char *name); /* name NULL in arrays */
void hf_json_close_object(struct hf_json_writer *writer);
void hf_json_open_array(struct hf_json_writer *writer, const char *name);
void hf_json_close_array(struct hf_json_writer *writer);
void hf_json_put_text(struct hf_json_writer *writer, const char *name, const char *text);
void hf_json_put_bytes_text(struct hf_json_writer *writer, const char *name, struct hf_bytes text);
void hf_json_put_base64(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes);
void hf_json_put_base64url(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes);
void hf_json_put_hex(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes);
void hf_json_put_u64(struct hf_json_writer *writer, const char *name, uint64_t value);
void hf_json_put_bool(struct hf_json_writer *writer, const char *name, bool value);
void hf_json_put_null(struct hf_json_writer *writer, const char *name);
/* null for "". */
void hf_json_put_text_or_null(struct hf_json_writer *writer, const char *name, const char *text);
void hf_json_put_date(struct hf_json_writer *writer, const char *name, uint64_t realtime_ms);
/* Only the quoted, escaped string, for callers that write JSON by hand. */
void hf_json_add_quoted(struct hf_buf *out, struct hf_bytes text);
