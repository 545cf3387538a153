/* A SQLite VFS for tests that fails as told. */
#include "store_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store_shadow.h"

struct vfs_file {
    sqlite3_file base;
    char *path;
    sqlite3_file *real; /* in the memory that follows */
};

static struct {
    pthread_mutex_t lock; /* guards everything below but real and vfs */
    struct vfs_fault fault;
    uint64_t at;
    uint64_t faults;
    uint64_t calls[VFS_CALLS];
    sqlite3_vfs *real;
    sqlite3_vfs vfs;
} shim = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool ends_with(const char *path, const char *ending)
{
    size_t len = strlen(ending);

    return path != NULL && strlen(path) >= len && strcmp(path + strlen(path) - len, ending) == 0;
}

/* Counts a call; SQLITE_OK unless it has to fail. */
static int count(enum vfs_call call, const char *path)
{
    int result = SQLITE_OK;

    pthread_mutex_lock(&shim.lock);
    if (shim.fault.ending != NULL && !ends_with(path, shim.fault.ending)) {
        pthread_mutex_unlock(&shim.lock);
        return SQLITE_OK;
    }
    shim.calls[call]++;
    if (shim.at != 0 && call == shim.fault.call &&
        (shim.calls[call] == shim.at || (shim.fault.for_good && shim.calls[call] > shim.at))) {
        shim.faults++;
        result = shim.fault.result;
    }
    pthread_mutex_unlock(&shim.lock);
    return result;
}

static struct vfs_file *file_of(sqlite3_file *base)
{
    return (struct vfs_file *)(void *)base;
}

static sqlite3_file *real_of(sqlite3_file *base)
{
    return file_of(base)->real;
}

static int vfs_close(sqlite3_file *base)
{
    struct vfs_file *file = file_of(base);
    int result = file->real->pMethods->xClose(file->real);

    free(file->path);
    return result;
}

static int vfs_read(sqlite3_file *base, void *out, int len, sqlite3_int64 at)
{
    int result = count(VFS_READ, file_of(base)->path);

    return result != SQLITE_OK ? result
                               : real_of(base)->pMethods->xRead(real_of(base), out, len, at);
}

static int write_through(struct vfs_file *file, const void *data, int len, sqlite3_int64 at)
{
    shadow_wrote(file->path, data, (size_t)len, at);
    return file->real->pMethods->xWrite(file->real, data, len, at);
}

static int vfs_write(sqlite3_file *base, const void *data, int len, sqlite3_int64 at)
{
    int result = count(VFS_WRITE, file_of(base)->path);

    if (result == SQLITE_OK) {
        return write_through(file_of(base), data, len, at);
    }
    if (shim.fault.torn && len > 1) {
        (void)write_through(file_of(base), data, len / 2, at);
    }
    return result;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int result = count(VFS_TRUNCATE, file_of(base)->path);

    if (result != SQLITE_OK) {
        return result;
    }
    shadow_truncated(file_of(base)->path, size);
    return real_of(base)->pMethods->xTruncate(real_of(base), size);
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    int result = count(VFS_SYNC, file_of(base)->path);

    if (result != SQLITE_OK) {
        return result;
    }
    shadow_synced(file_of(base)->path);
    return real_of(base)->pMethods->xSync(real_of(base), flags);
}

static int vfs_size(sqlite3_file *base, sqlite3_int64 *out)
{
    int result = count(VFS_SIZE, file_of(base)->path);

    return result != SQLITE_OK ? result : real_of(base)->pMethods->xFileSize(real_of(base), out);
}

static int vfs_lock(sqlite3_file *base, int level)
{
    int result = count(VFS_LOCK, file_of(base)->path);

    return result != SQLITE_OK ? result : real_of(base)->pMethods->xLock(real_of(base), level);
}

static int vfs_unlock(sqlite3_file *base, int level)
{
    return real_of(base)->pMethods->xUnlock(real_of(base), level);
}

static int vfs_check_reserved(sqlite3_file *base, int *out)
{
    return real_of(base)->pMethods->xCheckReservedLock(real_of(base), out);
}

static int vfs_control(sqlite3_file *base, int which, void *argument)
{
    return real_of(base)->pMethods->xFileControl(real_of(base), which, argument);
}

static int vfs_sector_size(sqlite3_file *base)
{
    return real_of(base)->pMethods->xSectorSize(real_of(base));
}

static int vfs_characteristics(sqlite3_file *base)
{
    return real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
}

static int vfs_shm_map(sqlite3_file *base, int page, int len, int extend, void volatile **out)
{
    int result = count(VFS_SHM_MAP, file_of(base)->path);

    return result != SQLITE_OK
               ? result
               : real_of(base)->pMethods->xShmMap(real_of(base), page, len, extend, out);
}

static int vfs_shm_lock(sqlite3_file *base, int at, int n, int flags)
{
    /* Giving a lock back does not fail. */
    int result =
        (flags & SQLITE_SHM_UNLOCK) != 0 ? SQLITE_OK : count(VFS_SHM_LOCK, file_of(base)->path);

    return result != SQLITE_OK ? result
                               : real_of(base)->pMethods->xShmLock(real_of(base), at, n, flags);
}

static void vfs_shm_barrier(sqlite3_file *base)
{
    real_of(base)->pMethods->xShmBarrier(real_of(base));
}

static int vfs_shm_unmap(sqlite3_file *base, int delete)
{
    return real_of(base)->pMethods->xShmUnmap(real_of(base), delete);
}

/* Version 2: with shared memory for the write-ahead log, without mapped pages. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_check_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags,
                    int *out_flags)
{
    struct vfs_file *file = file_of(base);
    int result = count(VFS_OPEN, name);

    (void)vfs;
    memset(file, 0, sizeof *file);
    if (result != SQLITE_OK) {
        return result;
    }
    file->real = (sqlite3_file *)(void *)(file + 1);
    result = shim.real->xOpen(shim.real, name, file->real, flags, out_flags);
    if (result == SQLITE_OK) {
        file->base.pMethods = &methods;
        file->path = hf_strdup(name != NULL ? name : "");
    }
    return result;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    int result = count(VFS_DELETE, name);

    (void)vfs;
    if (result != SQLITE_OK) {
        return result;
    }
    shadow_deleted(name);
    return shim.real->xDelete(shim.real, name, sync_directory);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    int result = count(VFS_ACCESS, name);

    (void)vfs;
    return result != SQLITE_OK ? result : shim.real->xAccess(shim.real, name, flags, out);
}

void vfs_install(void)
{
    shim.real = sqlite3_vfs_find(NULL);
    hf_assert(shim.real != NULL && shim.real != &shim.vfs);
    /* What is not replaced works on the real one, whose functions do not look at their VFS. */
    shim.vfs = *shim.real;
    shim.vfs.zName = "holdfast-test";
    shim.vfs.pNext = NULL;
    shim.vfs.szOsFile = (int)sizeof(struct vfs_file) + shim.real->szOsFile;
    shim.vfs.xOpen = vfs_open;
    shim.vfs.xDelete = vfs_delete;
    shim.vfs.xAccess = vfs_access;
    hf_assert(sqlite3_vfs_register(&shim.vfs, 1) == SQLITE_OK);
}

void vfs_remove(void)
{
    hf_assert(sqlite3_vfs_unregister(&shim.vfs) == SQLITE_OK);
    hf_assert(sqlite3_vfs_register(shim.real, 1) == SQLITE_OK);
}

void vfs_arm(const struct vfs_fault *fault, uint64_t at)
{
    pthread_mutex_lock(&shim.lock);
    shim.fault = *fault;
    shim.at = at;
    shim.faults = 0;
    memset(shim.calls, 0, sizeof shim.calls);
    pthread_mutex_unlock(&shim.lock);
}

void vfs_disarm(void)
{
    pthread_mutex_lock(&shim.lock);
    shim.at = 0;
    pthread_mutex_unlock(&shim.lock);
}

uint64_t vfs_faults(void)
{
    uint64_t faults;

    pthread_mutex_lock(&shim.lock);
    faults = shim.faults;
    pthread_mutex_unlock(&shim.lock);
    return faults;
}

uint64_t vfs_calls(enum vfs_call call)
{
    uint64_t calls;

    pthread_mutex_lock(&shim.lock);
    calls = shim.calls[call];
    pthread_mutex_unlock(&shim.lock);
    return calls;
}
