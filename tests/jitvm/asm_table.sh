#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes asm_x86_64.inc: reads instructions, one a line, as rows of the table or bare, and writes the
# table's rows with the bytes that the GNU assembler gives them.
#   tests/jitvm/asm_table.sh < instructions > tests/jitvm/asm_x86_64.inc
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
{
    echo '.intel_syntax noprefix'
    sed -n 's/^ *{"\([^"]*\)".*/\1/; /^[a-z]/p'
} > "$dir/in.s"
as -aln="$dir/list" --listing-lhs-width=4 -o "$dir/out.o" "$dir/in.s"
echo "/* SPDX-License-Identifier: Apache-2.0 */"
echo "/* Instructions and their bytes: the GNU assembler's, by asm_table.sh. */"
# line, offset, bytes in words of four, text
sed -n 's/^ *[0-9]* [0-9a-f]\{4\} \([0-9A-F ]*[0-9A-F]\) *\t\(.*\)$/\1\t\2/p' "$dir/list" |
    awk -F'\t' '{ gsub(" ", "", $1); printf "{\"%s\", \"%s\"},\n", $2, tolower($1) }'
