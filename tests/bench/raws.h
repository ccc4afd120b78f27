/* SPDX-License-Identifier: Apache-2.0 */
/* All the files of a folder of raw figures. */
#ifndef THAW_TESTS_BENCH_RAWS_H
#define THAW_TESTS_BENCH_RAWS_H

#include "tests/bench/raw.h"

/* All zeros: none. */
struct raws {
    struct raw *list;
    size_t count;
};

/* Reads every *.json of the folder, in the order of the report: what a guest goes through first,
 * then the rest by name. No such file, or two of one part, is an error; `raws` is then to be freed,
 * too. */
int raws_read(const char *folder, struct raws *raws, struct thaw_error *err);

void raws_free(struct raws *raws);

#endif
