/* Keyring, key, version and usage records: version 1 of each, and 2 to 4 of keyrings. */
#include "keys/record.h"

#include <stdlib.h>

#include "keys/algorithm.h"

#define FORMAT          1
#define FORMAT_ROTATING 2 /* of keyrings whose keys rotate by the clock */
#define FORMAT_SERVED   3 /* of keyrings that name the nodes that serve them */
#define FORMAT_WAYS     4 /* of keyrings that say in how many ways their keys must open */

#define KEYRING_APPROVE_DESTROY      0x01
#define KEYRING_APPROVE_EXPORT       0x02
#define KEYRING_APPROVE_SLOT_REMOVAL 0x04
#define KEYRING_FLAGS                0x07

#define KEY_EXPORTABLE      0x01
#define KEY_DELETED         0x02
#define KEY_DESTROYED       0x04
#define KEY_HAS_DESCRIPTION 0x08
#define KEY_HAS_CIPHER      0x10
#define KEY_UNBORN          0x20
#define KEY_FLAGS           0x3f

#define VERSION_IMPORTED         0x01
#define VERSION_CANDIDATE        0x02
#define VERSION_STAYS_PRE_ACTIVE 0x04
#define VERSION_FLAGS            0x07

#define CHECK_VALUE_ENTRY (4 + HF_CHECK_VALUE_LEN)

static uint8_t flag(bool set, uint8_t bit)
{
    return set ? bit : 0;
}

static struct hf_status refuse_format(struct hf_op *op, const char *what, uint8_t format)
{
    return hf_fail(op, HF_UNSUPPORTED, "%s has format %u; this server reads format %d", what,
                   format, FORMAT);
}

static struct hf_status take_format(struct hf_reader *reader, struct hf_op *op, const char *what)
{
    uint8_t format = hf_take_u8(reader);

    return reader->failed || format == FORMAT ? HF_SUCCESS : refuse_format(op, what, format);
}

static struct hf_status refuse(struct hf_op *op, const char *what)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s holds a value that none can have",
                         what);
}

/* One form each: a later format is written, and read, only where the one before would not do. */
static uint8_t keyring_format(const struct hf_keyring_record *record)
{
    if (record->min_ways > 0) {
        return FORMAT_WAYS;
    }
    if (record->serve_on.count > 0) {
        return FORMAT_SERVED;
    }
    return record->rotate_every_ms > 0 ? FORMAT_ROTATING : FORMAT;
}

void hf_keyring_record_encode(const struct hf_keyring_record *record, struct hf_buf *out)
{
    uint8_t format = keyring_format(record);

    hf_put_u8(out, format);
    hf_put_u8(out, flag(record->approve_destroy, KEYRING_APPROVE_DESTROY) |
                       flag(record->approve_export, KEYRING_APPROVE_EXPORT) |
                       flag(record->approve_slot_removal, KEYRING_APPROVE_SLOT_REMOVAL));
    hf_put_u32(out, record->key_version);
    hf_put_u64(out, record->created_ms);
    hf_put_u64(out, record->destroy_wait_ms);
    hf_put_u64(out, record->dark_window_ms);
    hf_put_u64(out, record->max_stale_ms);
    hf_put_u64(out, record->max_stale_wrap_ms);
    hf_put_bytes(out, record->main_key);
    if (format >= FORMAT_ROTATING) {
        hf_put_u64(out, record->rotate_every_ms);
    }
    if (format >= FORMAT_SERVED) {
        hf_put_u8(out, (uint8_t)record->serve_on.count);
        for (size_t i = 0; i < record->serve_on.count; i++) {
            hf_put_text(out, record->serve_on.names[i]);
        }
    }
    if (format >= FORMAT_WAYS) {
        hf_put_u32(out, record->min_ways);
    }
}

/* Names that a node can have, in order and each once. */
static void take_serve_on(struct hf_reader *reader, struct hf_serve_on *out)
{
    uint8_t count = hf_take_u8(reader);
    struct hf_op scratch;

    hf_op_init(&scratch, NULL);
    for (uint8_t i = 0; i < count && !reader->failed; i++) {
        char *name = hf_take_text(reader);

        reader->failed = hf_serve_on_add(&scratch, out, name).code != HF_OK ||
                         (i > 0 && strcmp(out->names[i - 1], out->names[i]) > 0);
        free(name);
    }
}

static bool is_sound_keyring(const struct hf_keyring_record *record, uint8_t format, uint8_t flags)
{
    return (flags & ~KEYRING_FLAGS) == 0 && record->main_key.len > 0 &&
           record->main_key.len <= 64 &&
           memchr(record->main_key.data, '\0', record->main_key.len) == NULL &&
           record->min_ways <= HF_MIN_WAYS_MAX && format == keyring_format(record);
}

struct hf_status hf_keyring_record_decode(struct hf_op *op, struct hf_bytes content,
                                          struct hf_keyring_record *out)
{
    struct hf_reader reader;
    struct hf_keyring_record record = { 0 };
    uint8_t format = 0;
    uint8_t flags = 0;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    if (!reader.failed && (format < FORMAT || format > FORMAT_WAYS)) {
        return refuse_format(op, "a keyring record", format);
    }
    flags = hf_take_u8(&reader);
    record.approve_destroy = (flags & KEYRING_APPROVE_DESTROY) != 0;
    record.approve_export = (flags & KEYRING_APPROVE_EXPORT) != 0;
    record.approve_slot_removal = (flags & KEYRING_APPROVE_SLOT_REMOVAL) != 0;
    record.key_version = hf_take_u32(&reader);
    record.created_ms = hf_take_u64(&reader);
    record.destroy_wait_ms = hf_take_u64(&reader);
    record.dark_window_ms = hf_take_u64(&reader);
    record.max_stale_ms = hf_take_u64(&reader);
    record.max_stale_wrap_ms = hf_take_u64(&reader);
    record.main_key = hf_take_bytes(&reader);
    record.rotate_every_ms = format >= FORMAT_ROTATING ? hf_take_u64(&reader) : 0;
    if (format >= FORMAT_SERVED) {
        take_serve_on(&reader, &record.serve_on);
    }
    record.min_ways = format >= FORMAT_WAYS ? hf_take_u32(&reader) : 0;
    HF_TRY(hf_reader_end(&reader, op, "a keyring record"));
    if (!is_sound_keyring(&record, format, flags)) {
        return refuse(op, "a keyring record");
    }
    *out = record;
    return HF_SUCCESS;
}

void hf_key_record_encode(const struct hf_key_record *record, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    hf_put_u8(out, (uint8_t)record->algorithm);
    hf_put_u8(out, flag(record->exportable, KEY_EXPORTABLE) | flag(record->deleted, KEY_DELETED) |
                       flag(record->destroyed, KEY_DESTROYED) |
                       flag(record->has_description, KEY_HAS_DESCRIPTION) |
                       flag(record->has_cipher, KEY_HAS_CIPHER) | flag(record->unborn, KEY_UNBORN));
    hf_put_u32(out, record->primary);
    hf_put_u32(out, record->first_version);
    hf_put_u32(out, record->next_version);
    hf_put_u64(out, record->created_ms);
    hf_put_u64(out, record->deleted_ms);
    hf_put_u64(out, record->destroy_at_ms);
    hf_put_u64(out, record->destroyed_ms);
    hf_put_bytes(out, record->reason);
    hf_put_bytes(out, record->description);
    hf_put_bytes(out, record->cipher);
    hf_put_u32(out, record->attribute_count);
    hf_buf_add_bytes(out, record->attributes);
    hf_put_u32(out, record->check_value_count);
    hf_buf_add_bytes(out, record->check_values);
}

void hf_attribute_put(struct hf_buf *buf, struct hf_bytes name, struct hf_bytes value)
{
    hf_put_bytes(buf, name);
    hf_put_bytes(buf, value);
}

bool hf_key_record_attribute(struct hf_bytes *rest, struct hf_bytes *out_name,
                             struct hf_bytes *out_value)
{
    struct hf_reader reader;

    if (rest->len == 0) {
        return false;
    }
    hf_reader_init(&reader, *rest);
    *out_name = hf_take_bytes(&reader);
    *out_value = hf_take_bytes(&reader);
    *rest = hf_bytes_of(reader.at, (size_t)(reader.end - reader.at));
    return !reader.failed;
}

/* The pairs of a record as one view. */
static struct hf_bytes take_attributes(struct hf_reader *reader, uint32_t count)
{
    const uint8_t *from = reader->at;

    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        (void)hf_take_bytes(reader);
        (void)hf_take_bytes(reader);
    }
    return hf_bytes_of(from, reader->failed ? 0 : (size_t)(reader->at - from));
}

/* A key that is not born has one version, and nothing happens to it but its birth or its end. */
static bool unborn_is_sound(const struct hf_key_record *record)
{
    return !record->unborn ||
           (!record->deleted && !record->destroyed && record->primary == HF_LATEST &&
            record->next_version - record->first_version == 1);
}

static bool key_record_is_sound(const struct hf_key_record *record, uint8_t flags)
{
    return (flags & ~KEY_FLAGS) == 0 && hf_algorithm_row(record->algorithm) != NULL &&
           record->first_version <= record->next_version && record->next_version < HF_LATEST &&
           (record->primary == HF_LATEST || record->primary < record->next_version) &&
           unborn_is_sound(record);
}

struct hf_status hf_key_record_decode(struct hf_op *op, struct hf_bytes content,
                                      struct hf_key_record *out)
{
    struct hf_reader reader;
    struct hf_key_record record = { 0 };
    uint8_t flags = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op, "a key record"));
    record.algorithm = (enum hf_algorithm)hf_take_u8(&reader);
    flags = hf_take_u8(&reader);
    record.exportable = (flags & KEY_EXPORTABLE) != 0;
    record.deleted = (flags & KEY_DELETED) != 0;
    record.destroyed = (flags & KEY_DESTROYED) != 0;
    record.has_description = (flags & KEY_HAS_DESCRIPTION) != 0;
    record.has_cipher = (flags & KEY_HAS_CIPHER) != 0;
    record.unborn = (flags & KEY_UNBORN) != 0;
    record.primary = hf_take_u32(&reader);
    record.first_version = hf_take_u32(&reader);
    record.next_version = hf_take_u32(&reader);
    record.created_ms = hf_take_u64(&reader);
    record.deleted_ms = hf_take_u64(&reader);
    record.destroy_at_ms = hf_take_u64(&reader);
    record.destroyed_ms = hf_take_u64(&reader);
    record.reason = hf_take_bytes(&reader);
    record.description = hf_take_bytes(&reader);
    record.cipher = hf_take_bytes(&reader);
    record.attribute_count = hf_take_u32(&reader);
    record.attributes = take_attributes(&reader, record.attribute_count);
    record.check_value_count = hf_take_u32(&reader);
    record.check_values =
        hf_take_raw(&reader, (size_t)record.check_value_count * CHECK_VALUE_ENTRY);
    HF_TRY(hf_reader_end(&reader, op, "a key record"));
    if (!key_record_is_sound(&record, flags)) {
        return refuse(op, "a key record");
    }
    *out = record;
    return HF_SUCCESS;
}

void hf_version_record_encode(const struct hf_version_record *record, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    hf_put_u8(out, (uint8_t)record->state);
    hf_put_u8(out, flag(record->imported, VERSION_IMPORTED) |
                       flag(record->candidate, VERSION_CANDIDATE) |
                       flag(record->stays_pre_active, VERSION_STAYS_PRE_ACTIVE));
    hf_put_u64(out, record->created_ms);
    hf_put_u64(out, record->activated_ms);
    hf_put_u64(out, record->deactivated_ms);
    hf_put_u64(out, record->compromised_ms);
    hf_put_u64(out, record->destroyed_ms);
    hf_put_u64(out, record->destroy_at_ms);
    hf_buf_add(out, record->check_value, HF_CHECK_VALUE_LEN);
    hf_put_bytes(out, record->reason);
    hf_put_bytes(out, record->public_half);
    hf_put_bytes(out, record->wrapped);
}

static bool version_record_is_sound(const struct hf_version_record *record, uint8_t flags)
{
    bool destroyed =
        record->state == HF_KEY_DESTROYED || record->state == HF_KEY_DESTROYED_COMPROMISED;
    bool mark_fits = record->candidate
                         ? record->state == HF_KEY_PRE_ACTIVE && record->destroy_at_ms == 0
                         : !record->stays_pre_active;

    return (flags & ~VERSION_FLAGS) == 0 && record->state >= HF_KEY_PRE_ACTIVE &&
           record->state <= HF_KEY_DESTROYED_COMPROMISED && mark_fits &&
           destroyed == (record->wrapped.len == 0);
}

struct hf_status hf_version_record_decode(struct hf_op *op, struct hf_bytes content,
                                          struct hf_version_record *out)
{
    struct hf_reader reader;
    struct hf_version_record record = { 0 };
    struct hf_bytes check_value;
    uint8_t flags = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op, "a version record"));
    record.state = (enum hf_key_state)hf_take_u8(&reader);
    flags = hf_take_u8(&reader);
    record.imported = (flags & VERSION_IMPORTED) != 0;
    record.candidate = (flags & VERSION_CANDIDATE) != 0;
    record.stays_pre_active = (flags & VERSION_STAYS_PRE_ACTIVE) != 0;
    record.created_ms = hf_take_u64(&reader);
    record.activated_ms = hf_take_u64(&reader);
    record.deactivated_ms = hf_take_u64(&reader);
    record.compromised_ms = hf_take_u64(&reader);
    record.destroyed_ms = hf_take_u64(&reader);
    record.destroy_at_ms = hf_take_u64(&reader);
    check_value = hf_take_raw(&reader, HF_CHECK_VALUE_LEN);
    record.reason = hf_take_bytes(&reader);
    record.public_half = hf_take_bytes(&reader);
    record.wrapped = hf_take_bytes(&reader);
    HF_TRY(hf_reader_end(&reader, op, "a version record"));
    if (!version_record_is_sound(&record, flags)) {
        return refuse(op, "a version record");
    }
    memcpy(record.check_value, check_value.data, HF_CHECK_VALUE_LEN);
    *out = record;
    return HF_SUCCESS;
}

void hf_usage_encode(const struct hf_usage *usage, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    hf_put_u64(out, usage->wraps);
    hf_put_u64(out, usage->unwraps);
    hf_put_u64(out, usage->first_ms);
    hf_put_u64(out, usage->last_ms);
    hf_put_u8(out, (uint8_t)usage->caller_count);
    for (size_t i = 0; i < usage->caller_count; i++) {
        hf_put_text(out, usage->callers[i].caller);
        hf_put_u64(out, usage->callers[i].count);
        hf_put_u64(out, usage->callers[i].last_ms);
    }
}

static void take_caller(struct hf_reader *reader, struct hf_usage *usage, size_t i)
{
    struct hf_bytes caller = hf_take_bytes(reader);

    if (caller.len >= sizeof usage->callers[i].caller ||
        (caller.len > 0 && memchr(caller.data, '\0', caller.len) != NULL)) {
        reader->failed = true;
        return;
    }
    if (caller.len > 0) {
        memcpy(usage->callers[i].caller, caller.data, caller.len);
    }
    usage->callers[i].count = hf_take_u64(reader);
    usage->callers[i].last_ms = hf_take_u64(reader);
}

struct hf_status hf_usage_decode(struct hf_op *op, struct hf_bytes content, struct hf_usage *out)
{
    struct hf_reader reader;
    struct hf_usage usage = { 0 };

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op, "a usage record"));
    usage.wraps = hf_take_u64(&reader);
    usage.unwraps = hf_take_u64(&reader);
    usage.first_ms = hf_take_u64(&reader);
    usage.last_ms = hf_take_u64(&reader);
    usage.caller_count = hf_take_u8(&reader);
    if (usage.caller_count > HF_COUNT(usage.callers)) {
        return refuse(op, "a usage record");
    }
    for (size_t i = 0; i < usage.caller_count && !reader.failed; i++) {
        take_caller(&reader, &usage, i);
    }
    HF_TRY(hf_reader_end(&reader, op, "a usage record"));
    *out = usage;
    return HF_SUCCESS;
}
