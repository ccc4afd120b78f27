/* SPDX-License-Identifier: Apache-2.0 */
/* n words out of 5000 counted: a hash with text keys. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 5000
#define ROOM  16384u

static char words[WORDS][16];
static struct entry {
    const char *word; /* NULL: free */
    int64_t count;
} counts[ROOM];

static uint32_t hash_of(const char *word)
{
    uint32_t hash = 2166136261u;
    for (; *word; word++)
        hash = (hash ^ (unsigned char)*word) * 16777619u;
    return hash;
}

static int64_t *count_of(const char *word)
{
    uint32_t at = hash_of(word) % ROOM;
    while (counts[at].word && strcmp(counts[at].word, word) != 0)
        at = (at + 1) % ROOM;
    counts[at].word = word;
    return &counts[at].count;
}

static void run(int64_t n)
{
    int64_t x = 42, size = 0, most = 0, squares = 0;
    for (int i = 0; i < WORDS; i++)
        (void)snprintf(words[i], sizeof words[i], "word%d", i * i);
    for (int64_t i = 0; i < n; i++) {
        x = (x * 3877 + 29573) % 139968;
        ++*count_of(words[x % WORDS]);
    }
    for (uint32_t i = 0; i < ROOM; i++) {
        int64_t count = counts[i].count;
        size += count > 0;
        squares += count * count % 1009;
        if (count > most)
            most = count;
    }
    (void)printf("%" PRId64 " %" PRId64 " %" PRId64, size, most, squares);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 8000000;
    (void)printf("hash_counting ");
    run(n);
    (void)printf("\n");
    return 0;
}
