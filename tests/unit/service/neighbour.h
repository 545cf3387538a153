/*
 * Another node on the store of the world, with parts of its own in the same process: it follows the
 * store and runs its jobs only when it is told to, so that a test can stop it anywhere.
 */
#pragma once

#include "world.h"

struct neighbour {
    const char *name;
    struct hf_seal *seal;
    struct hf_keys *keys;
    struct hf_policy *policy;
    struct hf_audit *audit;
    struct hf_service *service;
    struct hf_pkey *signer;
    struct hf_drill_slot slot; /* opens by the world's key file */
    char *file;
};

/* A member of the list, as if it had been approved. */
void neighbour_enlist(const char *name, const char *site, enum hf_member_state state);
/* Unlocked; with a signer of its own. */
void neighbour_start(struct neighbour *node, const char *name);
void neighbour_stop(struct neighbour *node);
/* What others have committed. */
void neighbour_follow(struct neighbour *node);
/* Follows, does its part of a drill if one is asked, and its jobs while there is more to do. */
void neighbour_turn(struct neighbour *node);

/* The same for the world's own node. Its slot is opened by the world's key file, too. */
void world_take_part(void);
void world_leave(void);
void world_follow(void);
void world_turn(void);
