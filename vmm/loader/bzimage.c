/* SPDX-License-Identifier: Apache-2.0 */
/* bzImage: x86 Linux's compressed image, entered by the 64-bit protocol (boot.rst). */
#include "vmm/loader/image.h"

#include <string.h>

/* Offsets in the file, from boot.rst "The Real-Mode Kernel Header". */
#define OFFSET_SETUP_SECTS   0x1f1u
#define OFFSET_JUMP          0x201u /* its operand: length of the header beyond 0x202 */
#define OFFSET_MAGIC         0x202u
#define OFFSET_VERSION       0x206u
#define OFFSET_LOADFLAGS     0x211u
#define OFFSET_XLOADFLAGS    0x236u
#define OFFSET_PREF_ADDRESS  0x258u
#define OFFSET_INIT_SIZE     0x260u
#define HEADER_END_MIN       0x264u
#define PROTOCOL_64BIT_ENTRY 0x020cu
#define XLF_KERNEL_64        1u
#define LOADED_HIGH          1u
#define ENTRY_64_OFFSET      0x200u
#define SECTOR               512u

bool bzimage_recognizes(const struct image_file *file)
{
    return memcmp(file->head + OFFSET_MAGIC, "HdrS", 4) == 0;
}

static uint64_t field(const struct image_file *file, unsigned offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, file->head + offset, size);
    return value;
}

static int check_header(const struct image_file *file, struct thaw_error *err)
{
    unsigned version = (unsigned)field(file, OFFSET_VERSION, 2);

    if (file->size < HEADER_END_MIN)
        return image_refuse(file, err, "truncated: shorter than its set-up header");
    if (version < PROTOCOL_64BIT_ENTRY)
        return image_refuse(file, err, "boot protocol %u.%02u; 2.12 or later is needed",
                            version >> 8, version & 0xff);
    if (!(field(file, OFFSET_XLOADFLAGS, 2) & XLF_KERNEL_64) ||
        !(field(file, OFFSET_LOADFLAGS, 1) & LOADED_HIGH))
        return image_refuse(file, err, "a bzImage without a 64-bit entry point");
    return 0;
}

/* The header as the boot parameters want it: up to the end that it states itself, no more. */
static void copy_setup_header(const struct image_file *file, struct boot_image *image)
{
    size_t end = OFFSET_MAGIC + field(file, OFFSET_JUMP, 1);
    size_t size = end > OFFSET_SETUP_SECTS ? end - OFFSET_SETUP_SECTS : 0;
    if (size > sizeof(image->setup_header))
        size = sizeof(image->setup_header);
    memset(image->setup_header, 0, sizeof(image->setup_header));
    memcpy(image->setup_header, file->head + OFFSET_SETUP_SECTS, size);
    image->setup_header_size = (uint32_t)size;
}

int bzimage_load(const struct image_file *file, const struct guest_memory *mem,
                 struct boot_image *image, struct thaw_error *err)
{
    int rc = check_header(file, err);
    if (rc < 0)
        return rc;

    /* boot.rst: 0 sectors mean 4; the boot sector comes on top. */
    uint64_t sectors = field(file, OFFSET_SETUP_SECTS, 1);
    uint64_t offset = ((sectors ? sectors : 4) + 1) * SECTOR;
    if (offset >= file->size)
        return image_refuse(file, err, "truncated: nothing follows the set-up code");

    uint64_t address = field(file, OFFSET_PREF_ADDRESS, 8);
    uint64_t init_size = field(file, OFFSET_INIT_SIZE, 4);
    uint64_t size = file->size - offset;
    if (init_size < size)
        init_size = size;
    if (address < ARCH_KERNEL_MIN)
        return image_refuse(file, err, "its preferred address 0x%llx lies below 1 MiB",
                            (unsigned long long)address);
    /* It unpacks itself in place and says how much room that takes. */
    if (!guest_memory_at(mem, address, init_size))
        return image_refuse(file, err,
                            "%llu bytes at 0x%llx to unpack itself do not fit in memory; give "
                            "the guest more --memory",
                            (unsigned long long)init_size, (unsigned long long)address);
    rc = image_read(file, mem, offset, size, address, err);
    if (rc < 0)
        return rc;

    copy_setup_header(file, image);
    image->entry = address + ENTRY_64_OFFSET;
    image->end = address + init_size;
    return 0;
}
