"""What is measured, against whom, and what is to be reached."""

from dataclasses import dataclass
from typing import Callable, Optional

Result = dict  # the key=value words of one run; numbers are floats


@dataclass(frozen=True)
class Column:
    title: str
    value: Callable[[Result], float]
    form: str = "{:.2f}"


@dataclass(frozen=True)
class Target:
    """value of Tenure's run (against None) or the ratio of Tenure's to a peer's, compared with bound."""

    title: str
    value: Callable[[Result], float]
    bound: float
    against: Optional[str] = None
    at_least: bool = False
    form: str = "{:.2f}"

    def holds(self, measured):
        return measured >= self.bound if self.at_least else measured <= self.bound


@dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    workload: str  # programs are bench-WORKLOAD-ALLOCATOR
    arguments: tuple
    quick_arguments: tuple
    allocators: tuple
    primary: Column  # of which ratios are shown
    columns: tuple
    targets: tuple
    higher_is_better: bool = False


def key(name, scale=1.0):
    return lambda result: result[name] * scale


def quotient(above, below):
    return lambda result: result[above] / result[below]


ALL = ("tenure", "libgc", "glibc", "mimalloc", "jemalloc")
US, MS, MB = 1e-3, 1e-6, 1e-6

WALL = Column("wall s", key("wall_seconds"), "{:.3f}")
COMMON = (
    Column("CPU s", key("cpu_seconds"), "{:.2f}"),
    Column("peak MB", key("peak_rss_bytes", MB), "{:.0f}"),
)
PAUSES = (
    Column("GC s", key("pause_seconds"), "{:.3f}"),
    Column("pauses", key("pause_count"), "{:.0f}"),
    Column("pause p50 us", key("pause_p50_ns", US), "{:.0f}"),
    Column("max ms", key("pause_max_ns", MS), "{:.2f}"),
)
REQUESTS = Column("M requests/s", key("requests_per_s", 1e-6), "{:.2f}")
LATENCY = (
    Column("p50 us", key("latency_p50_ns", US), "{:.2f}"),
    Column("p99.9 us", key("latency_p999_ns", US), "{:.1f}"),
    Column("p99.99 us", key("latency_p9999_ns", US), "{:.0f}"),
    Column("max ms", key("latency_max_ns", MS), "{:.1f}"),
)


def binary_trees(threads, mimalloc_bound):
    plural = "s" if threads > 1 else ""
    return Experiment(
        name=f"binary_trees-{threads}",
        title=f"Binary trees, depth 18, {threads} thread{plural}",
        workload="binary_trees",
        arguments=("--depth", "18", "--threads", str(threads)),
        quick_arguments=("--depth", "15", "--threads", str(threads)),
        allocators=ALL,
        primary=WALL,
        columns=COMMON + PAUSES,
        targets=(
            Target("time, x libgc", WALL.value, 0.40, "libgc"),
            Target("time, x mimalloc", WALL.value, mimalloc_bound, "mimalloc"),
        ),
    )


def gcbench(threads):
    plural = "s" if threads > 1 else ""
    arguments = ("--threads", str(threads), "--heap-percent", "250")
    return Experiment(
        name=f"gcbench-{threads}",
        title=f"GCBench with holes, heap 2.5x live ({31 * threads} MB), {threads} thread{plural}",
        workload="gcbench",
        arguments=arguments,
        quick_arguments=arguments,
        allocators=ALL,
        primary=WALL,
        columns=COMMON + PAUSES,
        targets=(Target("time, x libgc", WALL.value, 0.70, "libgc"),),
    )


def cache(mebibytes, label, targets=()):
    common = ("--live-mib", str(mebibytes), "--threads", "2", "--milliseconds")
    return Experiment(
        name=f"cache-{label}",
        title=f"Requests over a live cache, {mebibytes} MiB live, 2 threads",
        workload="cache",
        arguments=common + ("3000",),
        quick_arguments=common + ("500",),
        allocators=ALL,
        primary=REQUESTS,
        columns=LATENCY + COMMON[1:],
        targets=(Target("requests/s, x libgc", REQUESTS.value, 2.0, "libgc", at_least=True),) + targets,
        higher_is_better=True,
    )


def idle_columns(title, prefix):
    return (
        Column(f"{title}: p50 us", key(f"{prefix}_p50_ns", US), "{:.1f}"),
        Column("p99", key(f"{prefix}_p99_ns", US), "{:.0f}"),
        Column("CPU p50", key(f"{prefix}_cpu_p50_ns", US), "{:.1f}"),
        Column("Gen 0+1 p50", key(f"{prefix}_gen1_p50_ns", US), "{:.0f}"),
        Column("Gen 0 MB", key(f"{prefix}_gen0_budget_bytes", MB), "{:.0f}"),
    )


def weak(kind, title, allocators=("tenure", "libgc")):
    measures = ("register", "young_alive", "young_dead", "full_alive", "full_dead")
    return Experiment(
        name=f"weak-{kind}",
        title=f"A million of {title}: CPU ns that each adds (libgc has full collections only)",
        workload="weak",
        arguments=("--rounds", "3"),
        quick_arguments=("--objects", "100000", "--rounds", "1"),
        allocators=allocators,
        primary=Column("full, alive", key(f"{kind}_full_alive_cpu_ns"), "{:.0f}"),
        columns=tuple(
            Column(measure.replace("_", ", "), key(f"{kind}_{measure}_cpu_ns"), "{:.0f}")
            for measure in measures
            if measure != "full_alive"
        ),
        targets=(Target("full, alive, x libgc", key(f"{kind}_full_alive_cpu_ns"), 1.0, "libgc"),)
        if "libgc" in allocators
        else (),
    )


def intern(threads):
    plural = "s" if threads > 1 else ""
    return Experiment(
        name=f"intern-{threads}",
        title=f"A weak set of a million strings, {threads} thread{plural}",
        workload="intern",
        arguments=("--threads", str(threads)),
        quick_arguments=("--threads", str(threads), "--strings", "100000"),
        allocators=("tenure",),
        primary=Column("M put/s", key("put_per_s", 1e-6), "{:.2f}"),
        columns=(
            Column("M get/s", key("get_per_s", 1e-6), "{:.2f}"),
            Column("M put again/s", key("again_per_s", 1e-6), "{:.2f}"),
            Column("put, CPU ns", key("put_cpu_ns"), "{:.0f}"),
            Column("get", key("get_cpu_ns"), "{:.0f}"),
            Column("put again", key("again_cpu_ns"), "{:.0f}"),
        ),
        targets=(),
        higher_is_better=True,
    )


EXPERIMENTS = (
    binary_trees(1, 1.0),
    binary_trees(2, 1.2),
    gcbench(1),
    gcbench(2),
    cache(
        256,
        "256m",
        (
            # Over all stops: nearly all are young ones, of Gen 0 or of Gen 0+1 as the collector decides.
            Target("pause, median, us of wall time", key("pause_p50_ns", US), 150, form="{:.0f}"),
            Target("time to safepoint, median, us", key("pause_reach_p50_ns", US), 10, form="{:.1f}"),
        ),
    ),
    cache(1024, "1g"),
    Experiment(
        name="idle",
        title="Young pause with 5,000 idle attached threads",
        workload="idle",
        arguments=("--idle", "5000", "--milliseconds", "1000"),
        quick_arguments=("--idle", "5000", "--milliseconds", "300"),
        allocators=("tenure",),
        primary=Column("idle/none", quotient("idle_p50_ns", "alone_p50_ns"), "{:.2f}"),
        columns=(
            *idle_columns("none", "alone"),
            *idle_columns("idle", "idle"),
        ),
        targets=(Target("median pause, x none", quotient("idle_p50_ns", "alone_p50_ns"), 1.3),),
    ),
    Experiment(
        name="micro",
        title="Inlined calls, ns (for malloc: malloc and free)",
        workload="micro",
        arguments=(),
        quick_arguments=("--calls", "500000"),
        allocators=ALL,
        primary=Column("allocate 24 bytes", key("allocate_ns"), "{:.2f}"),
        columns=(
            Column("store, young", key("store_young_ns"), "{:.2f}"),
            Column("store, old logged", key("store_old_ns"), "{:.2f}"),
            Column("store, old first", key("store_first_ns"), "{:.1f}"),
            Column("poll", key("poll_ns"), "{:.2f}"),
        ),
        targets=(),
    ),
    weak("weak", "weak references"),
    weak("finalizer", "finalizers"),
    weak("ephemeron", "ephemerons", ("tenure",)),
    weak("cleaner", "cleaners", ("tenure",)),
    intern(1),
    intern(2),
)
