/*
 * The store section of holdfast.conf: made from options, and put in place of another.
 */
#pragma once

#include "cli/command.h"
#include "config/config.h"

/* The options of commands that make or move a store, for their tables. */
#define CLI_STORE_OPTIONS                                                                          \
    "store-host=|store-database=|store-user=|store-passfile=|store-sslmode=|store-ca=|"            \
    "store-certificate=|store-key=|store-synchronous=|store-when-fewer=|store-directory="

/*
 * The section for an engine, from the options above. Files are given as a shell has them and
 * written as absolute paths. HF_INVALID for an option of another engine, or a file that is not
 * there.
 */
struct hf_status cli_store_section(struct cli *cli, const char *engine, struct hf_buf *out);

/* A pin that is not at the default place stays in the new section. */
void cli_section_keep_pin(const struct hf_config *config, struct hf_buf *section);

/* The text of a configuration with this section in place of its own; HF_INVALID if it has two. */
struct hf_status cli_section_replace(struct hf_op *op, struct hf_bytes text,
                                     struct hf_bytes section, struct hf_buf *out);

/* Where a store is, for people. */
void cli_store_words(const struct hf_config *config, struct hf_buf *out);
