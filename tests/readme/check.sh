#!/usr/bin/env bash
# The quick start of README.md is at most 40 lines, compiles without a warning and runs.
# usage: check.sh README LIBRARY INCLUDE_DIR C_COMPILER [FLAG...]
set -euo pipefail
readme=$1 library=$2 include=$3 compiler=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^```c$/,/^```$/p' "$readme" | sed '1d;$d' >"$work/quick.c"
lines=$(wc -l <"$work/quick.c")
if [ "$lines" -lt 10 ] || [ "$lines" -gt 40 ]; then
    echo "FAIL: the quick start has $lines lines"
    exit 1
fi
read -ra libraries <<<"$(pkg-config --libs liburcu-qsbr liburcu-cds)"
"$compiler" -std=c17 -O2 -Wall -Wextra -Werror "$@" -I"$include" "$work/quick.c" "$library" "${libraries[@]}" -lpthread \
    -o "$work/quick"
"$work/quick" >"$work/out"
head -3 "$work/out"
[ "$(grep -c '^sum 49995000000$' "$work/out")" -eq 2 ]
