/* Files in tests: read, written and spoiled by hand. */
#pragma once

#include "base/bytes.h"
#include "store_world.h"

/* The path of a file of the world's engine; free() gives it back. */
char *file_in(const struct store_world *world, const char *name);
/* What it holds is replaced. */
void write_file(const char *file, const void *data, size_t len);
void overwrite_at(const char *file, size_t at, const void *data, size_t len);
void read_whole(const char *file, struct hf_buf *out);
void copy_over(const char *from, const char *to);
/* 0 when there is none. */
size_t size_of(const char *file);
/* How many entries a directory has, without itself and its parent. */
size_t entries_in(const char *directory);
/* Runs SQL on a database that nobody has open. */
void run_sql(const char *file, const char *sql);
/* The end of its log is spoiled under an engine, which is made to look for that end again. */
void lose_the_last_commit(const char *file);
