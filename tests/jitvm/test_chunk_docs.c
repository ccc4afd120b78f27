/* SPDX-License-Identifier: Apache-2.0 */
/* docs/jitvm-ops.md against the ops: each has its row, and what the row says is so. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/jitvm/chunk_rig.h"

#define PAGE "docs/jitvm-ops.md"

/* Cells of `| op | operands | stack | what it does | example |`, in that order. */
struct row {
    char op[64], stack[128], example[128];
};

/* Tests run at the top of the tree. */
static FILE *open_page(void)
{
    FILE *page = fopen(PAGE, "r");
    cr_assert(page, "%s is not there: run the tests at the top of the tree", PAGE);
    return page;
}

/* What stands between the `quotes` of the cell that begins at `from`; gives its end. */
static const char *cell(const char *from, char *to, size_t size)
{
    const char *end = strchr(from + 1, '|');
    const char *first = memchr(from, '`', (size_t)(end - from));
    to[0] = '\0';
    if (first) {
        const char *last = end;
        while (*last != '`')
            last--;
        cr_assert_lt((size_t)(last - first), size);
        memcpy(to, first + 1, (size_t)(last - first - 1));
        to[last - first - 1] = '\0';
    }
    return end;
}

static bool parse_row(const char *line, struct row *row)
{
    unsigned cells = 0;
    for (const char *c = line; *c; c++)
        cells += *c == '|';
    if (cells != 6 || strncmp(line, "| `", 3) != 0)
        return false;
    const char *at = cell(line, row->op, sizeof(row->op));
    at = strchr(at + 1, '|');
    at = cell(at, row->stack, sizeof(row->stack));
    at = strchr(at + 1, '|');
    (void)cell(at, row->example, sizeof(row->example));
    return true;
}

/* Calls `check` with each row; gives how many there are. */
static unsigned for_each_row(void (*check)(const struct row *row))
{
    char line[1024];
    unsigned count = 0;
    FILE *page = open_page();
    while (fgets(line, sizeof(line), page)) {
        struct row row;
        if (!parse_row(line, &row))
            continue;
        check(&row);
        count++;
    }
    (void)fclose(page);
    return count;
}

static struct jitvm_op example_of(const struct row *row, struct chunk_extension *extension)
{
    char text[1024], *at = text;
    at += sprintf(at, ".extension vec.dot, 2, 1\n.main 5\n.slot 0, i\n.slot 1, sum\n.slot 2, s\n"
                      ".slot 3, a\n.slot 4, h\n");
    for (unsigned i = 0; i < 8; i++)
        at += sprintf(at, "Undef\n");
    (void)sprintf(at, "L0:\n%s\nL1: Return\n.function fib, 1, 1\nReturn\n", row->example);
    struct jitvm_chunk *chunk = chunk_of(text);
    struct jitvm_op op = chunk->ops[8];
    *extension = chunk->extensions[0];
    jitvm_chunk_unref(chunk);
    return op;
}

static void is_an_op(const struct row *row)
{
    cr_assert_geq(op_find(row->op, strlen(row->op)), 0, "no op %s", row->op);
}

static void example_is_of_the_op(const struct row *row)
{
    struct chunk_extension extension;
    struct jitvm_op op = example_of(row, &extension);
    cr_assert_str_eq(op_name(op.code), row->op);
}

static unsigned words(const char *from, const char *end)
{
    unsigned count = 0;
    for (; from < end; from++)
        count += *from != ' ' && (from + 1 == end || from[1] == ' ');
    return count;
}

/* `[a b] -> [c]`; with `..`, how many there are follows from the operands. */
static void stack_effect_is_that_of_the_op(const struct row *row)
{
    struct chunk_extension extension;
    struct jitvm_op op = example_of(row, &extension);
    struct op_effect effect = op_effect(&op, &extension);
    const char *before = strchr(row->stack, '['), *before_end = strchr(row->stack, ']');
    cr_assert(before && before_end, "%s: %s", row->op, row->stack);
    const char *after = strchr(before_end, '['), *after_end = after ? strchr(after, ']') : NULL;
    cr_assert(after && after_end, "%s: %s", row->op, row->stack);
    const char *varies = strstr(before, "..");
    if (!varies || varies > before_end)
        cr_assert_eq(words(before + 1, before_end), effect.pops, "%s: %s", row->op, row->stack);
    if (!strstr(after, ".."))
        cr_assert_eq(words(after + 1, after_end), effect.pushes, "%s: %s", row->op, row->stack);
}

Test(jitvm_ops_page, there_is_a_row_for_each_op_and_none_else)
{
    cr_assert_eq(for_each_row(is_an_op), OP_COUNT);
}

Test(jitvm_ops_page, each_example_assembles_to_its_op)
{
    (void)for_each_row(example_is_of_the_op);
}

Test(jitvm_ops_page, each_stack_effect_is_the_one_of_the_op)
{
    (void)for_each_row(stack_effect_is_that_of_the_op);
}

Test(jitvm_ops_page, rows_are_in_the_order_of_the_ops)
{
    char line[1024];
    unsigned code = 0;
    FILE *page = open_page();
    while (fgets(line, sizeof(line), page)) {
        struct row row;
        if (!parse_row(line, &row))
            continue;
        cr_assert_lt(code, OP_COUNT);
        cr_assert_str_eq(row.op, op_name(code));
        code++;
    }
    (void)fclose(page);
}

/* The programs on the page, between ```jasm and ```. */
Test(jitvm_ops_page, its_programs_assemble_and_come_through_both_forms)
{
    char line[1024], text[8192];
    size_t len = 0;
    unsigned programs = 0;
    bool inside = false;
    FILE *page = open_page();
    while (fgets(line, sizeof(line), page)) {
        if (inside && strncmp(line, "```", 3) != 0) {
            cr_assert_lt(len + strlen(line), sizeof(text));
            len += (size_t)sprintf(text + len, "%s", line);
        } else if (inside) {
            struct jitvm_chunk *chunk = chunk_of(text);
            expect_round_trips(chunk);
            jitvm_chunk_unref(chunk);
            inside = false;
            programs++;
        } else if (strncmp(line, "```jasm", 7) == 0) {
            inside = true;
            len = 0;
        }
    }
    (void)fclose(page);
    cr_assert_geq(programs, 1);
}
