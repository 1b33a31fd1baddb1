/* SPDX-License-Identifier: MIT */
/*
 * Two standard parts. What sources give is absorbed by BLAKE2s (RFC 7693); its
 * digest, with the key before it, makes a new key. The key is used with ChaCha20
 * (RFC 8439) in the fast-key-erasure way (Bernstein, 2017): the first bytes of
 * every request replace the key, so that who learns it later learns nothing of
 * what was given out before.
 *
 * Nothing is done before the first number is wanted; that costs one block of
 * BLAKE2s and one of ChaCha20, about 7,000 instructions.
 *
 * Concurrency: one lock over each call. Suppliers are drivers', so only who holds the kernel
 * lock calls them; a parallel thread has to do with the CPU's own source until somebody else
 * asks for numbers.
 *
 * New entropy is kept back until it is worth a whole key: mixing it in by small
 * portions would let an observer, who knew the key, guess each portion.
 */
#include "kernel/random.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/cpu_random.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "lib/base/barrier.h"
#include "lib/base/blake2s.h"
#include "lib/base/chacha20.h"
#include "lib/base/string.h"

#define KEY_BITS           256
#define MAX_SOURCES        8
#define RESEED_AFTER_BYTES (64 * KIB)
#define CPU_WORDS          4 /* of 64 bits, for one key */
#define SPARE_BYTES        (CHACHA20_BLOCK_BYTES - CHACHA20_KEY_BYTES)
#define JITTER_ROUNDS      32 /* where the CPU has no source */

static struct spinlock lock;

static struct blake2s pool; /* what was added since the last key */
static bool pool_open;
static unsigned waiting_bits; /* that count, in the pool */

static uint8_t key[CHACHA20_KEY_BYTES];
static bool has_key;
static uint8_t spare[SPARE_BYTES]; /* the end of it is not given out yet */
static size_t n_spare;
static uint64_t given_bytes; /* since the last look for fresh entropy */
static uint64_t total_bits;  /* that count, in the key */

static uint64_t moments; /* written in any context; that two CPUs meet in it does no harm */

static struct random_source sources[MAX_SOURCES];
static struct list suppliers = LIST_INIT(suppliers);

static const void *generation; /* NULL: the hypervisor keeps none; else it changes that memory */
static uint8_t generation_seen[RANDOM_GENERATION_BYTES];
static int generation_changes;

static void count_source(const char *name, unsigned entropy_bits)
{
    for (unsigned i = 0; i < MAX_SOURCES; i++) {
        if (sources[i].name && strcmp(sources[i].name, name) != 0)
            continue;
        sources[i].name = name;
        sources[i].entropy_bits += entropy_bits;
        return;
    }
}

static void absorb(const void *from, size_t bytes)
{
    if (!pool_open) {
        blake2s_init(&pool);
        pool_open = true;
    }
    blake2s_update(&pool, from, bytes);
}

static void make_key(void)
{
    uint64_t moment = load_once(&moments);

    absorb(&moment, sizeof(moment));
    if (has_key)
        absorb(key, sizeof(key));
    blake2s_final(&pool, key);
    memset(&pool, 0, sizeof(pool));
    memset(spare, 0, sizeof(spare));
    pool_open = false;
    has_key = true;
    n_spare = 0;
    total_bits += waiting_bits;
    waiting_bits = 0;
}

void random_add(const void *from, size_t bytes, unsigned entropy_bits, const char *source)
{
    SPIN_SCOPE(&lock);
    absorb(from, bytes);
    count_source(source, entropy_bits);
    waiting_bits += MIN(entropy_bits, KEY_BITS);
    if (has_key && waiting_bits >= KEY_BITS)
        make_key();
}

void random_note_moment(void)
{
    uint64_t mixed = load_once(&moments) ^ tsc_read();

    store_once(&moments, (mixed << 7 | mixed >> 57) * UINT64_C(0x9e3779b97f4a7c15));
}

/* There have been CPUs whose instruction says "valid" and always gives the same. */
static bool is_plausible(const uint64_t words[CPU_WORDS])
{
    for (unsigned i = 0; i < CPU_WORDS; i++) {
        if (words[i] == 0 || words[i] == UINT64_MAX)
            return false;
        for (unsigned other = 0; other < i; other++)
            if (words[i] == words[other])
                return false;
    }
    return true;
}

static bool ask_cpu(void)
{
    static bool distrusted;
    uint64_t words[CPU_WORDS];

    if (distrusted || !cpu_random_name())
        return false;
    for (unsigned i = 0; i < CPU_WORDS; i++)
        if (!cpu_random_read(&words[i]))
            return false;
    distrusted = !is_plausible(words);
    if (distrusted) {
        log_error("random: %s repeats itself, ignored", cpu_random_name());
        return false;
    }
    random_add(words, sizeof(words), KEY_BITS, cpu_random_name());
    return true;
}

/* CPUID leaves the guest, so that the time it takes depends on all that the host does. */
static void time_exits(void)
{
    for (unsigned i = 0; i < JITTER_ROUNDS; i++) {
        cpuid(0, 0);
        random_note_moment();
    }
    count_source("jitter", 0);
}

/* ---- sources that answer later */

void random_join(struct random_supplier *supplier)
{
    SPIN_SCOPE(&lock);
    list_append(&suppliers, &supplier->link);
    supplier->ask(supplier);
}

void random_part(struct random_supplier *supplier)
{
    SPIN_SCOPE(&lock);
    list_remove(&supplier->link);
}

/* A supplier may part when it is called. */
static void call_suppliers(bool asks)
{
    struct list *link = suppliers.next;

    if (UNLIKELY(spin_several) && thread_is_parallel())
        return;
    while (link != &suppliers) {
        struct random_supplier *supplier = CONTAINER_OF(link, struct random_supplier, link);

        link = link->next;
        if (asks)
            supplier->ask(supplier);
        else if (supplier->awaited)
            supplier->look(supplier);
    }
}

static void gather(void)
{
    uint64_t now[2] = { tsc_read(), clock_realtime_ns() };

    absorb(now, sizeof(now));
    if (!ask_cpu())
        time_exits();
    call_suppliers(true);
    given_bytes = 0;
}

/* ---- the VM's generation */

void random_watch_generation(const void *id)
{
    SPIN_SCOPE(&lock);
    generation = id;
    memcpy(generation_seen, id, sizeof(generation_seen));
    absorb(generation_seen, sizeof(generation_seen));
}

int random_generation_changes(void)
{
    return generation ? generation_changes : -1;
}

/* No compiler may think that memory which nobody here writes stays as it is. */
static bool generation_is_new(void)
{
    if (!generation)
        return false;
    __asm__ volatile("" : : : "memory");
    return memcmp(generation, generation_seen, sizeof(generation_seen)) != 0;
}

/*
 * Another VM may go on from the same state: it has this key, and what lies spare. The
 * new id alone makes the keys differ, the CPU's numbers and the time make ours secret.
 */
static void leave_old_generation(void)
{
    memcpy(generation_seen, generation, sizeof(generation_seen));
    generation_changes++;
    absorb(generation_seen, sizeof(generation_seen));
    gather();
    make_key();
    log_info("random: the VM generation has changed, new key");
}

static void ensure_key(void)
{
    call_suppliers(false);
    if (generation_is_new())
        leave_old_generation();
    if (has_key && given_bytes < RESEED_AFTER_BYTES)
        return;
    gather();
    if (!has_key)
        make_key();
}

/*
 * The next blocks of the present key, the first part of which becomes the next
 * one. The nonce keeps two guests apart that were started from one snapshot.
 */
static void generate(uint8_t *to, size_t bytes)
{
    uint8_t old_key[CHACHA20_KEY_BYTES], block[CHACHA20_BLOCK_BYTES];
    uint8_t nonce[CHACHA20_NONCE_BYTES] = { 0 };
    uint64_t moment = tsc_read();

    memcpy(nonce, &moment, sizeof(moment));
    memcpy(old_key, key, sizeof(key));
    chacha20_block(old_key, 0, nonce, block);
    memcpy(key, block, sizeof(key));
    memcpy(spare, block + sizeof(key), sizeof(spare));
    n_spare = sizeof(spare);
    for (uint32_t counter = 1; bytes > 0; counter++) {
        size_t n = MIN(bytes, sizeof(block));

        chacha20_block(old_key, counter, nonce, block);
        memcpy(to, block, n);
        to += n;
        bytes -= n;
    }
    memset(old_key, 0, sizeof(old_key));
    memset(block, 0, sizeof(block));
    __asm__ volatile("" : : "r"(old_key), "r"(block) : "memory"); /* the erasure is meant */
}

void random_bytes(void *to, size_t bytes)
{
    SPIN_SCOPE(&lock);
    uint8_t *at = to;

    ensure_key();
    given_bytes += bytes;
    if (bytes > SPARE_BYTES) {
        generate(at, bytes);
        return;
    }
    if (bytes > n_spare)
        generate(NULL, 0);
    n_spare -= bytes;
    memcpy(at, spare + n_spare, bytes);
    memset(spare + n_spare, 0, bytes);
}

const struct random_source *random_source(unsigned index)
{
    return index < MAX_SOURCES && sources[index].name ? &sources[index] : NULL;
}

bool random_is_seeded(void)
{
    return total_bits + waiting_bits >= KEY_BITS;
}
