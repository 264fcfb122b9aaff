#!/usr/bin/env python3
"""A model of pauses and throughput with 2 to 128 cores and 1 to 256 GiB alive: tables of the cache's young pauses and
of full ones, and before them what it says of the machine that was measured. What it means: lib/README.md. Units: ns,
bytes, objects; GB/s are bytes/ns."""

import sys

sys.dont_write_bytecode = True

from counted import *
from queues import hand_out, mark, threads_ns

CORES, LIVE = (2, 4, 8, 16, 32, 64, 128), (1, 16, 64, 256)


def young(cores, live, allocated):
    """A young stop of the cache: ns of all but copying, of copying; CPU of copying."""
    cards = CACHE_OBJECTS * allocated * CARDS_OF
    helped = cards > 400 and cores > 1
    cpu = cards / CARDS_OF * object_ns(COPY_CACHE, COPY_RATE, cores, live, helped)
    workers = min(cores, WORKERS_MOST, int(cards / PACKET)) if helped else 1
    entering = (workers - 1) * 3 * (LINE_NEAR if sockets(cores) == 1 else LINE_FAR)  # members, one by one
    return STOP_FIXED + threads_ns(cores, cores, STACK_LINES), cpu / workers + entering, cpu


def settle(cores, live, all_wait, most):
    """Where Gen 0's size (2**level times 512 KiB) ends up by collection/sizing.c. all_wait: a stop's time counts for
    all that it stops. Returns size, pause, its part of the time, GB/s allocated, what takes the most of the pause."""
    runs = [hand_out(cores, 1 << 19 + n, ALLOCATION) for n in range(most + 1)]
    stops = [young(cores, live, used) for _, used in runs]
    costs = [(apart * (cores if all_wait else 1) + 2 * cpu) / (1 << 19 + n) for n, (apart, _, cpu) in enumerate(stops)]
    level = 0
    for _ in range(20):
        program = runs[level][0] * cores / (1 << 19 + level)
        level = min(range(min(level + 1, most) + 1), key=lambda n: costs[n])
        allowed = costs[level]
        while level > 0:
            part = 0.06 if sum(stops[level][:2]) > 2e6 else 0.04 if sum(stops[level][:2]) > 5e4 else 0.01
            if costs[level - 1] > allowed + part * (program + allowed): break
            level -= 1
    (elapsed, used), (apart, copying, _) = runs[level], stops[level]
    parts = {"copying": copying, "threads": apart - STOP_FIXED, "rest": STOP_FIXED}
    pause = apart + copying
    return 1 << 19 + level, pause, pause / (pause + elapsed), used / (pause + elapsed), max(parts, key=parts.get)


def full(cores, live, shape, part, nodes):
    """Seconds of a full pause, and what takes the most; part: of the time the workers mark; nodes that have the heap"""
    workers, objects, blocks = min(cores, WORKERS_MOST), live / BYTES[shape], live / BLOCK
    marking = objects * object_ns(MARK[shape], MARK_RATE, cores, live, cores > 1) / workers
    misses = MARK[shape][3] * memory(cores) / IN_FLIGHT > MARK[shape][0] / MARK_RATE
    times = {"misses" if misses else "instructions": marking, "packets": marking / part - marking,
             "bandwidth": max(0, objects * MARK[shape][2] * 64 / GB_S_A_SOCKET / nodes - marking / part),
             "one thread": blocks * 2 * 65 / GB_S_A_THREAD,  # which blocks to empty: a line of each, twice
             "sweeping": max(blocks * SWEEP / workers, blocks * 1400 / GB_S_A_SOCKET / nodes)}
    return f"{sum(times.values()) / 1e9:.2g} {max(times, key=times.get)}"


def level_most(runners):
    """Gen 0's largest level: collection/sizing.c."""
    level = 5
    while level < 7 and runners >> (level - 4) and 1 << 20 + level <= L3_BYTES // 2: level += 1
    return level


def check():
    print("2 cores | model | measured (lib/README.md, stress/README.md, and 2026-11-30 with a load of 5)")
    for what, table, rate, measured in (
            ("marking", MARK, MARK_RATE, {"trees": ("8.5 to 8.8", "9.2 to 11.4"), "entries": ("11.0", "13.8")}),
            ("copying", COPY, COPY_RATE, {"trees": ("19.4", "24"), "entries": ("22", "28")})):
        for shape in ("trees", "entries"):
            for helped in (False, True):
                model = object_ns(table[shape], rate, 2, GIB, helped)
                print(f"{what} {shape}, {1 + helped} worker(s), ns an object | {model:.1f} | {measured[shape][helped]}")
    size, pause, *_ = settle(2, GIB, False, level_most(2))
    print(f"cache, 2 threads, young pause, us | {pause / 1e3:.0f} | 29 to 38")
    print(f"the same, Gen 0 in KiB | {size >> 10} | 512 to 2048")
    print(f"stop of 10,000 blocked threads, ms of CPU | {threads_ns(2, 10000, 83, False) / 1e6:.0f} | 21 to 36")


def young_tables():
    def each_16_mib(cores): return 5 + cores.bit_length() - 1

    for title, all_wait, most in (
            ("Gen 0 as the code sizes it", False, level_most),
            ("a stop's time counted for all who wait, up to 16 MiB each", True, each_16_mib)):
        print(f"\n{title}: cores | young pause, us, with {LIVE} GiB and what takes the most of it | "
              "64 GiB: Gen 0, MiB | part of the time | GB/s allocated")
        for cores in CORES:
            cells = {live: settle(cores, live * GIB, all_wait, most(cores)) for live in LIVE}
            print(cores, *(f"{pause / 1e3:.0f} {what}" for _, pause, _, _, what in cells.values()),
                  "{0:g} | {2:.0%} | {3:.1f}".format(cells[64][0] / 2**20, *cells[64][1:]), sep=" | ")
    print("\ncores | chunks handed out at most, GB/s | the same one at a time")
    for cores in CORES:
        limits = ((64 << 20) / hand_out(cores, 64 << 20, 0, most)[0] for most in (BATCH_MOST, 1))
        print(cores, *(f"{limit:.0f}" for limit in limits), sep=" | ")


def full_table(shape):
    print(f"\nfull pause, {shape}: cores | workers mark | s with {LIVE} GiB, and what takes the most of it | "
          "256 GiB if packets cost nothing | the same, all in one socket's memory")
    for cores in CORES:
        part = mark(cores, shape)
        print(cores, f"{part:.0%}", *(full(cores, live * GIB, shape, part, sockets(cores)) for live in LIVE),
              full(cores, 256 * GIB, shape, 1, sockets(cores)), full(cores, 256 * GIB, shape, 1, 1), sep=" | ")


if __name__ == "__main__":
    check()
    young_tables()
    full_table("entries")
    full_table("trees")
