/* SPDX-License-Identifier: Apache-2.0 */
/* bench-pages FILE: how many of the file's 4 KiB pages are not all zero, by reading them. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const uint8_t zero[4096];
    uint8_t page[4096];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) {
        (void)fputs("usage: bench-pages FILE\n", stderr);
        return 2;
    }
    size_t count = 0;
    while (fread(page, sizeof(page), 1, file) == 1)
        count += memcmp(page, zero, sizeof(page)) != 0;
    printf("%zu\n", count);
    return ferror(file) || fclose(file) != 0;
}
