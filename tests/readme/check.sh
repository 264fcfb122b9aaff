#!/usr/bin/env bash
# The quick start of README.md is at most 40 lines; it and the file handles compile without a warning and run.
# usage: check.sh README LIBRARY INCLUDE_DIR C_COMPILER [FLAG...]
set -euo pipefail
readme=$1 library=$2 include=$3 compiler=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
block() # the N-th block of C
{
    awk -v n="$1" '/^```c$/ { seen++; inside = seen == n; next } /^```$/ { inside = 0 } inside' "$readme"
}
block 1 >"$work/quick.c"
block 2 >"$work/files.c"
lines=$(wc -l <"$work/quick.c")
if [ "$lines" -lt 10 ] || [ "$lines" -gt 40 ]; then
    echo "FAIL: the quick start has $lines lines"
    exit 1
fi
read -ra libraries <<<"$(pkg-config --libs liburcu-qsbr liburcu-cds)"
for program in quick files; do
    "$compiler" -std=c17 -O2 -Wall -Wextra -Werror "$@" -I"$include" "$work/$program.c" "$library" "${libraries[@]}" \
        -lpthread -o "$work/$program"
done
"$work/quick" >"$work/out"
head -3 "$work/out"
[ "$(grep -c '^sum 49995000000$' "$work/out")" -eq 2 ]
"$work/files" >"$work/out"
cat "$work/out"
[ "$(cat "$work/out")" = "10000 opened, 0 left" ]
