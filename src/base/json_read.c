/* Reads JSON with Jansson, whose memory is wiped when it is freed. */
#include "base/json.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/text.h"

#define DEPTH_MAX 32

/* What stands before each of Jansson's blocks, so that freeing knows what to wipe. */
struct block {
    _Alignas(max_align_t) size_t len;
    uint8_t bytes[];
};

static void *allocate(size_t len)
{
    struct block *block;

    if (len > SIZE_MAX - sizeof *block) {
        return NULL;
    }
    block = malloc(sizeof *block + len);
    if (block == NULL) {
        return NULL;
    }
    block->len = len;
    return block->bytes;
}

static void wipe_and_free(void *bytes)
{
    if (bytes != NULL) {
        struct block *block = (struct block *)((uint8_t *)bytes - offsetof(struct block, bytes));

        hf_wipe(block->bytes, block->len);
        free(block);
    }
}

static void set_allocators(void)
{
    json_set_alloc_funcs(allocate, wipe_and_free);
}

static const json_t *tree_of(const struct hf_json *json)
{
    return (const json_t *)json;
}

static const struct hf_json *view_of(const json_t *tree)
{
    return (const struct hf_json *)tree;
}

/* Where the text nests too deeply, or SIZE_MAX; Jansson itself would recurse 2048 levels. */
static size_t find_too_deep(struct hf_bytes text)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (in_string) {
            in_string = c != '"';
            i += c == '\\';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) {
                return i;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return SIZE_MAX;
}

/* Jansson's own words quote the text, which may be a secret; these do not. */
static const char *error_sentence(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows after its end";
    case json_error_invalid_utf8:
        return "it is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text contains a zero character";
    case json_error_duplicate_key:
        return "an object has two members of one name";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_unknown:
    case json_error_out_of_memory:
    case json_error_stack_overflow:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_value:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return "the syntax is wrong";
}

struct hf_status hf_json_parse(struct hf_op *op, struct hf_bytes text, struct hf_json **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t too_deep = find_too_deep(text);
    const uint8_t *zero = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
    json_error_t error;
    json_t *tree;

    hf_assert(pthread_once(&once, set_allocators) == 0);
    if (too_deep != SIZE_MAX) {
        return hf_fail(op, HF_INVALID, "the JSON text nests deeper than %d at byte %zu", DEPTH_MAX,
                       too_deep);
    }
    /* Jansson passes over a zero byte behind a number. */
    if (zero != NULL) {
        return hf_fail(op, HF_INVALID, "the JSON text has a zero byte at byte %zu",
                       (size_t)(zero - text.data));
    }
    tree = json_loadb(text.len > 0 ? (const char *)text.data : "", text.len, JSON_REJECT_DUPLICATES,
                      &error);
    if (tree == NULL) {
        struct hf_status status =
            hf_fail(op, HF_INVALID, "the JSON text is not valid at line %d, column %d: %s",
                    error.line, error.column, error_sentence(&error));

        hf_wipe(&error, sizeof error);
        return status;
    }
    *out = (struct hf_json *)tree;
    return HF_SUCCESS;
}

void hf_json_free(struct hf_json *json)
{
    json_decref((json_t *)json);
}

/* A member, or NULL when it is absent or null. */
static const json_t *member(const struct hf_json *object, const char *name)
{
    const json_t *value = json_object_get(tree_of(object), name);

    return json_is_null(value) ? NULL : value;
}

static struct hf_status wrong_type(struct hf_op *op, const char *name, const char *wanted)
{
    return hf_fail(op, HF_INVALID, "the member \"%s\" is not %s", name, wanted);
}

static struct hf_status find_text(struct hf_op *op, const struct hf_json *object, const char *name,
                                  const json_t **out)
{
    const json_t *value = json_object_get(tree_of(object), name);

    if (value == NULL) {
        return hf_fail(op, HF_INVALID, "the member \"%s\" is missing", name);
    }
    if (!json_is_string(value)) {
        return wrong_type(op, name, "a text");
    }
    *out = value;
    return HF_SUCCESS;
}

struct hf_status hf_json_text(struct hf_op *op, const struct hf_json *object, const char *name,
                              const char **out)
{
    const json_t *value = NULL;

    HF_TRY(find_text(op, object, name, &value));
    *out = json_string_value(value);
    return HF_SUCCESS;
}

struct hf_status hf_json_text_or(struct hf_op *op, const struct hf_json *object, const char *name,
                                 const char *absent, const char **out)
{
    if (member(object, name) == NULL) {
        *out = absent;
        return HF_SUCCESS;
    }
    return hf_json_text(op, object, name, out);
}

struct hf_status hf_json_u64_or(struct hf_op *op, const struct hf_json *object, const char *name,
                                uint64_t absent, uint64_t *out)
{
    const json_t *value = member(object, name);

    if (value == NULL) {
        *out = absent;
        return HF_SUCCESS;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return wrong_type(op, name, "a whole number");
    }
    *out = (uint64_t)json_integer_value(value);
    return HF_SUCCESS;
}

struct hf_status hf_json_bool_or(struct hf_op *op, const struct hf_json *object, const char *name,
                                 bool absent, bool *out)
{
    const json_t *value = member(object, name);

    if (value == NULL) {
        *out = absent;
        return HF_SUCCESS;
    }
    if (!json_is_boolean(value)) {
        return wrong_type(op, name, "true or false");
    }
    *out = json_is_true(value);
    return HF_SUCCESS;
}

struct hf_status hf_json_secret(struct hf_op *op, const struct hf_json *object, const char *name,
                                struct hf_secret **out)
{
    HF_AUTO(secret) secret = NULL;
    const json_t *value = NULL;
    struct hf_bytes bytes;

    HF_TRY(find_text(op, object, name, &value));
    bytes = hf_bytes_of(json_string_value(value), json_string_length(value));
    HF_TRY(hf_secret_new(op, hf_base64_max(bytes.len), &secret));
    hf_secret_truncate(secret, hf_base64_decode_lenient(bytes, hf_secret_data(secret)));
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

struct hf_status hf_json_array_or(struct hf_op *op, const struct hf_json *object, const char *name,
                                  const struct hf_json **out)
{
    const json_t *value = member(object, name);

    if (value != NULL && !json_is_array(value)) {
        return wrong_type(op, name, "an array");
    }
    *out = view_of(value);
    return HF_SUCCESS;
}

struct hf_status hf_json_object_or(struct hf_op *op, const struct hf_json *object, const char *name,
                                   const struct hf_json **out)
{
    const json_t *value = member(object, name);

    if (value != NULL && !json_is_object(value)) {
        return wrong_type(op, name, "an object");
    }
    *out = view_of(value);
    return HF_SUCCESS;
}

bool hf_json_has(const struct hf_json *object, const char *name)
{
    return json_object_get(tree_of(object), name) != NULL;
}

static bool is_listed(const char *name, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct hf_status hf_json_only(struct hf_op *op, const struct hf_json *object,
                              const char *const *names)
{
    json_t *tree = (json_t *)object;

    for (void *at = json_object_iter(tree); at != NULL; at = json_object_iter_next(tree, at)) {
        if (!is_listed(json_object_iter_key(at), names)) {
            return hf_fail(op, HF_INVALID, "the member \"%.64s\" is not known here",
                           json_object_iter_key(at));
        }
    }
    return HF_SUCCESS;
}

bool hf_json_is_object(const struct hf_json *value)
{
    return json_is_object(tree_of(value));
}

bool hf_json_is_array(const struct hf_json *value)
{
    return json_is_array(tree_of(value));
}

size_t hf_json_count(const struct hf_json *value)
{
    const json_t *tree = tree_of(value);

    return json_is_object(tree) ? json_object_size(tree) : json_array_size(tree);
}

const struct hf_json *hf_json_at(const struct hf_json *array, size_t index)
{
    return view_of(json_array_get(tree_of(array), index));
}

const char *hf_json_string(const struct hf_json *value)
{
    return json_string_value(tree_of(value));
}

void hf_json_each(const struct hf_json *object,
                  void (*visit)(void *context, const char *name, const struct hf_json *value),
                  void *context)
{
    json_t *tree = (json_t *)object;

    for (void *at = json_object_iter(tree); at != NULL; at = json_object_iter_next(tree, at)) {
        visit(context, json_object_iter_key(at), view_of(json_object_iter_value(at)));
    }
}

static int add_text(const char *text, size_t len, void *context)
{
    hf_buf_add(context, text, len);
    return 0;
}

void hf_json_add(struct hf_buf *out, const struct hf_json *value)
{
    int result = json_dump_callback(tree_of(value), add_text, out, JSON_COMPACT | JSON_ENCODE_ANY);

    hf_assert(result == 0);
}
