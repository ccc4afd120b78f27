/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of .jasm text: each belongs to one function, and may be used before it is placed. */
#include "guest/jitvm/chunk/asm.h"

#include "guest/jitvm/value/grow.h"

static int add_label(struct jasm_reader *r, const struct jasm_token *name, struct jasm_label **out)
{
    struct jasm_label *labels =
        grow(r->labels, &r->label_room, (size_t)r->label_count + 1, sizeof(*labels));
    if (labels)
        r->labels = labels;
    if (!labels ||
        !intern_add(&r->label_index, INTERN_NAME, name->text, name->len, r->label_count)) {
        (void)chunk_fail(r->err, JITVM_ERR_MEMORY, "no memory for labels");
        return JITVM_ERR_MEMORY;
    }
    *out = &labels[r->label_count++];
    **out = (struct jasm_label){.name = name->text,
                                .len = name->len,
                                .id = builder_label(r->builder),
                                .line = r->line,
                                .column = name->column};
    return 0;
}

int jasm_label_of(struct jasm_reader *r, const struct jasm_token *name, struct jasm_label **out)
{
    int64_t found = intern_find(&r->label_index, INTERN_NAME, name->text, name->len);
    if (found < 0)
        return add_label(r, name, out);
    *out = &r->labels[found];
    return 0;
}

int jasm_place_label(struct jasm_reader *r, const struct jasm_token *name)
{
    struct jasm_label *label;
    int rc = jasm_label_of(r, name, &label);
    if (rc < 0)
        return rc;
    if (label->placed)
        return jasm_fail(r, "label %.*s is there twice in this function", jasm_shown(name->len),
                         name->text);
    label->placed = true;
    builder_place(r->builder, label->id);
    return 0;
}

int jasm_end_labels(struct jasm_reader *r)
{
    for (uint32_t i = 0; i < r->label_count; i++) {
        struct jasm_label *label = &r->labels[i];
        if (label->placed)
            continue;
        r->line = label->line;
        r->token.column = label->column;
        return jasm_fail(r, "label %.*s is nowhere in this function", jasm_shown(label->len),
                         label->name);
    }
    r->label_count = 0;
    intern_free(&r->label_index);
    return 0;
}
