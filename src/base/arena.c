/*
 * Hands out blocks of secret memory: size classes in slabs with guard pages around them.
 *
 * All bookkeeping is outside the slabs, so that a stray write into a block can damage keys but not
 * the allocator, and so that a free block is zero from end to end. A block belongs to one caller
 * between alloc and free, which is why its length may be read and written without the lock.
 */
#include "base/arena.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, len)   ((void)(memory), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(memory, len) ((void)(memory), (void)(len))
#endif

#define DEFAULT_BYTES ((size_t)64 << 20)
#define STRIDE        ((size_t)64 << 10) /* from slab to slab; the last page of it is a guard */
#define ALIGNMENT     16
/* Addresses are cheap and locked bytes are not: slabs of many classes can lie scattered. */
#define ADDRESSES_PER_BYTE 4

/* Sizes of blocks with their guard word; chosen to leave little over in a slab of 60 KiB. */
static const uint16_t class_sizes[] = { 32,   48,   64,   96,    128,   192,   256,
                                        384,  512,  768,  1024,  1536,  2048,  3072,
                                        4096, 6144, 7680, 10240, 12288, 15360, 20480 };

#define CLASSES   HF_COUNT(class_sizes)
#define LARGE     CLASSES
#define SMALL_MAX 20480

enum slot_use { SLOT_FREE, SLOT_HEAD, SLOT_TAIL };

/* What lies in one slot of the reserved range, or in a run of slots for a large block. */
struct slab {
    enum slot_use use;
    unsigned size_class;
    size_t slots;          /* of a large run */
    size_t mapped;         /* bytes */
    size_t large_len;      /* of a large block, as asked for */
    uint16_t count;        /* blocks */
    uint16_t free_count;   /* blocks in free_blocks */
    uint16_t *free_blocks; /* a stack of indexes */
    uint16_t *lens;        /* per block: length asked for, plus one; 0: free */
    struct slab *next;     /* among those of the class with a free block */
    struct slab *previous;
};

struct size_class {
    pthread_mutex_t lock; /* guards everything here and free_count, next, previous of its slabs */
    struct slab *partial; /* slabs with a free block */
    size_t empty;         /* slabs with free blocks only; one is kept against thrashing */
    size_t used;          /* blocks handed out */
};

static struct {
    bool started;
    atomic_bool gone; /* in a forked child, which does not have the memory */
    struct hf_pages pages;
    uint8_t *first; /* the first slot; a guard lies before it */
    size_t slots;
    uint64_t guard;
    struct size_class classes[CLASSES];
    pthread_mutex_t lock; /* guards slab use, mapped, large_used; taken after a class lock */
    struct slab *slabs;   /* one per slot */
    size_t mapped;
    size_t large_used;
} arena = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void lock(pthread_mutex_t *mutex)
{
    hf_assert(pthread_mutex_lock(mutex) == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    hf_assert(pthread_mutex_unlock(mutex) == 0);
}

static void forget_in_child(void)
{
    atomic_store(&arena.gone, true);
}

bool hf_arena_is_started(void)
{
    return arena.started;
}

struct hf_status hf_arena_start(struct hf_op *op, const struct hf_secret_settings *settings)
{
    struct hf_secret_settings filled = *settings;

    if (arena.started) {
        return hf_fail(op, HF_INTERNAL, "secret memory is set up already");
    }
    filled.max_bytes = settings->max_bytes > 0 ? settings->max_bytes : DEFAULT_BYTES;
    if (filled.max_bytes > SIZE_MAX / 64) {
        return hf_fail(op, HF_INVALID, "the limit of secret memory is too large");
    }
    arena.slots = (filled.max_bytes + STRIDE - 1) / STRIDE * ADDRESSES_PER_BYTE + CLASSES;
    HF_TRY(hf_pages_start(op, &filled, (arena.slots + 1) * STRIDE, STRIDE, &arena.pages));
    if (arena.pages.page >= STRIDE) {
        return hf_fail(op, HF_UNSUPPORTED, "memory pages of %zu KiB are larger than supported",
                       arena.pages.page / 1024);
    }
    arena.first = arena.pages.base + STRIDE;
    arena.slabs = hf_alloc_array(arena.slots, sizeof *arena.slabs);
    hf_env_random(op->env, &arena.guard, sizeof arena.guard);
    for (size_t i = 0; i < CLASSES; i++) {
        hf_assert(pthread_mutex_init(&arena.classes[i].lock, NULL) == 0);
    }
    hf_assert(pthread_atfork(NULL, NULL, forget_in_child) == 0);
#ifdef WITH_ASAN
    __lsan_register_root_region(arena.first, arena.slots * STRIDE);
#endif
    arena.started = true;
    return HF_SUCCESS;
}

static uint8_t *slab_start(const struct slab *slab)
{
    return arena.first + (size_t)(slab - arena.slabs) * STRIDE;
}

static size_t slab_offset(const struct slab *slab)
{
    return (size_t)(slab_start(slab) - arena.pages.base);
}

bool hf_arena_owns(const void *block)
{
    return (uintptr_t)block - (uintptr_t)arena.first < arena.slots * STRIDE && arena.started;
}

static struct slab *slab_of(const void *block)
{
    struct slab *slab;

    hf_assert(hf_arena_owns(block));
    slab = &arena.slabs[(size_t)((const uint8_t *)block - arena.first) / STRIDE];
    hf_assert(slab->use == SLOT_HEAD);
    return slab;
}

/* The guard word of a block differs from place to place, so that one cannot be copied. */
static uint64_t guard_of(const uint8_t *block)
{
    return arena.guard ^ (uintptr_t)block;
}

static void set_guard(uint8_t *block, size_t len)
{
    uint64_t guard = guard_of(block);

    memcpy(block + len, &guard, sizeof guard);
    ASAN_POISON_MEMORY_REGION(block + len, sizeof guard);
}

/* Makes the guard word readable, and ends the process when something wrote over it. */
static void lift_guard(uint8_t *block, size_t len)
{
    uint64_t guard;

    ASAN_UNPOISON_MEMORY_REGION(block, len + sizeof guard);
    memcpy(&guard, block + len, sizeof guard);
    hf_assert(guard == guard_of(block));
}

/* The head of a run of free slots, claimed, with its mapped bytes counted; the arena is locked. */
static struct slab *claim_slots(size_t slots, size_t mapped)
{
    size_t run = 0;

    if (mapped > arena.pages.max_bytes - arena.mapped) {
        return NULL;
    }
    for (size_t i = 0; i < arena.slots; i++) {
        run = arena.slabs[i].use == SLOT_FREE ? run + 1 : 0;
        if (run == slots) {
            struct slab *head = &arena.slabs[i + 1 - slots];

            for (size_t k = 0; k < slots; k++) {
                head[k].use = k == 0 ? SLOT_HEAD : SLOT_TAIL;
            }
            head->slots = slots;
            head->mapped = mapped;
            arena.mapped += mapped;
            return head;
        }
    }
    return NULL;
}

static void release_slots(struct slab *head)
{
    size_t slots = head->slots;

    arena.mapped -= head->mapped;
    memset(head, 0, slots * sizeof *head);
}

/* Where the mapped pages of a slab or run begin: they end at its guard page. */
static size_t mapped_offset(const struct slab *head)
{
    return slab_offset(head) + head->slots * STRIDE - arena.pages.page - head->mapped;
}

static struct slab *map_slots(size_t slots, size_t mapped)
{
    struct slab *head;

    lock(&arena.lock);
    head = claim_slots(slots, mapped);
    if (head != NULL && !hf_pages_map(&arena.pages, mapped_offset(head), mapped)) {
        release_slots(head);
        head = NULL;
    }
    unlock(&arena.lock);
    return head;
}

static void unmap_slots(struct slab *head)
{
    lock(&arena.lock);
    hf_pages_unmap(&arena.pages, mapped_offset(head), head->mapped);
    release_slots(head);
    unlock(&arena.lock);
}

static void list_add(struct size_class *class, struct slab *slab)
{
    slab->previous = NULL;
    slab->next = class->partial;
    if (slab->next != NULL) {
        slab->next->previous = slab;
    }
    class->partial = slab;
}

static void list_remove(struct size_class *class, struct slab *slab)
{
    if (slab->previous != NULL) {
        slab->previous->next = slab->next;
    } else {
        class->partial = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->previous = slab->previous;
    }
}

/* One more slab for a class, which is locked. */
static struct slab *grow(struct size_class *class)
{
    size_t bytes = STRIDE - arena.pages.page;
    struct slab *slab = map_slots(1, bytes);

    if (slab == NULL) {
        return NULL;
    }
    slab->size_class = (unsigned)(class - arena.classes);
    slab->count = (uint16_t)(bytes / class_sizes[slab->size_class]);
    slab->free_count = slab->count;
    slab->free_blocks = hf_alloc_array(slab->count, sizeof *slab->free_blocks);
    slab->lens = hf_alloc_array(slab->count, sizeof *slab->lens);
    for (uint16_t i = 0; i < slab->count; i++) {
        slab->free_blocks[i] = (uint16_t)(slab->count - 1 - i);
    }
    ASAN_POISON_MEMORY_REGION(slab_start(slab), bytes);
    class->empty++;
    list_add(class, slab);
    return slab;
}

/* Gives an empty slab back to the kernel; its class is locked. */
static void shrink(struct size_class *class, struct slab *slab)
{
    list_remove(class, slab);
    class->empty--;
    free(slab->free_blocks);
    free(slab->lens);
    ASAN_UNPOISON_MEMORY_REGION(slab_start(slab), STRIDE - arena.pages.page);
    unmap_slots(slab);
}

/* Gives back every empty slab, so that another class can have its bytes. */
static void shrink_all(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        struct size_class *class = &arena.classes[i];
        struct slab *next;

        lock(&class->lock);
        for (struct slab *slab = class->partial; slab != NULL; slab = next) {
            next = slab->next;
            if (slab->free_count == slab->count) {
                shrink(class, slab);
            }
        }
        unlock(&class->lock);
    }
}

static void *take_block(struct size_class *class, size_t len)
{
    uint16_t index = 0;
    struct slab *slab;
    uint8_t *block;

    lock(&class->lock);
    slab = class->partial != NULL ? class->partial : grow(class);
    if (slab != NULL) {
        class->empty -= slab->free_count == slab->count;
        index = slab->free_blocks[--slab->free_count];
        class->used++;
        if (slab->free_count == 0) {
            list_remove(class, slab);
        }
    }
    unlock(&class->lock);
    if (slab == NULL) {
        return NULL;
    }
    block = slab_start(slab) + (size_t)index * class_sizes[slab->size_class];
    hf_assert(slab->lens[index] == 0);
    slab->lens[index] = (uint16_t)(len + 1);
    ASAN_UNPOISON_MEMORY_REGION(block, len + sizeof arena.guard);
    set_guard(block, len);
    return block;
}

static void give_block(struct size_class *class, struct slab *slab, uint16_t index)
{
    lock(&class->lock);
    if (slab->free_count == 0) {
        list_add(class, slab);
    }
    slab->free_blocks[slab->free_count++] = index;
    class->used--;
    if (slab->free_count == slab->count) {
        class->empty++;
        if (class->empty > 1) {
            shrink(class, slab);
        }
    }
    unlock(&class->lock);
}

static size_t large_bytes(size_t len)
{
    return (len + sizeof arena.guard + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* A large block ends, but for its guard word, where its guard page begins. */
static uint8_t *large_block(const struct slab *slab)
{
    return arena.pages.base + mapped_offset(slab) + slab->mapped - large_bytes(slab->large_len);
}

static void *take_large(size_t len)
{
    size_t page = arena.pages.page;
    size_t bytes = large_bytes(len);
    size_t mapped = (bytes + page - 1) / page * page;
    struct slab *slab = map_slots((mapped + page + STRIDE - 1) / STRIDE, mapped);

    if (slab == NULL) {
        return NULL;
    }
    slab->size_class = LARGE;
    slab->large_len = len;
    lock(&arena.lock);
    arena.large_used += bytes;
    unlock(&arena.lock);
    set_guard(large_block(slab), len);
    return large_block(slab);
}

static void give_large(struct slab *slab)
{
    lock(&arena.lock);
    arena.large_used -= large_bytes(slab->large_len);
    unlock(&arena.lock);
    unmap_slots(slab);
}

/* The smallest class with room for len bytes and the guard word, or LARGE. */
static size_t class_for(size_t len)
{
    size_t low = 0;
    size_t high = CLASSES;

    if (len > SMALL_MAX - sizeof arena.guard) {
        return LARGE;
    }
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (class_sizes[middle] < len + sizeof arena.guard) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void *take(size_t size_class, size_t len)
{
    return size_class == LARGE ? take_large(len) : take_block(&arena.classes[size_class], len);
}

void *hf_arena_alloc(size_t len)
{
    size_t size_class = class_for(len);
    void *block;

    if (!arena.started || atomic_load_explicit(&arena.gone, memory_order_relaxed) ||
        len > arena.pages.max_bytes) {
        return NULL;
    }
    block = take(size_class, len);
    if (block == NULL) {
        shrink_all();
        block = take(size_class, len);
    }
    return block;
}

/* The place of a block in its slab; the process ends when it is not the start of one in use. */
static uint16_t block_index(const struct slab *slab, const uint8_t *block)
{
    size_t offset = (size_t)(block - slab_start(slab));
    size_t index = offset / class_sizes[slab->size_class];

    hf_assert(offset % class_sizes[slab->size_class] == 0);
    hf_assert(index < slab->count && slab->lens[index] != 0);
    return (uint16_t)index;
}

static size_t block_len(const struct slab *slab, const uint8_t *block)
{
    if (slab->size_class == LARGE) {
        hf_assert(block == large_block(slab));
        return slab->large_len;
    }
    return slab->lens[block_index(slab, block)] - 1U;
}

void hf_arena_free(void *block)
{
    struct slab *slab;
    size_t len;

    if (block == NULL || atomic_load_explicit(&arena.gone, memory_order_relaxed)) {
        return;
    }
    slab = slab_of(block);
    len = block_len(slab, block);
    lift_guard(block, len);
    hf_wipe(block, len + sizeof arena.guard);
    if (slab->size_class == LARGE) {
        give_large(slab);
    } else {
        uint16_t index = block_index(slab, block);

        slab->lens[index] = 0;
        ASAN_POISON_MEMORY_REGION(block, class_sizes[slab->size_class]);
        give_block(&arena.classes[slab->size_class], slab, index);
    }
}

/* Changes the length of a block that stays in its class. */
static void resize(struct slab *slab, uint8_t *block, size_t old_len, size_t len)
{
    size_t from = len < old_len ? len : old_len;

    lift_guard(block, old_len);
    hf_wipe(block + from, old_len + sizeof arena.guard - from);
    ASAN_POISON_MEMORY_REGION(block, class_sizes[slab->size_class]);
    ASAN_UNPOISON_MEMORY_REGION(block, len + sizeof arena.guard);
    slab->lens[block_index(slab, block)] = (uint16_t)(len + 1);
    set_guard(block, len);
}

void *hf_arena_realloc(void *block, size_t len)
{
    struct slab *slab;
    size_t old_len;
    void *moved;

    if (block == NULL || atomic_load_explicit(&arena.gone, memory_order_relaxed)) {
        return hf_arena_alloc(len);
    }
    slab = slab_of(block);
    old_len = block_len(slab, block);
    if (slab->size_class != LARGE && class_for(len) == slab->size_class) {
        resize(slab, block, old_len, len);
        return block;
    }
    moved = hf_arena_alloc(len);
    if (moved != NULL) {
        memcpy(moved, block, len < old_len ? len : old_len);
        hf_arena_free(block);
    }
    return moved;
}

enum hf_secret_backing hf_secret_backing(void)
{
    return arena.started ? arena.pages.backing : HF_SECRET_UNLOCKED;
}

void hf_secret_usage(size_t *out_used, size_t *out_max)
{
    size_t used = 0;

    for (size_t i = 0; arena.started && i < CLASSES; i++) {
        lock(&arena.classes[i].lock);
        used += arena.classes[i].used * class_sizes[i];
        unlock(&arena.classes[i].lock);
    }
    lock(&arena.lock);
    *out_used = used + arena.large_used;
    *out_max = arena.started ? arena.pages.max_bytes : 0;
    unlock(&arena.lock);
}
