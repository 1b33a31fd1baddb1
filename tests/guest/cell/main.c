/* SPDX-License-Identifier: MIT */
/*
 * Reads its first disk, a part on each CPU, and says the CRC-32 of it. Then the network answers,
 * the balloon follows, each line that is typed is answered by what the machine says of itself, and
 * the power button ends it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aerostat/cpu.h"
#include "aerostat/disk.h"
#include "aerostat/net.h"
#include "aerostat/report.h"

#define PIECE_BYTES  16384
#define REPORT_BYTES (256 * 1024)
#define ADDRESS_MS   60000
#define CPUS_MAX     64

static uint32_t crc32_add(uint32_t crc, const unsigned char *bytes, size_t n)
{
    static uint32_t table[256];

    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        table[i] = i;
        for (unsigned bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return crc;
}

/* Each CPU reads every so manieth piece. */
static struct part {
    unsigned char *whole;
    uint64_t bytes;
    unsigned cpu, cpus;
} parts[CPUS_MAX];

static int read_part(void *argument)
{
    const struct part *part = argument;

    for (uint64_t at = (uint64_t)part->cpu * PIECE_BYTES; at < part->bytes;
         at += (uint64_t)part->cpus * PIECE_BYTES) {
        uint64_t n = part->bytes - at < PIECE_BYTES ? part->bytes - at : PIECE_BYTES;

        if (aerostat_disk_read(0, at / AEROSTAT_SECTOR_BYTES, part->whole + at, (uint32_t)n)) {
            perror("reading disk 0");
            return 1;
        }
    }
    return 0;
}

static int read_on_all_cpus(unsigned char *whole, uint64_t bytes)
{
    unsigned cpus = aerostat_cpu_count() < CPUS_MAX ? aerostat_cpu_count() : CPUS_MAX;
    int failed = 0, result;

    for (unsigned cpu = 0; cpu < cpus; cpu++)
        parts[cpu] = (struct part){ whole, bytes, cpu, cpus };
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        if (aerostat_cpu_run(cpu, read_part, &parts[cpu], 0)) {
            perror("running on another CPU");
            return 1;
        }
    failed = read_part(&parts[0]);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        failed |= aerostat_cpu_wait(cpu, &result, -1) || result;
    printf("cpus %u\n", cpus);
    return failed;
}

static int hash_disk(void)
{
    struct aerostat_disk disk;
    unsigned char *whole;
    uint64_t bytes;

    if (aerostat_disk_get(0, &disk)) {
        perror("disk 0");
        return 1;
    }
    bytes = disk.sectors * AEROSTAT_SECTOR_BYTES;
    whole = aligned_alloc(AEROSTAT_SECTOR_BYTES, bytes);
    if (!whole || read_on_all_cpus(whole, bytes))
        return 1;
    printf("crc32 %08lx bytes %llu\n", (unsigned long)~crc32_add(UINT32_MAX, whole, bytes),
           (unsigned long long)bytes);
    free(whole);
    return 0;
}

static int print_report(void)
{
    char *text = malloc(REPORT_BYTES);
    int error = 1;

    if (text && aerostat_report(AEROSTAT_REPORT_JSON, text, REPORT_BYTES) > 0) {
        printf("report %s\n", text);
        error = 0;
    }
    free(text);
    return error;
}

int main(void)
{
    char line[80];

    if (hash_disk())
        return 1;
    if (aerostat_network_wait(ADDRESS_MS)) {
        perror("network");
        return 1;
    }
    printf("ready\n");
    while (fgets(line, sizeof(line), stdin))
        if (print_report())
            return 1;
    for (;;)
        sleep(3600);
}
