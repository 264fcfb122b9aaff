"""What is measured, against whom, and what is to be reached."""

from dataclasses import dataclass
from typing import Callable, Optional

Result = dict  # the key=value words of one run; numbers are floats


@dataclass(frozen=True)
class Column:
    title: str
    value: Callable[[Result], float]
    form: str = "{:.2f}"
    compared: bool = False  # ratios are shown, as of an experiment's primary column


@dataclass(frozen=True)
class Target:
    """value of Tenure's run, or its ratio to the best of some peers of the same round, compared with bound. own: which run
    is Tenure's, if not that of the experiment's first peer."""

    title: str
    value: Callable[[Result], float]
    bound: float
    against: tuple = ()
    at_least: bool = False
    form: str = "{:.2f}"
    own: Optional[str] = None

    def holds(self, measured):
        return measured >= self.bound if self.at_least else measured <= self.bound


@dataclass(frozen=True)
class Across:
    """The largest over the smallest median of Tenure's value in the experiments of those names."""

    title: str
    names: tuple
    value: Callable[[Result], float]
    bound: float
    at_least = False
    form = "{:.2f}"
    holds = Target.holds


@dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    workload: str  # what peers.py calls it by
    arguments: tuple
    quick_arguments: tuple
    peers: tuple  # the first is Tenure
    primary: Column  # of which ratios are shown
    columns: tuple
    targets: tuple = ()
    heap_bytes: float = 0  # limit that HotSpot is given; the others read the arguments
    memory_bytes: float = 0  # that has to be free
    environment: tuple = ()  # name, value pairs
    quick_environment: tuple = ()  # instead of it


def key(name, scale=1.0):
    return lambda result: result[name] * scale


def quotient(above, below):
    return lambda result: result[above] / result[below]


def plural(threads):
    return f"{threads} thread{'s' if threads > 1 else ''}"


MALLOCS = ("glibc", "mimalloc", "jemalloc")
C_PEERS = ("tenure", "libgc", *MALLOCS, "bump")
HOTSPOT = ("hotspot-serial", "hotspot-parallel", "hotspot-g1", "hotspot-zgc")
WHIPPET = (
    "whippet-pcc",
    "whippet-generational-pcc",
    "whippet-parallel-mmc",
    "whippet-parallel-generational-mmc",
    "whippet-stack-conservative-parallel-mmc",
    "whippet-stack-conservative-parallel-generational-mmc",
)
EVERYBODY = (*C_PEERS, *HOTSPOT, "go")
EVERYBODY_ALONE = (*EVERYBODY, "ocaml")  # who has no threads
EQUAL = ("tenure-small-pages", "hotspot-parallel-equal", "hotspot-parallel-thp")
US, MS, MB = 1e-3, 1e-6, 1e-6

WALL = Column("wall s", key("wall_seconds"), "{:.3f}")
START = Column("start s", key("start_seconds"))
COMMON = (
    Column("CPU s", key("cpu_seconds"), "{:.2f}", compared=True),
    Column("peak MB", key("peak_rss_bytes", MB), "{:.0f}", compared=True),
)
CPU_EACH = Column(
    "CPU us each",
    lambda result: result["cpu_seconds"] / (result["requests_per_s"] * result["wall_seconds"]) * 1e6,
    compared=True,
)
GC_TIME = Column("GC s", key("pause_seconds"), "{:.3f}")
REQUESTS = Column("M requests/s", key("requests_per_s", 1e-6), "{:.2f}")
LATENCY = (
    Column("p50 us", key("latency_p50_ns", US), "{:.2f}"),
    Column("p99.9 us", key("latency_p999_ns", US), "{:.1f}"),
    Column("p99.99 us", key("latency_p9999_ns", US), "{:.0f}"),
    Column("max ms", key("latency_max_ns", MS), "{:.1f}"),
)
PEAK_RSS = key("peak_rss_bytes")
RSS_OVER_LIVE = quotient("peak_rss_bytes", "live_bytes")
MANY_SURVIVORS = Target("young pause, many survivors, p99 ms", key("minor_p99_ns", MS), 3)


def binary_trees(threads, *targets):
    return Experiment(
        name=f"binary_trees-{threads}",
        title=f"Binary trees, depth 18, {plural(threads)}",
        workload="binary_trees",
        arguments=("--depth", "18", "--threads", str(threads)),
        quick_arguments=("--depth", "15", "--threads", str(threads)),
        peers=EVERYBODY_ALONE if threads == 1 else EVERYBODY,
        primary=WALL,
        columns=(START, *COMMON, GC_TIME),
        targets=(
            *targets,
            Target("time, x libgc", WALL.value, 0.25, ("libgc",)),
            Target("peak RSS, x live", RSS_OVER_LIVE, 3),
            MANY_SURVIVORS,
        ),
    )


def gcbench(threads):
    # What lives at the peak in one thread: two trees of depth 16 and half a million doubles.
    heap_bytes = (2 * 131071 * 32 + 500000 * 8) * 2.5 * threads
    arguments = ("--threads", str(threads), "--heap-percent", "250")
    return Experiment(
        name=f"gcbench-{threads}",
        title=f"GCBench with holes, heap 2.5x live ({heap_bytes * MB:.0f} MB), {plural(threads)}",
        workload="gcbench",
        arguments=arguments,
        quick_arguments=arguments,
        peers=(*(EVERYBODY_ALONE if threads == 1 else EVERYBODY), *WHIPPET),
        primary=WALL,
        columns=(START, *COMMON, GC_TIME),
        targets=(
            Target("time, x Whippet's best", WALL.value, 0.8, WHIPPET),
            Target("time, x libgc", WALL.value, 0.6, ("libgc",)),
            Target("peak RSS, x Whippet's least", PEAK_RSS, 1, WHIPPET),
        ),
        heap_bytes=heap_bytes,
    )


def cache(mebibytes, label, peers, targets=(), memory_bytes=0):
    common = ("--threads", "2", "--live-mib")
    return Experiment(
        name=f"cache-{label}",
        title=f"Requests over a live cache, {mebibytes} MiB live, 2 threads",
        workload="cache",
        arguments=(*common, str(mebibytes), "--milliseconds", "1500"),
        quick_arguments=(*common, str(min(mebibytes, 128)), "--milliseconds", "400"),
        peers=peers,
        primary=REQUESTS,
        columns=(*LATENCY, CPU_EACH, COMMON[1], START),
        targets=(*targets, *CACHE_TARGETS),
        memory_bytes=memory_bytes,
    )


EQUAL_TARGETS = (
    Target("requests/s, x HotSpot Parallel's at equal RSS", REQUESTS.value, 1.2, ("hotspot-parallel-equal",), True),
    Target(
        "requests/s, both with small pages, x HotSpot Parallel's",
        REQUESTS.value,
        1,
        ("hotspot-parallel",),
        True,
        own="tenure-small-pages",
    ),
    Target(
        "requests/s, both with huge pages, x HotSpot Parallel's", REQUESTS.value, 1, ("hotspot-parallel-thp",), True
    ),
    Target("requests/s, x libgc", REQUESTS.value, 3.5, ("libgc",), True),
)
CACHE_TARGETS = (
    Target("peak RSS, x live", RSS_OVER_LIVE, 2),
    Target("young pause, few survivors, p50 us", key("minor_p50_ns", US), 60, form="{:.0f}"),
    Target("young pause, few survivors, p99 us", key("minor_p99_ns", US), 150, form="{:.0f}"),
    Target("time to safepoint, p50 us", key("pause_reach_p50_ns", US), 5, form="{:.1f}"),
    Target("time to safepoint, p99 us", key("pause_reach_p99_ns", US), 20, form="{:.1f}"),
)


def threads(count):
    common = ("--live-mib", "64", "--threads", str(count), "--milliseconds")
    return Experiment(
        name=f"threads-{count}",
        title=f"Requests over a live cache, 64 MiB live, {plural(count)}",
        workload="cache",
        arguments=(*common, "600"),
        quick_arguments=(*common, "200"),
        peers=EVERYBODY,
        primary=REQUESTS,
        columns=(*LATENCY, CPU_EACH, COMMON[1], START),
    )


def fixed_work(name, title, quick_arguments):
    """The time that a workload takes, in one thread."""
    return Experiment(
        name=name,
        title=title,
        workload=name,
        arguments=(),
        quick_arguments=quick_arguments,
        peers=EVERYBODY_ALONE,
        primary=WALL,
        columns=(START, *COMMON, GC_TIME),
    )


def start_up(mebibytes):
    common = ("--milliseconds", "0", "--threads", "2", "--live-mib")
    return Experiment(
        name=f"start_up-{mebibytes}m",
        title=f"Start-up: filling the cache with {mebibytes} MiB, all of which survives, 2 threads",
        workload="cache",
        arguments=(*common, str(mebibytes)),
        quick_arguments=(*common, "64"),
        peers=EVERYBODY,
        primary=WALL,
        columns=(START, *COMMON, GC_TIME),
        targets=(MANY_SURVIVORS,),
    )


def mark(markers, bound):
    return Experiment(
        name=f"mark-{markers}",
        title=f"Full stop-the-world collections of 4 million objects, {markers} marker{'s' if markers > 1 else ''}",
        workload="mark",
        arguments=(),
        quick_arguments=("--objects", "1000000", "--rounds", "2"),
        peers=("tenure", "libgc"),
        primary=Column("trees: M/s", key("trees_objects_per_s", 1e-6), "{:.1f}"),
        columns=(
            Column("CPU ns each", key("trees_cpu_ns"), "{:.1f}"),
            Column("random: M/s", key("random_objects_per_s", 1e-6), "{:.1f}"),
            Column("CPU ns each", key("random_cpu_ns"), "{:.1f}"),
            Column("lists: M/s", key("lists_objects_per_s", 1e-6), "{:.1f}"),
            Column("CPU ns each", key("lists_cpu_ns"), "{:.1f}"),
            COMMON[1],
        ),
        targets=(
            Target("objects/s, trees, x libgc", key("trees_objects_per_s"), bound, ("libgc",), True),
            Target("objects/s, at random, x libgc", key("random_objects_per_s"), bound, ("libgc",), True),
        ),
        environment=(("TENURE_OPTIONS", f"workers={markers}"), ("GC_MARKERS", str(markers))),
    )


def server(test):
    """All tests are one run, which these experiments share."""
    per_cpu = Column("per CPU second", key(f"{test}: per CPU second"), "{:.0f}")
    p999 = Column("p99.9 ms", key(f"{test}: p99.9 ms"), "{:.2f}", compared=True)
    return Experiment(
        name="server-" + test.lower().replace(",", "").replace(" ", "_"),
        title=f"Server, {test}, 50 clients",
        workload="server",
        arguments=(),
        quick_arguments=(),
        peers=("server-tenure", "server-redis"),
        primary=per_cpu,
        columns=(
            Column("per second", key(f"{test}: per second"), "{:.0f}", compared=True),
            Column("p99 ms", key(f"{test}: p99 ms")),
            p999,
            COMMON[1],
        ),
        targets=(
            Target(f"{test}: requests per CPU second, x redis-server", per_cpu.value, 1, ("server-redis",), True),
            Target(f"{test}: p99.9, x redis-server", p999.value, 1.5, ("server-redis",)),
        ),
        environment=(("KEYS", "200000"), ("REQUESTS", "100000")),
        quick_environment=(("KEYS", "20000"), ("REQUESTS", "3000")),
    )


SERVER_TESTS = (
    "PING",
    "GET",
    "SET",
    "SET 1 KB",
    "SET 16 KB",
    "INCR",
    "LPUSH",
    "LPOP",
    "SADD",
    "HSET",
    "SPOP",
    "LRANGE 100",
    "MSET 10 keys",
    "GET, pipeline 16",
    "SET, pipeline 16",
    "SET, pipeline 64",
    "INCR, pipeline 16",
)


def idle_columns(title, prefix):
    return (
        Column(f"{title}: p50 us", key(f"{prefix}_p50_ns", US), "{:.1f}"),
        Column("p99", key(f"{prefix}_p99_ns", US), "{:.0f}"),
        Column("CPU p50", key(f"{prefix}_cpu_p50_ns", US), "{:.1f}"),
        Column("reach p50", key(f"{prefix}_reach_p50_ns", US), "{:.2f}"),
        Column("Gen 0+1 p50", key(f"{prefix}_gen1_p50_ns", US), "{:.0f}"),
        Column("Gen 0 MB", key(f"{prefix}_gen0_budget_bytes", MB), "{:.0f}"),
    )


def idle(count):
    return Experiment(
        name=f"idle-{count}",
        title=f"Young pause with {count:,} idle attached threads, and with none",
        workload="idle",
        arguments=("--idle", str(count), "--milliseconds", "1000"),
        quick_arguments=("--idle", str(count), "--milliseconds", "300"),
        peers=("tenure",),
        primary=Column("idle/none", quotient("idle_p50_ns", "alone_p50_ns"), "{:.2f}"),
        columns=(*idle_columns("none", "alone"), *idle_columns("idle", "idle"), *COMMON),
        targets=(
            Target("median pause, x none", quotient("idle_p50_ns", "alone_p50_ns"), 1.2),
            Target("median time to safepoint, x none", quotient("idle_reach_p50_ns", "alone_reach_p50_ns"), 1.2),
        ),
    )


def weak(kind, title, peers=("tenure", "libgc")):
    measures = ("register", "young_alive", "young_dead", "full_alive", "full_dead")
    return Experiment(
        name=f"weak-{kind}",
        title=f"A million of {title}: CPU ns that each adds (libgc has full collections only)",
        workload="weak",
        arguments=("--rounds", "1"),
        quick_arguments=("--objects", "100000", "--rounds", "1"),
        peers=peers,
        primary=Column("full, alive", key(f"{kind}_full_alive_cpu_ns"), "{:.0f}"),
        columns=(
            *(
                Column(measure.replace("_", ", "), key(f"{kind}_{measure}_cpu_ns"), "{:.0f}")
                for measure in measures
                if measure != "full_alive"
            ),
            *COMMON,
        ),
        targets=(Target("full, alive, x libgc", key(f"{kind}_full_alive_cpu_ns"), 1.0, ("libgc",)),)
        if "libgc" in peers
        else (),
    )


def intern(threads):
    return Experiment(
        name=f"intern-{threads}",
        title=f"A weak set of a million strings, {plural(threads)}",
        workload="intern",
        arguments=("--threads", str(threads)),
        quick_arguments=("--threads", str(threads), "--strings", "100000"),
        peers=("tenure",),
        primary=Column("M put/s", key("put_per_s", 1e-6), "{:.2f}"),
        columns=(
            Column("M get/s", key("get_per_s", 1e-6), "{:.2f}"),
            Column("M put again/s", key("again_per_s", 1e-6), "{:.2f}"),
            Column("put, CPU ns", key("put_cpu_ns"), "{:.0f}"),
            Column("get", key("get_cpu_ns"), "{:.0f}"),
            Column("put again", key("again_cpu_ns"), "{:.0f}"),
            *COMMON,
        ),
    )


RING = Experiment(
    name="ring",
    title="A ring of 200,000 messages of 1 KiB, 2 million pushed, 1 thread",
    workload="ring",
    arguments=(),
    quick_arguments=("--messages", "200000"),
    peers=EVERYBODY_ALONE,
    primary=Column("max ms", key("latency_max_ns", MS)),
    columns=(WALL, *LATENCY[:3], *COMMON, START),
)

MICRO = Experiment(
    name="micro",
    title="Inlined calls, ns (for malloc: malloc and free; a store of theirs is plain)",
    workload="micro",
    arguments=(),
    quick_arguments=("--calls", "500000"),
    peers=("tenure", "libgc", *MALLOCS),
    primary=Column("allocate 24 bytes", key("allocate_ns"), "{:.2f}"),
    columns=(
        Column("store, young", key("store_young_ns"), "{:.2f}"),
        Column("plain", key("plain_young_ns"), "{:.2f}"),
        Column("store, old logged", key("store_old_ns"), "{:.2f}"),
        Column("store, old first", key("store_first_ns"), "{:.1f}"),
        Column("card, sequential", key("card_sequential_ns"), "{:.2f}"),
        Column("plain", key("plain_sequential_ns"), "{:.2f}"),
        Column("card, random", key("card_random_ns"), "{:.2f}"),
        Column("plain", key("plain_random_ns"), "{:.2f}"),
        Column("poll", key("poll_ns"), "{:.2f}"),
        *COMMON,
    ),
    targets=(
        Target("TENURE_SET into young objects, x plain", quotient("store_young_ns", "plain_young_ns"), 1.5),
        Target("card marking, sequential, x plain", quotient("card_sequential_ns", "plain_sequential_ns"), 2),
        Target("card marking, random, x plain", quotient("card_random_ns", "plain_random_ns"), 2),
    ),
)

EXPERIMENTS = (
    binary_trees(
        1,
        Target("time, x mimalloc", WALL.value, 0.7, ("mimalloc",)),
        Target("time, x HotSpot's best", WALL.value, 0.65, HOTSPOT),
    ),
    binary_trees(2, Target("time, x mimalloc", WALL.value, 0.9, ("mimalloc",))),
    gcbench(1),
    gcbench(2),
    cache(64, "64m", EVERYBODY),
    cache(256, "256m", (*EVERYBODY, *EQUAL), EQUAL_TARGETS),
    cache(1024, "1g", (*EVERYBODY, *EQUAL), EQUAL_TARGETS, 6 << 30),
    cache(4096, "4g", EVERYBODY, (), 14 << 30),
    start_up(256),
    fixed_work("quad_trees", "Quad trees, 1 thread", ("--depth", "7")),
    fixed_work("splay", "Splay tree, 32,768 nodes, 1 thread", ("--operations", "40000")),
    fixed_work("words", "Counting 4 million words, 1 thread", ("--words", "400000")),
    fixed_work("graph", "Rewiring a graph of 262,144 old nodes, 1 thread", ("--operations", "400000")),
    fixed_work("old_stores", "4 million young objects stored into 262,144 old ones, 1 thread", ("--operations", "400000")),
    fixed_work("arrays", "3,000 arrays of 32 KiB to 4 MiB, 1 thread", ("--arrays", "300")),
    RING,
    *map(threads, (1, 2, 4, 16, 64, 256)),
    mark(1, 1.3),
    mark(2, 2),
    MICRO,
    idle(100),
    idle(10000),
    *map(server, SERVER_TESTS),
    weak("weak", "weak references"),
    weak("finalizer", "finalizers"),
    weak("ephemeron", "ephemerons", ("tenure",)),
    weak("cleaner", "cleaners", ("tenure",)),
    intern(1),
    intern(2),
)

ACROSS = (
    Across(
        "young pause, p50, 64 MiB to 4 GiB live: largest over smallest",
        ("cache-64m", "cache-256m", "cache-1g", "cache-4g"),
        key("minor_p50_ns"),
        1.2,
    ),
)
