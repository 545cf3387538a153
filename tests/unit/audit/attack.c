/* See attack.h. */
#include "attack.h"

#include "base/text.h"

void attack_make_trail(struct fixture *fixture, struct hf_buf *anchor)
{
    fixture_open(fixture);
    for (unsigned file = 1; file <= 3; file++) {
        fixture_fill(fixture, 3);
        assert_ok(&fixture->op, fixture_note(fixture, file));
        if (file < 3) {
            hf_audit_lock(fixture->audit);
            assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
            hf_audit_unlock(fixture->audit);
        }
    }
    assert_ok(&fixture->op, hf_audit_checkpoint(fixture->audit, &fixture->op, anchor));
    fixture_fill(fixture, 2);
    fixture_kill(fixture);
}

void attack_take_apart(struct fixture *fixture, const char *name, struct attack_text *out)
{
    struct hf_bytes content;
    size_t at = 0;

    out->content = fixture_read(fixture, name);
    assert_non_null(out->content);
    content = hf_buf_bytes(out->content);
    out->count = 0;
    while (at < content.len) {
        out->lines[out->count] = fixture_line(hf_bytes_of(content.data + at, content.len - at), 1);
        at += out->lines[out->count++].len;
        assert_true(out->count < ATTACK_LINES_MAX);
    }
}

void attack_put_together(struct fixture *fixture, const char *name, struct attack_text *text)
{
    HF_AUTO(buf) content = hf_buf_new();

    for (size_t i = 0; i < text->count; i++) {
        hf_buf_add_bytes(content, text->lines[i]);
    }
    fixture_replace(fixture, name, hf_buf_bytes(content));
    hf_buf_free(text->content);
}

void attack_replace_in(struct hf_buf *line, const char *from, const char *to)
{
    uint8_t *found = memmem(line->data, line->len, from, strlen(from));

    assert_non_null(found);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(found, to, strlen(to));
}

void attack_put_hash(struct hf_buf *line, const char *name, const uint8_t hash[HF_SHA256_LEN])
{
    HF_AUTO(buf) hex = hf_buf_new();
    uint8_t *found = memmem(line->data, line->len, name, strlen(name));

    hf_hex_add(hex, hf_bytes_of(hash, HF_SHA256_LEN));
    assert_non_null(found);
    memcpy(found + strlen(name), hex->data, hex->len);
}

void attack_hash_of(struct fixture *fixture, struct hf_bytes text, uint8_t out[HF_SHA256_LEN])
{
    struct hf_audit_line line;

    assert_ok(&fixture->op,
              hf_audit_line_parse(&fixture->op, hf_bytes_of(text.data, text.len - 1), &line));
    memcpy(out, line.hash, sizeof line.hash);
}

void attack_forge(struct fixture *fixture, const char *name, size_t first, const char *from,
                  const char *to)
{
    HF_AUTO(buf) content = hf_buf_new();
    struct attack_text text;
    uint8_t hash[HF_SHA256_LEN];

    attack_take_apart(fixture, name, &text);
    if (first > 1) {
        attack_hash_of(fixture, text.lines[first - 2], hash);
    } else {
        HF_AUTO(buf) before = fixture_read(fixture, "audit.log.2");

        attack_hash_of(fixture, fixture_line(hf_buf_bytes(before), 7), hash);
    }
    for (size_t i = 0; i < text.count; i++) {
        HF_AUTO(buf) line = hf_buf_new();

        hf_buf_add_bytes(line, text.lines[i]);
        if (i + 1 == first) {
            attack_replace_in(line, from, to);
        }
        if (i + 1 >= first) {
            if (memmem(line->data, line->len, "\"audit.checkpoint\"", 18) != NULL) {
                attack_put_hash(line, "\"previous\":\"", hash);
            }
            assert_ok(&fixture->op, hf_audit_link(fixture_crypto, &fixture->op, hash,
                                                  hf_bytes_of(line->data, line->len - 73), hash));
            attack_put_hash(line, ",\"h\":\"", hash);
        }
        hf_buf_add_bytes(content, hf_buf_bytes(line));
    }
    fixture_replace(fixture, name, hf_buf_bytes(content));
    hf_buf_free(text.content);
}

void attack_remove_line(struct fixture *fixture, const char *name, size_t line)
{
    struct attack_text text;

    attack_take_apart(fixture, name, &text);
    memmove(&text.lines[line - 1], &text.lines[line], (text.count - line) * sizeof text.lines[0]);
    text.count--;
    attack_put_together(fixture, name, &text);
}

void attack_swap_lines(struct fixture *fixture, const char *name, size_t a, size_t b)
{
    struct attack_text text;
    struct hf_bytes line;

    attack_take_apart(fixture, name, &text);
    line = text.lines[a - 1];
    text.lines[a - 1] = text.lines[b - 1];
    text.lines[b - 1] = line;
    attack_put_together(fixture, name, &text);
}

void attack_copy_line(struct fixture *fixture, const char *name, size_t from, size_t before)
{
    struct attack_text text;
    struct hf_bytes line;

    attack_take_apart(fixture, name, &text);
    line = text.lines[from - 1];
    memmove(&text.lines[before], &text.lines[before - 1],
            (text.count - before + 1) * sizeof text.lines[0]);
    text.lines[before - 1] = line;
    text.count++;
    attack_put_together(fixture, name, &text);
}

void attack_cut(struct fixture *fixture, const char *name, size_t lines, size_t bytes)
{
    struct attack_text text;

    attack_take_apart(fixture, name, &text);
    text.count = lines + (bytes > 0 ? 1 : 0);
    if (bytes > 0) {
        text.lines[lines].len = bytes;
    }
    attack_put_together(fixture, name, &text);
}

void attack_copy_file(struct fixture *fixture, const char *from, const char *to)
{
    HF_AUTO(buf) content = fixture_read(fixture, from);

    fixture_replace(fixture, to, hf_buf_bytes(content));
}
