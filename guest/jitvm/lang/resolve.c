/* SPDX-License-Identifier: Apache-2.0 */
/* Names to variables, functions and builtins. */
#include "guest/jitvm/lang/resolve.h"

struct resolver {
    struct lang *lang;
    struct lang_function *function; /* whose body is walked */
    struct lang_variable *open;     /* made last, of the scopes that are open */
    uint32_t scope;                 /* blocks that are open in this function, the body is 1 */
    uint32_t loops;                 /* likewise loops */
};

static void resolve_node(struct resolver *r, struct node *node);
static void resolve_function(struct resolver *r, struct lang_function *function);

static bool failed(const struct resolver *r)
{
    return r->lang->status != 0;
}

/* ---- variables ------------------------------------------------------------------------------ */

static bool of_file(const struct resolver *r)
{
    return r->scope == 1 && !r->function->symbol && r->function->index == 0;
}

static bool is_taken(struct resolver *r, const struct lang_symbol *symbol, const struct node *node)
{
    const struct lang_variable *now = symbol->binding;
    if (now && now->owner == r->function && now->scope == r->scope)
        return lang_fail(r->lang, node->line, node->column, "'%.*s' is there already, from line %u",
                         (int)symbol->len, symbol->text, now->line);
    if (of_file(r) && symbol->function)
        return lang_fail(r->lang, node->line, node->column,
                         "'%.*s' is a function already, from line %u", (int)symbol->len,
                         symbol->text, symbol->function->line);
    return false;
}

/* Makes the name of `node` a variable of the scope that is open. */
static struct lang_variable *declare(struct resolver *r, struct node *node)
{
    struct lang_symbol *symbol = node->as.name.symbol;
    if (is_taken(r, symbol, node))
        return NULL;
    struct lang_variable *variable = of_file(r) ? symbol->file : NULL;
    if (!variable)
        variable = lang_alloc(r->lang, sizeof *variable);
    if (!variable)
        return NULL;
    variable->symbol = symbol;
    variable->owner = r->function;
    variable->shadowed = symbol->binding;
    variable->previous = r->open;
    variable->line = node->line;
    variable->scope = r->scope;
    symbol->binding = variable;
    r->open = variable;
    node->as.name.variable = variable;
    return variable;
}

static void close_scope(struct resolver *r, struct lang_variable *open)
{
    while (r->open != open) {
        struct lang_variable *variable = r->open;
        variable->symbol->binding = variable->shadowed;
        r->open = variable->previous;
    }
}

static void unknown_name(struct resolver *r, const struct node *node)
{
    const struct lang_symbol *symbol = node->as.name.symbol;
    const struct lang_symbol *like = lang_nearest(r->lang, symbol);
    int len = symbol->len < 64 ? (int)symbol->len : 64;
    if (symbol->file)
        (void)lang_fail(r->lang, node->line, node->column,
                        "'%.*s' is used before its 'let' in line %u", len, symbol->text,
                        symbol->file->line);
    else if (like)
        (void)lang_fail(r->lang, node->line, node->column,
                        "there is no variable '%.*s'; is '%.*s' meant?", len, symbol->text,
                        (int)like->len, like->text);
    else
        (void)lang_fail(r->lang, node->line, node->column,
                        "there is no variable '%.*s'; 'let %.*s = ...' makes one", len,
                        symbol->text, len, symbol->text);
}

static void refuse_capture(struct resolver *r, const struct node *node)
{
    const struct lang_symbol *symbol = node->as.name.symbol;
    (void)lang_fail(r->lang, node->line, node->column,
                    "'%.*s' belongs to the function around this one, and functions capture "
                    "nothing: pass it as an argument",
                    symbol->len < 64 ? (int)symbol->len : 64, symbol->text);
}

/* True when the name is a variable, which then is in the node. Errors are of the name's meaning. */
static bool find_variable(struct resolver *r, struct node *node)
{
    struct lang_symbol *symbol = node->as.name.symbol;
    struct lang_variable *variable = symbol->binding;
    bool in_main = r->function->index == 0;
    if (!variable && !in_main)
        variable = symbol->file;
    if (!variable)
        return false;
    if (!in_main && variable->of_file)
        variable->global = true;
    else if (variable->owner != r->function)
        refuse_capture(r, node);
    node->as.name.variable = variable;
    return true;
}

/* A name as a value. */
static void resolve_value(struct resolver *r, struct node *node)
{
    if (find_variable(r, node))
        return;
    node->as.name.function = node->as.name.symbol->function;
    if (!node->as.name.function)
        unknown_name(r, node);
}

/* A name that is changed. */
static void resolve_place(struct resolver *r, struct node *node)
{
    const struct lang_symbol *symbol = node->as.name.symbol;
    if (find_variable(r, node))
        return;
    if (symbol->function)
        (void)lang_fail(r->lang, node->line, node->column,
                        "'%.*s' is a function and cannot be changed",
                        symbol->len < 64 ? (int)symbol->len : 64, symbol->text);
    else
        unknown_name(r, node);
}

/* A name that is called: anything else is a builtin, known when the chunk is loaded. */
static void resolve_callee(struct resolver *r, struct node *node)
{
    if (find_variable(r, node))
        return;
    node->as.name.function = node->as.name.symbol->function;
    if (!node->as.name.function && node->as.name.symbol->file)
        unknown_name(r, node);
}

/* ---- expressions, statements ---------------------------------------------------------------- */

static void resolve_list(struct resolver *r, struct node *first)
{
    for (struct node *node = first; node && !failed(r); node = node->next)
        resolve_node(r, node);
}

static void resolve_binary(struct resolver *r, struct node *node)
{
    struct node *left = node;
    for (; left->a->kind == NODE_BINARY; left = left->a)
        left->a->up = left;
    resolve_node(r, left->a);
    for (;; left = left->up) {
        resolve_node(r, left->b);
        if (left == node || failed(r))
            return;
    }
}

static void check_arity(struct resolver *r, const struct node *call)
{
    const struct lang_function *function =
        call->a->kind == NODE_NAME ? call->a->as.name.function : NULL;
    if (!function || function->arity == call->count)
        return;
    (void)lang_fail(r->lang, call->line, call->column,
                    "'%.*s' takes %u argument%s (line %u), %u %s given",
                    function->symbol->len < 64 ? (int)function->symbol->len : 64,
                    function->symbol->text, function->arity, function->arity == 1 ? "" : "s",
                    function->line, call->count, call->count == 1 ? "is" : "are");
}

static void resolve_call(struct resolver *r, struct node *node)
{
    if (node->a->kind == NODE_NAME)
        resolve_callee(r, node->a);
    else
        resolve_node(r, node->a);
    resolve_list(r, node->list);
    if (!failed(r))
        check_arity(r, node);
}

static struct node *base_of(struct node *place)
{
    while (place->kind == NODE_INDEX)
        place = place->a;
    return place;
}

static void resolve_assign(struct resolver *r, struct node *node)
{
    struct node *base = base_of(node->a);
    if (base->kind != NODE_NAME) {
        (void)lang_fail(r->lang, base->line, base->column,
                        "only a variable or an element of one can be assigned to");
        return;
    }
    resolve_place(r, base);
    for (struct node *place = node->a; place->kind == NODE_INDEX && !failed(r); place = place->a)
        resolve_node(r, place->b);
    if (!failed(r))
        resolve_node(r, node->b);
}

static void resolve_block(struct resolver *r, struct node *block)
{
    struct lang_variable *open = r->open;
    r->scope++;
    resolve_list(r, block->list);
    r->scope--;
    close_scope(r, open);
}

static void resolve_loop(struct resolver *r, struct node *block)
{
    r->loops++;
    resolve_block(r, block);
    r->loops--;
}

/* The loop variables are in a scope of their own around the block. */
static void resolve_for(struct resolver *r, struct node *node)
{
    struct lang_variable *open = r->open;
    resolve_node(r, node->a);
    r->scope++;
    for (struct node *name = node->list; name && !failed(r); name = name->next)
        (void)declare(r, name);
    if (!failed(r))
        resolve_loop(r, node->b);
    r->scope--;
    close_scope(r, open);
}

static void resolve_jump(struct resolver *r, const struct node *node)
{
    if (r->loops == 0)
        (void)lang_fail(r->lang, node->line, node->column, "'%s' stands in no loop",
                        node->kind == NODE_BREAK ? "break" : "continue");
}

static void resolve_children(struct resolver *r, struct node *node)
{
    resolve_list(r, node->list);
    if (node->a && !failed(r))
        resolve_node(r, node->a);
    if (node->b && !failed(r))
        resolve_node(r, node->b);
    if (node->c && !failed(r))
        resolve_node(r, node->c);
}

static void resolve_let(struct resolver *r, struct node *node)
{
    if (node->a)
        resolve_node(r, node->a);
    if (!failed(r))
        (void)declare(r, node);
}

static void resolve_node(struct resolver *r, struct node *node)
{
    if (failed(r))
        return;
    switch (node->kind) {
    case NODE_NAME:
        return resolve_value(r, node);
    case NODE_TAKE:
        return resolve_place(r, node);
    case NODE_FN:
        return resolve_function(r, node->as.function);
    case NODE_BINARY:
        return resolve_binary(r, node);
    case NODE_CALL:
        return resolve_call(r, node);
    case NODE_LET:
        return resolve_let(r, node);
    case NODE_ASSIGN:
        return resolve_assign(r, node);
    case NODE_WHILE:
        resolve_node(r, node->a);
        return resolve_loop(r, node->b);
    case NODE_FOR:
        return resolve_for(r, node);
    case NODE_BREAK:
    case NODE_CONTINUE:
        return resolve_jump(r, node);
    case NODE_BLOCK:
        return resolve_block(r, node);
    default:
        return resolve_children(r, node);
    }
}

/* ---- functions ------------------------------------------------------------------------------ */

static bool declare_params(struct resolver *r, struct lang_function *function)
{
    function->params = lang_alloc(r->lang, function->arity * sizeof(struct lang_variable *));
    uint32_t i = 0;
    for (struct node *param = function->first_param; param && !failed(r); param = param->next)
        function->params[i++] = declare(r, param);
    return !failed(r);
}

/* A function may stand in the middle of another one, whose state is kept. */
static void resolve_function(struct resolver *r, struct lang_function *function)
{
    struct resolver outer = *r;
    r->function = function;
    r->scope = 0;
    r->loops = 0;
    if (declare_params(r, function))
        resolve_block(r, function->body);
    close_scope(r, outer.open);
    *r = outer;
}

static void collect_function(struct resolver *r, struct lang_function *function)
{
    struct lang_symbol *symbol = function->symbol;
    if (symbol && symbol->function)
        (void)lang_fail(r->lang, function->line, function->column,
                        "the function '%.*s' is there already, from line %u",
                        symbol->len < 64 ? (int)symbol->len : 64, symbol->text,
                        symbol->function->line);
    else if (symbol)
        symbol->function = function;
}

/* Variables of the file, which functions before them may use. */
static void collect_file_variables(struct resolver *r, struct lang_function *main)
{
    for (struct node *node = main->body->list; node; node = node->next) {
        if (node->kind != NODE_LET || node->as.name.symbol->file)
            continue;
        struct lang_variable *variable = lang_alloc(r->lang, sizeof *variable);
        if (!variable)
            return;
        *variable = (struct lang_variable){
            .symbol = node->as.name.symbol, .owner = main, .line = node->line, .of_file = true};
        node->as.name.symbol->file = variable;
    }
}

int resolve_names(struct lang *lang, struct lang_function *main)
{
    struct resolver r = {.lang = lang, .function = main};
    uint32_t index = 0;
    for (struct lang_function *f = main->next; f && !failed(&r); f = f->next) {
        f->index = ++index;
        collect_function(&r, f);
    }
    collect_file_variables(&r, main);
    if (!failed(&r))
        resolve_block(&r, main->body);
    for (struct lang_function *f = main->next; f && !failed(&r); f = f->next)
        if (f->symbol)
            resolve_function(&r, f);
    return lang->status;
}
