/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm_compile: the stages of the language, one after another. */
#include "guest/jitvm/chunk/builder.h"
#include "guest/jitvm/lang/gen.h"
#include "guest/jitvm/lang/parser.h"
#include "guest/jitvm/lang/resolve.h"

static int build(struct lang *lang, const char *name, struct lang_function *main,
                 struct jitvm_chunk **out)
{
    struct jitvm_builder *builder = NULL;
    int rc = jitvm_builder_new(name, &builder, lang->err);
    if (rc < 0)
        return rc;
    rc = gen_program(lang, builder, main);
    if (rc == 0)
        rc = builder_build(builder, out, lang->err);
    jitvm_builder_free(builder);
    return rc;
}

static int compile(struct lang *lang, const char *name, struct jitvm_chunk **out)
{
    struct lang_function *main = parser_run(lang);
    if (!main || resolve_names(lang, main) != 0)
        return lang->status;
    return build(lang, name, main, out);
}

int jitvm_compile(const char *name, const char *text, size_t len, struct jitvm_chunk **out,
                  struct jitvm_error *err)
{
    struct lang lang = {.text = text, .len = len, .err = err};
    if (len > LANG_SOURCE_MAX)
        return chunk_fail(err, JITVM_ERR_LIMIT, "the text of '%s' is longer than %zu bytes", name,
                          LANG_SOURCE_MAX);
    int rc = compile(&lang, name, out);
    lang_arena_free(&lang.arena);
    return rc;
}
