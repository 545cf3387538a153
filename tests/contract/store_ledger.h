/*
 * A workload that depends on nothing but what it was told, and a check of what a store holds
 * afterwards: every acknowledged batch whole, every other whole or absent.
 */
#pragma once

#include "store_world.h"

#define LEDGER_BATCHES  8
#define LEDGER_SNAPSHOT 3 /* its place in other_codes */

struct ledger {
    bool tried[LEDGER_BATCHES];
    bool under_way[LEDGER_BATCHES];
    enum hf_code codes[LEDGER_BATCHES]; /* how each batch that was tried ended */
    uint64_t shared[LEDGER_BATCHES];    /* the revision it expected of the record they share */
    enum hf_code open_code;
    enum hf_code other_codes[5]; /* of the calls between the batches */
};

/* Opens the store, applies the batches with other calls between them, and closes it. */
void ledger_run(struct ledger *ledger, struct store_world *world);

/* Opens the store and checks it against the ledger, then repeats every request. */
void ledger_check(const struct ledger *ledger, struct store_world *world);
