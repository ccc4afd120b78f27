/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target uses: the input, read as a stream of numbers, and require(). A target is
 * one file tests/fuzz/fuzz_<name>.c with LLVMFuzzerTestOneInput(); docs/fuzzing.md.
 *
 * Most targets read their input as a program: a byte that chooses an operation, then what that
 * operation needs. An input that ends early reads as zeros, so every input is a valid program.
 */
#ifndef THAW_TESTS_FUZZ_H
#define THAW_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer calls it with each input; it returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert(), in every build. The message is what the report shows first. */
#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline bool fuzz_has(const struct fuzz_input *in)
{
    return in->left > 0;
}

/* Copies `n` bytes; what is not there reads as zero. */
static inline void fuzz_bytes(struct fuzz_input *in, void *to, size_t n)
{
    size_t there = n < in->left ? n : in->left;
    if (there > 0)
        memcpy(to, in->at, there);
    if (n > there)
        memset((char *)to + there, 0, n - there);
    in->at += there;
    in->left -= there;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
    uint8_t value;
    fuzz_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
    uint16_t value;
    fuzz_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
    uint32_t value;
    fuzz_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
    uint64_t value;
    fuzz_bytes(in, &value, sizeof(value));
    return value;
}

/* Mostly a small number. */
static inline uint16_t fuzz_small(struct fuzz_input *in)
{
    uint8_t value = fuzz_u8(in);
    return value == UINT8_MAX ? fuzz_u16(in) : value;
}

/* Up to 15 places of the `size` bytes at `state` get other values: what a hostile file may hold. */
static inline void fuzz_corrupt(struct fuzz_input *in, void *state, size_t size)
{
    for (unsigned n = fuzz_u8(in) % 16; n > 0 && size > 0; n--) {
        size_t at = fuzz_u16(in) % size;
        ((uint8_t *)state)[at] = fuzz_u8(in);
    }
}

#endif
