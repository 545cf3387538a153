/*
 * Every change of a key, once, on a store of the SQLite engine, and a check of what the store holds
 * afterwards: every acknowledged change whole, every other whole or absent, every version opens.
 */
#pragma once

#include "store_world.h"

#define LEDGER_STEPS    32
#define LEDGER_OBJECTS  8 /* the keyring and the keys */
#define LEDGER_VERSIONS 4
#define LEDGER_DEK      32

struct keys_ledger {
    bool tried[LEDGER_STEPS];
    bool under_way[LEDGER_STEPS];
    enum hf_code codes[LEDGER_STEPS]; /* how each step that was tried ended */
    enum hf_code open_code;           /* of engine, seal and unlock, before the steps */
    /* What each version of each key makes of one data key: it must open for ever. */
    bool has_wrapped[LEDGER_OBJECTS][LEDGER_VERSIONS];
    uint8_t wrapped[LEDGER_OBJECTS][LEDGER_VERSIONS][LEDGER_DEK];
};

/* For cmocka: makes the store that every run begins with, and a run without faults to compare. */
int keys_ledger_start(void **unused);
int keys_ledger_stop(void **unused);

/* A directory with the store that every run begins with, closed. */
void keys_ledger_prepare(struct store_world *store);
/* Opens the store and takes the steps. What follows a step that failed on its key is not tried. */
void keys_ledger_run(struct keys_ledger *ledger, struct store_world *store);
/* Opens the store and checks it against the ledger; what says in which case. */
void keys_ledger_check(const struct keys_ledger *ledger, struct store_world *store,
                       const char *what);
/* The file outside the store that remembers the highest head seen. */
char *keys_ledger_pin(const struct store_world *store);
