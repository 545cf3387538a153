/*
 * holdfast bench: a first look at a node's speed, by one caller over the admin door.
 */
#pragma once

#include "cli/command.h"

/* Prints rate, median and 99th percentile for generate and unwrap of data keys. */
struct hf_status cli_bench(struct cli *cli);
