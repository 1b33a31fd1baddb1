/* SPDX-License-Identifier: MIT */
#include "boot/handover.h"

#include "lib/base/string.h"

struct boot_info boot_info;

void handover_begin(const char *path)
{
    boot_info.path = path;
    boot_info.cmdline = "";
}

bool handover_is_mapped(uint64_t start, uint64_t bytes)
{
    return start && start < MAPPED_BYTES && bytes <= MAPPED_BYTES - start;
}

/* It may lie right below the end of what is mapped; there it must be terminated. */
void handover_cmdline(uint64_t address)
{
    size_t room;

    if (!handover_is_mapped(address, 1))
        return;
    room = MIN(MAPPED_BYTES - address, BOOT_MAX_CMDLINE);
    boot_info.cmdline_truncated = strnlen(handover_at(address), room) == room;
    if (room == BOOT_MAX_CMDLINE || !boot_info.cmdline_truncated)
        boot_info.cmdline = handover_at(address);
}

/* What goes on where the last one ended needs no entry of its own: maps of hundreds shrink to a
 * dozen. */
static bool extend_last(uint64_t start, uint64_t bytes, uint32_t type)
{
    struct boot_range *last = &boot_info.ranges[boot_info.n_ranges - 1u];

    if (last->type != type || start <= last->start || start - last->start != last->bytes ||
        bytes > UINT64_MAX - start)
        return false;
    last->bytes += bytes;
    return true;
}

bool handover_range(uint64_t start, uint64_t bytes, uint32_t type, uint32_t n_left)
{
    if (boot_info.n_ranges && extend_last(start, bytes, type))
        return true;
    if (boot_info.n_ranges == BOOT_MAX_RANGES) {
        boot_info.n_ranges_dropped += n_left;
        return false;
    }
    boot_info.ranges[boot_info.n_ranges++] = (struct boot_range){ start, bytes, type };
    return true;
}

void handover_module(uint64_t start, uint64_t bytes)
{
    if (boot_info.n_modules < BOOT_MAX_MODULES)
        boot_info.modules[boot_info.n_modules++] = (struct boot_module){ start, bytes };
}
