/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader/kernel.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/loader/image.h"

#include <errno.h>
#include <string.h>

int image_refuse(const struct image_file *file, struct thaw_error *err, const char *why, ...)
{
    char text[THAW_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, why);
    vsnprintf(text, sizeof(text), why, args);
    va_end(args);
    return thaw_fail_as(err, THAW_FAIL_KERNEL, EINVAL, "kernel %s: %s", file->path, text);
}

int image_read(const struct image_file *file, const struct guest_memory *mem, uint64_t offset,
               uint64_t size, uint64_t gpa, struct thaw_error *err)
{
    if (offset > file->size || size > file->size - offset)
        return image_refuse(file, err, "truncated: needs %llu bytes at offset %llu of %llu",
                            (unsigned long long)size, (unsigned long long)offset,
                            (unsigned long long)file->size);
    void *to = guest_memory_at(mem, gpa, size);
    if (!to)
        return image_refuse(file, err,
                            "%llu bytes at guest address 0x%llx do not fit in memory; give the "
                            "guest more --memory",
                            (unsigned long long)size, (unsigned long long)gpa);
    if (file_pread_full(file->fd, to, size, offset, err) < 0) {
        thaw_context(err, "kernel %s", file->path);
        return thaw_reclassify(err, THAW_FAIL_KERNEL);
    }
    return 0;
}

/* arm64's Image (Documentation/arm64/booting.rst) is the one wrong file that people have. */
static bool is_arm64_image(const struct image_file *file)
{
    return memcmp(file->head + 56, "ARM\x64", 4) == 0;
}

int kernel_load(const char *path, const struct guest_memory *mem, struct boot_image *image,
                struct thaw_error *err)
{
    struct image_file file = {.path = path};
    cleanup_close int fd = file_open_regular(path, THAW_FAIL_KERNEL, &file.size, err);
    if (fd < 0)
        return thaw_context(err, "kernel");
    file.fd = fd;
    if (file.size == 0)
        return image_refuse(&file, err, "the file is empty");

    size_t head = file.size < IMAGE_HEAD_SIZE ? (size_t)file.size : IMAGE_HEAD_SIZE;
    if (file_pread_full(fd, file.head, head, 0, err) < 0) {
        thaw_context(err, "kernel %s", path);
        return thaw_reclassify(err, THAW_FAIL_KERNEL);
    }

    if (elf_recognizes(&file))
        return elf_load(&file, mem, image, err);
    if (bzimage_recognizes(&file))
        return bzimage_load(&file, mem, image, err);
    if (is_arm64_image(&file))
        return image_refuse(&file, err, "an arm64 Image; this host needs an x86_64 kernel");
    return image_refuse(&file, err, "neither an ELF vmlinux nor a bzImage");
}
