/* SPDX-License-Identifier: MIT */
/*
 * The audit: each page of RAM is in exactly one place. It is free, known to the
 * host as free (reported), in use, in the allocator's own records, or out: in the
 * balloon, hinted, or being reported. What is out the allocator only counts; that
 * somebody really has it, and has it once, those say who do (struct page_holder).
 * Pages that the application can reach are in use, each at one address.
 *
 * Images for tests hold it (`USES := audit`), and look when they end; in others
 * nothing of it is left.
 */
#ifndef KERNEL_PAGE_AUDIT_H
#define KERNEL_PAGE_AUDIT_H

#include "kernel/driver.h"
#include "kernel/page.h"

enum page_place {
    PAGE_FREE,
    PAGE_REPORTED,
    PAGE_USED,
    PAGE_RECORDS,
    PAGE_BALLOONED,
    PAGE_HINTED,
    PAGE_REPORTING,
    PAGE_MAPPED, /* not a place of its own: of those in use */
    PAGE_RAM,    /* nor this: all there is */
    PAGE_PLACES,
};

typedef void page_visitor(enum page_place place, phys_addr_t start, uint64_t pages);

/* Who has pages that are out, or maps them, and tells each of them. */
struct page_holder {
    void (*tell)(page_visitor *visit);
    bool maps; /* all it tells is PAGE_MAPPED */
};

#define PAGE_HOLDER(holder) static const struct page_holder holder LINKER_SET(page_holders)

/*
 * Looks at every page; true: each is in exactly one place, and there are as many of each
 * kind as page_get_stats() says. Others are named in the log, with all who have them.
 */
bool page_audit(void);

/* Logs the audit's outcome; the status to end with: the given one, or that of a panic. */
int audit_at_exit(int status);

/* What kernel/page.c knows of it. Under memory_lock. */

/* Whether summaries and counters are as the bitmaps say. */
bool page_audit_records(void);

/* The open section that starts at or above the address; false: none. */
bool page_next_section(phys_addr_t from, phys_addr_t *start, phys_addr_t *end);

/* All RAM of an open section; and in it what is free, in use, and its records if they lie there. */
void page_visit_ram(phys_addr_t section_start, page_visitor *visit);
void page_visit_section(phys_addr_t section_start, page_visitor *visit);

#endif
