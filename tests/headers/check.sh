#!/usr/bin/env bash
# Compiles the public headers as every supported language, with every supported compiler that is installed.
# usage: check.sh alone|macros|refused INCLUDE_DIR
set -euo pipefail
what=$1 include=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

warnings=(-Wall -Wextra -Wconversion -Wpedantic -Wshadow -Werror)
failures=0
checked=0

# compile COMPILER STANDARD FILE [FLAG...]; language by standard. C++ has flexible arrays as an extension only.
compile()
{
    local compiler=$1 standard=$2 file=$3 language=c
    shift 3
    if [[ $standard == c++* ]]; then
        language=c++
        set -- "$@" -Wno-pedantic
    fi
    "$compiler" -x $language "-std=$standard" "${warnings[@]}" "$@" -I"$include" -O1 -c "$file" -o "$work/object.o"
}

fail()
{
    echo "FAIL: $*"
    sed 's/^/    /' "$work/log" | head -20
    failures=$((failures + 1))
}

each_language() # calls $1 COMPILER STANDARD
{
    local pair
    for pair in gcc:c11 gcc:c17 g++:c++17 clang:c11 clang:c17 clang++:c++17; do
        if command -v "${pair%:*}" >/dev/null; then "$1" "${pair%:*}" "${pair#*:}"; else echo "skipped: ${pair%:*}"; fi
    done
}

alone()
{
    local header
    for header in "$include"/tenure.h "$include"/tenure/*.h; do
        header=${header#"$include"/}
        echo "#include <$header>" >"$work/alone.c"
        echo "#include <$header>" >>"$work/alone.c" # guarded
        echo "typedef int not_empty;" >>"$work/alone.c"
        checked=$((checked + 1))
        compile "$1" "$2" "$work/alone.c" -Wpedantic >"$work/log" 2>&1 || fail "$header with $1 as $2"
    done
}

macros()
{
    local flags
    # NDEBUG changes inlined code; without optimisation nothing may depend on folding.
    for flags in -O2 -O0 -DNDEBUG -fPIC; do
        checked=$((checked + 1))
        compile "$1" "$2" "$here/all_macros.c" $flags >"$work/log" 2>&1 || fail "all_macros.c with $1 as $2 and $flags"
    done
}

# Each file compiles with -DACCEPTED, which leaves out the fault, and does not without it. C compilers say what the file's
# first line announces; C++ has no _Static_assert within an expression, so that its messages are the compiler's own.
refused()
{
    local file message
    for file in "$here"/refused/*.c; do
        message=$(sed -n '1s/.*Refused: \(.*\) \*\/$/\1/p' "$file")
        checked=$((checked + 1))
        compile "$1" "$2" "$file" -DACCEPTED >"$work/log" 2>&1 || fail "${file##*/} without its fault, $1 as $2"
        # A user's build does not have -Werror.
        if compile "$1" "$2" "$file" -Wno-error >"$work/log" 2>&1; then
            fail "${file##*/} compiles with $1 as $2"
        elif [[ $2 == c[0-9]* ]] && ! grep -Eq "${message:?}" "$work/log"; then
            fail "${file##*/} with $1 as $2 does not say '$message'"
        fi
    done
}

each_language "$what"
echo "$what: $checked compilations, $failures failed"
[ $failures -eq 0 ]
