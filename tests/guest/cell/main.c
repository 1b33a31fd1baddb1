/* SPDX-License-Identifier: MIT */
/*
 * Reads its first disk and says the CRC-32 of it. Then the network answers, the
 * balloon follows, each line that is typed is answered by what the machine says
 * of itself, and the power button ends it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aerostat/disk.h"
#include "aerostat/net.h"
#include "aerostat/report.h"

#define PIECE_BYTES  16384
#define REPORT_BYTES (256 * 1024)
#define ADDRESS_MS   60000

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

static int hash_disk(void)
{
    static unsigned char piece[PIECE_BYTES] __attribute__((aligned(512)));
    struct aerostat_disk disk;
    uint32_t crc = UINT32_MAX;
    uint64_t bytes;

    if (aerostat_disk_get(0, &disk)) {
        perror("disk 0");
        return 1;
    }
    bytes = disk.sectors * AEROSTAT_SECTOR_BYTES;
    for (uint64_t at = 0; at < bytes; at += PIECE_BYTES) {
        uint32_t n = bytes - at < PIECE_BYTES ? (uint32_t)(bytes - at) : PIECE_BYTES;

        if (aerostat_disk_read(0, at / AEROSTAT_SECTOR_BYTES, piece, n)) {
            perror("reading disk 0");
            return 1;
        }
        crc = crc32_add(crc, piece, n);
    }
    printf("crc32 %08lx bytes %llu\n", (unsigned long)~crc, (unsigned long long)bytes);
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
