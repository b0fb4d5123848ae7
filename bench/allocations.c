/* Counts what Python allocates: wraps the allocators of its small objects and of its buffers, so nothing is missed but
 * what its free lists hand out again. Loaded by bench/allocations.py; the layout is PyMemAllocatorEx of Python's C API. */
#include <stddef.h>

struct allocator {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

static size_t count;

static void *counted_malloc(void *ctx, size_t size) {
    struct allocator *wrapped = ctx;
    count++;
    return wrapped->malloc(wrapped->ctx, size);
}

static void *counted_calloc(void *ctx, size_t number, size_t size) {
    struct allocator *wrapped = ctx;
    count++;
    return wrapped->calloc(wrapped->ctx, number, size);
}

static void *counted_realloc(void *ctx, void *block, size_t size) {
    struct allocator *wrapped = ctx;
    count++;
    return wrapped->realloc(wrapped->ctx, block, size);
}

static void plain_free(void *ctx, void *block) {
    struct allocator *wrapped = ctx;
    wrapped->free(wrapped->ctx, block);
}

struct allocator counting(struct allocator *wrapped) {
    struct allocator made = {wrapped, counted_malloc, counted_calloc, counted_realloc, plain_free};
    return made;
}

size_t allocations(void) { return count; }
