#!/usr/bin/env bash
# Installs a build into an empty prefix and builds programs against it: by CMake and by pkg-config, static and shared.
# usage: check.sh BUILD_DIR CONSUMER_CMAKELISTS C_COMPILER
set -euo pipefail
build=$1 lists=$2 compiler=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAIL: $*"; exit 1; }; }

quietly cmake --install "$build" --prefix "$work/installed"
# Nothing may depend on where it was installed first.
mv "$work/installed" "$work/prefix"
mkdir "$work/project"
cp "$here"/main.c "$here"/consumer.[ch] "$work/project"
cp "$lists" "$work/project/CMakeLists.txt"
cd "$work/project"

quietly cmake -S . -B build "-DCMAKE_PREFIX_PATH=$work/prefix" "-DCMAKE_C_COMPILER=$compiler"
quietly cmake --build build
for program in with_static with_shared with_interposer with_embedder; do
    echo "CMake, $program:"
    "build/$program"
done

# What a library embeds for itself it does not show.
if nm -D --defined-only build/libembedder.so | grep -q tenure; then
    nm -D --defined-only build/libembedder.so
    echo "FAIL: the embedder exports Tenure's names"
    exit 1
fi
# And the shared library shows the public names only.
if nm -D --defined-only "$(find "$work/prefix" -name libtenure.so)" | awk '$3 !~ /^tenure_/' | grep .; then
    echo "FAIL: libtenure.so exports names of others"
    exit 1
fi

package_dir=$(dirname "$(find "$work/prefix" -name tenure.pc)")
export PKG_CONFIG_PATH=$package_dir
library_dir=$(pkg-config --variable=libdir tenure)
read -ra flags <<<"$(pkg-config --cflags tenure)"
read -ra libraries <<<"$(pkg-config --libs tenure)"
read -ra static_libraries <<<"$(pkg-config --static --libs tenure)"

echo "pkg-config, shared:"
quietly "$compiler" "${flags[@]}" main.c consumer.c -o pc_shared "${libraries[@]}"
LD_LIBRARY_PATH=$library_dir ./pc_shared
echo "pkg-config, static:"
find "$library_dir" -name 'libtenure.so*' -delete
quietly "$compiler" "${flags[@]}" main.c consumer.c -o pc_static "${static_libraries[@]}"
./pc_static
