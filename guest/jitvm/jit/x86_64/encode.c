/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder for x86-64: prefixes, ModRM, SIB and the text of operands. AMD64 Architecture
 * Programmer's Manual, volume 3.
 */
#include "guest/jitvm/jit/x86_64/encode.h"

#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/jitvm.h"

/* ---- text ------------------------------------------------------------------------------------ */

#define TEXT_MAX 160

struct text {
    char bytes[TEXT_MAX];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->len, TEXT_MAX - t->len, format, args);
    va_end(args);
    if (n > 0)
        t->len = t->len + (size_t)n < TEXT_MAX ? t->len + (size_t)n : TEXT_MAX - 1;
}

static const char *const reg_names[4][X86_REGS] = {
    {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b",
     "r13b", "r14b", "r15b"},
    {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w",
     "r14w", "r15w"},
    {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d",
     "r13d", "r14d", "r15d"},
    {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
     "r14", "r15"},
};

static const char *reg_name(unsigned width, unsigned reg)
{
    unsigned row = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
    return reg_names[row][reg];
}

/* Small numbers in decimal, as one counts; others in hex, as one looks at bits. */
static void say_number(struct text *t, int64_t value, bool sign)
{
    const char *before = value < 0 ? "-" : sign ? "+" : "";
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    if (size < 4096)
        say(t, "%s%llu", before, (unsigned long long)size);
    else
        say(t, "%s0x%llx", before, (unsigned long long)size);
}

static void say_mem(const struct assembler *a, struct text *t, unsigned width,
                    const struct x86_mem *mem)
{
    static const char *const sizes[] = {
        [0] = "",           [1] = "byte ptr ",  [2] = "word ptr ",
        [4] = "dword ptr ", [8] = "qword ptr ", [16] = "xmmword ptr ",
    };
    say(t, "%s[", sizes[width]);
    if (mem->mode == X86_LABEL) {
        char label[ASM_LABEL_TEXT];
        asm_label_text(a, mem->label, label);
        say(t, "rip+%s]", label);
        return;
    }
    say(t, "%s", reg_name(8, mem->base));
    if (mem->mode == X86_INDEXED)
        say(t, "+%s*%u", reg_name(8, mem->index), mem->scale);
    if (mem->disp)
        say_number(t, mem->disp, true);
    say(t, "]");
}

static void say_operand(const struct assembler *a, struct text *t, const struct operand *op)
{
    if (op->kind == OP_NONE || op->kind == OP_DIGIT)
        return;
    say(t, "%s", strchr(t->bytes, ' ') ? ", " : " ");
    if (op->kind == OP_REG)
        say(t, "%s", reg_name(op->width, op->reg));
    else if (op->kind == OP_CL)
        say(t, "cl");
    else if (op->kind == OP_XMM)
        say(t, "xmm%u", op->reg);
    else if (op->kind == OP_MEM)
        say_mem(a, t, op->width, &op->mem);
    else
        say_number(t, op->imm, false);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* The longest instruction has 15 bytes. */
struct code {
    uint8_t bytes[16];
    unsigned len;
    unsigned distance; /* where a distance to a label is stored; 0: none is */
};

static void put(struct code *c, unsigned byte)
{
    c->bytes[c->len++] = (uint8_t)byte;
}

static void put_number(struct code *c, int64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        put(c, (unsigned)((uint64_t)value >> (8 * i)) & 0xff);
}

/* Without a REX prefix these numbers mean ah, ch, dh, bh. */
static bool needs_rex(const struct operand *op)
{
    return op->kind == OP_REG && op->width == 1 && op->reg >= X86_RSP && op->reg <= X86_RDI;
}

static unsigned rex_of(const struct form *form, const struct operand *reg, const struct operand *rm)
{
    unsigned rex = form->wide ? 0x48 : 0x40;
    rex |= (reg->reg >> 3) << 2;
    if (rm->kind != OP_MEM)
        rex |= rm->reg >> 3;
    else if (rm->mem.mode != X86_LABEL)
        rex |= rm->mem.base >> 3;
    if (rm->kind == OP_MEM && rm->mem.mode == X86_INDEXED)
        rex |= (rm->mem.index >> 3) << 1;
    return rex != 0x40 || needs_rex(reg) || needs_rex(rm) ? rex : 0;
}

static void put_opcode(struct code *c, const struct form *form, const struct operand *reg,
                       const struct operand *rm)
{
    /* A prefix that is part of the opcode comes before REX, which must be right before the rest. */
    if (form->prefix)
        put(c, form->prefix);
    unsigned rex = rex_of(form, reg, rm);
    if (rex)
        put(c, rex);
    if (form->map != MAP_NONE)
        put(c, 0x0f);
    if (form->map == MAP_0F3A)
        put(c, 0x3a);
    put(c, form->opcode + (form->place == RM_PLUS ? rm->reg & 7 : 0));
}

static unsigned scale_bits(unsigned scale)
{
    return scale == 1 ? 0 : scale == 2 ? 1 : scale == 4 ? 2 : 3;
}

/* rbp and r13 without a distance mean something else; rsp and r12 as a base need an SIB byte. */
static void put_mem(struct code *c, unsigned reg, const struct x86_mem *mem)
{
    if (mem->mode == X86_LABEL) {
        put(c, reg << 3 | 5);
        c->distance = c->len;
        put_number(c, 0, 4);
        return;
    }
    unsigned base = mem->base & 7;
    unsigned width = !mem->disp && base != X86_RBP ? 0 : fits_i8(mem->disp) ? 1 : 4;
    unsigned mod = width == 4 ? 0x80 : width << 6;
    if (mem->mode == X86_INDEXED) {
        put(c, mod | reg << 3 | 4);
        put(c, scale_bits(mem->scale) << 6 | (mem->index & 7) << 3 | base);
    } else {
        put(c, mod | reg << 3 | base);
        if (base == X86_RSP)
            put(c, 0x24);
    }
    put_number(c, mem->disp, width);
}

static bool mem_valid(const struct x86_mem *mem)
{
    if (mem->mode == X86_LABEL)
        return true;
    if (mem->base >= X86_REGS)
        return false;
    unsigned s = mem->scale;
    return mem->mode == X86_BASE || (mem->index < X86_REGS && mem->index != X86_RSP &&
                                     (s == 1 || s == 2 || s == 4 || s == 8));
}

static bool operand_valid(const struct operand *op)
{
    return op->kind == OP_MEM ? mem_valid(&op->mem) : op->reg < X86_REGS;
}

static void note(struct assembler *a, uint32_t at, const char *name, enum place place,
                 const struct operand *reg, const struct operand *rm, const struct operand *last)
{
    struct text t = {.len = 0};
    say(&t, "%s", name);
    say_operand(a, &t, place == RM_LAST ? reg : rm);
    say_operand(a, &t, place == RM_LAST ? rm : reg);
    say_operand(a, &t, last);
    asm_note(a, at, t.bytes);
}

void x86_emit(struct assembler *a, const char *name, struct form form, struct operand reg,
              struct operand rm, struct operand last)
{
    if (!operand_valid(&reg) || !operand_valid(&rm)) {
        asm_fail(a, JITVM_ERR_VALUE);
        return;
    }
    struct code c = {.len = 0};
    put_opcode(&c, &form, &reg, &rm);
    if (rm.kind == OP_MEM)
        put_mem(&c, reg.reg & 7, &rm.mem);
    else if (form.place == RM_LAST || form.place == RM_FIRST)
        put(&c, 0xc0 | (reg.reg & 7) << 3 | (rm.reg & 7));
    if (last.kind == OP_IMM)
        put_number(&c, last.imm, last.width);

    uint32_t at = asm_position(a);
    asm_append(a, c.bytes, c.len);
    if (c.distance)
        asm_refer(a, at + c.distance, at + c.len, rm.mem.label);
    if (a->listing)
        note(a, at, name, form.place, &reg, &rm, &last);
}

bool x86_width_in(struct assembler *a, enum x86_width w, unsigned widths)
{
    if ((w == X86_W8 || w == X86_W16 || w == X86_W32 || w == X86_W64) && (w & widths))
        return true;
    asm_fail(a, JITVM_ERR_VALUE);
    return false;
}
