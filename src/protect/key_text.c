/* Reading and making private files that hold one key. */
#include "protect/key_text.h"

#include "base/text.h"
#include "protect/private_file.h"

#define FILE_MAX 256

struct hf_status hf_key_text_create(struct hf_crypto *crypto, struct hf_op *op,
                                    const struct hf_key_text *form, const char *file)
{
    HF_AUTO(secret) key = NULL;
    HF_AUTO(buf) text = hf_buf_new();

    HF_TRY(hf_random_secret(crypto, op, HF_KEY_TEXT_LEN, &key));
    hf_buf_add_text(text, form->heading);
    hf_hex_add(text, hf_secret_bytes(key));
    hf_buf_add_text(text, "\n");
    return hf_private_file_create(op, file, hf_buf_bytes(text));
}

/* The second line; false when the file has another shape. */
static bool find_hex(const struct hf_key_text *form, struct hf_bytes text, struct hf_bytes *out)
{
    size_t heading_len = strlen(form->heading);

    if (text.len < heading_len || memcmp(text.data, form->heading, heading_len) != 0) {
        return false;
    }
    text = hf_bytes_of(text.data + heading_len, text.len - heading_len);
    if (text.len > 0 && text.data[text.len - 1] == '\n') {
        text.len--;
    }
    *out = text;
    return text.len == 2 * (size_t)HF_KEY_TEXT_LEN;
}

struct hf_status hf_key_text_read(struct hf_op *op, const struct hf_key_text *form,
                                  const char *file, struct hf_secret **out)
{
    HF_AUTO(secret) text = NULL;
    HF_AUTO(buf) key = hf_buf_new();
    struct hf_bytes hex;

    HF_TRY(hf_private_file_read(op, file, FILE_MAX, &text));
    /* The text of a failed decoding may quote the key, so it is replaced. */
    if (!find_hex(form, hf_secret_bytes(text), &hex) || hf_hex_decode(op, hex, key).code != HF_OK) {
        return hf_fail(op, HF_INVALID, "%s is not %s of Holdfast, or is damaged", file, form->what);
    }
    return hf_secret_copy(op, hf_buf_bytes(key), out);
}
