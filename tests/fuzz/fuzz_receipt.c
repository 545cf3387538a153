/*
 * Receipts, which come by mail, and the records of drills and jobs: all stay within their bytes,
 * and what is read is written back the same. The first byte chooses.
 */
#include "fuzz_crypto.h"

#include <string.h>

#include "service/job.h"
#include "service/receipt.h"

/* The key of RFC 8410's example is trusted: no input is signed by it, so none is ever good. */
static void verify(struct hf_bytes receipt)
{
    static const uint8_t key[] = {
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf, 0x44,
        0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96, 0xc8, 0x50,
        0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31, 0x66, 0xe1
    };
    const struct hf_bytes trusted = hf_bytes_of(key, sizeof key);
    HF_AUTO(receipt_signers) signers = NULL;
    struct hf_status status =
        hf_receipt_verify(fuzz_crypto(), fuzz_op(), receipt, &trusted, 1, &signers);

    fuzz_require(status.code == HF_CORRUPT);
}

static void require_same(struct hf_bytes content, const struct hf_buf *again)
{
    fuzz_require(hf_bytes_equal(content, hf_buf_bytes(again)));
}

static void read_run(struct hf_bytes content)
{
    HF_AUTO(drill_run) run = NULL;
    HF_AUTO(buf) again = hf_buf_new();

    if (hf_drill_run_decode(fuzz_op(), content, &run).code == HF_OK) {
        fuzz_require(run->place < HF_DRILL_PLACES && run->node_count <= HF_DRILL_NODES);
        hf_drill_run_encode(run, again);
        require_same(content, again);
    }
}

static void read_part(struct hf_bytes content)
{
    HF_AUTO(drill_part) part = NULL;
    HF_AUTO(buf) again = hf_buf_new();

    if (hf_drill_part_decode(fuzz_op(), content, &part).code == HF_OK) {
        hf_drill_part_encode(part, again);
        require_same(content, again);
    }
}

static void read_end(struct hf_bytes content)
{
    HF_AUTO(drill_end) end = NULL;
    HF_AUTO(buf) again = hf_buf_new();

    if (hf_drill_end_decode(fuzz_op(), content, &end).code == HF_OK) {
        hf_drill_end_encode(end, again);
        require_same(content, again);
    }
}

static void read_job(struct hf_bytes content)
{
    struct hf_job_record record = { 0 };
    HF_AUTO(buf) again = hf_buf_new();

    if (hf_job_record_decode(fuzz_op(), content, &record).code == HF_OK) {
        hf_job_record_encode(&record, again);
        require_same(content, again);
    }
    hf_job_record_done(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const readers[])(struct hf_bytes) = { verify, read_run, read_part, read_end,
                                                        read_job };
    struct hf_bytes input = hf_bytes_of(data, len);
    uint8_t choice = fuzz_take_byte(&input);

    readers[choice % HF_COUNT(readers)](input);
    return 0;
}
