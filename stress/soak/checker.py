"""A process that owns a share of the keys, knows what each has to hold, and writes, reads, deletes and checks it."""
import random
import time
import traceback

import data
from resp import Broken, Connection, Patience, Refused, encode

PATIENCE_S = 120


class Wrong(Exception):
    """The server answered what it must not."""


class Checker:
    def __init__(self, number, port, seed, keys):
        self.random = random.Random(f"{seed} checker {number}")
        self.port = port
        self.names = [b"soak:%d:%d:%d" % (seed, number, i) for i in range(keys)]
        self.versions = [0] * keys      # that the key holds
        self.last_used = [0] * keys     # the highest that was ever written: a version has one content for ever
        self.doubts = {}                # key: the versions that it may hold, where a connection broke
        self.latencies_us = []
        self.counts = dict.fromkeys(("commands", "read and right", "written", "deleted", "refused for memory",
                                     "connections broken off", "full passes"), 0)
        self.connect()

    def connect(self):
        self.connection = Connection(self.port, PATIENCE_S)
        self.identity = self.connection.ask("CLIENT", "ID")

    # --- what may be asked: (key, words, what the answer has to be, what it means for the key) ---

    def next_version(self, key):
        kind, at = data.kind_of(key), self.versions[key]
        if kind in (data.Counter, data.Log) and at != 0:
            return at + 1
        if kind is data.Counter:
            return 1
        # Not one that it ever had: an old value that comes back is to be seen. A log starts with its first piece.
        version = self.last_used[key] + 1
        return version if kind is not data.Log else version + -(version - 1) % data.Log.LENGTH

    def plan_read(self, key):
        kind = data.kind_of(key)
        words, expected = kind.read(self.names[key], self.versions[key])
        return [(key, words, ("holds", kind, expected), None)]

    def plan_write(self, key):
        version = self.next_version(key)
        commands = data.kind_of(key).write(self.names[key], version)
        self.last_used[key] = max(version, self.last_used[key])
        return [(key, words, ("deletes",) if words[0] == b"DEL" else ("writes",), 0 if words[0] == b"DEL" else version)
                for words in commands]

    def plan_delete(self, key):
        return [(key, [b"DEL", self.names[key]], ("deletes",), 0)]

    def plan(self, size):
        dice = self.random.random
        steps = []
        for key in self.random.sample(range(len(self.names)), size):
            if key in self.doubts:
                continue
            steps += self.plan_write(key) if (d := dice()) < 0.4 else self.plan_delete(key) if d < 0.48 else self.plan_read(key)
        return steps

    # --- answers ---

    def judge(self, key, words, demand, version, answer):
        if isinstance(answer, Refused):
            if not str(answer).startswith("OOM"):
                raise Wrong(f"{words[0].decode()} {self.names[key].decode()}: {answer}")
            self.counts["refused for memory"] += 1
            if demand[0] == "writes" and issubclass(data.kind_of(key), data.Several):
                self.doubts[key] = None # a part of the elements may have been added
            return
        self.counts["commands"] += 1
        if demand[0] == "holds":
            if isinstance(answer, list):
                for element in answer:
                    if isinstance(element, Refused):
                        raise Wrong(f"inside {self.names[key].decode()}: {element}")
            found = data.normal(demand[1], answer)
            if found != demand[2]:
                raise Wrong(f"{self.names[key].decode()} version {self.versions[key]}: "
                            + data.difference(demand[2], found))
            self.counts["read and right"] += 1
        elif demand[0] == "deletes":
            if self.doubts.get(key, ()) is not None and answer != (1 if self.versions[key] else 0):
                raise Wrong(f"DEL {self.names[key].decode()} version {self.versions[key]}: answered {answer!r}")
            self.versions[key] = 0
            self.counts["deleted"] += 1
        else:
            self.versions[key] = version
            self.counts["written"] += 1

    def run(self, steps):
        if not steps:
            return
        start = time.monotonic()
        self.connection.send(b"".join(encode(words) for _, words, _, _ in steps))
        for step in steps:
            self.judge(*step, self.connection.reply())
        if len(steps) == 1:
            self.latencies_us.append(int((time.monotonic() - start) * 1e6))
        self.clear_parts()

    def clear_parts(self):
        """Deletes what is in parts since memory was refused. Deleting needs none."""
        for key in [k for k, versions in self.doubts.items() if versions is None]:
            answer = self.connection.ask(b"DEL", self.names[key])
            if answer not in (0, 1):
                raise Wrong(f"DEL {self.names[key].decode()}: {answer!r}")
            self.versions[key] = 0
            del self.doubts[key]

    # --- a client that dies ---

    def break_off(self, steps):
        """Sends the steps or a part of them and dies. What was written has the old or one of the new versions afterwards."""
        request = b"".join(encode(words) for _, words, _, _ in steps)
        sent = request[: self.random.randrange(len(request) + 1)]
        for key, _, demand, version in steps:
            if demand[0] != "holds":
                self.doubts.setdefault(key, {self.versions[key]}).add(version)
        self.connection.send(sent)
        if self.random.random() < 0.5:
            time.sleep(self.random.random() * 0.01)
        gone = self.identity
        self.connection.slam()
        self.counts["connections broken off"] += 1
        self.connect()
        self.wait_until_gone(gone)
        self.settle_doubts()

    def wait_until_gone(self, identity):
        """What the server had read of the dead connection it still carries out."""
        patience = Patience(PATIENCE_S)
        while b"id=%d " % identity in self.connection.ask("CLIENT", "LIST"):
            if patience.is_over():
                raise Wrong(f"client {identity} is gone for {PATIENCE_S} s and still listed")
            time.sleep(0.002)

    def settle_doubts(self):
        for key, versions in list(self.doubts.items()):
            kind, name = data.kind_of(key), self.names[key]
            words, _ = kind.read(name, 0)
            found = data.normal(kind, self.connection.ask(*words))
            held = [v for v in versions if found == kind.read(name, v)[1]]
            if held:
                self.versions[key] = held[0]
                del self.doubts[key]
            elif issubclass(kind, data.Several) and any(kind.is_part(found, kind.read(name, v)[1]) for v in versions):
                self.doubts[key] = None # refused half-way, with nobody there to be told
            else:
                raise Wrong(f"{name.decode()} holds none of the versions {sorted(versions)}: " + "; ".join(
                    data.difference(kind.read(name, v)[1], found) for v in sorted(versions)))
        self.clear_parts()

    # --- the whole ---

    def read_all(self):
        for start in range(0, len(self.names), 64):
            self.run([step for key in range(start, min(start + 64, len(self.names))) if key not in self.doubts
                      for step in self.plan_read(key)])
        self.counts["full passes"] += 1

    def delete_all(self):
        for start in range(0, len(self.names), 64):
            self.run([step for key in range(start, min(start + 64, len(self.names))) for step in self.plan_delete(key)])

    def turn(self):
        dice = self.random.random()
        if dice < 0.004:
            self.break_off(self.plan(self.random.randrange(1, 40)) or self.plan_read(0))
        elif dice < 0.30:
            self.run(self.plan(1)[:1] if self.random.random() < 0.2 else self.plan_read(self.random.randrange(len(self.names))))
        else:
            self.run(self.plan(self.random.randrange(2, 40)))


def work(number, port, seed, keys, pass_s, rest_s, over, pipe):
    """The process. over: an event that ends it. Sends ("report", counts, latencies) now and then, ("end", counts, latencies), or
    ("wrong", text). rest_s: it sleeps between turns, to leave the processors to others."""
    checker = None
    try:
        checker = Checker(number, port, seed, keys)
        next_pass = next_report = time.monotonic()
        while not over.is_set():
            checker.turn()
            now = time.monotonic()
            if now >= next_pass:
                checker.read_all()
                next_pass = time.monotonic() + pass_s
            if now >= next_report:
                pipe.send(("report", dict(checker.counts), checker.latencies_us))
                checker.latencies_us = []
                next_report = now + 1
            if rest_s > 0:
                time.sleep(rest_s)
        checker.read_all()
        checker.delete_all()
        checker.read_all() # absent, all of them
        pipe.send(("end", dict(checker.counts), checker.latencies_us))
    except Wrong as wrong:
        pipe.send(("wrong", f"checker {number}: {wrong}"))
    except TimeoutError:
        pipe.send(("wrong", f"checker {number}: no answer for {PATIENCE_S} s"))
    except (Broken, OSError) as error:
        pipe.send(("wrong", f"checker {number}: {error!r} ({' '.join(traceback.format_exc().split())})"))
    except KeyboardInterrupt:
        pass
