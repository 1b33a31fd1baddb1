/* SPDX-License-Identifier: MIT */
/*
 * No wake-up is lost, proven on the code itself: the driver's and the fake
 * device's accesses to the memory they share are caught one by one, and every
 * order that an x86 (total store order) can show is tried.
 *
 * The compiler's thread instrumentation calls a function before each access;
 * the ones here stand in for its run-time library. Each side is a coroutine
 * with a store buffer: a store goes into the buffer, from where it reaches
 * memory at any later time, in order; a load sees the side's own buffered
 * stores; a fence waits until its buffer is empty. A depth-first search goes
 * through all schedules. Stores into a buffer are seen by nobody, so only
 * loads, fences and buffers running dry are points of choice.
 *
 * Controls without the fence of one side must lose a wake-up, or the search
 * finds nothing. Thread sanitizers themselves do not model fences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ucontext.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ring.h"
#include "drivers/virtio/virtq.h"
#include "tests/host/fake_device.h"
#include "tests/host/proves.h"

#define PLAIN       __attribute__((no_sanitize("thread"), noinline))
#define STACK_BYTES (64 * 1024)
#define DEPTH_MAX   256
#define BUFFER_MAX  32
#define SIZE        4

enum { DRIVER, DEVICE, SIDES };

/* ---- the memory both sides see */

static _Alignas(64) uint8_t shared[1024];

/*
 * The bytes by which one side tells the other that there is something, or that
 * it wants to know. Everything else is written before it is told of, and read
 * after: to let the others go first before such a load would show nothing new.
 */
static bool telling[sizeof(shared)];

struct store {
    size_t at;
    unsigned bytes;
    uint8_t value[16];
};

static struct side {
    ucontext_t context; /* where it begins */
    jmp_buf place;      /* where it stands */
    bool begun;
    char stack[STACK_BYTES];
    struct store buffer[BUFFER_MAX];
    unsigned n_buffered;
    bool done, at_fence, fences_ignored;

    /* A plain access under way: it is made when the hook has returned, and taken in by the next
     * one. */
    enum { NOTHING, LOADING, STORING } access;
    size_t at;
    unsigned bytes;
    uint8_t before[16];
} sides[SIDES];

static jmp_buf scheduler;
static struct side *running; /* NULL: hooks do nothing */

PLAIN static bool is_shared(const volatile void *address)
{
    return running && (const uint8_t *)address >= shared &&
           (const uint8_t *)address < shared + sizeof(shared);
}

PLAIN static bool tells(const volatile void *address, unsigned bytes)
{
    return memchr(&telling[(const uint8_t *)address - shared], true, bytes);
}

/* The shared bytes as this side sees them. */
PLAIN static void overlay(const struct side *side, size_t at, unsigned bytes, uint8_t *view)
{
    memcpy(view, shared + at, bytes);
    for (unsigned i = 0; i < side->n_buffered; i++) {
        const struct store *store = &side->buffer[i];

        for (unsigned k = 0; k < store->bytes; k++)
            if (store->at + k >= at && store->at + k < at + bytes)
                view[store->at + k - at] = store->value[k];
    }
}

PLAIN static void push_store(struct side *side, size_t at, unsigned bytes, const void *value)
{
    struct store *store = &side->buffer[side->n_buffered++];

    if (side->n_buffered > BUFFER_MAX)
        abort();
    *store = (struct store){ .at = at, .bytes = bytes };
    memcpy(store->value, value, bytes);
}

PLAIN static void flush_oldest(struct side *side)
{
    memcpy(shared + side->buffer[0].at, side->buffer[0].value, side->buffer[0].bytes);
    memmove(&side->buffer[0], &side->buffer[1], --side->n_buffered * sizeof(side->buffer[0]));
}

/* Takes in the plain access that was made since the last hook, and leaves no trace of it. */
PLAIN static void settle(struct side *side)
{
    if (side->access == STORING)
        push_store(side, side->at, side->bytes, shared + side->at);
    if (side->access != NOTHING)
        memcpy(shared + side->at, side->before, side->bytes);
    side->access = NOTHING;
}

PLAIN static void yield_at(struct side *side, bool fence)
{
    side->at_fence = fence;
    if (!_setjmp(side->place))
        _longjmp(scheduler, 1);
}

/* Runs the side to its next yield: contexts would cost two system calls each time. */
PLAIN static void resume(struct side *side)
{
    running = side;
    if (!_setjmp(scheduler)) {
        if (side->begun)
            _longjmp(side->place, 1);
        side->begun = true;
        setcontext(&side->context);
    }
    running = NULL;
}

/* A plain access is about to be made: the memory shows for its moment what this side sees. */
PLAIN static void begin(const volatile void *address, unsigned bytes, bool is_store)
{
    struct side *side = running;
    uint8_t view[16];

    if (!is_shared(address))
        return;
    settle(side);
    if (!is_store && tells(address, bytes))
        yield_at(side, false);
    side->access = is_store ? STORING : LOADING;
    side->at = (size_t)((const uint8_t *)address - shared);
    side->bytes = bytes;
    overlay(side, side->at, bytes, view);
    memcpy(side->before, shared + side->at, bytes);
    memcpy(shared + side->at, view, bytes);
}

PLAIN static void fence(void)
{
    struct side *side = running;

    if (!side)
        return;
    settle(side);
    if (!side->fences_ignored)
        yield_at(side, true);
}

PLAIN static void load_atomic(const volatile void *address, unsigned bytes, void *value)
{
    struct side *side = running;

    if (!is_shared(address)) {
        memcpy(value, (const void *)(uintptr_t)address, bytes);
        return;
    }
    settle(side);
    if (tells(address, bytes))
        yield_at(side, false);
    overlay(side, (size_t)((const uint8_t *)address - shared), bytes, value);
}

PLAIN static void store_atomic(volatile void *address, unsigned bytes, const void *value)
{
    struct side *side = running;

    if (!is_shared(address)) {
        memcpy((void *)(uintptr_t)address, value, bytes);
        return;
    }
    settle(side);
    push_store(side, (size_t)((const uint8_t *)address - shared), bytes, value);
}

/* ---- what instrumented code calls */

#define HOOKS(bytes)                                        \
    void __tsan_read##bytes(void *address);                 \
    void __tsan_write##bytes(void *address);                \
    void __tsan_unaligned_read##bytes(void *address);       \
    void __tsan_unaligned_write##bytes(void *address);      \
    PLAIN void __tsan_read##bytes(void *address)            \
    {                                                       \
        begin(address, bytes, false);                       \
    }                                                       \
    PLAIN void __tsan_write##bytes(void *address)           \
    {                                                       \
        begin(address, bytes, true);                        \
    }                                                       \
    PLAIN void __tsan_unaligned_read##bytes(void *address)  \
    {                                                       \
        begin(address, bytes, false);                       \
    }                                                       \
    PLAIN void __tsan_unaligned_write##bytes(void *address) \
    {                                                       \
        begin(address, bytes, true);                        \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

#define ATOMIC_HOOKS(bits)                                                                   \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order);      \
    void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int);     \
    PLAIN uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order) \
    {                                                                                        \
        uint##bits##_t value;                                                                \
                                                                                             \
        (void)order;                                                                         \
        load_atomic(address, sizeof(value), &value);                                         \
        return value;                                                                        \
    }                                                                                        \
    PLAIN void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value,     \
                                           int order)                                        \
    {                                                                                        \
        (void)order;                                                                         \
        store_atomic(address, sizeof(value), &value);                                        \
    }

ATOMIC_HOOKS(8)
ATOMIC_HOOKS(16)
ATOMIC_HOOKS(32)
ATOMIC_HOOKS(64)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_atomic_thread_fence(int order);
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memset(void *to, int value, size_t bytes);
void *__tsan_memmove(void *to, const void *from, size_t bytes);

PLAIN void __tsan_init(void)
{
}

PLAIN void __tsan_func_entry(void *caller)
{
    (void)caller;
}

PLAIN void __tsan_func_exit(void)
{
}

PLAIN void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    fence();
}

/* Whole structures are private matters: nobody copies shared memory by these. */
PLAIN void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
    if (is_shared(to) || is_shared(from))
        abort();
    return memcpy(to, from, bytes);
}

PLAIN void *__tsan_memmove(void *to, const void *from, size_t bytes)
{
    if (is_shared(to) || is_shared(from))
        abort();
    return memmove(to, from, bytes);
}

PLAIN void *__tsan_memset(void *to, int value, size_t bytes)
{
    if (is_shared(to))
        abort();
    return memset(to, value, bytes);
}

/* ---- the search */

static struct {
    uint8_t taken[DEPTH_MAX], of[DEPTH_MAX];
    unsigned depth, replayed;
} path;

static unsigned long schedules;

/* One of n: the first one when it is new, later the others. */
PLAIN static unsigned choose(unsigned n)
{
    if (path.replayed == path.depth) {
        if (path.depth == DEPTH_MAX)
            abort();
        path.taken[path.depth] = 0;
        path.of[path.depth++] = (uint8_t)n;
    }
    return path.taken[path.replayed++];
}

/* To the next schedule; false: that was the last one. */
PLAIN static bool next_path(void)
{
    path.replayed = 0;
    while (path.depth && path.taken[path.depth - 1] + 1 == path.of[path.depth - 1])
        path.depth--;
    if (!path.depth)
        return false;
    path.taken[path.depth - 1]++;
    return true;
}

/* What no load waits for may as well reach memory at once, when its turn has come. */
PLAIN static void flush_untold(struct side *side)
{
    while (side->n_buffered && !tells(shared + side->buffer[0].at, side->buffer[0].bytes))
        flush_oldest(side);
}

PLAIN static bool may_run(const struct side *side)
{
    return !side->done && !(side->at_fence && side->n_buffered);
}

/* Runs both sides to their ends by the current path. */
PLAIN static void run_schedule(void)
{
    for (;;) {
        struct side *options[2 * SIDES];
        bool flush[2 * SIDES];
        unsigned n = 0, which;

        for (unsigned i = 0; i < SIDES; i++) {
            flush_untold(&sides[i]);
            if (may_run(&sides[i])) {
                options[n] = &sides[i];
                flush[n++] = false;
            }
            if (sides[i].n_buffered) {
                options[n] = &sides[i];
                flush[n++] = true;
            }
        }
        if (n == 0)
            break;
        which = n > 1 ? choose(n) : 0;
        if (flush[which]) {
            flush_oldest(options[which]);
            continue;
        }
        resume(options[which]);
    }
    schedules++;
}

/* ---- a queue and its two sides */

struct scene {
    struct virtq_config config;
    struct virtq q;
    struct fake_queue device;
    uint8_t private_memory[SIZE * 16];
    unsigned buffers; /* that the driver lends, each published by itself */

    /* What came of it. */
    unsigned kicks, interrupts, taken, got;
    bool device_asleep, driver_asleep;
};

static struct scene scene;
static uint8_t frames[SIZE];

static void publishes(void)
{
    for (unsigned i = 0; i < scene.buffers; i++) {
        struct virtq_elem elem = { (uintptr_t)&frames[i], 1 };
        struct virtq_buffer buffer = { &elem, 1, 0, &frames[i] };

        virtq_add(&scene.q, &buffer, 1);
        if (virtq_publish(&scene.q))
            scene.kicks++;
    }
}

/* Found nothing, and asks to be told; goes to sleep if there still is nothing. */
static void looks_and_sleeps(void)
{
    struct fake_chain *chain;

    for (;;) {
        while ((chain = fake_pop(&scene.device))) {
            /* the frame must be whole by the time it is seen */
            if (chain->n_readable != 1 || chain->pieces[0].start != &frames[scene.taken])
                scene.device.violation = "a buffer was seen before it was described";
            scene.taken++;
        }
        fake_want_notification(&scene.device);
        if (!fake_available(&scene.device))
            break;
    }
    scene.device_asleep = true;
}

static void uses(void)
{
    for (unsigned i = 0; i < scene.buffers; i++) {
        fake_push(&scene.device, scene.device.held, 0);
        if (fake_interrupt_wanted(&scene.device))
            scene.interrupts++;
    }
}

static void arms_and_sleeps(void)
{
    struct virtq_done done[SIZE];
    int n;

    do {
        while ((n = virtq_get(&scene.q, done, SIZE)) > 0)
            scene.got += (unsigned)n;
    } while (virtq_arm(&scene.q, 1) && !virtq_broken_reason(&scene.q));
    scene.driver_asleep = true;
}

PLAIN static void finish(struct side *side)
{
    settle(side);
    side->done = true;
    _longjmp(scheduler, 1);
}

static void driver_publishes(void)
{
    publishes();
    finish(&sides[DRIVER]);
}

static void device_sleeps(void)
{
    looks_and_sleeps();
    finish(&sides[DEVICE]);
}

static void driver_sleeps(void)
{
    arms_and_sleeps();
    finish(&sides[DRIVER]);
}

static void device_uses(void)
{
    uses();
    finish(&sides[DEVICE]);
}

PLAIN static void prepare(struct side *side, void (*run)(void), bool without_fences)
{
    getcontext(&side->context);
    side->context.uc_stack.ss_sp = side->stack;
    side->context.uc_stack.ss_size = sizeof(side->stack);
    side->context.uc_link = NULL;
    side->n_buffered = 0;
    side->done = side->at_fence = side->begun = false;
    side->fences_ignored = without_fences;
    side->access = NOTHING;
    makecontext(&side->context, run, 0);
}

PLAIN static void set_scene(const struct virtq_config *config, unsigned buffers)
{
    fake_queue_stop(&scene.device);
    memset(&scene, 0, sizeof(scene));
    scene.config = *config;
    scene.config.private_memory = scene.private_memory;
    scene.buffers = buffers;
    virtq_init(&scene.q, &scene.config);
    fake_queue_start(&scene.device, &(struct fake_queue_config){
                                        .packed = config->format == VIRTQ_PACKED,
                                        .event_idx = config->event_idx,
                                        .size = config->size,
                                        .desc_addr = config->areas.descriptor_addr,
                                        .driver_addr = config->areas.driver_addr,
                                        .device_addr = config->areas.device_addr,
                                    });
}

/* ---- the races */

struct race {
    void (*driver)(void), (*device)(void);
    void (*begin)(void); /* by one side alone */
    bool (*lost)(void);  /* a wake-up */
};

/* The device does not want to hear of anything before it goes to sleep. */
static void device_is_busy(void)
{
    fake_refuse_notification(&scene.device);
}

static bool a_notification_is_lost(void)
{
    return scene.device_asleep && scene.taken < scene.buffers && !scene.kicks;
}

static void all_is_lent(void)
{
    publishes();
    for (unsigned i = 0; i < scene.buffers; i++)
        fake_pop(&scene.device);
}

static bool an_interrupt_is_lost(void)
{
    return scene.driver_asleep && scene.got < scene.buffers && !scene.interrupts;
}

static const struct race publish_race = { driver_publishes, device_sleeps, device_is_busy,
                                          a_notification_is_lost };
static const struct race arm_race = { driver_sleeps, device_uses, all_is_lent,
                                      an_interrupt_is_lost };

/* How many of all schedules lose a wake-up. */
PLAIN static unsigned long search(const struct race *race, const struct virtq_config *config,
                                  unsigned buffers, bool driver_fences, bool device_fences)
{
    unsigned long lost = 0;

    schedules = 0;
    memset(&path, 0, sizeof(path));
    do {
        set_scene(config, buffers);
        race->begin();
        prepare(&sides[DRIVER], race->driver, !driver_fences);
        prepare(&sides[DEVICE], race->device, !device_fences);
        run_schedule();
        lost += race->lost();
        if (scene.device.violation)
            fail_msg("%s", scene.device.violation);
        if (virtq_broken_reason(&scene.q))
            fail_msg("%s", virtq_broken_reason(&scene.q));
    } while (next_path());
    fake_queue_stop(&scene.device);
    return lost;
}

static void mark(const void *field, size_t bytes)
{
    memset(&telling[(const uint8_t *)field - shared], true, bytes);
}

static void mark_what_tells(const struct virtq_config *config)
{
    const struct virtq_avail *avail = config->areas.driver;
    const struct virtq_used *used = config->areas.device;
    const struct pvirtq_desc *desc = config->areas.descriptor;

    memset(telling, false, sizeof(telling));
    mark(avail, 4); /* either format's */
    mark(used, 4);
    if (config->format == VIRTQ_SPLIT) {
        mark(&avail->ring[SIZE], sizeof(le16));
        mark(&used->ring[SIZE], sizeof(le16));
        return;
    }
    for (unsigned i = 0; i < SIZE; i++)
        mark(&desc[i].flags, sizeof(desc[i].flags));
}

static void try_every_order(const struct race *race)
{
    for (unsigned variant = 0; variant < 4; variant++) {
        struct virtq_config config = {
            .format = variant & 1 ? VIRTQ_PACKED : VIRTQ_SPLIT,
            .event_idx = variant & 2,
            .size = SIZE,
        };
        struct virtq_layout layout = virtq_layout(config.format, config.size, 0);

        assert_true(layout.shared_bytes <= sizeof(shared));
        config.areas = virtq_areas_in(&layout, shared, (uintptr_t)shared);
        mark_what_tells(&config);
        for (unsigned buffers = 1; buffers <= 2; buffers++) {
            const char *format = config.format == VIRTQ_PACKED ? "packed" : "split";

            assert_int_equal(search(race, &config, buffers, true, true), 0);
            print_message("%s%s, %u buffers: %lu orders\n", format,
                          config.event_idx ? ", event_idx" : "", buffers, schedules);
            assert_true(schedules > 50);
        }
        /* the search does find what a missing fence lets through */
        assert_true(search(race, &config, 1, false, true) > 0);
        assert_true(search(race, &config, 1, true, false) > 0);
    }
}

static void no_notification_is_lost_in_any_order(void **state)
{
    PROVES("SPLIT-IDX-01", "SPLIT-KICK-01", "PACK-FLG-01", "PACK-KICK-01");
    (void)state;
    try_every_order(&publish_race);
}

static void no_interrupt_is_lost_in_any_order(void **state)
{
    (void)state;
    try_every_order(&arm_race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_notification_is_lost_in_any_order),
        cmocka_unit_test(no_interrupt_is_lost_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
