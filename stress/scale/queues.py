"""What can queue, event by event: chunks handed out by words on one cache line, workers that take packets from one
stack, threads that report to one counter."""

from heapq import heappop, heappush
from random import Random

from counted import *


class Line:
    """A cache line that cores write, one after the other as they ask for it."""

    def __init__(self): self.free, self.owner = 0, None

    def touch(self, now, core):
        far = self.owner is not None and self.owner // CORES_A_SOCKET != core // CORES_A_SOCKET
        cost = LINE_OWN if self.owner == core else LINE_FAR if far else LINE_NEAR
        self.free, self.owner = max(now, self.free) + cost, core
        return self.free


def run(actors):
    """Generators that yield when they go on; returns when the last one ends."""
    queue, now = [(next(actor), number, actor) for number, actor in enumerate(actors)], 0
    queue.sort()
    while queue:
        now, number, actor = heappop(queue)
        try:
            heappush(queue, (actor.send(now), number, actor))
        except StopIteration:
            pass
    return now


def hand_out(cores, budget, rate, batch_most=BATCH_MOST):
    """Threads spend a budget as allocation/nursery.c hands it out, until one is refused; all of them, if the rate is 0:
    they do nothing else. Returns ns, and the bytes allocated by then."""
    line, blocks, taken, version, refused, chunks = Line(), budget // BLOCK, [0], [0], [], []

    def mutator(core):
        batch, now = 0, (yield core * 100.0)
        while rate == 0 or not refused:
            now = yield line.touch(now, core)  # batch() reads what is left
            batch = max(1, min(batch * 2, batch_most, max(0, blocks - taken[0]) // 16))
            now = yield line.touch(now, core)  # within_budget
            if taken[0] + batch > blocks:
                refused.append(now)
                return
            taken[0] += batch
            now, seen = (yield line.touch(now, core)), None  # charge
            while seen != version[0]:  # pop_several: along the links, and again if somebody else was faster
                now = yield line.touch(now, core)
                seen = version[0]
                now = yield now + batch * LINE_NEAR
                now = yield line.touch(now, core)
            version[0] += 1
            for _ in range(3):  # free_count, generation_blocks, gen0_count
                now = yield line.touch(now, core)
            chunks.append((now, batch * BLOCK))
            now = yield now + batch * BLOCK / rate if rate else now
    end = run([mutator(core) for core in range(cores)])
    if rate == 0: return end, budget
    return refused[0], sum(min(size, max(0, refused[0] - begun) * rate) for begun, size in chunks)


def mark(cores, shape):
    """Workers share one table's objects by packets, as collection/trace.c does. The part of the time they mark."""
    workers, weight = min(cores, WORKERS_MOST), WEIGHT[shape]
    each = weight * object_ns(MARK[shape], MARK_RATE, cores, 64 * GIB, True)
    shared, free, working, packets, done = Line(), Line(), [0], [], [0]
    pieces = [max(1, workers * SAMPLE // weight // PIECE)]

    def worker(core):
        things, heads = 0, int(core == 0)  # references on its stack, and the rest of the table below them
        now = yield core * 300
        working[0] += 1
        while True:
            while things or heads:
                if not things:
                    heads, things = int(pieces[0] > 0), PIECE * (pieces[0] > 0)
                    pieces[0] -= 1
                    now = yield now + PIECE
                    continue
                step = min(things, max(1, 32 // weight))
                things, done[0] = things - step, done[0] + step
                now = yield now + step * each
                half = (things + heads) // 2 if things + heads > 4 and not packets else 0
                while half:  # the oldest first
                    count = min(half, PACKET)
                    now = yield free.touch(now, core)
                    now = yield shared.touch(now, core)
                    packets.append((count - heads, heads))
                    heads, things, half = 0, things - count + heads, half - count
            now = yield shared.touch(now, core)
            busy = True
            while not packets or not busy:  # working changes on the same line
                if not busy and not packets and working[0] == 0: return
                if busy or packets:
                    busy = not busy
                    working[0] += 1 if busy else -1
                    now = yield shared.touch(now, core)
                now = yield shared.touch(now, core) if busy else now + LOOK
            things, heads = packets.pop()
            now = yield free.touch(now, core)
    elapsed = run([worker(core) for core in range(workers)])
    return done[0] * each / elapsed / workers


def threads_ns(cores, threads, stack_lines, running=True):
    """Of a stop: request, threads that come to a safepoint and report, what is read of each, resume."""
    random, near, far = Random(1), LINE_NEAR if running else memory(cores), LINE_FAR if running else memory(cores)
    lines = [far if i // CORES_A_SOCKET % sockets(cores) else near for i in range(threads)]
    asked, outstanding = 2 * sum(lines[1:]), Line()  # the limit, the state

    def reporter(core):
        now = yield asked * core / threads + random.random() * POLL + lines[core]
        yield outstanding.touch(now, core)
    reached = max(asked, run([reporter(i) for i in range(1, threads)]) if running else 0)
    pinning = min(cores, WORKERS_MOST) if running and threads > 8 else 1
    return reached + sum(lines) * (RECORD_LINES + stack_lines / IN_FLIGHT / pinning) + sum(lines[1:])
