/* SPDX-License-Identifier: MIT */
/* Disks as an application reads and writes them, several requests in flight. */
#include <aerostat/disk.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "sha256.h"

#define IN_FLIGHT   16
#define CHUNK_BYTES 65536

/* A ring of requests over the whole disk: completed in any order, used in the disk's. */
struct stream {
    struct aerostat_disk_queue queue;
    struct aerostat_disk_request request[IN_FLIGHT];
    bool done[IN_FLIGHT];
    uint64_t disk_bytes;
};

static bool open_stream(struct stream *stream, unsigned disk)
{
    struct aerostat_disk description;

    if (aerostat_disk_get(disk, &description) || aerostat_disk_queue_open(&stream->queue, disk)) {
        report(false, "there is no disk %u", disk);
        return false;
    }
    stream->disk_bytes = description.sectors * AEROSTAT_SECTOR_BYTES;
    for (int i = 0; i < IN_FLIGHT; i++) {
        stream->request[i].memory = aligned_alloc(512, CHUNK_BYTES);
        if (!stream->request[i].memory) {
            report(false, "memory for requests");
            return false;
        }
    }
    return true;
}

static bool wait_for_all(struct stream *stream)
{
    struct aerostat_disk_request *done[IN_FLIGHT];
    bool all_well = true;
    int n;

    while ((n = aerostat_disk_wait(&stream->queue, done, IN_FLIGHT)) > 0) {
        for (int i = 0; i < n; i++)
            all_well &= !done[i]->error;
    }
    return all_well;
}

/* Memory that the disk still reads or writes is not given back. */
static void close_stream(struct stream *stream)
{
    wait_for_all(stream);
    for (int i = 0; i < IN_FLIGHT; i++)
        free(stream->request[i].memory);
}

/* Submits the chunk that begins at `at`; false: the disk ends before it, or it was refused. */
static bool submit_chunk(struct stream *stream, enum aerostat_disk_operation operation, uint64_t at)
{
    unsigned slot = at / CHUNK_BYTES % IN_FLIGHT;
    struct aerostat_disk_request *request = &stream->request[slot];
    uint64_t left = at < stream->disk_bytes ? stream->disk_bytes - at : 0;
    int n;

    if (!left)
        return false;
    request->operation = operation;
    request->sector = at / AEROSTAT_SECTOR_BYTES;
    request->bytes = left < CHUNK_BYTES ? (uint32_t)left : CHUNK_BYTES;
    request->cookie = &stream->done[slot];
    stream->done[slot] = false;
    n = aerostat_disk_submit(&stream->queue, &request, 1);
    if (n != 1)
        report(false, "submitting sector %llu: error %d", (unsigned long long)request->sector,
               errno);
    return n == 1;
}

/* Waits until the chunk at `at` is there; NULL: it failed, or none is in flight. */
static struct aerostat_disk_request *wait_for_chunk(struct stream *stream, uint64_t at)
{
    unsigned slot = at / CHUNK_BYTES % IN_FLIGHT;
    struct aerostat_disk_request *done[IN_FLIGHT];

    while (!stream->done[slot]) {
        int n = aerostat_disk_wait(&stream->queue, done, IN_FLIGHT);

        if (n <= 0)
            return NULL;
        for (int i = 0; i < n; i++)
            *(bool *)done[i]->cookie = true;
    }
    if (stream->request[slot].error)
        report(false, "sector %llu: error %d", (unsigned long long)stream->request[slot].sector,
               stream->request[slot].error);
    return stream->request[slot].error ? NULL : &stream->request[slot];
}

/* Reads the whole disk; each chunk passes in the order of the disk. */
static bool read_all(struct stream *stream,
                     bool (*take)(void *argument, uint64_t at, const void *bytes, size_t n),
                     void *argument)
{
    for (uint64_t at = 0; at < (uint64_t)IN_FLIGHT * CHUNK_BYTES; at += CHUNK_BYTES)
        submit_chunk(stream, AEROSTAT_DISK_READ, at);
    for (uint64_t at = 0; at < stream->disk_bytes; at += CHUNK_BYTES) {
        struct aerostat_disk_request *request = wait_for_chunk(stream, at);

        if (!request || !take(argument, at, request->memory, request->bytes))
            return false;
        submit_chunk(stream, AEROSTAT_DISK_READ, at + (uint64_t)IN_FLIGHT * CHUNK_BYTES);
    }
    return true;
}

int run_disk_list(int argc, char **argv)
{
    static char partitions[16384];

    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < aerostat_disk_count(); i++) {
        struct aerostat_disk disk;

        if (aerostat_disk_get(i, &disk))
            continue;
        printf("disk %u: %s identity \"%s\" sectors %llu block %lu%s%s\n", i, disk.name,
               disk.identity, (unsigned long long)disk.sectors, (unsigned long)disk.block_bytes,
               disk.read_only ? " read-only" : "", disk.write_back ? " write-back" : "");
        if (aerostat_disk_describe_partitions(i, partitions, sizeof(partitions)) >= 0)
            printf("%s", partitions);
    }
    printf("disks: %u\n", aerostat_disk_count());
    return 0;
}

static bool add_to_hash(void *hash, uint64_t at, const void *bytes, size_t n)
{
    (void)at;
    sha256_add(hash, bytes, n);
    return true;
}

static void hash_disk(unsigned disk)
{
    static struct stream stream;
    struct sha256 hash;
    char digest[65];

    if (!open_stream(&stream, disk))
        return;
    sha256_start(&hash);
    if (read_all(&stream, add_to_hash, &hash)) {
        sha256_finish(&hash, digest);
        printf("sha256 %s bytes %llu\n", digest, (unsigned long long)stream.disk_bytes);
    } else {
        report(false, "reading the disk");
    }
    close_stream(&stream);
}

int run_disk_hash(int argc, char **argv)
{
    hash_disk(number(argc, argv, 1, 0));
    for (int i = 2; i < argc; i++)
        hash_disk(number(argc, argv, i, 0));
    return reported();
}

static void wait_until_gone(unsigned disk)
{
    struct aerostat_disk description;

    while (!aerostat_disk_get(disk, &description))
        usleep(10000);
    report(errno == ENODEV, "disk %u has gone", disk);
}

/* Disks that come one after the other: each is read whole, then it may go. */
int run_disk_come(int argc, char **argv)
{
    unsigned first = aerostat_disk_count(), times = number(argc, argv, 1, 1);

    for (unsigned i = first; i < first + times; i++) {
        printf("waiting for disk %u\n", i);
        if (aerostat_disk_await(i, 60000)) {
            report(false, "disk %u: error %d", i, errno);
            break;
        }
        hash_disk(i);
        wait_until_gone(i);
        report(aerostat_disk_await(i, 0) && errno == ENODEV, "number %u is not used again", i);
    }
    return reported();
}

/* Disks that are all there at the same time, and then go; again and again, under numbers of their
 * own. */
int run_disk_crowd(int argc, char **argv)
{
    unsigned first = aerostat_disk_count(), times = number(argc, argv, 1, 1);
    unsigned crowd = number(argc, argv, 2, 2);

    for (unsigned i = 0; i < times; i++, first += crowd) {
        printf("waiting for disks from %u\n", first);
        for (unsigned disk = first; disk < first + crowd; disk++) {
            if (aerostat_disk_await(disk, 60000)) {
                report(false, "disk %u: error %d", disk, errno);
                return reported();
            }
            hash_disk(disk);
        }
        printf("%u disks are here\n", crowd);
        for (unsigned disk = first; disk < first + crowd; disk++)
            wait_until_gone(disk);
    }
    return reported();
}

/* Writes till the disk goes: what was in flight comes back with an error, and so does all later. */
int run_disk_leave(int argc, char **argv)
{
    static struct stream stream;
    struct aerostat_disk_request *request = &stream.request[0], *done[IN_FLIGHT];
    unsigned disk = number(argc, argv, 1, 0), failures = 0, wrong = 0;
    uint64_t at = 0;
    int n;

    if (!open_stream(&stream, disk))
        return reported();
    for (int i = 0; i < IN_FLIGHT; i++)
        submit_chunk(&stream, AEROSTAT_DISK_WRITE, (uint64_t)i * CHUNK_BYTES);
    printf("writing\n");
    while ((n = aerostat_disk_wait(&stream.queue, done, IN_FLIGHT)) > 0) {
        for (int i = 0; i < n; i++) {
            failures += done[i]->error != 0;
            wrong += done[i]->error && done[i]->error != EIO;
            if (!failures)
                aerostat_disk_submit(&stream.queue, &done[i], 1);
        }
        at += (uint64_t)n;
    }
    printf("%llu writes came back, %u of them failed\n", (unsigned long long)at, failures);
    report(failures && !wrong, "what was in flight comes back, with EIO where it failed");
    report(aerostat_disk_read(disk, 0, request->memory, CHUNK_BYTES) && errno == ENODEV,
           "a read by number finds no disk");
    report(aerostat_disk_submit(&stream.queue, &request, 1) == 1 &&
               aerostat_disk_wait(&stream.queue, done, 1) == 1 && done[0]->error == EIO,
           "an open queue answers with EIO");
    return reported();
}

/*
 * The pattern, which the host makes as well: the 64-bit word number i of the
 * disk is (i + seed) * 0x9e3779b97f4a7c15, little-endian.
 */
static void fill_pattern(uint64_t *words, uint64_t at, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes / 8; i++)
        words[i] = (at / 8 + i + seed) * 0x9e3779b97f4a7c15;
}

static bool verify_pattern(void *seed, uint64_t at, const void *bytes, size_t n)
{
    static uint64_t expected[CHUNK_BYTES / 8];

    fill_pattern(expected, at, n, *(uint64_t *)seed);
    return !memcmp(expected, bytes, n);
}

static bool write_pattern(struct stream *stream, uint64_t seed)
{
    for (uint64_t at = 0; at < stream->disk_bytes; at += CHUNK_BYTES) {
        uint64_t window = (uint64_t)IN_FLIGHT * CHUNK_BYTES, left = stream->disk_bytes - at;
        struct aerostat_disk_request *request = &stream->request[at / CHUNK_BYTES % IN_FLIGHT];

        if (at >= window && !wait_for_chunk(stream, at - window))
            return false;
        fill_pattern(request->memory, at, left < CHUNK_BYTES ? left : CHUNK_BYTES, seed);
        if (!submit_chunk(stream, AEROSTAT_DISK_WRITE, at))
            return false;
    }
    return true;
}

int run_disk_pattern(int argc, char **argv)
{
    static struct stream stream;
    unsigned disk = number(argc, argv, 1, 0);
    uint64_t seed = number(argc, argv, 2, 1);

    if (!open_stream(&stream, disk))
        return reported();
    report(write_pattern(&stream, seed) && wait_for_all(&stream), "the pattern is written");
    report(!aerostat_disk_flush(disk), "flush");
    report(read_all(&stream, verify_pattern, &seed), "the pattern is read back");
    close_stream(&stream);
    return reported();
}

static bool failed_with(int result, int error)
{
    return result == -1 && errno == error;
}

int run_disk_errors(int argc, char **argv)
{
    static char block[65536] __attribute__((aligned(512)));
    unsigned disk = number(argc, argv, 1, 0);
    struct aerostat_disk description;

    report(failed_with(aerostat_disk_read(1000, 0, block, 512), ENODEV),
           "a disk that is not there");
    if (aerostat_disk_get(disk, &description)) {
        report(false, "there is no disk %u", disk);
        return reported();
    }
    report(
        failed_with(aerostat_disk_read(disk, description.sectors, block, description.block_bytes),
                    EINVAL),
        "a block beyond the end");
    report(
        failed_with(aerostat_disk_read(disk, UINT64_MAX, block, description.block_bytes), EINVAL),
        "the last sector of all");
    report(failed_with(aerostat_disk_read(disk, 0, block, 0), EINVAL), "nothing");
    report(failed_with(aerostat_disk_read(disk, 0, block, description.block_bytes - 1), EINVAL),
           "half a block");
    if (description.read_only)
        report(failed_with(aerostat_disk_write(disk, 0, block, description.block_bytes), EROFS),
               "a write to a read-only disk");
    report(failed_with(aerostat_disk_describe_partitions(1000, block, sizeof(block)), ENODEV) &&
               failed_with(aerostat_disk_describe_partitions(disk, block, 0), EINVAL) &&
               failed_with(aerostat_disk_describe_partitions(disk, block, 8), ENOSPC) &&
               strlen(block) == 7,
           "room for the partitions");
    report(!aerostat_disk_read(disk, description.sectors - description.block_bytes / 512, block,
                               description.block_bytes),
           "the last block");
    return reported();
}
