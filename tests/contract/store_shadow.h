/*
 * The shadow of a directory: what a power loss would leave of its files.
 *
 * A write counts as durable once the file was synced; a new file, once it was synced itself. At a
 * chosen write or sync the shadow takes an image: the durable bytes, and of the others none, all,
 * or a part that is torn at sectors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shadow_loss {
    SHADOW_LOSES_ALL,  /* nothing that was not synced is there */
    SHADOW_LOSES_NONE, /* all writes happened to reach the disk */
    SHADOW_TEARS,      /* each sector of each write did or did not, by a seeded choice */
    SHADOW_LOSSES,
};

/* Starts with the files of the directory as they are, all durable. */
void shadow_start(const char *directory);
void shadow_stop(void);

/*
 * At event number at (a write, truncation, sync or deletion, counted from 1) take the images of all
 * kinds of loss, before that event; on_image is called then, so that the test can note what was
 * acknowledged.
 */
void shadow_arm(uint64_t at, void (*on_image)(void *context), void *context);
bool shadow_has_image(void);
/* Writes the image of that loss into a directory that exists. */
void shadow_write_image(enum shadow_loss loss, const char *directory);

/* Events so far. */
uint64_t shadow_events(void);
/* What the file holds was written but never made durable, nor was its name. */
void shadow_make_pending(const char *name);

/* Called by the VFS, with the path of the file. */
void shadow_wrote(const char *path, const void *data, size_t len, int64_t at);
void shadow_truncated(const char *path, int64_t size);
void shadow_synced(const char *path);
void shadow_deleted(const char *path);
