/* SPDX-License-Identifier: Apache-2.0 */
/* Copying text. Most of it is short, and then a call of memcpy costs more than the copying. */
#ifndef JITVM_VALUE_BYTES_H
#define JITVM_VALUE_BYTES_H

#include <stddef.h>
#include <string.h>

/* The first and the last `word` bytes, which meet or overlap. */
#define BYTES_ENDS(word)                                                                           \
    do {                                                                                           \
        char first[word], last[word];                                                              \
        memcpy(first, from, word);                                                                 \
        memcpy(last, from + len - (word), word);                                                   \
        memcpy(to, first, word);                                                                   \
        memcpy(to + len - (word), last, word);                                                     \
    } while (0)

/* As memcpy. */
static inline void bytes_copy(char *to, const char *from, size_t len)
{
    if (len > 32)
        memcpy(to, from, len);
    else if (len >= 16)
        BYTES_ENDS(16);
    else if (len >= 8)
        BYTES_ENDS(8);
    else if (len >= 4)
        BYTES_ENDS(4);
    else if (len >= 2)
        BYTES_ENDS(2);
    else if (len)
        *to = *from;
}

#undef BYTES_ENDS

#endif
