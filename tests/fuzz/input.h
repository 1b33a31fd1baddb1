/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: an input that is read like a tape, zeros behind
 * its end, and expectations whose failure libFuzzer sees as a crash.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A target: called for each input. 0: the input counts; -1: it is not worth keeping. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

/* Copies the next bytes; zeros where there are none. */
static inline void take(struct input *input, void *to, size_t bytes)
{
    size_t there = bytes < input->left ? bytes : input->left;

    memset(to, 0, bytes);
    if (there)
        memcpy(to, input->at, there);
    input->at += there;
    input->left -= there;
}

static inline uint8_t take8(struct input *input)
{
    uint8_t value;

    take(input, &value, sizeof(value));
    return value;
}

static inline uint16_t take16(struct input *input)
{
    uint16_t value;

    take(input, &value, sizeof(value));
    return value;
}

static inline uint32_t take32(struct input *input)
{
    uint32_t value;

    take(input, &value, sizeof(value));
    return value;
}

static inline void expect(bool condition, const char *rule)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: not so: %s\n", rule);
    abort();
}

#endif
