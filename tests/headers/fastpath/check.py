#!/usr/bin/env python3
"""Counts the instructions that a program executes when nothing is to be done: on the ways that call nothing.

usage: check.py INCLUDE_DIR

The fast paths must not call, and must not go through the global offset table, position independent or not.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Most instructions of each way to the return, which is included. Measured with gcc 12 and clang 14 on x86-64: 15 and 14; the
# same; 13 for a store into a young or logged object, 22 and 21 into a dirty card, 26 and 29 of something old into an old object
# (instead of a call of 30 more); 4.
LIMITS = {
    "fast_new": (15,),  # two or three zero the object; with windows zeroed ahead (12) trees took a quarter longer
    "fast_new_leaf": (15,),
    "fast_set": (14, 22, 29),
    "fast_set_at": (14, 22, 29),
    "fast_poll": (5,),
}

CALLS = re.compile(r"^(call|bl|blr)\b")
RETURNS = re.compile(r"^(ret|retq|repz ret)\b")
JUMPS = re.compile(r"^(jmp|b)\s+([0-9a-f]+)\b")
BRANCHES = re.compile(r"^(j[a-z]+|b\.[a-z]+|[ct]bn?z .*,)\s+([0-9a-f]+)\b")
PADDING = re.compile(r"^(nop|endbr64|bti|data16|cs nop)")


def functions(object_file):
    """name -> [(address, text, relocations)]"""
    listing = subprocess.run(
        ["objdump", "-dr", "--no-show-raw-insn", object_file], check=True, capture_output=True, text=True
    ).stdout
    found, current = {}, None
    for line in listing.splitlines():
        if match := re.match(r"^[0-9a-f]+ <(\w+)>:", line):
            current = found.setdefault(match[1], [])
        elif match := re.match(r"^\s*[0-9a-f]+: (R_\S+)\s+(\S+)", line):
            current[-1][2].append(f"{match[1]} {match[2]}")
        elif match := re.match(r"^\s*([0-9a-f]+):\s+(.*?)\s*$", line):
            current.append((int(match[1], 16), match[2], []))
    return found


def fast_paths(instructions):
    """Every way from the start to the return on which nothing is called: lists of instructions, the shortest first."""
    by_address = {address: i for i, (address, _, _) in enumerate(instructions)}
    found, open_ways = [], [(0, [])]
    while open_ways:
        i, way = open_ways.pop()
        _, text, relocations = instructions[i]
        if not PADDING.match(text):
            way = way + [instructions[i]]
        if RETURNS.match(text):
            found.append(way)
            continue
        jump, branch = JUMPS.match(text), BRANCHES.match(text)
        if CALLS.match(text) or len(way) > 100 or (jump and relocations):
            continue
        if jump or branch:
            open_ways.append((by_address[int((jump or branch)[2], 16)], way))
        if not jump:
            open_ways.append((i + 1, way))
    return sorted(found, key=len)


def faults_of(name, paths):
    if not paths:
        return ["calls on every way"]
    faults = [
        f"goes through the offset table: {text} {relocation}"
        for path in paths
        for _, text, relocations in path
        for relocation in relocations
        if "GOT" in relocation
    ]
    if len(paths) != len(LIMITS[name]):
        faults.append(f"{len(paths)} ways that call nothing, {len(LIMITS[name])} expected")
    for path, limit in zip(paths, LIMITS[name]):
        if len(path) > limit:
            faults.append(f"{len(path)} instructions on a way of {limit}")
    return faults


def main():
    include = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    failed = False
    with tempfile.TemporaryDirectory() as work:
        for compiler in ("gcc", "clang"):
            if shutil.which(compiler) is None:
                print(f"skipped: {compiler}")
                continue
            for mode in ("-fPIC", "-fPIE"):
                output = os.path.join(work, "fastpath.o")
                subprocess.run(
                    [compiler, "-std=c17", "-O2", mode, "-DNDEBUG", f"-I{include}", "-c",
                     os.path.join(here, "fastpath.c"), "-o", output],
                    check=True,
                )
                found = functions(output)
                for name in LIMITS:
                    paths = fast_paths(found[name])
                    print(f"{compiler} {mode} {name}: {', '.join(str(len(path)) for path in paths)} instructions")
                    for fault in faults_of(name, paths):
                        failed = True
                        print(f"FAIL: {compiler} {mode} {name}: {fault}")
                        for path in paths:
                            print("\n".join("    " + text for _, text, _ in path), end="\n\n")
    return 1 if failed else 0


sys.exit(main())
