/* SPDX-License-Identifier: MIT */
/*
 * Ranges of the application's window, kept in a treap by address. Each node
 * knows the gap before it and the largest gap below it, so that the lowest gap
 * that fits is found in one walk: address space is reused from the bottom. A page
 * table goes with the last range in its 2 MiB: it lies among what those ranges had,
 * and would keep the memory around it from being whole 2 MiB again.
 *
 * Shaped for a malloc that maps and unmaps runs of one page to many MiB, and
 * for thousands of such runs at once.
 *
 * Concurrency: kernel context, and the page fault handler, which interrupts
 * kernel code only where that touches application memory, never in here.
 */
#include "kernel/vmem.h"

#include "arch/x86_64/paging.h"
#include "kernel/memory_lock.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/panic.h"
#include "lib/base/list.h"
#include "lib/base/string.h"

#define GUARD_BYTES  PAGE_SIZE
#define WINDOW_START PAGING_IDENTITY_END
#define WINDOW_END   (PAGING_END - GUARD_BYTES)
#define LARGE_PAGE   PAGE_BYTES(PAGE_ORDER_2M)
#define MOVE_LOOKS   1024             /* at pages, in one call of vmem_move_down() */
#define LARGE_MIN    (2 * LARGE_PAGE) /* ranges from here on are aligned for, and get, large pages */

struct range {
    struct range *left, *right;
    uintptr_t start;
    uint64_t bytes;
    uint64_t gap;      /* free bytes from the range before to this one */
    uint64_t max_gap;  /* in this subtree */
    uint64_t resident; /* pages mapped; the others are promised */
    uint64_t tables;   /* pages promised for page tables */
    bool may_move;
    struct chunk *chunk; /* that it lies in */
};

/*
 * Ranges lie close together, in few blocks: single pages of them all over memory would leave
 * nothing of it whole when what was around them is free again.
 */
struct chunk {
    struct list link; /* in roomy, or full */
    unsigned order, used, fresh;
    struct range *free; /* used before, linked by `right` */
    struct range ranges[];
};

#define CHUNK_ORDER 3 /* but the first, for most images have a few ranges only */

static struct list roomy = LIST_INIT(roomy);
static unsigned n_chunks;

/* An empty range at the end, so that every gap has one behind it. */
static struct range window_end = {
    .start = WINDOW_END,
    .gap = WINDOW_END - WINDOW_START,
    .max_gap = WINDOW_END - WINDOW_START,
};
static struct range *root = &window_end;
static struct vmem_stats stats;

/* The tree. */

/* Random-like, so that the tree is balanced whatever the order of insertion. */
static uint64_t priority(const struct range *range)
{
    uint64_t hash = range->start * UINT64_C(0x9e3779b97f4a7c15);

    return (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

static void update_max_gap(struct range *range)
{
    range->max_gap = range->gap;
    if (range->left)
        range->max_gap = MAX(range->max_gap, range->left->max_gap);
    if (range->right)
        range->max_gap = MAX(range->max_gap, range->right->max_gap);
}

static void tree_split(struct range *tree, uintptr_t at, struct range **left, struct range **right)
{
    if (!tree) {
        *left = *right = NULL;
    } else if (tree->start < at) {
        *left = tree;
        tree_split(tree->right, at, &tree->right, right);
        update_max_gap(tree);
    } else {
        *right = tree;
        tree_split(tree->left, at, left, &tree->left);
        update_max_gap(tree);
    }
}

static struct range *tree_join(struct range *left, struct range *right)
{
    if (!left || !right)
        return left ? left : right;
    if (priority(left) > priority(right)) {
        left->right = tree_join(left->right, right);
        update_max_gap(left);
        return left;
    }
    right->left = tree_join(left, right->left);
    update_max_gap(right);
    return right;
}

static struct range *tree_insert(struct range *tree, struct range *range)
{
    if (!tree || priority(range) > priority(tree)) {
        tree_split(tree, range->start, &range->left, &range->right);
        tree = range;
    } else if (range->start < tree->start) {
        tree->left = tree_insert(tree->left, range);
    } else {
        tree->right = tree_insert(tree->right, range);
    }
    update_max_gap(tree);
    return tree;
}

static struct range *tree_remove(struct range *tree, const struct range *range)
{
    if (tree == range)
        return tree_join(tree->left, tree->right);
    if (range->start < tree->start)
        tree->left = tree_remove(tree->left, range);
    else
        tree->right = tree_remove(tree->right, range);
    update_max_gap(tree);
    return tree;
}

/* The gap before the range has changed. */
static void tree_refresh(struct range *tree, const struct range *range)
{
    if (tree != range)
        tree_refresh(range->start < tree->start ? tree->left : tree->right, range);
    update_max_gap(tree);
}

/* The first range that starts above the address. */
static struct range *range_above(uintptr_t address)
{
    struct range *tree = root, *above = &window_end;

    while (tree) {
        if (tree->start > address) {
            above = tree;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return above;
}

/* The range that holds the address; NULL: none. */
static struct range *range_at(uintptr_t address)
{
    struct range *tree = root;

    while (tree && !(address >= tree->start && address - tree->start < tree->bytes))
        tree = address < tree->start ? tree->left : tree->right;
    return tree;
}

/* The first range with such a gap before it; NULL: none. */
static struct range *range_after_gap(uint64_t bytes)
{
    struct range *tree = root;

    if (tree->max_gap < bytes)
        return NULL;
    for (;;) {
        if (tree->left && tree->left->max_gap >= bytes)
            tree = tree->left;
        else if (tree->gap >= bytes)
            return tree;
        else
            tree = tree->right;
    }
}

static void set_gap(struct range *range, uint64_t gap)
{
    range->gap = gap;
    tree_refresh(root, range);
}

/* Finds an address for the range's bytes and puts it into the tree. false: nowhere. */
static bool place(struct range *range)
{
    uint64_t alignment = range->bytes >= LARGE_MIN ? LARGE_PAGE : PAGE_SIZE;
    struct range *next = range_after_gap(range->bytes + 2 * GUARD_BYTES + alignment - PAGE_SIZE);
    uintptr_t gap_start;

    if (!next)
        return false;
    gap_start = next->start - next->gap;
    range->start = ALIGN_UP(gap_start + GUARD_BYTES, alignment);
    range->gap = range->start - gap_start;
    set_gap(next, next->start - range->start - range->bytes);
    root = tree_insert(root, range);
    stats.ranges++;
    stats.reserved_bytes += range->bytes;
    return true;
}

static void displace(struct range *range)
{
    struct range *next = range_above(range->start);

    root = tree_remove(root, range);
    set_gap(next, next->gap + range->bytes + range->gap);
    stats.ranges--;
    stats.reserved_bytes -= range->bytes;
}

/* Mapping. */

static uint64_t slots(uintptr_t start, uintptr_t end, uint64_t slot_bytes)
{
    return (end - 1) / slot_bytes - start / slot_bytes + 1;
}

/*
 * How many tables are missing to have all of [start, end) mapped in 4 KiB
 * pages: one for each large page, and those of the holes, whose size tells
 * which levels are there.
 */
static uint64_t tables_missing(uintptr_t start, uintptr_t end)
{
    uint64_t tables = 0, hole, bytes;

    while (start < end) {
        uintptr_t step_end;

        if (paging_lookup(start, &hole)) {
            tables += hole == LARGE_PAGE;
            hole = PAGE_SIZE;
        } else {
            hole = paging_hole(start);
        }
        step_end = MIN(ALIGN_DOWN(start, MAX(hole, LARGE_PAGE)) + MAX(hole, LARGE_PAGE), end);
        for (bytes = LARGE_PAGE; bytes <= hole; bytes *= 512)
            tables += slots(start, step_end, bytes);
        start = step_end;
    }
    return tables;
}

/* Can not fail: the memory for tables was promised with the range. */
static void map(struct range *range, uintptr_t virtual, phys_addr_t physical, uint64_t bytes)
{
    int error;

    page_lend_promised(range->tables);
    error = paging_map(virtual, physical, bytes, PAGING_WRITE);
    range->tables = page_lend_promised(0);
    assert(error == 0);
    range->resident += bytes / PAGE_SIZE;
    stats.resident_bytes += bytes;
}

/* Hides what is mapped in [start, end): how many pages. Can not fail, as above. */
static uint64_t hide(struct range *range, uintptr_t start, uintptr_t end)
{
    uint64_t pages = range->resident, bytes;

    page_lend_promised(range->tables);
    for (; start < end && range->resident; start += bytes) {
        int hidden = paging_hide(start, end - start, &bytes);

        assert(hidden >= 0);
        if (hidden)
            range->resident -= bytes / PAGE_SIZE;
    }
    range->tables = page_lend_promised(0);
    pages -= range->resident;
    stats.resident_bytes -= pages * PAGE_SIZE;
    return pages;
}

/* The pages hidden from there on are promised again. */
static void free_hidden(uintptr_t start, uint64_t pages)
{
    uint64_t bytes;

    for (; pages; start += bytes) {
        phys_addr_t physical = paging_take_hidden(start, &bytes);

        if (!physical)
            continue;
        page_free_promised(physical, bytes == LARGE_PAGE ? PAGE_ORDER_2M : 0);
        pages -= bytes / PAGE_SIZE;
    }
}

/* Frees what is mapped in [start, end); its pages are promised again. */
static void discard(struct range *range, uintptr_t start, uintptr_t end)
{
    uint64_t pages = hide(range, start, end);

    if (!pages)
        return;
    paging_forget(start, end - start, false);
    free_hidden(start, pages);
}

/* From start on: where its table begins, unless another range is in between. */
static uintptr_t tables_from(const struct range *range, uintptr_t start)
{
    uintptr_t before = start == range->start ? start - range->gap : start;

    return MAX(ALIGN_DOWN(start, LARGE_PAGE), before);
}

/* As far as the last table of the range reaches, unless another one is in between. */
static uintptr_t tables_to(const struct range *range)
{
    uintptr_t end = range->start + range->bytes;

    return MIN(ALIGN_UP(end, LARGE_PAGE), end + range_above(range->start)->gap);
}

/* The same for all from start on, and frees the tables that served only that. */
static void clear(struct range *range, uintptr_t start)
{
    uintptr_t end = range->start + range->bytes;
    uint64_t pages = hide(range, start, end);
    uintptr_t first = tables_from(range, start);
    unsigned tables = paging_hide_tables(first, tables_to(range));

    if (pages || tables)
        paging_forget(first, tables_to(range) - first, tables);
    free_hidden(start, pages);
    paging_free_tables(first, tables);
}

static void move_pages(struct range *from, struct range *to)
{
    uintptr_t end = from->start + from->bytes;
    uint64_t pages = hide(from, from->start, end), done, bytes;
    uintptr_t first = tables_from(from, from->start);
    unsigned tables = paging_hide_tables(first, tables_to(from));

    if (pages || tables)
        paging_forget(first, tables_to(from) - first, tables);
    for (done = 0; pages; done += bytes) {
        phys_addr_t physical = paging_take_hidden(from->start + done, &bytes);

        if (!physical)
            continue;
        map(to, to->start + done, physical, bytes);
        pages -= bytes / PAGE_SIZE;
    }
    paging_free_tables(first, tables);
}

/* A 2 MiB page around the address, if it fits into the range and nothing is mapped there. */
static bool map_large(struct range *range, uintptr_t address)
{
    uintptr_t virtual = ALIGN_DOWN(address, LARGE_PAGE);
    phys_addr_t physical;
    uint64_t hole;

    if (range->bytes < LARGE_MIN || virtual + LARGE_PAGE > range->start + range->bytes ||
        paging_lookup(virtual, &hole) || hole < LARGE_PAGE)
        return false;
    physical = page_alloc_promised(PAGE_ORDER_2M);
    if (!physical) {
        stats.large_refused++;
        return false;
    }
    stats.large++;
    memset((void *)(uintptr_t)physical, 0, LARGE_PAGE);
    map(range, virtual, physical, LARGE_PAGE);
    return true;
}

bool vmem_fault(uintptr_t address)
{
    SPIN_SCOPE(&memory_lock);
    struct range *range = range_at(address);
    phys_addr_t physical;
    uint64_t left;

    if (!range)
        return false;
    if (paging_lookup(address, &left))
        return true;
    stats.faults++;
    if (map_large(range, address))
        return true;
    physical = page_alloc_promised(0);
    memset((void *)(uintptr_t)physical, 0, PAGE_SIZE);
    map(range, ALIGN_DOWN(address, PAGE_SIZE), physical, PAGE_SIZE);
    return true;
}

/* Ranges. */

static unsigned chunk_room(const struct chunk *chunk)
{
    return (unsigned)((PAGE_BYTES(chunk->order) - sizeof(*chunk)) / sizeof(struct range));
}

static struct chunk *new_chunk(unsigned order)
{
    struct chunk *chunk = (struct chunk *)(uintptr_t)page_alloc(order);

    if (!chunk)
        return order ? new_chunk(0) : NULL;
    *chunk = (struct chunk){ .order = order };
    list_append(&roomy, &chunk->link);
    n_chunks++;
    return chunk;
}

/* Zeros. NULL: no memory. */
static struct range *take_range(void)
{
    struct chunk *chunk;
    struct range *range;

    if (list_empty(&roomy))
        chunk = new_chunk(n_chunks ? CHUNK_ORDER : 0);
    else
        chunk = CONTAINER_OF(roomy.next, struct chunk, link);
    if (!chunk)
        return NULL;
    range = chunk->free;
    if (range)
        chunk->free = range->right;
    else
        range = &chunk->ranges[chunk->fresh++];
    *range = (struct range){ .chunk = chunk };
    if (++chunk->used == chunk_room(chunk))
        list_remove(&chunk->link);
    return range;
}

static void put_range(struct range *range)
{
    struct chunk *chunk = range->chunk;

    if (chunk->used == chunk_room(chunk))
        list_append(&roomy, &chunk->link);
    range->right = chunk->free;
    chunk->free = range;
    if (--chunk->used)
        return;
    list_remove(&chunk->link);
    n_chunks--;
    page_free((uintptr_t)chunk, chunk->order);
}

/* Promises what the page tables of [start, end) lack, besides so many pages. */
static int promise(struct range *range, uint64_t pages, uintptr_t start, uintptr_t end)
{
    uint64_t tables;
    int error = page_promise(pages);

    if (error) /* first, so that what can not be had at all is not walked through */
        return error;
    tables = tables_missing(start, end);
    error = page_promise(tables);
    if (error)
        page_unpromise(pages);
    else
        range->tables += tables;
    return error;
}

/* A range in its place, with so many pages promised besides its tables. NULL: no memory. */
static struct range *range_new(uint64_t bytes, uint64_t pages)
{
    struct range *range = take_range();

    if (!range)
        return NULL;
    range->bytes = bytes;
    if (place(range)) {
        if (promise(range, pages, range->start, range->start + bytes) == 0)
            return range;
        displace(range);
    }
    put_range(range);
    return NULL;
}

void *vmem_alloc(size_t bytes)
{
    SPIN_SCOPE(&memory_lock);
    struct range *range;

    if (bytes == 0 || bytes > WINDOW_END - WINDOW_START)
        return NULL;
    bytes = ALIGN_UP(bytes, PAGE_SIZE);
    range = range_new(bytes, bytes / PAGE_SIZE);
    return range ? (void *)range->start : NULL;
}

static struct range *range_of(void *start)
{
    struct range *range = range_at((uintptr_t)start);

    if (!range || range->start != (uintptr_t)start)
        panic("vmem: %p is no range", start);
    return range;
}

/* The range holds no pages and no tables any more. */
static void range_end(struct range *range)
{
    displace(range);
    page_unpromise(range->tables);
    put_range(range);
}

void vmem_free(void *start)
{
    SPIN_SCOPE(&memory_lock);
    struct range *range;

    if (!start)
        return;
    range = range_of(start);
    clear(range, range->start);
    page_unpromise(range->bytes / PAGE_SIZE);
    range_end(range);
}

void vmem_discard(void *start, size_t bytes)
{
    SPIN_SCOPE(&memory_lock);
    struct range *range = range_at((uintptr_t)start);

    if (!range || bytes > range->start + range->bytes - (uintptr_t)start)
        panic("vmem: %p and %zu bytes on lie in no range", start, bytes);
    discard(range, ALIGN_UP((uintptr_t)start, PAGE_SIZE),
            ALIGN_DOWN((uintptr_t)start + bytes, PAGE_SIZE));
}

bool vmem_is_resident(uintptr_t address)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left;

    return paging_lookup(address, &left) != 0;
}

static void set_bytes(struct range *range, uint64_t bytes)
{
    struct range *next = range_above(range->start);

    set_gap(next, next->gap + range->bytes - bytes);
    stats.reserved_bytes += bytes - range->bytes;
    range->bytes = bytes;
}

/* Else a range that goes up and down would have more promised each time. */
static void unpromise_tables(struct range *range)
{
    uint64_t missing = tables_missing(range->start, range->start + range->bytes);

    if (range->tables > missing) {
        page_unpromise(range->tables - missing);
        range->tables = missing;
    }
}

static void *shrink(struct range *range, uint64_t bytes)
{
    uint64_t pages = (range->bytes - bytes) / PAGE_SIZE;

    clear(range, range->start + bytes);
    set_bytes(range, bytes);
    page_unpromise(pages);
    unpromise_tables(range);
    return (void *)range->start;
}

static bool has_room_behind(const struct range *range, uint64_t bytes)
{
    bool becomes_large = range->bytes < LARGE_MIN && bytes >= LARGE_MIN;

    return !becomes_large && range_above(range->start)->gap >= bytes - range->bytes + GUARD_BYTES;
}

static void *grow(struct range *range, uint64_t bytes)
{
    uint64_t more = (bytes - range->bytes) / PAGE_SIZE;
    struct range *moved;

    if (has_room_behind(range, bytes)) {
        uintptr_t end = range->start + range->bytes;

        /* The table that the old end lies in is there, or promised already. */
        if (promise(range, more, ALIGN_UP(end, LARGE_PAGE), range->start + bytes))
            return NULL;
        set_bytes(range, bytes);
        return (void *)range->start;
    }
    moved = range_new(bytes, more);
    if (!moved)
        return NULL;
    moved->may_move = range->may_move;
    move_pages(range, moved);
    range_end(range);
    return (void *)moved->start;
}

void *vmem_resize(void *start, size_t bytes)
{
    SPIN_SCOPE(&memory_lock);
    struct range *range = range_of(start);

    if (bytes == 0 || bytes > WINDOW_END - WINDOW_START)
        return NULL;
    bytes = ALIGN_UP(bytes, PAGE_SIZE);
    return bytes > range->bytes ? grow(range, bytes) : shrink(range, bytes);
}

/* Moving down. */

uint64_t vmem_pins;

/* Pages that are about to move. */
struct moves {
    unsigned n;
    uintptr_t from[VMEM_MOVES];
    phys_addr_t to[VMEM_MOVES];
};

/*
 * Hidden while it is copied: who touches it meanwhile, on another CPU, comes to vmem_fault(),
 * waits there for the lock, and finds it mapped. No table is missing, so nothing fails.
 */
static void carry_out(const struct moves *moves)
{
    uint64_t bytes;

    if (!moves->n)
        return;
    for (unsigned i = 0; i < moves->n; i++)
        paging_hide(moves->from[i], PAGE_SIZE, &bytes);
    paging_forget(moves->from[0], moves->from[moves->n - 1] + PAGE_SIZE - moves->from[0], false);
    for (unsigned i = 0; i < moves->n; i++) {
        phys_addr_t old = paging_take_hidden(moves->from[i], &bytes);
        int error;

        memcpy((void *)(uintptr_t)moves->to[i], (void *)(uintptr_t)old, PAGE_SIZE);
        error = paging_map(moves->from[i], moves->to[i], PAGE_SIZE, PAGING_WRITE);
        assert(error == 0);
        page_free(old, 0);
    }
}

/* The table around the address, which is no range's own, moves too. false: no room below. */
static bool move_table(uintptr_t at, phys_addr_t end, uint64_t *moved)
{
    phys_addr_t to;

    if (paging_table(at) < end)
        return true;
    to = page_alloc_below(end);
    if (!to)
        return false;
    paging_move_table(at, to);
    ++*moved;
    return true;
}

/* Gathers pages from *at up to `limit`. false: there is no room below. */
static bool gather_moves(struct moves *moves, uintptr_t *at, uintptr_t limit, phys_addr_t end,
                         unsigned *looks)
{
    uint64_t bytes;

    for (; *at < limit && moves->n < VMEM_MOVES && *looks; *at += MIN(bytes, limit - *at)) {
        phys_addr_t physical = paging_lookup(*at, &bytes);

        --*looks;
        if (!physical || physical < end || paging_hole(*at) != PAGE_SIZE)
            continue;
        moves->to[moves->n] = page_alloc_below(end);
        if (!moves->to[moves->n])
            return false;
        moves->from[moves->n++] = *at;
    }
    return true;
}

/* What lies in one table, and that. */
static bool move_in_table(const struct range *range, uintptr_t *at, phys_addr_t end,
                          unsigned *looks, uint64_t *moved)
{
    uintptr_t limit = MIN(range->start + range->bytes, ALIGN_DOWN(*at, LARGE_PAGE) + LARGE_PAGE);
    struct moves moves = { 0 };
    bool has_room;

    if (!move_table(*at, end, moved))
        return false;
    if (!range->may_move || !range->resident) {
        *at = limit;
        return true;
    }
    has_room = gather_moves(&moves, at, limit, end, looks);
    carry_out(&moves);
    *moved += moves.n;
    return has_room;
}

bool vmem_move_down(uintptr_t *at, phys_addr_t end, uint64_t *moved)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t before = *moved;

    for (unsigned looks = MOVE_LOOKS; looks && *moved == before; looks -= looks != 0) {
        const struct range *range = range_at(*at);

        if (vmem_pins)
            return false;
        if (!range)
            range = range_above(*at);
        if (range == &window_end)
            return false;
        *at = MAX(*at, range->start);
        if (!move_in_table(range, at, end, &looks, moved))
            return false;
    }
    return true;
}

void vmem_allow_moves(void *start)
{
    SPIN_SCOPE(&memory_lock);
    range_of(start)->may_move = true;
}

void vmem_get_stats(struct vmem_stats *to)
{
    SPIN_SCOPE(&memory_lock);
    *to = stats;
}

static void tell_mapped(page_visitor *visit)
{
    const struct range *range = range_above(WINDOW_START);

    for (; range != &window_end; range = range_above(range->start)) {
        uintptr_t at = range->start, end = at + range->bytes;
        uint64_t bytes;

        for (; at < end; at += bytes) {
            phys_addr_t page = paging_lookup(at, &bytes);

            if (page)
                visit(PAGE_MAPPED, page, bytes >> PAGE_SHIFT);
        }
    }
}

PAGE_HOLDER(mapped_pages) = { .tell = tell_mapped, .maps = true };
