/*
 * Elements of one array are mostly written by one program and look alike but for a few values. What
 * is byte for byte the same as an element that was scanned already need not be scanned again.
 */
#include "base/json_plain.h"
#include "base/scan.h"

void hf_scan_likeness_init(struct hf_scan_likeness *likeness, struct hf_bytes element)
{
    *likeness = (struct hf_scan_likeness){ .element = element };
}

void hf_scan_likeness_add(struct hf_scan_likeness *likeness, const struct hf_scan_value *value)
{
    size_t from = likeness->count > 0 ? likeness->values[likeness->count - 1].end : 0;
    size_t at;

    if (likeness->element.len == 0) {
        return;
    }
    if (!value->present || value->kind != HF_SCAN_STRING || value->escaped ||
        value->raw.data < likeness->element.data + from || likeness->count == HF_SCAN_VALUES_MAX) {
        likeness->element = HF_BYTES_NONE;
        return;
    }
    at = (size_t)(value->raw.data - likeness->element.data);
    likeness->values[likeness->count].at = at;
    likeness->values[likeness->count].end = at + value->raw.len;
    likeness->count++;
}

static bool is_plain(const uint8_t *data, size_t len)
{
    return hf_json_plain_end(hf_bytes_of(data, len), 0) == len;
}

bool hf_scan_array_next_alike(struct hf_scan_array *array, const struct hf_scan_likeness *likeness,
                              struct hf_bytes values[HF_SCAN_VALUES_MAX])
{
    struct hf_bytes like = likeness->element;
    const uint8_t *element;
    size_t from = 0;

    if (like.len == 0 || !array->started || array->at >= array->text.len ||
        array->text.len - array->at <= like.len || array->text.data[array->at] != ',') {
        return false;
    }
    element = array->text.data + array->at + 1;
    for (size_t i = 0; i < likeness->count; i++) {
        size_t at = likeness->values[i].at;
        size_t len = likeness->values[i].end - at;

        if (memcmp(element + from, like.data + from, at - from) != 0 ||
            !is_plain(element + at, len)) {
            return false;
        }
        values[i] = hf_bytes_of(element + at, len);
        from = at + len;
    }
    if (memcmp(element + from, like.data + from, like.len - from) != 0) {
        return false;
    }
    array->at += 1 + like.len;
    return true;
}
