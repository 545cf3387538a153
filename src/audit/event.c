/* Events as JSON objects: what a control note holds and what a line says between its frame. */
#include "audit/line.h"
#include "base/json.h"
#include "base/text.h"

/* Cut at the length that is allowed; the writer mends a character that is cut in two. */
static struct hf_bytes bounded(const char *text)
{
    return hf_bytes_of(text, strnlen(text, HF_AUDIT_TEXT_MAX));
}

/* A literal with the length that the compiler knows: this is the hot path. */
#define LITERAL(text) hf_bytes_of((text), sizeof(text) - 1)

/* The name comes with the comma before it, its quotes and its colon. */
static void put_text(struct hf_buf *out, struct hf_bytes name, const char *text)
{
    if (text != NULL) {
        hf_buf_add_bytes(out, name);
        hf_json_add_quoted(out, bounded(text));
    }
}

static void put_number(struct hf_buf *out, struct hf_bytes name, uint64_t value)
{
    hf_buf_add_bytes(out, name);
    hf_audit_add_number(out, value);
}

static void put_staleness(struct hf_buf *out, uint64_t stale_ms)
{
    if (stale_ms == UINT64_MAX) {
        put_text(out, LITERAL(",\"stale_ms\":"), "unknown");
    } else {
        put_number(out, LITERAL(",\"stale_ms\":"), stale_ms);
    }
}

void hf_audit_event_write(const struct hf_audit_event *event, struct hf_buf *out)
{
    /* Each member brings the comma before it; the first one's becomes the brace. */
    size_t start = out->len;

    hf_buf_reserve(out, 512);
    put_text(out, LITERAL(",\"operation\":"), event->operation);
    put_text(out, LITERAL(",\"outcome\":"), event->outcome);
    put_text(out, LITERAL(",\"caller\":"), event->caller);
    put_text(out, LITERAL(",\"on_behalf_of\":"), event->on_behalf_of);
    put_text(out, LITERAL(",\"address\":"), event->address);
    put_text(out, LITERAL(",\"door\":"), event->door);
    put_text(out, LITERAL(",\"keyring\":"), event->keyring);
    put_text(out, LITERAL(",\"key\":"), event->key);
    if (event->has_version) {
        put_number(out, LITERAL(",\"version\":"), event->version);
    }
    if (event->count != 0) {
        put_number(out, LITERAL(",\"count\":"), event->count);
    }
    if (event->stale) {
        put_staleness(out, event->stale_ms);
    }
    put_text(out, LITERAL(",\"cause\":"), event->cause);
    put_text(out, LITERAL(",\"detail\":"), event->detail);
    if (event->request_id != NULL && hf_request_id_is_set(event->request_id)) {
        hf_buf_add_bytes(out, LITERAL(",\"request_id\":\""));
        hf_hex_add(out, hf_bytes_of(event->request_id->bytes, HF_REQUEST_ID_LEN));
        hf_buf_add(out, "\"", 1);
    }
    if (out->len == start) {
        hf_buf_add(out, "{", 1);
    }
    out->data[start] = '{';
    hf_buf_add(out, "}", 1);
}
