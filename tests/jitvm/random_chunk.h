/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random programs, and the proof that every tier does the same with them.
 *
 * A program is made of what a stream of bytes says, so a fuzzer can shape it; behind the stream's
 * end the bytes are those of a generator that the stream seeds. Every chunk that comes out is
 * accepted by the verifier. It has nested loops, calls up and down, recursion, slots and globals
 * whose kinds change, containers that are shared and changed by path, and errors of every sort.
 */
#ifndef TESTS_JITVM_RANDOM_CHUNK_H
#define TESTS_JITVM_RANDOM_CHUNK_H

#include "tests/jitvm/run_rig.h"

struct random_bytes {
    const uint8_t *at;
    size_t left;
    uint64_t state; /* of the generator; 0: behind the end are zeros */
};

uint8_t random_byte(struct random_bytes *r);
/* 0..n-1; n is at most 256. */
unsigned random_below(struct random_bytes *r, unsigned n);

/* The functions: the top level; f1, f2, ... of 0 to 3 arguments; `clear`, which makes all globals
 * undef. The same bytes give the same program, with and without fusing. */
int random_chunk(struct random_bytes bytes, bool fused, struct jitvm_chunk **out,
                 struct jitvm_error *err);

/* Runs the program that the bytes make in all tiers, several times, with arguments of several kinds
 * and little fuel; then, if it ended well, what was fused beside what was not. False: something
 * differed, or memory was kept; how is in `said`. */
bool random_chunk_agrees(struct random_bytes bytes, char said[1024]);

#endif
