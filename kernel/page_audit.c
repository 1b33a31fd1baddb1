/* SPDX-License-Identifier: MIT */
/*
 * The audit, see page_audit.h. It takes no memory from the allocator it looks at:
 * RAM is gone through in windows, with one bit a page for where it should be and one
 * for where it was found. Sections that were never opened are free, and not looked at.
 *
 * Shaped for the end of each test, also where a million instructions take a second:
 * whole words are compared, a page is looked at alone only where something is wrong.
 *
 * Concurrency: kernel context; what the holders tell stands still under the kernel's lock.
 */
#include "kernel/page_audit.h"

#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/memory_lock.h"

#define WINDOW_WORDS 512
#define WINDOW_BYTES (WINDOW_WORDS * 64 * PAGE_SIZE)
#define MAX_TOLD     8 /* pages that are named; the others are counted */
#define MAX_OWNERS   3

extern const struct page_holder __start_page_holders[] __attribute__((weak));
extern const struct page_holder __stop_page_holders[] __attribute__((weak));

static const char *const names[PAGE_PLACES] = {
    "free",
    "reported free",
    "in use",
    "with the allocator's records",
    "in the balloon",
    "hinted",
    "being reported",
    "mapped for the application",
    "RAM",
};

static struct {
    phys_addr_t section, start, end;
    uint64_t ram[WINDOW_WORDS], seen[WINDOW_WORDS];
} window;

static uint64_t counts[PAGE_PLACES], n_wrong;
static unsigned n_told;
static uint64_t run, longest_run; /* of free pages */

/* ---- naming a page that is in no place, or in several */

static phys_addr_t wanted;
static const char *owners[MAX_OWNERS];
static unsigned n_owners;

static void note_owner(enum page_place place, phys_addr_t start, uint64_t pages)
{
    if (wanted >= start && (wanted - start) >> PAGE_SHIFT < pages && n_owners < MAX_OWNERS)
        owners[n_owners++] = names[place];
}

static void visit_holders(page_visitor *visit, bool maps)
{
    for (const struct page_holder *holder = __start_page_holders; holder < __stop_page_holders;
         holder++) {
        if (holder->maps == maps)
            holder->tell(visit);
    }
}

static void visit_all(page_visitor *visit)
{
    page_visit_section(window.section, visit);
    visit_holders(visit, false);
}

/* Pages of one word; the lowest is named. */
static void complain(const char *what, uint64_t word, uint64_t mask)
{
    static const char *const nobody = "nobody's";

    for (uint64_t left = mask; left; left &= left - 1)
        n_wrong++;
    if (n_told++ >= MAX_TOLD)
        return;
    wanted = window.start + (word * 64 + (unsigned)__builtin_ctzll(mask)) * PAGE_SIZE;
    n_owners = 0;
    visit_all(note_owner);
    visit_holders(note_owner, true);
    log_error("audit: page %#llx %s: %s%s%s%s%s", (unsigned long long)wanted, what,
              n_owners ? owners[0] : nobody, n_owners > 1 ? " and " : "",
              n_owners > 1 ? owners[1] : "", n_owners > 2 ? " and " : "",
              n_owners > 2 ? owners[2] : "");
}

/* ---- one window */

/* Pages of one word of the window. */
struct piece {
    uint64_t word, mask, n;
};

/* The first piece of the run, cut off it. false: none of it lies in the window. */
static bool next_piece(phys_addr_t *start, uint64_t *pages, struct piece *piece)
{
    uint64_t first, n;

    if (*start < window.start) {
        n = MIN(*pages, (window.start - *start) >> PAGE_SHIFT);
        *start += n << PAGE_SHIFT;
        *pages -= n;
    }
    if (!*pages || *start >= window.end)
        return false;
    first = (*start - window.start) >> PAGE_SHIFT;
    n = MIN(*pages, 64 - first % 64);
    piece->word = first / 64;
    piece->mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << first % 64;
    piece->n = n;
    *start += n << PAGE_SHIFT;
    *pages -= n;
    return true;
}

static void mark_ram(enum page_place place, phys_addr_t start, uint64_t pages)
{
    struct piece piece;

    (void)place;
    while (next_piece(&start, &pages, &piece))
        window.ram[piece.word] |= piece.mask;
}

static void mark_place(enum page_place place, phys_addr_t start, uint64_t pages)
{
    struct piece piece;

    while (next_piece(&start, &pages, &piece)) {
        counts[place] += piece.n;
        if (window.seen[piece.word] & piece.mask)
            complain("is in several places", piece.word, window.seen[piece.word] & piece.mask);
        window.seen[piece.word] |= piece.mask;
    }
}

static void mark_used(enum page_place place, phys_addr_t start, uint64_t pages)
{
    struct piece piece;

    while (place == PAGE_USED && next_piece(&start, &pages, &piece))
        window.seen[piece.word] |= piece.mask;
}

/* What is mapped is one of those in use, and once. */
static void strike_mapped(enum page_place place, phys_addr_t start, uint64_t pages)
{
    struct piece piece;

    while (next_piece(&start, &pages, &piece)) {
        counts[place] += piece.n;
        if (~window.seen[piece.word] & piece.mask)
            complain("is mapped and not the application's alone", piece.word,
                     ~window.seen[piece.word] & piece.mask);
        window.seen[piece.word] &= ~piece.mask;
    }
}

static void mark_free(enum page_place place, phys_addr_t start, uint64_t pages)
{
    struct piece piece;

    while ((place == PAGE_FREE || place == PAGE_REPORTED) && next_piece(&start, &pages, &piece))
        window.seen[piece.word] |= piece.mask;
}

static void measure_runs(void)
{
    for (uint64_t at = 0; at < (window.end - window.start) >> PAGE_SHIFT;) {
        uint64_t word = window.seen[at / 64], n = at % 64 ? 1 : 64;

        if (word && ~word)
            n = 1;
        run = word >> at % 64 & 1 ? run + n : 0;
        longest_run = MAX(longest_run, run);
        at += n;
    }
}

static uint64_t window_words(void)
{
    return ((window.end - window.start) / PAGE_SIZE + 63) / 64;
}

static void forget_seen(void)
{
    for (uint64_t i = 0; i < window_words(); i++)
        window.seen[i] = 0;
}

static void audit_window(void)
{
    forget_seen();
    for (uint64_t i = 0; i < window_words(); i++)
        window.ram[i] = 0;
    page_visit_ram(window.section, mark_ram);
    visit_all(mark_place);
    for (uint64_t i = 0; i < window_words(); i++) {
        if (window.ram[i] & ~window.seen[i])
            complain("is in no place", i, window.ram[i] & ~window.seen[i]);
        if (window.seen[i] & ~window.ram[i])
            complain("is no RAM of ours", i, window.seen[i] & ~window.ram[i]);
    }
    forget_seen();
    page_visit_section(window.section, mark_used);
    visit_holders(strike_mapped, true);
    forget_seen();
    page_visit_section(window.section, mark_free);
    measure_runs();
}

/* ---- all of them */

static void audit_section(phys_addr_t start, phys_addr_t end)
{
    if (start != window.end)
        run = 0;
    window.section = start;
    for (window.start = start; window.start < end; window.start = window.end) {
        window.end = MIN(window.start + WINDOW_BYTES, end);
        audit_window();
    }
}

static void compare(enum page_place place, uint64_t pages)
{
    if (counts[place] == pages)
        return;
    log_error("audit: %llu pages are %s, the allocator counts %llu",
              (unsigned long long)counts[place], names[place], (unsigned long long)pages);
    n_wrong++;
}

/* What was never opened is free, and told by nobody. */
static void compare_counts(void)
{
    uint64_t told = 0;
    struct page_stats stats;

    page_get_stats(&stats);
    for (unsigned i = PAGE_FREE; i <= PAGE_REPORTING; i++)
        told += counts[i];
    counts[PAGE_FREE] += stats.total - told;
    compare(PAGE_FREE, stats.free - stats.reported);
    compare(PAGE_REPORTED, stats.reported);
    compare(PAGE_BALLOONED, stats.ballooned);
    compare(PAGE_HINTED, stats.hinted);
    compare(PAGE_REPORTING, stats.reporting);
}

bool page_audit(void)
{
    SPIN_SCOPE(&memory_lock);
    phys_addr_t start = 0, end = 0;

    n_wrong = n_told = 0;
    run = longest_run = window.end = 0;
    for (unsigned i = 0; i < PAGE_PLACES; i++)
        counts[i] = 0;
    if (!page_audit_records()) {
        log_error("audit: the allocator's summaries and bitmaps differ");
        n_wrong++;
    }
    while (page_next_section(end, &start, &end))
        audit_section(start, end);
    compare_counts();
    if (n_wrong)
        log_error("audit: %llu pages are not where they should be", (unsigned long long)n_wrong);
    return n_wrong == 0;
}

int audit_at_exit(int status)
{
    uint64_t free, used, lent;

    if (!page_audit())
        return EXIT_PANIC;
    free = counts[PAGE_FREE] + counts[PAGE_REPORTED];
    used = counts[PAGE_USED] + counts[PAGE_RECORDS];
    lent = counts[PAGE_HINTED] + counts[PAGE_REPORTING];
    log_line(LOG_ERROR,
             "audit: each page is in one place: %llu free, at most %llu of them together, %llu "
             "reported, %llu in use, %llu of them mapped, %llu in the balloon, %llu hinted",
             (unsigned long long)free, (unsigned long long)longest_run,
             (unsigned long long)counts[PAGE_REPORTED], (unsigned long long)used,
             (unsigned long long)counts[PAGE_MAPPED], (unsigned long long)counts[PAGE_BALLOONED],
             (unsigned long long)lent);
    return status;
}
