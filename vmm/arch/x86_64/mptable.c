/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/mptable.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/layout.h"

#include <string.h>

#define APIC_VERSION 0x14u /* integrated APIC, what KVM's has */

/* MP specification 4.1 to 4.3.4. All fields are naturally aligned, so nothing is packed. */
struct mp_floating {
    char signature[4];
    uint32_t table;
    uint8_t length, revision, checksum, features[5];
};

struct mp_header {
    char signature[4];
    uint16_t length;
    uint8_t revision, checksum;
    char oem[8], product[12];
    uint32_t oem_table;
    uint16_t oem_size, entries;
    uint32_t lapic;
    uint16_t extended_length;
    uint8_t extended_checksum, reserved;
};

struct mp_processor {
    uint8_t type, apic_id, apic_version, flags;
    uint32_t signature, features, reserved[2];
};

struct mp_bus {
    uint8_t type, id;
    char name[6];
};

struct mp_ioapic {
    uint8_t type, id, version, flags;
    uint32_t address;
};

struct mp_interrupt {
    uint8_t type, kind;
    uint16_t flags;
    uint8_t source_bus, source_irq, target_apic, target_pin;
};

struct mp_table {
    struct mp_floating floating;
    struct mp_header header;
    struct mp_processor processors[ARCH_VCPUS_MAX];
    /* then one bus, one IO-APIC, IOAPIC_PINS interrupts, two local interrupts */
    uint8_t rest[8 * (2 + IOAPIC_PINS + 2)];
};

_Static_assert(sizeof(struct mp_processor) == 20 && sizeof(struct mp_interrupt) == 8 &&
                   sizeof(struct mp_header) == 44 && sizeof(struct mp_floating) == 16,
               "layouts of the MP specification");
_Static_assert(sizeof(struct mp_table) <= LAYOUT_EBDA_SIZE, "the MP table fits its KiB");

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

static uint8_t checksum(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

/* Where the next entry goes. */
struct mp_writer {
    uint8_t *at;
    uint16_t entries;
};

static void put(struct mp_writer *w, const void *entry, size_t size)
{
    memcpy(w->at, entry, size);
    w->at += size;
    w->entries++;
}

static void put_processors(struct mp_writer *w, unsigned vcpus)
{
    const uint8_t enabled = 1, bootstrap = 2;
    for (unsigned i = 0; i < vcpus; i++)
        put(w,
            &(struct mp_processor){
                .type = MP_PROCESSOR,
                .apic_id = (uint8_t)i,
                .apic_version = APIC_VERSION,
                .flags = (uint8_t)(i == 0 ? enabled | bootstrap : enabled),
                .signature = 0x600, /* family 6: Linux only prints it */
                .features = 0x201,  /* FPU, APIC */
            },
            sizeof(struct mp_processor));
}

static void put_interrupts(struct mp_writer *w, uint8_t ioapic)
{
    const uint8_t all_lapics = 0xff;
    for (unsigned irq = 0; irq < IOAPIC_PINS; irq++) {
        struct mp_interrupt e = {.type = MP_INTERRUPT,
                                 .kind = MP_INT,
                                 .source_irq = (uint8_t)irq,
                                 .target_apic = ioapic,
                                 .target_pin = (uint8_t)irq};
        put(w, &e, sizeof(e));
    }
    struct mp_interrupt extint = {
        .type = MP_LOCAL_INTERRUPT, .kind = MP_EXTINT, .target_apic = 0, .target_pin = 0};
    struct mp_interrupt nmi = {
        .type = MP_LOCAL_INTERRUPT, .kind = MP_NMI, .target_apic = all_lapics, .target_pin = 1};
    put(w, &extint, sizeof(extint));
    put(w, &nmi, sizeof(nmi));
}

static void fill(struct mp_table *t, unsigned vcpus)
{
    const uint8_t ioapic_id = (uint8_t)vcpus, usable = 1;
    struct mp_writer w = {.at = (uint8_t *)t->processors};

    put_processors(&w, vcpus);
    put(&w, &(struct mp_bus){.type = MP_BUS, .name = {'I', 'S', 'A', ' ', ' ', ' '}},
        sizeof(struct mp_bus));
    put(&w,
        &(struct mp_ioapic){.type = MP_IOAPIC,
                            .id = ioapic_id,
                            .version = 0x11,
                            .flags = usable,
                            .address = (uint32_t)LAYOUT_IOAPIC},
        sizeof(struct mp_ioapic));
    put_interrupts(&w, ioapic_id);

    size_t length = (size_t)(w.at - (uint8_t *)&t->header);
    t->header = (struct mp_header){
        .signature = {'P', 'C', 'M', 'P'},
        .length = (uint16_t)length,
        .revision = 4,
        .oem = {'T', 'H', 'A', 'W', ' ', ' ', ' ', ' '},
        .product = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' '},
        .entries = w.entries,
        .lapic = (uint32_t)LAYOUT_LAPIC,
    };
    t->header.checksum = checksum(&t->header, length);

    t->floating = (struct mp_floating){
        .signature = {'_', 'M', 'P', '_'},
        .table = (uint32_t)(LAYOUT_EBDA + offsetof(struct mp_table, header)),
        .length = 1,
        .revision = 4,
    };
    t->floating.checksum = checksum(&t->floating, sizeof(t->floating));
}

int mptable_write(const struct guest_memory *mem, unsigned vcpus, struct thaw_error *err)
{
    struct mp_table table = {0};
    fill(&table, vcpus);
    int rc = guest_memory_write(mem, LAYOUT_EBDA, &table, sizeof(table));
    return rc < 0 ? thaw_fail(err, -rc, "MP table") : 0;
}
