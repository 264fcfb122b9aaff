#!/usr/bin/env python3
"""Counts the instructions that a program executes when nothing is to be done: no branch to the slow path taken.

usage: check.py INCLUDE_DIR

The fast paths must not call, and must not go through the global offset table, position independent or not.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Most instructions of the fast path, the return included. Measured with gcc 12 and clang 14 on x86-64: 11, 11, 10 and 13
# (clang saves the object for the slow call on the fast path, too), and 4.
LIMITS = {"fast_new": 12, "fast_new_leaf": 12, "fast_set": 14, "fast_set_at": 14, "fast_poll": 5}

CALLS = re.compile(r"^(call|bl|blr)\b")
RETURNS = re.compile(r"^(ret|retq|repz ret)\b")
JUMPS = re.compile(r"^(jmp|b)\s+([0-9a-f]+)\b")
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


def fast_path(instructions):
    """The instructions from the start to the return, conditional branches not taken."""
    by_address = {address: i for i, (address, _, _) in enumerate(instructions)}
    path, i = [], 0
    while len(path) < 100:
        _, text, relocations = instructions[i]
        if not PADDING.match(text):
            path.append(instructions[i])
        if RETURNS.match(text):
            return path
        jump = JUMPS.match(text)
        if jump and not relocations:
            i = by_address[int(jump[2], 16)]
        elif jump:
            return path  # a tail call, which the caller refuses
        else:
            i += 1
    return path


def faults_of(name, instructions):
    path = fast_path(instructions)
    faults = []
    if not RETURNS.match(path[-1][1]):
        faults.append("leaves the function other than by returning")
    faults += [f"calls: {text}" for _, text, _ in path if CALLS.match(text)]
    faults += [
        f"goes through the offset table: {text} {relocation}"
        for _, text, relocations in path
        for relocation in relocations
        if "GOT" in relocation
    ]
    if len(path) > LIMITS[name]:
        faults.append(f"{len(path)} instructions, {LIMITS[name]} allowed")
    return len(path), faults


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
                    count, faults = faults_of(name, found[name])
                    print(f"{compiler} {mode} {name}: {count} instructions")
                    for fault in faults:
                        failed = True
                        print(f"FAIL: {compiler} {mode} {name}: {fault}")
                        print("\n".join("    " + text for _, text, _ in fast_path(found[name])))
    return 1 if failed else 0


sys.exit(main())
