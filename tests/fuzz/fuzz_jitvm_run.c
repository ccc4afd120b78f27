/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiers of jitvm against each other: the input shapes a program (tests/jitvm/random_chunk.h),
 * which is run by the interpreter and as compiled code. Result, output, globals, errors with their
 * backtraces, fuel left and memory in use must be the same.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/jitvm/random_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct random_bytes bytes = {.at = data, .left = size};
    /* The first eight bytes seed what comes behind the end: 0 is the end. */
    for (unsigned i = 0; i < 8; i++)
        bytes.state = bytes.state << 8 | random_byte(&bytes);
    char said[1024] = "";
    bool agrees = random_chunk_agrees(bytes, said);
    if (!agrees)
        (void)fprintf(stderr, "%s\n", said);
    require(agrees);
    return 0;
}
