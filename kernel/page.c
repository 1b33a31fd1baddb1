/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: a buddy allocator whose records lie apart from the memory
 * they describe.
 *
 * RAM waits as extents until somebody needs it; then the 1 GiB section it lies
 * in is opened: mapped, and given one bitmap an order with two levels of
 * summary above, so that the lowest or highest free block is found by three bit
 * scans. A word of a bitmap counts only while its bit in the summary above is
 * set, so records are never cleared: opening a section costs as many stores as
 * it has maximal free blocks.
 *
 * Sections open from the bottom for page_alloc(), from the top for the balloon;
 * what is not open yet is one stretch between them.
 *
 * Which free memory the host was told of is kept for each 2 MiB, and counts only
 * while they are free in one piece. It is looked after where such a piece becomes
 * free and where somebody reports: allocating costs nothing for it.
 *
 * Concurrency: kernel context only, never from an interrupt handler.
 */
#include "kernel/page.h"

#include "kernel/event.h"
#include "kernel/log.h"
#include "kernel/memory_lock.h"
#include "kernel/page_audit.h"
#include "kernel/panic.h"
#include "lib/base/errno.h"
#include "lib/base/list.h"
#include "lib/base/string.h"

#define SECTION_SHIFT 30
#define SECTION_BYTES (UINT64_C(1) << SECTION_SHIFT)
#define SECTION_NONE  UINT64_MAX
#define MAX_EXTENTS   64
#define MAX_ADDRESS   (UINT64_C(1) << 46) /* what is mapped at its own address */
#define BUCKETS       128                 /* sections are found by a hash: direct up to 128 GiB */

/*
 * The most pages that opening a section takes from the open ones: 25 for the
 * records of a whole GiB, the rest for page tables.
 */
#define OPENING_PAGES 32

/* Sections are opened while so much is left in the open ones: the records in one piece among it. */
#define ROOM_FOR_OPENING 64

/* What the balloon and promises leave to the kernel: 1/32 of memory within these bounds. */
#define RESERVE_MIN_PAGES 32
#define RESERVE_MAX_PAGES 1024

/* What is reported to the host is whole units of free memory. */
#define UNIT_ORDER PAGE_ORDER_2M
#define UNIT_WORDS (1 << (PAGE_ORDER_1G - UNIT_ORDER) >> 6) /* of one bit a unit, in a section */

#define ORDER_NEVER (PAGE_ORDER_MAX + 1)

#define BIT(n) (UINT64_C(1) << (n))

/* A set of up to 2^18 blocks of one order. */
struct block_map {
    uint64_t top;     /* bit n: middle[n] counts, and is not zero */
    uint64_t *middle; /* bit n: bits[n] counts, and is not zero */
    uint64_t *bits;   /* bit n: block n is in the set */
};

struct section {
    struct list link;               /* in sections */
    struct section *next_in_bucket; /* of pool.buckets */
    phys_addr_t start;              /* aligned to its span of 2^span_order pages */
    uint64_t free;                  /* pages */
    uint64_t free_orders;           /* bit n: the section has free blocks of order n */
    unsigned span_order;
    uint64_t pages; /* of RAM, less our own records in it */
    /* Bit n: the n-th unit; means something only while that is free as a part of one block. */
    uint64_t rested[UNIT_WORDS];   /* it was free already when page_let_rest() was called */
    uint64_t reported[UNIT_WORDS]; /* and the host knows */
    struct block_map allocated;    /* pages; what page_free() accepts. Pages that are out are not */
    struct block_map maps[];       /* the free blocks of each order */
};

struct extent {
    phys_addr_t start, end;
};

static struct {
    struct extent extents[MAX_EXTENTS]; /* sorted, apart from each other */
    unsigned n_extents;
    struct section *buckets[BUCKETS];
    phys_addr_t closed_start, closed_end; /* sections between these are not open */
    uint64_t closed;                      /* pages there */
    uint64_t total, free, promised;       /* pages; free counts the closed ones too */
    uint64_t opening_cost;      /* free pages that opening what is still closed may take */
    uint64_t ballooned, hinted; /* pages */
    uint64_t lent;              /* promised pages that page_alloc() may take now */
    uint64_t reserve;
    bool begun, opening;
    uint64_t watched;
    struct event *watcher;
    struct event *reserve_watcher;
    uint64_t low; /* what page_alloc() may leave without telling it; 0: there is none */
    struct event *reporter;
    bool reporter_waits;
    bool poisons, keeps_contents;
    uint8_t poison;
    uint64_t reporting; /* pages that page_take_rested() has out */
} pool;

static unsigned notable_order = ORDER_NEVER; /* page_free() has more to do for blocks this large */
static unsigned report_order = ORDER_NEVER;  /* the smallest blocks to be reported */

struct spinlock memory_lock;

static struct list sections = LIST_INIT(sections); /* by address */

static unsigned lowest_bit(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

static unsigned highest_bit(uint64_t word)
{
    return 63 - (unsigned)__builtin_clzll(word);
}

/* One order's bitmap. */

/* The word to change, made valid. */
static inline uint64_t *map_word(struct block_map *map, uint64_t word)
{
    uint64_t group = word / 64;

    if (!(map->top & BIT(group))) {
        map->top |= BIT(group);
        map->middle[group] = 0;
    }
    if (!(map->middle[group] & BIT(word % 64))) {
        map->middle[group] |= BIT(word % 64);
        map->bits[word] = 0;
    }
    return &map->bits[word];
}

static inline void map_clear_word(struct block_map *map, uint64_t word, uint64_t mask)
{
    map->bits[word] &= ~mask;
    if (map->bits[word])
        return;
    map->middle[word / 64] &= ~BIT(word % 64);
    if (!map->middle[word / 64])
        map->top &= ~BIT(word / 64);
}

static inline uint64_t map_read(const struct block_map *map, uint64_t word)
{
    bool valid = (map->top & BIT(word / 64)) && (map->middle[word / 64] & BIT(word % 64));

    return valid ? map->bits[word] : 0;
}

static inline void map_set(struct block_map *map, uint64_t n)
{
    *map_word(map, n / 64) |= BIT(n % 64);
}

static inline void map_clear(struct block_map *map, uint64_t n)
{
    map_clear_word(map, n / 64, BIT(n % 64));
}

static inline bool map_has(const struct block_map *map, uint64_t n)
{
    return map_read(map, n / 64) & BIT(n % 64);
}

/* The bits of 2^width from n, a multiple of that, that lie in n's word. */
static inline uint64_t run_mask(uint64_t n, unsigned width)
{
    return width >= 6 ? UINT64_MAX : (BIT(BIT(width)) - 1) << n % 64;
}

static inline uint64_t run_words(unsigned width)
{
    return width > 6 ? BIT(width - 6) : 1;
}

static inline void map_set_run(struct block_map *map, uint64_t n, unsigned width)
{
    uint64_t word = n / 64, end = word + run_words(width), mask = run_mask(n, width);

    for (; word < end; word++)
        *map_word(map, word) |= mask;
}

/* Whether none of the run is there. */
static bool map_lacks_run(const struct block_map *map, uint64_t n, unsigned width)
{
    uint64_t word = n / 64, end = word + run_words(width), mask = run_mask(n, width);

    while (word < end && !(map_read(map, word) & mask))
        word++;
    return word == end;
}

/* Takes the run out; false: not all of it was there, and nothing has changed. */
static inline bool map_clear_run(struct block_map *map, uint64_t n, unsigned width)
{
    uint64_t word, end = n / 64 + run_words(width), mask = run_mask(n, width);

    for (word = n / 64; word < end; word++) {
        if ((map_read(map, word) & mask) != mask)
            return false;
    }
    for (word = n / 64; word < end; word++)
        map_clear_word(map, word, mask);
    return true;
}

static uint64_t map_lowest(const struct block_map *map)
{
    uint64_t group = lowest_bit(map->top);
    uint64_t word = group * 64 + lowest_bit(map->middle[group]);

    return word * 64 + lowest_bit(map->bits[word]);
}

static uint64_t map_highest(const struct block_map *map)
{
    uint64_t group = highest_bit(map->top);
    uint64_t word = group * 64 + highest_bit(map->middle[group]);

    return word * 64 + highest_bit(map->bits[word]);
}

/* Blocks of a section; n counts blocks of that order from the section's start. */

static inline void block_insert(struct section *section, unsigned order, uint64_t n)
{
    map_set(&section->maps[order], n);
    section->free_orders |= BIT(order);
}

static inline void block_remove(struct section *section, unsigned order, uint64_t n)
{
    map_clear(&section->maps[order], n);
    if (!section->maps[order].top)
        section->free_orders &= ~BIT(order);
}

static inline bool block_is_free(const struct section *section, unsigned order, uint64_t n)
{
    return map_has(&section->maps[order], n);
}

/* Inserts [start, end) as the fewest aligned blocks. */
static void section_insert(struct section *section, phys_addr_t start, phys_addr_t end)
{
    uint64_t page = (start - section->start) >> PAGE_SHIFT;
    uint64_t left = (end - start) >> PAGE_SHIFT;

    section->free += left;
    section->pages += left;
    while (left) {
        unsigned order = MIN(highest_bit(left), section->span_order);

        if (page)
            order = MIN(order, lowest_bit(page));
        block_insert(section, order, page >> order);
        page += BIT(order);
        left -= BIT(order);
    }
}

/* The block is off the maps; it is the caller's now. */
static inline phys_addr_t section_give(struct section *section, unsigned order, uint64_t n)
{
    section->free -= BIT(order);
    pool.free -= BIT(order);
    map_set_run(&section->allocated, n << order, order);
    return section->start + n * PAGE_BYTES(order);
}

/*
 * Memory is taken by address, whatever the size of the block that it lies in: page_alloc()'s
 * from the bottom, the balloon's from the top. What fits best may lie anywhere: so it would
 * fill holes high up that are better left to become whole units again, and the two would grow
 * into each other.
 */
static unsigned order_of_lowest(const struct section *section, unsigned order)
{
    uint64_t orders = section->free_orders >> order << order, lowest = UINT64_MAX;
    unsigned found = order;

    for (; orders; orders &= orders - 1) {
        unsigned at = lowest_bit(orders);
        uint64_t page;

        if (BIT(at) > lowest) /* a block at 0 would contain the one that was found */
            break;
        page = map_lowest(&section->maps[at]) << at;
        if (page < lowest) {
            lowest = page;
            found = at;
        }
    }
    return found;
}

static unsigned order_of_highest(const struct section *section, unsigned order)
{
    uint64_t orders = section->free_orders >> order << order, highest = 0;
    unsigned found = order;

    for (; orders; orders &= orders - 1) {
        unsigned at = lowest_bit(orders);
        uint64_t end = (map_highest(&section->maps[at]) + 1) << at;

        if (end > highest) {
            highest = end;
            found = at;
        }
    }
    return found;
}

/* The lowest part of the lowest block of an order. */
static phys_addr_t section_take_from(struct section *section, unsigned from, unsigned order)
{
    uint64_t n = map_lowest(&section->maps[from]);

    block_remove(section, from, n);
    while (from > order) { /* keep the lower half, free the upper */
        n *= 2;
        block_insert(section, --from, n + 1);
    }
    return section_give(section, order, n);
}

static phys_addr_t section_take_low(struct section *section, unsigned order)
{
    return section_take_from(section, order_of_lowest(section, order), order);
}

static phys_addr_t section_take_high(struct section *section, unsigned order)
{
    unsigned from = order_of_highest(section, order);
    uint64_t n = map_highest(&section->maps[from]);

    block_remove(section, from, n);
    while (from > order) { /* keep the upper half, free the lower */
        n = n * 2 + 1;
        block_insert(section, --from, n - 1);
    }
    return section_give(section, order, n);
}

static struct section *section_find(phys_addr_t address)
{
    struct section *section = pool.buckets[(address >> SECTION_SHIFT) % BUCKETS];

    while (section && section->start >> SECTION_SHIFT != address >> SECTION_SHIFT)
        section = section->next_in_bucket;
    return section;
}

/* Extents. */

/* The first extent that ends above the address; n_extents: none. */
static unsigned extent_above(phys_addr_t address)
{
    unsigned i = 0;

    while (i < pool.n_extents && pool.extents[i].end <= address)
        i++;
    return i;
}

static void extent_remove(unsigned at)
{
    pool.n_extents--;
    memmove(&pool.extents[at], &pool.extents[at + 1],
            (pool.n_extents - at) * sizeof(pool.extents[0]));
}

/* Extents never touch, so that a block never reaches from one into the next. */
static int extent_insert(unsigned at, phys_addr_t start, phys_addr_t end)
{
    struct extent *before = at > 0 ? &pool.extents[at - 1] : NULL;
    struct extent *after = at < pool.n_extents ? &pool.extents[at] : NULL;

    if (before && before->end == start) {
        before->end = end;
        if (after && after->start == end) {
            before->end = after->end;
            extent_remove(at);
        }
        return 0;
    }
    if (after && after->start == end) {
        after->start = start;
        return 0;
    }
    if (pool.n_extents == MAX_EXTENTS)
        return -ENOSPC;
    memmove(&pool.extents[at + 1], &pool.extents[at],
            (pool.n_extents - at) * sizeof(pool.extents[0]));
    pool.extents[at] = (struct extent){ start, end };
    pool.n_extents++;
    return 0;
}

int page_add_range(phys_addr_t start, uint64_t bytes)
{
    phys_addr_t end =
        bytes > MAX_ADDRESS || start > MAX_ADDRESS - bytes ? MAX_ADDRESS : start + bytes;

    if (pool.begun)
        return -EBUSY;
    if (start >= MAX_ADDRESS)
        return 0;
    start = MAX(ALIGN_UP(start, PAGE_SIZE), PAGE_SIZE);
    end = ALIGN_DOWN(end, PAGE_SIZE);
    while (start < end) { /* the gaps that earlier extents leave */
        unsigned i = extent_above(start);
        phys_addr_t next_start = i < pool.n_extents ? MIN(pool.extents[i].start, end) : end;
        phys_addr_t next_end = i < pool.n_extents ? pool.extents[i].end : end;

        if (start < next_start && extent_insert(i, start, next_start))
            return -ENOSPC;
        start = next_start < end ? next_end : end;
    }
    return 0;
}

int page_exclude_range(phys_addr_t start, uint64_t bytes)
{
    phys_addr_t end =
        bytes > UINT64_MAX - PAGE_SIZE - start ? MAX_ADDRESS : ALIGN_UP(start + bytes, PAGE_SIZE);
    unsigned i;

    if (pool.begun)
        return -EBUSY;
    start = ALIGN_DOWN(start, PAGE_SIZE);
    i = extent_above(start);
    while (i < pool.n_extents && pool.extents[i].start < end) {
        struct extent *extent = &pool.extents[i];
        phys_addr_t tail_end = extent->end;

        if (extent->start < start) {
            extent->end = start;
            i++;
            if (tail_end > end)
                return extent_insert(i, end, tail_end);
        } else if (tail_end > end) {
            extent->start = end;
        } else {
            extent_remove(i);
        }
    }
    return 0;
}

/* Opening sections. */

/* The RAM of one section that is not open yet. */
struct closed_section {
    phys_addr_t start, end; /* of its first and last RAM */
    uint64_t pages;
    unsigned first_extent;
};

static uint64_t closed_lowest(void)
{
    unsigned i = extent_above(pool.closed_start);
    phys_addr_t lowest =
        i < pool.n_extents ? MAX(pool.extents[i].start, pool.closed_start) : MAX_ADDRESS;

    return lowest < pool.closed_end ? lowest >> SECTION_SHIFT : SECTION_NONE;
}

static uint64_t closed_highest(void)
{
    unsigned i = pool.n_extents;
    phys_addr_t end;

    while (i > 0 && pool.extents[i - 1].start >= pool.closed_end)
        i--;
    end = i > 0 ? MIN(pool.extents[i - 1].end, pool.closed_end) : 0;
    return end > pool.closed_start ? (end - 1) >> SECTION_SHIFT : SECTION_NONE;
}

static struct closed_section closed_get(uint64_t index)
{
    phys_addr_t start = index << SECTION_SHIFT, end = start + SECTION_BYTES;
    struct closed_section closed = { .first_extent = extent_above(start) };
    unsigned i;

    for (i = closed.first_extent; i < pool.n_extents && pool.extents[i].start < end; i++) {
        phys_addr_t from = MAX(pool.extents[i].start, start);

        if (!closed.pages)
            closed.start = from;
        closed.end = MIN(pool.extents[i].end, end);
        closed.pages += (closed.end - from) >> PAGE_SHIFT;
    }
    return closed;
}

/* The i-th extent's part in the section; false: it has none. */
static bool closed_piece(const struct closed_section *closed, unsigned i, struct extent *piece)
{
    if (i >= pool.n_extents || pool.extents[i].start >= closed->end)
        return false;
    piece->start = MAX(pool.extents[i].start, closed->start);
    piece->end = MIN(pool.extents[i].end, closed->end);
    return true;
}

/* The order of the smallest aligned span that holds all of it. */
static unsigned closed_span_order(const struct closed_section *closed)
{
    uint64_t differing = (closed->start ^ (closed->end - 1)) >> PAGE_SHIFT;

    return differing ? highest_bit(differing) + 1 : 0;
}

static uint64_t words_of(uint64_t bits)
{
    return (bits + 63) / 64;
}

/* Bytes of the two lower levels of a map of 2^width bits. */
static uint64_t map_bytes(unsigned width)
{
    uint64_t words = words_of(BIT(width));

    return (words + words_of(words)) * sizeof(uint64_t);
}

static struct block_map map_init(unsigned width, char **room)
{
    uint64_t *middle = (uint64_t *)*room;

    *room += map_bytes(width);
    return (struct block_map){ 0, middle, middle + words_of(words_of(BIT(width))) };
}

static uint64_t record_bytes(unsigned span_order)
{
    uint64_t bytes = sizeof(struct section) + (span_order + 1) * sizeof(struct block_map);
    unsigned order;

    for (order = 0; order <= span_order; order++)
        bytes += map_bytes(span_order - order);
    return bytes + map_bytes(span_order);
}

static struct section *section_init(phys_addr_t records, const struct closed_section *closed)
{
    unsigned order, span_order = closed_span_order(closed);
    struct section *section = (struct section *)(uintptr_t)records;
    char *room = (char *)&section->maps[span_order + 1];

    section->start = ALIGN_DOWN(closed->start, PAGE_BYTES(span_order));
    section->free = section->pages = section->free_orders = 0;
    memset(section->rested, 0, sizeof(section->rested));
    memset(section->reported, 0, sizeof(section->reported));
    section->span_order = span_order;
    section->allocated = map_init(span_order, &room);
    for (order = 0; order <= span_order; order++)
        section->maps[order] = map_init(span_order - order, &room);
    return section;
}

static void section_link(struct section *section)
{
    struct section **bucket = &pool.buckets[(section->start >> SECTION_SHIFT) % BUCKETS];
    struct list *where;

    LIST_FOR_EACH (where, &sections) {
        if (CONTAINER_OF(where, struct section, link)->start > section->start)
            break;
    }
    list_insert_before(&section->link, where);
    section->next_in_bucket = *bucket;
    *bucket = section;
}

static bool closed_map(const struct closed_section *closed)
{
    struct extent piece;
    unsigned i;

    if (closed->end <= SECTION_BYTES) /* boot code mapped the first GiB */
        return true;
    for (i = closed->first_extent; closed_piece(closed, i, &piece); i++) {
        if (!page_section_map(piece.start, piece.end - piece.start))
            return false;
    }
    return true;
}

/* Where `pages` pages lie together in the section's own RAM, the lowest; 0: nowhere. */
static phys_addr_t closed_room(const struct closed_section *closed, uint64_t pages)
{
    struct extent piece;
    unsigned i;

    for (i = closed->first_extent; closed_piece(closed, i, &piece); i++) {
        if (piece.end - piece.start >= pages * PAGE_SIZE)
            return piece.start;
    }
    return 0;
}

static void closed_insert(struct section *section, const struct closed_section *closed,
                          phys_addr_t own_records, uint64_t record_pages)
{
    struct extent piece;
    unsigned i;

    for (i = closed->first_extent; closed_piece(closed, i, &piece); i++) {
        if (piece.start == own_records)
            piece.start += record_pages * PAGE_SIZE;
        section_insert(section, piece.start, piece.end);
    }
}

static bool section_fill(const struct closed_section *closed)
{
    uint64_t record_pages = (record_bytes(closed_span_order(closed)) + PAGE_SIZE - 1) / PAGE_SIZE;
    phys_addr_t own = 0, records;
    struct section *section;

    if (!closed_map(closed))
        return false;
    records = page_alloc_run(record_pages); /* keeps the section whole, for 1 GiB blocks */
    if (!records) {
        records = own = closed_room(closed, record_pages);
        if (!records)
            return false;
        pool.free -= record_pages;
    }
    section = section_init(records, closed);
    closed_insert(section, closed, own, record_pages);
    section_link(section);
    return true;
}

/* Sections whose opening is still ahead, counted once too often where two extents meet in one. */
static uint64_t closed_cost(void)
{
    uint64_t count = 0;
    unsigned i;

    for (i = 0; i < pool.n_extents; i++) {
        phys_addr_t start = MAX(pool.extents[i].start, pool.closed_start);
        phys_addr_t end = MIN(pool.extents[i].end, pool.closed_end);

        if (start < end)
            count += ((end - 1) >> SECTION_SHIFT) - (start >> SECTION_SHIFT) + 1;
    }
    return MIN(count * OPENING_PAGES, pool.closed);
}

static void section_open(uint64_t index)
{
    struct closed_section closed = closed_get(index);

    pool.opening = true;
    if (index == closed_lowest())
        pool.closed_start = (index + 1) << SECTION_SHIFT;
    else
        pool.closed_end = index << SECTION_SHIFT;
    pool.closed -= closed.pages;
    if (!section_fill(&closed)) {
        log_error("page: %llu KiB of RAM at %#llx stay unused",
                  (unsigned long long)(closed.pages * (PAGE_SIZE / 1024)),
                  (unsigned long long)closed.start);
        pool.total -= closed.pages;
        pool.free -= closed.pages;
    }
    pool.opening_cost = closed_cost();
    pool.opening = false;
}

/*
 * Opens the lowest closed section. false: there is none. Not while another is
 * being opened, whose page tables and records must come from the open ones.
 */
static bool open_low(void)
{
    if (!pool.closed || pool.opening)
        return false;
    section_open(closed_lowest());
    return true;
}

/* Opens sections while the next one could otherwise find no room for its page tables. */
static inline void keep_room_for_opening(uint64_t pages)
{
    while (UNLIKELY(pool.free - pool.closed < pages + ROOM_FOR_OPENING) && open_low())
        ;
}

static void begin(void)
{
    unsigned i;

    pool.begun = true;
    for (i = 0; i < pool.n_extents; i++)
        pool.total += (pool.extents[i].end - pool.extents[i].start) >> PAGE_SHIFT;
    pool.free = pool.closed = pool.total;
    pool.closed_end = MAX_ADDRESS;
    pool.opening_cost = closed_cost();
    pool.reserve = MAX(MIN(pool.total / 32, RESERVE_MAX_PAGES), RESERVE_MIN_PAGES);
    keep_room_for_opening(0);
}

/* Allocation. */

static phys_addr_t take_low(unsigned order)
{
    struct list *link;

    keep_room_for_opening(BIT(order));
    do {
        LIST_FOR_EACH (link, &sections) {
            struct section *section = CONTAINER_OF(link, struct section, link);

            if (section->free_orders >> order)
                return section_take_low(section, order);
        }
    } while (open_low());
    return 0;
}

static uint64_t available(void)
{
    uint64_t taken;

    if (!pool.begun)
        begin();
    taken = pool.promised + pool.opening_cost;
    return pool.free > taken ? pool.free - taken : 0;
}

uint64_t page_available(void)
{
    SPIN_SCOPE(&memory_lock);

    return available();
}

uint64_t page_missing(uint64_t pages)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left = available(), wanted = pages + pool.reserve;

    return wanted > left ? wanted - left : 0;
}

static __attribute__((cold, noinline)) void wake_reserve_watcher(void)
{
    if (pool.reserve_watcher)
        event_signal(pool.reserve_watcher);
    pool.reserve_watcher = NULL;
    pool.low = 0;
}

phys_addr_t page_alloc(unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left;

    assert(order <= PAGE_ORDER_MAX);
    if (UNLIKELY(pool.lent && order == 0 && !pool.opening)) {
        pool.lent--;
        return page_alloc_promised(0);
    }
    left = available();
    if (UNLIKELY(left < pool.low + BIT(order)))
        wake_reserve_watcher();
    /* What opening takes was set aside before anything was promised. */
    if (left < BIT(order) && !pool.opening)
        return 0;
    return take_low(order);
}

phys_addr_t page_alloc_zeroed(unsigned order)
{
    phys_addr_t start = page_alloc(order);

    if (start)
        memset((void *)(uintptr_t)start, 0, PAGE_BYTES(order));
    return start;
}

static void set_notable_order(void)
{
    notable_order = pool.watcher || pool.poisons ? 0 : pool.reporter ? UNIT_ORDER : ORDER_NEVER;
}

static void wake_watcher(void)
{
    if (available() >= pool.reserve + pool.watched) {
        event_signal(pool.watcher);
        pool.watcher = NULL;
        set_notable_order();
    }
}

/* The unit that the address lies in, as a bit of the section's words. */
static uint64_t unit_of(const struct section *section, phys_addr_t address)
{
    return (address - section->start) >> (PAGE_SHIFT + UNIT_ORDER);
}

static void clear_units(struct section *section, uint64_t first, uint64_t n)
{
    for (uint64_t unit = first; unit < first + n; unit++) {
        section->rested[unit / 64] &= ~BIT(unit % 64);
        section->reported[unit / 64] &= ~BIT(unit % 64);
    }
}

/* A block of `order` was freed, and is part of a free one of merged_order now. */
static __attribute__((cold, noinline)) void note_free(struct section *section, phys_addr_t start,
                                                      unsigned order, unsigned merged_order)
{
    if (pool.reporter && merged_order >= UNIT_ORDER)
        clear_units(section, unit_of(section, start), BIT(MAX(order, UNIT_ORDER) - UNIT_ORDER));
    if (pool.reporter_waits && merged_order >= report_order) {
        pool.reporter_waits = false;
        event_signal(pool.reporter);
    }
    if (!pool.keeps_contents)
        page_poison(start, order);
    if (pool.watcher)
        wake_watcher();
}

void page_poison_with(uint8_t byte)
{
    pool.poisons = true;
    pool.poison = byte;
    set_notable_order();
}

void page_poison(phys_addr_t start, unsigned order)
{
    if (pool.poisons)
        memset((void *)(uintptr_t)start, pool.poison, PAGE_BYTES(order));
}

static struct section *section_of_block(phys_addr_t start, unsigned order)
{
    struct section *section = section_find(start);

    if (!section || start < section->start || order > section->span_order ||
        !IS_ALIGNED(start, PAGE_BYTES(order)))
        panic("page_free: %#llx order %u was never ours", (unsigned long long)start, order);
    return section;
}

/* The block is nobody's; it becomes free. */
static void section_take_back(struct section *section, phys_addr_t start, unsigned order)
{
    uint64_t n = (start - section->start) >> (PAGE_SHIFT + order);
    unsigned merged_order = order;

    section->free += BIT(order);
    pool.free += BIT(order);
    while (merged_order < section->span_order && block_is_free(section, merged_order, n ^ 1)) {
        block_remove(section, merged_order, n ^ 1);
        n >>= 1;
        merged_order++;
    }
    block_insert(section, merged_order, n);
    if (UNLIKELY(merged_order >= notable_order))
        note_free(section, start, order, merged_order);
}

void page_free(phys_addr_t start, unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    struct section *section = section_of_block(start, order);

    if (!map_clear_run(&section->allocated, (start - section->start) >> PAGE_SHIFT, order))
        panic("page_free: %#llx order %u is not allocated", (unsigned long long)start, order);
    section_take_back(section, start, order);
}

/*
 * Pages that are out, in the balloon or otherwise with the host, are neither free nor
 * allocated: so the audit knows of each of them that somebody must have it.
 */
static void send_out(phys_addr_t start, unsigned order)
{
    struct section *section = section_find(start);

    map_clear_run(&section->allocated, (start - section->start) >> PAGE_SHIFT, order);
}

static bool block_is_out(const struct section *section, unsigned order, uint64_t n)
{
    unsigned at;

    for (at = order; at <= section->span_order; at++) {
        if (block_is_free(section, at, n >> (at - order)))
            return false;
    }
    for (at = 0; at < order; at++) {
        if (!map_lacks_run(&section->maps[at], n << (order - at), order - at))
            return false;
    }
    return map_lacks_run(&section->allocated, n << order, order);
}

static void bring_in(phys_addr_t start, unsigned order)
{
    struct section *section = section_of_block(start, order);

    if (!block_is_out(section, order, (start - section->start) >> (PAGE_SHIFT + order)))
        panic("page_free: %#llx order %u is not out", (unsigned long long)start, order);
    section_take_back(section, start, order);
}

phys_addr_t page_alloc_run(uint64_t pages)
{
    unsigned order = pages > 1 ? highest_bit(pages - 1) + 1 : 0;
    phys_addr_t start;

    if (order > PAGE_ORDER_MAX)
        return 0;
    start = page_alloc(order);
    if (start)
        page_free_run(start + pages * PAGE_SIZE, BIT(order) - pages);
    return start;
}

void page_free_run(phys_addr_t start, uint64_t pages)
{
    while (pages) {
        unsigned order = MIN(lowest_bit(start >> PAGE_SHIFT), highest_bit(pages));

        order = MIN(order, PAGE_ORDER_MAX);
        page_free(start, order);
        start += PAGE_BYTES(order);
        pages -= BIT(order);
    }
}

/* The section with the largest free block of at most max_order, the highest of equals. */
static struct section *section_for_top(unsigned max_order, unsigned *order)
{
    struct section *best = NULL;
    struct list *link;

    for (link = sections.prev; link != &sections; link = link->prev) {
        struct section *section = CONTAINER_OF(link, struct section, link);
        unsigned largest;

        if (!section->free_orders)
            continue;
        largest = MIN(highest_bit(section->free_orders), max_order);
        if (best && largest <= *order)
            continue;
        best = section;
        *order = largest;
        if (largest == max_order)
            break;
    }
    return best;
}

static phys_addr_t take_top(unsigned max_order, unsigned *order)
{
    uint64_t left = available();
    struct section *section;

    if (left <= pool.reserve)
        return 0;
    max_order = MIN(max_order, MIN(highest_bit(left - pool.reserve), PAGE_ORDER_MAX));
    keep_room_for_opening(BIT(max_order));
    section = section_for_top(max_order, order);
    while (pool.closed && !(section && *order == max_order && section->start >= pool.closed_end)) {
        section_open(closed_highest());
        keep_room_for_opening(BIT(max_order));
        section = section_for_top(max_order, order);
    }
    return section ? section_take_high(section, *order) : 0;
}

static bool unit_is_used(const struct section *section, uint64_t page)
{
    unsigned order = MIN(section->span_order, UNIT_ORDER);

    return !map_lacks_run(&section->allocated, page >> order << order, order);
}

/*
 * Units that the balloon has in part, above all whole ones, are filled up before it breaks
 * another one: else each change of its size would leave a hole.
 */
static phys_addr_t take_rest_of_unit(unsigned max_order, unsigned *order)
{
    struct list *link;

    if (available() <= pool.reserve + BIT(UNIT_ORDER))
        return 0;
    for (link = sections.prev; link != &sections; link = link->prev) {
        struct section *section = CONTAINER_OF(link, struct section, link);
        unsigned at;

        if (!section->free_orders)
            continue;
        at = order_of_highest(section, 0);
        if (at < UNIT_ORDER && !unit_is_used(section, map_highest(&section->maps[at]) << at)) {
            *order = MIN(at, max_order);
            return section_take_high(section, *order);
        }
        if (section->free_orders >> UNIT_ORDER)
            break;
    }
    return 0;
}

phys_addr_t page_alloc_top(unsigned max_order, unsigned *order)
{
    SPIN_SCOPE(&memory_lock);
    phys_addr_t start = take_rest_of_unit(max_order, order);

    if (!start)
        start = take_top(max_order, order);

    if (start) {
        send_out(start, *order);
        pool.ballooned += BIT(*order);
    }
    return start;
}

phys_addr_t page_alloc_hint(unsigned max_order, unsigned *order)
{
    SPIN_SCOPE(&memory_lock);
    phys_addr_t start = take_top(max_order, order);

    if (start && *order < UNIT_ORDER) {
        page_free(start, *order);
        return 0;
    }
    if (start) {
        send_out(start, *order);
        pool.hinted += BIT(*order);
    }
    return start;
}

void page_free_hint(phys_addr_t start, unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    assert(BIT(order) <= pool.hinted);
    bring_in(start, order);
    pool.hinted -= BIT(order);
}

void page_free_top(phys_addr_t start, unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    assert(BIT(order) <= pool.ballooned);
    bring_in(start, order);
    pool.ballooned -= BIT(order);
}

void page_watch(uint64_t pages, struct event *event)
{
    SPIN_SCOPE(&memory_lock);
    pool.watched = pages;
    pool.watcher = event;
    set_notable_order();
    wake_watcher();
}

bool page_watch_reserve(struct event *event)
{
    SPIN_SCOPE(&memory_lock);
    bool is_low = available() < pool.reserve / 2;

    pool.reserve_watcher = is_low ? NULL : event;
    pool.low = is_low ? 0 : pool.reserve / 2;
    return is_low;
}

/* Reporting. */

static void forget_units(void)
{
    struct list *link;

    LIST_FOR_EACH (link, &sections) {
        struct section *section = CONTAINER_OF(link, struct section, link);

        memset(section->rested, 0, sizeof(section->rested));
        memset(section->reported, 0, sizeof(section->reported));
    }
}

void page_report_to(struct event *event, unsigned min_order)
{
    SPIN_SCOPE(&memory_lock);
    assert(!event || !pool.reporter);
    pool.reporter = event;
    pool.reporter_waits = false;
    report_order = event ? MAX(min_order, UNIT_ORDER) : ORDER_NEVER;
    set_notable_order();
    forget_units();
}

static bool unit_has(const uint64_t *words, uint64_t unit)
{
    return words[unit / 64] & BIT(unit % 64);
}

/* Whether all of those units are to be reported. */
static bool units_are_due(const struct section *section, uint64_t first, uint64_t n)
{
    for (uint64_t unit = first; unit < first + n; unit++) {
        if (!unit_has(section->rested, unit) || unit_has(section->reported, unit))
            return false;
    }
    return true;
}

/* A part of a section: the n-th block of its order, free or not. */
struct part {
    unsigned order;
    uint64_t n;
};

/* The largest part of a free block that is to be reported, of at most max_order. false: none. */
static bool find_due(const struct section *section, struct part block, unsigned max_order,
                     struct part *due)
{
    for (due->order = MIN(block.order, max_order); due->order >= report_order; due->order--) {
        uint64_t end = (block.n + 1) << (block.order - due->order);

        for (due->n = end - BIT(block.order - due->order); due->n < end; due->n++) {
            if (units_are_due(section, due->n << (due->order - UNIT_ORDER),
                              BIT(due->order - UNIT_ORDER)))
                return true;
        }
    }
    return false;
}

/* Takes a part out of a free block; what is left of that stays free. */
static phys_addr_t section_take_part(struct section *section, struct part block, struct part part)
{
    unsigned order = block.order;

    block_remove(section, block.order, block.n);
    while (order-- > part.order)
        block_insert(section, order, (part.n >> (order - part.order)) ^ 1);
    return section_give(section, part.order, part.n);
}

/* What page_take_rested() gathers. */
struct gathering {
    struct page_block *blocks;
    unsigned n, max;
    uint64_t left; /* pages that may still be taken */
};

static void gather_from_block(struct gathering *gathering, struct section *section,
                              struct part block)
{
    struct page_block *to = &gathering->blocks[gathering->n];
    struct part due;

    if (!gathering->left || !find_due(section, block, highest_bit(gathering->left), &due))
        return;
    to->start = section_take_part(section, block, due);
    to->order = due.order;
    send_out(to->start, to->order);
    gathering->left -= BIT(due.order);
    pool.reporting += BIT(due.order);
    gathering->n++;
}

/* From the large orders down: what is left of a block is met again in the smaller ones. */
static void gather(struct gathering *gathering, struct section *section)
{
    struct part block;

    for (block.order = section->span_order + 1; block.order-- > report_order;) {
        if (!(section->free_orders & BIT(block.order)))
            continue;
        for (block.n = 0; block.n < BIT(section->span_order - block.order); block.n++) {
            if (gathering->n == gathering->max)
                return;
            if (block_is_free(section, block.order, block.n))
                gather_from_block(gathering, section, block);
        }
    }
}

unsigned page_take_rested(struct page_block *blocks, unsigned max, uint64_t pages)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left = available();
    struct gathering gathering = { .blocks = blocks, .max = max };
    struct list *link;

    gathering.left = left > pool.reserve ? MIN(pages, (left - pool.reserve) / 2) : 0;
    for (link = sections.prev; link != &sections; link = link->prev)
        gather(&gathering, CONTAINER_OF(link, struct section, link));
    return gathering.n;
}

void page_put_rested(const struct page_block *block, bool reported)
{
    SPIN_SCOPE(&memory_lock);
    struct section *section = section_find(block->start);
    uint64_t unit, end;

    assert(block->order >= UNIT_ORDER && BIT(block->order) <= pool.reporting);
    pool.reporting -= BIT(block->order);
    pool.keeps_contents = reported; /* the host has dropped them */
    bring_in(block->start, block->order);
    pool.keeps_contents = false;
    unit = unit_of(section, block->start);
    end = unit + BIT(block->order - UNIT_ORDER);
    for (; reported && unit < end; unit++)
        section->reported[unit / 64] |= BIT(unit % 64);
}

/* Those of a free block; true: there were new ones. */
static bool let_units_rest(struct section *section, struct part block)
{
    uint64_t unit = block.n << (block.order - UNIT_ORDER);
    uint64_t end = unit + BIT(block.order - UNIT_ORDER);
    bool any = false;

    for (; unit < end; unit++) {
        any |= !unit_has(section->rested, unit) && !unit_has(section->reported, unit);
        section->rested[unit / 64] |= BIT(unit % 64);
    }
    return any;
}

/* The next free block at or after *block, in its order or a smaller one, down to min_order. */
static bool next_free_of(const struct section *section, struct part *block, unsigned min_order)
{
    for (; block->order >= min_order; block->order--, block->n = 0) {
        for (; block->n < BIT(section->span_order - block->order); block->n++) {
            if (block_is_free(section, block->order, block->n))
                return true;
        }
    }
    return false;
}

/* The next one that can be reported. */
static bool next_free(const struct section *section, struct part *block)
{
    return next_free_of(section, block, report_order);
}

bool page_freed_since_rest(void)
{
    return pool.reporter && !pool.reporter_waits;
}

bool page_let_rest(void)
{
    SPIN_SCOPE(&memory_lock);
    struct list *link;
    bool any = false;

    LIST_FOR_EACH (link, &sections) {
        struct section *section = CONTAINER_OF(link, struct section, link);
        struct part block = { .order = section->span_order };

        for (; next_free(section, &block); block.n++)
            any |= let_units_rest(section, block);
    }
    pool.reporter_waits = !any;
    return any;
}

static uint64_t count_reported(void)
{
    uint64_t pages = 0;
    struct list *link;

    LIST_FOR_EACH (link, &sections) {
        const struct section *section = CONTAINER_OF(link, struct section, link);
        struct part block = { .order = section->span_order };

        for (; next_free(section, &block); block.n++) {
            uint64_t unit = block.n << (block.order - UNIT_ORDER);
            uint64_t end = unit + BIT(block.order - UNIT_ORDER);

            for (; unit < end; unit++)
                pages += unit_has(section->reported, unit) ? BIT(UNIT_ORDER) : 0;
        }
    }
    return pages;
}

/* Making free memory whole. */

static uint64_t whole_pages(const struct section *section)
{
    struct part block = { .order = section->span_order };
    uint64_t pages = 0;

    for (; next_free_of(section, &block, UNIT_ORDER); block.n++)
        pages += BIT(block.order);
    return pages;
}

uint64_t page_scattered(void)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t pages = pool.free - pool.closed;
    struct list *link;

    LIST_FOR_EACH (link, &sections)
        pages -= whole_pages(CONTAINER_OF(link, struct section, link));
    return pages;
}

phys_addr_t page_dense_end(void)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t used = pool.total - pool.free - pool.ballooned - pool.hinted - pool.reporting;
    uint64_t left = used + used / 16 + BIT(UNIT_ORDER) / 2;
    struct list *link;

    LIST_FOR_EACH (link, &sections) {
        const struct section *section = CONTAINER_OF(link, struct section, link);
        uint64_t holes = BIT(section->span_order) - section->pages;

        if (left <= section->pages)
            return ALIGN_UP(section->start + (left + holes) * PAGE_SIZE, PAGE_BYTES(UNIT_ORDER));
        left -= section->pages;
    }
    return MAX_ADDRESS;
}

phys_addr_t page_alloc_below(phys_addr_t end)
{
    SPIN_SCOPE(&memory_lock);
    struct list *link;

    if (available() <= pool.reserve)
        return 0;
    LIST_FOR_EACH (link, &sections) {
        struct section *section = CONTAINER_OF(link, struct section, link);

        for (uint64_t orders = section->free_orders; orders; orders &= orders - 1) {
            unsigned order = lowest_bit(orders);
            uint64_t page = map_lowest(&section->maps[order]) << order;

            if (section->start + page * PAGE_SIZE < end)
                return section_take_from(section, order, 0);
        }
    }
    return 0;
}

int page_promise(uint64_t pages)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left = available();

    if (pages && (left <= pool.reserve || left - pool.reserve < pages))
        return -ENOMEM;
    pool.promised += pages;
    return 0;
}

void page_unpromise(uint64_t pages)
{
    SPIN_SCOPE(&memory_lock);
    assert(pages <= pool.promised);
    pool.promised -= pages;
    if (UNLIKELY(pool.watcher))
        wake_watcher();
}

phys_addr_t page_alloc_promised(unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    phys_addr_t start;

    assert(BIT(order) <= pool.promised);
    start = take_low(order);
    assert(start || order);
    if (start)
        pool.promised -= BIT(order);
    return start;
}

void page_free_promised(phys_addr_t start, unsigned order)
{
    SPIN_SCOPE(&memory_lock);
    pool.promised += BIT(order);
    page_free(start, order);
}

uint64_t page_lend_promised(uint64_t pages)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t left = pool.lent;

    assert(pages <= pool.promised);
    pool.lent = pages;
    return left;
}

/* Reports. */

static uint64_t closed_largest(void)
{
    uint64_t largest = 0;
    unsigned i, order;

    for (i = 0; i < pool.n_extents; i++) {
        phys_addr_t start = MAX(pool.extents[i].start, pool.closed_start);
        phys_addr_t end = MIN(pool.extents[i].end, pool.closed_end);

        for (order = PAGE_ORDER_MAX + 1; order-- > 0 && PAGE_BYTES(order) > largest;) {
            if (start < end && ALIGN_UP(start, PAGE_BYTES(order)) + PAGE_BYTES(order) <= end)
                largest = PAGE_BYTES(order);
        }
    }
    return largest;
}

void page_get_stats(struct page_stats *stats)
{
    SPIN_SCOPE(&memory_lock);
    struct list *link;

    if (!pool.begun)
        begin();
    *stats = (struct page_stats){
        .total = pool.total,
        .free = pool.free,
        .promised = pool.promised,
        .ballooned = pool.ballooned,
        .hinted = pool.hinted,
        .reporting = pool.reporting,
        .reported = count_reported(),
        .largest_free = closed_largest(),
    };
    LIST_FOR_EACH (link, &sections) {
        const struct section *section = CONTAINER_OF(link, struct section, link);

        if (section->free_orders)
            stats->largest_free =
                MAX(stats->largest_free, PAGE_BYTES(highest_bit(section->free_orders)));
    }
}

/* For the audit, see kernel/page_audit.h. */

/* Whether each summary bit stands for something below it. */
static bool audit_map(const struct block_map *map, unsigned width)
{
    uint64_t words = words_of(BIT(width)), groups = words_of(words), i;

    if (groups < 64 && map->top >> groups)
        return false;
    for (i = 0; i < groups; i++) {
        if ((map->top & BIT(i)) && !map->middle[i])
            return false;
    }
    for (i = 0; i < words; i++) {
        if ((map->top & BIT(i / 64)) && (map->middle[i / 64] & BIT(i % 64)) && !map->bits[i])
            return false;
    }
    return true;
}

/* Whether the free blocks of an order are unpaired, as the summaries say. */
static bool audit_order(const struct section *section, unsigned order, uint64_t *free)
{
    const struct block_map *map = &section->maps[order];
    uint64_t width = section->span_order - order, i, word;

    if (!(section->free_orders & BIT(order)) != !map->top || !audit_map(map, (unsigned)width))
        return false;
    for (i = 0; map->top && i < words_of(BIT(width)); i++) {
        word = map_read(map, i);
        if (width && (word & (word >> 1) & UINT64_C(0x5555555555555555)))
            return false;
        for (; word; word &= word - 1)
            *free += BIT(order);
    }
    return true;
}

static bool audit_section(const struct section *section)
{
    uint64_t free = 0;
    unsigned order;

    for (order = 0; order <= section->span_order; order++) {
        if (!audit_order(section, order, &free))
            return false;
    }
    return free == section->free && audit_map(&section->allocated, section->span_order);
}

bool page_audit_records(void)
{
    uint64_t free = pool.closed;
    phys_addr_t end = 0;
    struct list *link;

    LIST_FOR_EACH (link, &sections) {
        const struct section *section = CONTAINER_OF(link, struct section, link);

        if (section->start < end || section_find(section->start) != section ||
            !audit_section(section))
            return false;
        free += section->free;
        end = section->start + PAGE_BYTES(section->span_order);
    }
    return free == pool.free && free <= pool.total;
}

bool page_next_section(phys_addr_t from, phys_addr_t *start, phys_addr_t *end)
{
    struct list *link;

    LIST_FOR_EACH (link, &sections) {
        const struct section *section = CONTAINER_OF(link, struct section, link);

        *start = section->start;
        *end = section->start + PAGE_BYTES(section->span_order);
        if (*start >= from)
            return true;
    }
    return false;
}

void page_visit_ram(phys_addr_t section_start, page_visitor *visit)
{
    const struct section *section = section_find(section_start);
    phys_addr_t end = section_start + PAGE_BYTES(section->span_order);
    unsigned i;

    for (i = extent_above(section_start); i < pool.n_extents && pool.extents[i].start < end; i++) {
        phys_addr_t from = MAX(pool.extents[i].start, section_start);

        visit(PAGE_RAM, from, (MIN(pool.extents[i].end, end) - from) >> PAGE_SHIFT);
    }
}

/* A free block; of those that may be reported each unit for itself. */
static void visit_free(const struct section *section, struct part block, page_visitor *visit)
{
    unsigned order = block.order >= report_order ? UNIT_ORDER : block.order;
    uint64_t n = block.n << (block.order - order), end = (block.n + 1) << (block.order - order);

    for (; n < end; n++) {
        bool reported = block.order >= report_order && unit_has(section->reported, n);

        visit(reported ? PAGE_REPORTED : PAGE_FREE, section->start + n * PAGE_BYTES(order),
              BIT(order));
    }
}

static void visit_used(const struct section *section, page_visitor *visit)
{
    uint64_t i, word;

    for (i = 0; i < words_of(BIT(section->span_order)); i++) {
        for (word = map_read(&section->allocated, i); word;) {
            unsigned first = lowest_bit(word),
                     n = ~(word >> first) ? lowest_bit(~(word >> first)) : 64;

            visit(PAGE_USED, section->start + (i * 64 + first) * PAGE_SIZE, n);
            word &= n == 64 ? 0 : ~((BIT(n) - 1) << first);
        }
    }
}

void page_visit_section(phys_addr_t section_start, page_visitor *visit)
{
    const struct section *section = section_find(section_start);
    phys_addr_t records = (uintptr_t)section;
    struct part block;
    uint64_t i, word;

    /* Those in the section itself are no part of what it counts. */
    if (records >= section_start && records - section_start < PAGE_BYTES(section->span_order))
        visit(PAGE_RECORDS, records,
              (record_bytes(section->span_order) + PAGE_SIZE - 1) / PAGE_SIZE);
    for (uint64_t orders = section->free_orders; orders; orders &= orders - 1) {
        block.order = lowest_bit(orders);
        for (i = 0; i < words_of(BIT(section->span_order - block.order)); i++) {
            for (word = map_read(&section->maps[block.order], i); word; word &= word - 1) {
                block.n = i * 64 + lowest_bit(word);
                visit_free(section, block, visit);
            }
        }
    }
    visit_used(section, visit);
}
