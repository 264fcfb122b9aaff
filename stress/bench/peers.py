"""Who runs the workloads: how each peer is called, and what it tells of itself."""

import os
import re
import shutil
from dataclasses import dataclass
from statistics import quantiles
from typing import Optional


@dataclass(frozen=True)
class Place:
    """Where things are: the programs that CMake built, and a checkout of Whippet with its binaries, if there is one."""

    folder: str
    whippet: Optional[str]


def words_parse(line):
    """The key=value words of a result line; numbers become floats."""
    result = {}
    for word in line.split():
        name, _, value = word.partition("=")
        try:
            result[name] = float(value)
        except ValueError:
            result[name] = value
    return result


def words_after(words, name):
    return words[words.index(name) + 1]


@dataclass(frozen=True)
class Peer:
    """missing: None, or why it cannot run the workload. command: of a run. read: the result, from what the run wrote on
    standard output and on standard error, as lines."""

    name: str
    environment: tuple = ()  # name, value pairs
    like: Optional[str] = None  # the peer whose peak resident set it is held to, by the heap's limit


@dataclass(frozen=True)
class Program(Peer):
    """bench-WORKLOAD-SUFFIX, in whatever language; the suffix is the name if it is not said."""

    suffix: str = ""

    def path(self, place, workload):
        return os.path.join(place.folder, f"bench-{workload}-{self.suffix or self.name}")

    def missing(self, place, workload):
        if os.access(self.path(place, workload), os.X_OK):
            return None
        return "it was not installed when the benchmarks were built"

    def command(self, place, workload, words, heap_bytes):
        return [self.path(place, workload), *words]

    def read(self, output, log):
        return words_parse(output[-1])


@dataclass(frozen=True)
class HotSpot(Peer):
    """The class that is called as the workload. Its log tells the pauses."""

    flags: tuple = ()

    SAFEPOINT = re.compile(
        r'\[(\d+)ns\] Safepoint "(?:Gen|Parallel|G1|Z)\w+", .*Reaching safepoint: (\d+) ns, .*Total: (\d+) ns'
    )

    def class_name(self, workload):
        return "".join(part.capitalize() for part in workload.split("_"))

    def missing(self, place, workload):
        if not shutil.which("java"):
            return "there is no java here"
        if not os.path.exists(os.path.join(place.folder, "java", self.class_name(workload) + ".class")):
            return "there was no javac when the benchmarks were built"
        return None

    def command(self, place, workload, words, heap_bytes):
        # The virtual machine wants whole mebibytes.
        heap = [f"-X{which}{int(heap_bytes) >> 20}m" for which in ("ms", "mx")] if heap_bytes else []
        log = ["-Xlog:disable", "-Xlog:safepoint:stderr:uptimenanos"]
        classes = ["-cp", os.path.join(place.folder, "java"), self.class_name(workload)]
        return ["java", *self.flags, *heap, *log, *classes, *words]

    def read(self, output, log):
        result = words_parse(output[-1])
        found = [tuple(map(int, match.groups())) for match in map(self.SAFEPOINT.match, log) if match]
        begin, end = (result[key] * 1e6 for key in ("begin_uptime_ms", "end_uptime_ms"))
        measured = [(total, reach) for at, reach, total in found if begin <= at <= end]
        result["pause_count"] = len(measured)
        result["pause_seconds"] = sum(total for total, _ in measured) * 1e-9
        if measured:
            distribution(result, "pause", [total for total, _ in measured])
            distribution(result, "pause_reach", [reach for _, reach in measured])
        return result


def distribution(result, prefix, values):
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    result[f"{prefix}_p50_ns"], result[f"{prefix}_p99_ns"], result[f"{prefix}_max_ns"] = cuts[49], cuts[98], max(values)


@dataclass(frozen=True)
class Whippet(Peer):
    """mt-gcbench of a checkout, built there, in one of its configurations. Its own clock, which starts with its heap."""

    TOTAL = re.compile(r"([\d.]+) ms total time \(([\d.]+) stopped\); ([\d.]+) ms CPU time")
    PAUSES = re.compile(r"([\d.]+) ms median pause time, [\d.]+ p95, ([\d.]+) max")
    COUNT = re.compile(r"Completed (\d+) major collections \((\d+) minor\)")

    def path(self, place):
        return os.path.join(place.whippet, "bin", "mt-gcbench." + self.name.removeprefix("whippet-"))

    def missing(self, place, workload):
        if not place.whippet:
            return "WHIPPET does not name the folder of a checkout with its binaries"
        return None if os.access(self.path(place), os.X_OK) else f"it is not among the binaries of {place.whippet}"

    def command(self, place, workload, words, heap_bytes):
        multiplier = int(words_after(words, "--heap-percent")) / 100
        return [self.path(place), str(multiplier), words_after(words, "--threads")]

    def read(self, output, log):
        text = "\n".join(output)
        total, stopped, cpu = map(float, self.TOTAL.search(text).groups())
        median, longest = map(float, self.PAUSES.search(text).groups())
        return {
            "wall_seconds": total * 1e-3,
            "cpu_seconds": cpu * 1e-3,
            "pause_count": sum(map(int, self.COUNT.search(text).groups())),
            "pause_seconds": stopped * 1e-3,
            "pause_p50_ns": median * 1e6,
            "pause_max_ns": longest * 1e6,
        }


@dataclass(frozen=True)
class Server(Peer):
    """tenure-server or redis-server under stress/server/demo, which drives them with redis-benchmark: one run is
    all of its tests. The name is server- and what the demo calls it."""

    def missing(self, place, workload):
        needed = ("redis-benchmark", "redis-cli") + (("redis-server",) if self.name == "server-redis" else ())
        absent = [tool for tool in needed if not shutil.which(tool)]
        return f"there is no {absent[0]} here" if absent else None

    def command(self, place, workload, words, heap_bytes):
        demo = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server", "demo")
        return [demo, os.path.join(place.folder, "..", "server"), self.name.removeprefix("server-")]

    def read(self, output, log):
        result = {}
        for line in output:
            test, measured, requests, cpu_ns = line.split("|")
            rate, p99, p999 = map(float, measured.split())
            result[f"{test}: per second"] = rate
            result[f"{test}: per CPU second"] = float(requests) * 1e9 / float(cpu_ns)
            result[f"{test}: p99 ms"] = p99
            result[f"{test}: p99.9 ms"] = p999
        return result


def hotspot(name, *flags, like=None):
    return HotSpot(f"hotspot-{name}", flags=flags, like=like)


PEERS = {
    peer.name: peer
    for peer in (
        Program("tenure"),
        Program("tenure-small-pages", (("TENURE_OPTIONS", "huge_pages=off"),), suffix="tenure"),
        Program("bump"),
        Program("libgc"),
        Program("glibc"),
        Program("mimalloc"),
        Program("jemalloc"),
        hotspot("serial", "-XX:+UseSerialGC"),
        hotspot("parallel", "-XX:+UseParallelGC"),
        hotspot("g1", "-XX:+UseG1GC"),
        hotspot("zgc", "-XX:+UseZGC"),
        hotspot("parallel-equal", "-XX:+UseParallelGC", like="tenure"),
        hotspot("parallel-thp", "-XX:+UseParallelGC", "-XX:+UseTransparentHugePages"),
        Program("go"),
        Program("ocaml"),
        Whippet("whippet-pcc"),
        Whippet("whippet-generational-pcc"),
        Whippet("whippet-parallel-mmc"),
        Whippet("whippet-parallel-generational-mmc"),
        Whippet("whippet-stack-conservative-parallel-mmc"),
        Whippet("whippet-stack-conservative-parallel-generational-mmc"),
        Server("server-tenure"),
        Server("server-redis"),
    )
}
