/* Heartbeat rows: what nodes tell each other through the store, under the cluster's MAC. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "cluster/cluster_internal.h"

#define ROW_VERSION 1
/* 2: with what had been opened. */
#define STAMP_VERSION 2

enum { ROW_LEASED = 1, ROW_HOLDS = 2 };

static const char label[] = "holdfast heartbeat";

/* The MAC covers the columns of the row too. */
static struct hf_status compute_mac(struct hf_cluster *cluster, struct hf_op *op,
                                    const struct hf_beat *beat, struct hf_bytes content,
                                    uint8_t out[HF_CLUSTER_MAC_LEN])
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_put_text(text, label);
    hf_put_text(text, beat->node);
    hf_put_u64(text, beat->number);
    hf_put_u64(text, beat->confirmed_seq);
    hf_put_u64(text, beat->applied_seq);
    hf_put_bytes(text, content);
    return cluster->calls->mac(cluster->context, op, hf_buf_bytes(text), out);
}

static void put_report(struct hf_buf *out, const struct hf_cluster_report *report)
{
    hf_put_u64(out, report->proved);
    hf_put_u64(out, report->forgotten);
    hf_put_u8(out, (uint8_t)report->count);
    for (size_t i = 0; i < report->count; i++) {
        hf_put_u64(out, report->failures[i].seq);
        hf_put_text(out, report->failures[i].reason);
    }
}

struct hf_status hf_cluster_row_write(struct hf_cluster *cluster, struct hf_op *op,
                                      const struct hf_cluster_row *row, struct hf_buf *out)
{
    struct hf_beat columns = { .node = row->node,
                               .number = row->number,
                               .confirmed_seq = row->confirmed,
                               .applied_seq = row->applied };
    uint8_t mac[HF_CLUSTER_MAC_LEN];

    hf_buf_clear(out);
    hf_put_u8(out, ROW_VERSION);
    hf_buf_add(out, row->instance, sizeof row->instance);
    hf_buf_add(out, row->boot_id, sizeof row->boot_id);
    hf_put_u8(out, (uint8_t)((row->leased ? ROW_LEASED : 0) | (row->holds ? ROW_HOLDS : 0)));
    hf_put_text(out, row->site);
    put_report(out, &row->report);
    HF_TRY(compute_mac(cluster, op, &columns, hf_buf_bytes(out), mac));
    hf_buf_add(out, mac, sizeof mac);
    return HF_SUCCESS;
}

static void take_raw(struct hf_reader *reader, uint8_t *out, size_t len)
{
    struct hf_bytes raw = hf_take_raw(reader, len);

    if (raw.len == len) {
        memcpy(out, raw.data, len);
    }
}

/* A text that has to fit. */
static void take_text(struct hf_reader *reader, char *out, size_t room)
{
    struct hf_bytes text = hf_take_bytes(reader);

    if (text.len >= room || (text.len > 0 && memchr(text.data, 0, text.len) != NULL)) {
        reader->failed = true;
        return;
    }
    if (text.len > 0) {
        memcpy(out, text.data, text.len);
    }
    out[text.len] = '\0';
}

static void take_report(struct hf_reader *reader, struct hf_cluster_report *out)
{
    size_t count;

    out->proved = hf_take_u64(reader);
    out->forgotten = hf_take_u64(reader);
    count = hf_take_u8(reader);
    if (count > HF_CLUSTER_FAILURES) {
        reader->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out->failures[i].seq = hf_take_u64(reader);
        take_text(reader, out->failures[i].reason, sizeof out->failures[i].reason);
    }
    out->count = count;
}

static struct hf_status check_mac(struct hf_cluster *cluster, struct hf_op *op,
                                  const struct hf_beat *beat, struct hf_bytes *out_content)
{
    uint8_t mac[HF_CLUSTER_MAC_LEN];
    struct hf_bytes content = beat->body;

    if (content.len < sizeof mac) {
        return hf_fail(op, HF_CORRUPT, "the heartbeat of %.100s is not signed", beat->node);
    }
    content.len -= sizeof mac;
    HF_TRY(compute_mac(cluster, op, beat, content, mac));
    if (!hf_bytes_equal_constant_time(hf_bytes_of(mac, sizeof mac),
                                      hf_bytes_of(content.data + content.len, sizeof mac))) {
        return hf_fail(op, HF_CORRUPT, "the heartbeat of %.100s was not written by this cluster",
                       beat->node);
    }
    *out_content = content;
    return HF_SUCCESS;
}

struct hf_status hf_cluster_row_read(struct hf_cluster *cluster, struct hf_op *op,
                                     const struct hf_beat *beat, struct hf_cluster_row *out)
{
    struct hf_cluster_row row = { .number = beat->number,
                                  .confirmed = beat->confirmed_seq,
                                  .applied = beat->applied_seq };
    struct hf_reader reader;
    struct hf_bytes content = HF_BYTES_NONE;
    uint8_t flags;

    HF_TRY(check_mac(cluster, op, beat, &content));
    hf_reader_init(&reader, content);
    if (hf_take_u8(&reader) != ROW_VERSION) {
        return hf_fail(op, HF_UNSUPPORTED, "the heartbeat of %.100s has an unknown format",
                       beat->node);
    }
    take_raw(&reader, row.instance, sizeof row.instance);
    take_raw(&reader, row.boot_id, sizeof row.boot_id);
    flags = hf_take_u8(&reader);
    row.leased = (flags & ROW_LEASED) != 0;
    row.holds = (flags & ROW_HOLDS) != 0;
    take_text(&reader, row.site, sizeof row.site);
    take_report(&reader, &row.report);
    HF_TRY(hf_reader_end(&reader, op, "a heartbeat"));
    memcpy(row.node, beat->node, strlen(beat->node) + 1);
    *out = row;
    return HF_SUCCESS;
}

void hf_cluster_stamp_write(const struct hf_cluster_stamp *stamp, struct hf_buf *out)
{
    hf_put_u8(out, STAMP_VERSION);
    hf_buf_add(out, stamp->boot_id, sizeof stamp->boot_id);
    hf_put_u64(out, stamp->boottime_ms);
    hf_put_u64(out, stamp->realtime_ms);
    hf_put_u64(out, stamp->opened);
}

struct hf_status hf_cluster_stamp_read(struct hf_op *op, struct hf_bytes bytes,
                                       struct hf_cluster_stamp *out)
{
    struct hf_cluster_stamp stamp = { .known = true };
    struct hf_reader reader;
    uint8_t version;

    hf_reader_init(&reader, bytes);
    version = hf_take_u8(&reader);
    if (version == 0 || version > STAMP_VERSION) {
        return hf_fail(op, HF_CORRUPT, "the stamp of the last fresh moment has no known format");
    }
    take_raw(&reader, stamp.boot_id, sizeof stamp.boot_id);
    stamp.boottime_ms = hf_take_u64(&reader);
    stamp.realtime_ms = hf_take_u64(&reader);
    stamp.opened = version > 1 ? hf_take_u64(&reader) : 0;
    HF_TRY(hf_reader_end(&reader, op, "the stamp of the last fresh moment"));
    *out = stamp;
    return HF_SUCCESS;
}
