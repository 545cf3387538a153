/* The binary reader: it stays within its bytes, and what was read can be written back. */
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"

/* Takes one thing, chosen by a number, and writes it again unless the reader had failed. */
static void copy_one(struct hf_reader *reader, unsigned choice, struct hf_buf *out)
{
    struct hf_buf *good = out;
    HF_AUTO(buf) taken = hf_buf_new();

    switch (choice % 6) {
    case 0:
        hf_put_u8(taken, hf_take_u8(reader));
        break;
    case 1:
        hf_put_u16(taken, hf_take_u16(reader));
        break;
    case 2:
        hf_put_u32(taken, hf_take_u32(reader));
        break;
    case 3:
        hf_put_u64(taken, hf_take_u64(reader));
        break;
    case 4:
        hf_put_bytes(taken, hf_take_bytes(reader));
        break;
    default: {
        HF_AUTO_STRING text = hf_take_text(reader);

        hf_put_text(taken, text);
    }
    }
    if (!reader->failed) {
        hf_buf_add_bytes(good, hf_buf_bytes(taken));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(buf) copy = hf_buf_new();
    struct hf_bytes input = hf_bytes_of(data, len);
    unsigned choices = fuzz_take_byte(&input) * 251U;
    struct hf_reader reader;
    struct hf_bytes rest;

    hf_reader_init(&reader, input);
    for (unsigned i = 0; i < 64 && !reader.failed && reader.at != reader.end; i++) {
        copy_one(&reader, choices, copy);
        choices = choices * 5 + 1 + i;
    }
    fuzz_require(copy->len <= input.len);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(copy), hf_bytes_of(input.data, copy->len)));
    if (reader.failed) {
        fuzz_require(hf_take_u64(&reader) == 0 && hf_take_bytes(&reader).len == 0);
        fuzz_require(hf_reader_end(&reader, fuzz_op(), "input").code == HF_CORRUPT);
    } else {
        fuzz_require(copy->len == (size_t)(reader.at - input.data));
        rest = hf_take_raw(&reader, (size_t)(reader.end - reader.at));
        fuzz_require(copy->len + rest.len == input.len);
        fuzz_require(hf_reader_end(&reader, fuzz_op(), "input").code == HF_OK);
    }
    return 0;
}
