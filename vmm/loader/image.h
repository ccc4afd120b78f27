/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel formats' loaders share. Private to vmm/loader. */
#ifndef THAW_LOADER_IMAGE_H
#define THAW_LOADER_IMAGE_H

#include "vmm/arch/arch.h"

#include <stdbool.h>

#define IMAGE_HEAD_SIZE 4096u

/* An open kernel file and its first bytes, read once. */
struct image_file {
    const char *path;
    int fd;
    uint64_t size;
    uint8_t head[IMAGE_HEAD_SIZE]; /* zero beyond the file's end */
};

/* "<path>: <why>", THAW_FAIL_KERNEL. */
__attribute__((format(printf, 3, 4))) int
image_refuse(const struct image_file *file, struct thaw_error *err, const char *why, ...);

/* Reads [offset, offset+size) of the file to guest physical `gpa`, both ranges checked. */
int image_read(const struct image_file *file, const struct guest_memory *mem, uint64_t offset,
               uint64_t size, uint64_t gpa, struct thaw_error *err);

/* The format's magic is in the head. */
bool elf_recognizes(const struct image_file *file);
bool bzimage_recognizes(const struct image_file *file);

int elf_load(const struct image_file *file, const struct guest_memory *mem,
             struct boot_image *image, struct thaw_error *err);
int bzimage_load(const struct image_file *file, const struct guest_memory *mem,
                 struct boot_image *image, struct thaw_error *err);

#endif
