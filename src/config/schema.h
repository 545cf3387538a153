/*
 * The rows of the configuration: what may stand in which section, and what it means.
 */
#pragma once

#include <confuse.h>
#include <stdbool.h>

enum row_type { ROW_TEXT, ROW_PATH, ROW_BOOL, ROW_NUMBER, ROW_TEXTS, ROW_HOSTS };

struct row {
    const char *section; /* "" for the top level */
    const char *name;
    enum row_type type;
    const char *absent;  /* the default as text; NULL: not set */
    const char *choices; /* "a|b|c"; NULL: anything */
    long least, most;    /* ROW_NUMBER */
    const char *means;
};

extern const struct row hf_config_rows[]; /* ends with a NULL name */

/* What SIGHUP takes over; all other settings need a restart. Ends with a NULL name. */
struct live_row {
    const char *section;
    const char *name;
};
extern const struct live_row hf_config_live_rows[];
bool hf_config_row_is_live(const struct row *row);

struct section {
    const char *name;
    bool titled; /* section "title" { } may stand many times */
    const char *means;
};
extern const struct section hf_config_sections[];

struct hf_config;
/* compare.c: keeps every value as it was read, for comparing. */
void hf_config_keep_values(cfg_t *cfg, struct hf_config *config);
void hf_config_free_values(struct hf_config *config);
