/*
 * Taking a store that went back in time, on a node whose daemon does not start.
 */
#pragma once

#include "cli/command.h"

/* HF_WRONG_STATE without --force, and while a daemon has the store or the trail. */
struct hf_status cli_accept_offline(struct cli *cli);
