/*
 * A SQLite VFS for tests: it passes calls on to the real one, fails the n-th of a kind as told, and
 * tells the shadow (store_shadow.h) what was written and what was made durable.
 *
 * While installed it is the default VFS, so the engine uses it without knowing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum vfs_call {
    VFS_OPEN,
    VFS_DELETE,
    VFS_ACCESS,
    VFS_READ,
    VFS_WRITE,
    VFS_TRUNCATE,
    VFS_SYNC,
    VFS_SIZE,
    VFS_LOCK,
    VFS_SHM_MAP,
    VFS_SHM_LOCK,
    VFS_CALLS,
};

struct vfs_fault {
    enum vfs_call call;
    int result;         /* of SQLite, to fail with */
    bool torn;          /* a write that fails has written its first half */
    bool for_good;      /* every later call of the kind fails too */
    const char *ending; /* only of files whose name ends so; NULL: of all */
};

void vfs_install(void);
void vfs_remove(void);

/* Fail call number at of the fault's kind, counted from 1 from now on; 0: none. */
void vfs_arm(const struct vfs_fault *fault, uint64_t at);
void vfs_disarm(void);
/* How many calls failed since it was armed. */
uint64_t vfs_faults(void);
/* How many calls of the kind there were since. */
uint64_t vfs_calls(enum vfs_call call);
