/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer's part for strings. */
#ifndef JITVM_LANG_LEXER_STRING_H
#define JITVM_LANG_LEXER_STRING_H

#include "guest/jitvm/lang/lexer.h"

/* The lexer is at the opening quote; both go behind the closing one, or fail. */
void lex_string(struct lexer *lexer, struct token *token);     /* "..." with escapes */
void lex_raw_string(struct lexer *lexer, struct token *token); /* '...' as it is */

/* Goes behind the line end that the lexer is at. */
void lexer_newline(struct lexer *lexer);

#endif
