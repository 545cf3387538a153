/*
 * The trail that tests attack, and the tools of an attacker.
 */
#pragma once

#include "fixture.h"

#define ATTACK_LINES_MAX 64

/* A file taken apart. */
struct attack_text {
    struct hf_buf *content;
    struct hf_bytes lines[ATTACK_LINES_MAX];
    size_t count;
};

/*
 * The trail that is attacked, three files of lines
 *   1 start, 2 checkpoint, 3 4 5 events, 6 note, 7 checkpoint
 *   8 start, 9 checkpoint, 10 11 12 events, 13 note, 14 checkpoint
 *   15 start, 16 checkpoint, 17 18 19 events, 20 note, 21 checkpoint (the anchor), 22 23 events.
 */
void attack_make_trail(struct fixture *fixture, struct hf_buf *anchor);
void attack_take_apart(struct fixture *fixture, const char *name, struct attack_text *out);
void attack_put_together(struct fixture *fixture, const char *name, struct attack_text *text);
void attack_replace_in(struct hf_buf *line, const char *from, const char *to);
/* Writes 64 digits of a hash behind a member's name. */
void attack_put_hash(struct hf_buf *line, const char *name, const uint8_t hash[HF_SHA256_LEN]);
/* The hash that stands in a line. */
void attack_hash_of(struct fixture *fixture, struct hf_bytes text, uint8_t out[HF_SHA256_LEN]);
/* Computes the chain of one file anew from a line on, as well as one can without the key. */
void attack_forge(struct fixture *fixture, const char *name, size_t first, const char *from,
                  const char *to);
void attack_remove_line(struct fixture *fixture, const char *name, size_t line);
void attack_swap_lines(struct fixture *fixture, const char *name, size_t a, size_t b);
/* Puts a copy of one line before another. */
void attack_copy_line(struct fixture *fixture, const char *name, size_t from, size_t before);
/* Leaves that many lines, and bytes of the next. */
void attack_cut(struct fixture *fixture, const char *name, size_t lines, size_t bytes);
void attack_copy_file(struct fixture *fixture, const char *from, const char *to);
