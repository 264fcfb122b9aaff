"""What the model of scale.py is made of. Units: ns, bytes, objects; GB/s are bytes/ns. COUNTED comes from count.c and
the cache under cachegrind and from reading the code; FITTED makes the first lines of the check agree that scale.py
prints; ASSUMED is of no machine in particular, but memory and caches were chosen with the rest of the check known."""

# COUNTED, an object: instructions; misses of D1 (32 KiB), of the last level (1 MiB), of the latter when reading
MARK = {"entries": (165, 0.98, 0.877, 0.846), "trees": (159, 0.54, 0.534, 0.515)}
COPY = {"entries": (285, 3.10, 3.04, 1.61), "trees": (253, 1.07, 1.01, 0.502)}
COPY_CACHE = (931, 6.34, 0.50, 0.23)  # a young collection of the cache, all of it, for each object that it copies
CACHE_OBJECTS, CARDS_OF = 190 / 2**20, 0.37  # copied for each byte allocated; dirty cards for each of them
BYTES, WEIGHT = {"entries": 88, "trees": 32}, {"entries": 2, "trees": 63}  # an object; objects a reference leads to
BLOCK, PACKET, PIECE, BATCH_MOST, WORKERS_MOST, GIB = 32768, 63, 1024, 8, 61, 1 << 30
# FITTED: instructions a ns; ns that an atomic adds; ns of a stop beside threads and copying
MARK_RATE, COPY_RATE, ATOMIC, STOP_FIXED = 18.7, 13.2, 2.5, 10000
# ASSUMED
CORES_A_SOCKET, GB_S_A_SOCKET, GB_S_A_THREAD, L3_BYTES = 32, 150, 10, 32 << 20
MEMORY_NEAR, MEMORY_FAR, IN_FLIGHT, L3_HIT, LINE_OWN = 90, 140, 8, 10, 2  # a miss; misses at a time; a miss of L2 only
LINE_NEAR, LINE_FAR = 50, 140  # a line moves to another core of the socket, of another
ALLOCATION, POLL, LOOK, SWEEP = 1.0, 200, 100, 300  # GB/s a core; to a poll at most; an idle worker looks; CPU a block
STACK_LINES, RECORD_LINES = 16, 10  # of a running thread, in a stop
TLB_BYTES, WALKS = 6 << 30, 2 * 25 / 8  # what huge pages cover; two walks an object beyond, eight at a time
SAMPLE = 24000  # objects that a worker marks in the simulation


def sockets(cores): return -(-cores // CORES_A_SOCKET)


def memory(cores): return MEMORY_NEAR + (MEMORY_FAR - MEMORY_NEAR) * (1 - 1 / sockets(cores))  # heap on all alike


def object_ns(counts, rate, cores, live, helped):
    """A worker's time for an object: instructions or misses in flight, whichever takes longer."""
    instructions, d1, last, reads = counts
    walks = WALKS * max(0, 1 - TLB_BYTES / live)
    return max(instructions / rate, reads * memory(cores) / IN_FLIGHT) + (d1 - last) * L3_HIT + walks + ATOMIC * helped
