/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree. Nodes live in the arena of the compilation; each has one parent. No way from the root
 * down is longer than LANG_NESTING nodes, except along the left operands of binary operators: those
 * chains are as long as somebody wrote them, and are walked without recursion.
 */
#ifndef JITVM_LANG_AST_H
#define JITVM_LANG_AST_H

#include "guest/jitvm/chunk/op.h"
#include "guest/jitvm/lang/lang.h"

enum node_kind {
    /* literals */
    NODE_UNDEF,
    NODE_BOOL,  /* as.i */
    NODE_INT,   /* as.i */
    NODE_FLOAT, /* as.f */
    NODE_STR,   /* as.str */
    NODE_ARRAY, /* list: elements, count */
    NODE_HASH,  /* list: key, value, key, value; count: pairs */
    NODE_RANGE, /* a: from, b: to, c: step or NULL; flag: `to` is included. In [] or after `in` */
    NODE_FN,    /* as.function: without a name; b: its body */

    /* other expressions */
    NODE_NAME,   /* as.name */
    NODE_TAKE,   /* as.name */
    NODE_UNARY,  /* op: OP_Neg, OP_Not, OP_BitNot; a */
    NODE_BINARY, /* op; a, b */
    NODE_AND,    /* a, b */
    NODE_OR,
    NODE_INDEX, /* a: container, b: key */
    NODE_CALL,  /* a: callee, list: arguments, count */

    /* statements */
    NODE_LET,    /* as.name, a: value or NULL */
    NODE_ASSIGN, /* a: place (name or index), b: value; op: of `a op= b`, or OP_Nop for `=` */
    NODE_EXPR,   /* a */
    NODE_IF,     /* list: arms, each a NODE_ARM; b: the else block or NULL */
    NODE_ARM,    /* a: condition, b: block */
    NODE_WHILE,  /* a: condition, b: block */
    NODE_FOR,    /* list: one or two NODE_LET; a: what is walked (maybe NODE_RANGE), b: block */
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_RETURN, /* a: value or NULL */
    NODE_BLOCK,  /* list: statements */
};

struct lang_variable {
    struct lang_symbol *symbol;
    struct lang_function *owner;
    struct lang_variable *shadowed; /* what the symbol meant before */
    struct lang_variable *previous; /* the variable made before, of the scopes that are open */
    uint32_t line, scope;           /* scope: level of blocks it is in; 0: a parameter */
    bool of_file;                   /* at the outermost level of the file */
    bool global;                    /* of_file and used by a function: a global, not a slot */
    bool has_slot;
    uint32_t slot; /* or the global's name */
};

struct lang_function {
    struct lang_function *next; /* in the order of the text */
    struct lang_symbol *symbol; /* NULL: without a name */
    struct lang_variable **params;
    struct node *body, *first_param; /* a block; NODE_LETs */
    uint32_t arity, line, column;
    uint32_t index; /* in the chunk; 0: the top level */
};

struct node_name {
    struct lang_symbol *symbol;
    struct lang_variable *variable; /* resolve.c: one of these, or neither for a builtin */
    struct lang_function *function;
};

struct node {
    uint8_t kind; /* enum node_kind */
    bool flag;
    uint16_t op;    /* enum op_code */
    uint16_t depth; /* nodes on the longest way down that is walked by recursion */
    uint32_t line, column;
    uint32_t count;
    struct node *next; /* in the parent's list */
    struct node *a, *b, *c, *list;
    struct node *up; /* while a chain of left operands is walked */
    union {
        int64_t i;
        double f;
        struct {
            const char *bytes;
            size_t len;
        } str;
        struct node_name name;
        struct lang_function *function;
    } as;
};

/* The value of a constant expression where it is the same as at run time: makes `node` a literal
 * when its operands are. fold.c */
void node_fold(struct lang *lang, struct node *node);
/* True for a literal, whose truth goes to *truth. */
bool node_truth(const struct node *node, bool *truth);

#endif
