"""What happens to the server and its clients while they work. Every fault is drawn from the seed, written down before it
begins, and undone at its end."""
import os
import random
import signal
import subprocess
import sys
import time

import data
from resp import Broken, Connection, Patience, Refused, encode

SPIN = "import os, sys\nos.nice(19)\nwhile os.getppid() == int(sys.argv[1]): sum(range(100000))"
FILL = """import os, sys, time
os.nice(19)
memory = bytearray(int(sys.argv[2]))
for at in range(0, len(memory), 4096): memory[at] = 1
while os.getppid() == int(sys.argv[1]): time.sleep(0.1)"""


def available_bytes():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


class Faults:
    def __init__(self, server, load, seed, note):
        """note: called with a line for the log."""
        self.server, self.load, self.note = server, load, note
        self.random = random.Random(f"{seed} faults")
        self.counts = {}
        self.longest_refusal_s = 0.0

    def next(self, over):
        """Waits for a while, then does one thing. over: an event that ends the waiting."""
        if over.wait(self.random.uniform(0.2, 4)):
            return
        fault = self.random.choices([self.stop_server, self.stop_load, self.kill_load, self.spin, self.fill_machine,
                                     self.fill_heap, self.silent_clients], [6, 3, 3, 4, 1, 1, 3])[0]
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        fault(over)

    # --- signals ---

    def stop_server(self, over):
        """All its threads stand still wherever they are, in stops too; sometimes again and again."""
        times = self.random.choice([1, 1, 1, 5, 40])
        for_s = self.random.choice([0.001, 0.01, 0.1, 1.5]) if times == 1 else 0.005
        self.note(f"SIGSTOP for {for_s} s, {times} times")
        for _ in range(times):
            self.server.send_signal(signal.SIGSTOP)
            try:
                over.wait(for_s)
            finally:
                self.server.send_signal(signal.SIGCONT)
            over.wait(self.random.random() * 0.01)

    def stop_load(self, over):
        """Clients that do not take their replies."""
        for_s = self.random.uniform(0.05, 2)
        self.note(f"redis-benchmark stands still for {for_s:.2f} s")
        if self.load.signal(signal.SIGSTOP):
            over.wait(for_s)
            self.load.signal(signal.SIGCONT)

    def kill_load(self, over):
        self.note("redis-benchmark killed")
        self.load.signal(signal.SIGKILL)

    # --- the machine ---

    def during(self, over, for_s, script, *words):
        hogs = [subprocess.Popen([sys.executable, "-c", script, str(os.getpid()), *words])]
        while len(hogs) < self.random.randrange(1, 4) and script is SPIN:
            hogs.append(subprocess.Popen([sys.executable, "-c", script, str(os.getpid()), *words]))
        over.wait(for_s)
        for hog in hogs:
            hog.kill()
            hog.wait()

    def spin(self, over):
        for_s = self.random.uniform(0.2, 3)
        self.note(f"others spin for {for_s:.1f} s")
        self.during(over, for_s, SPIN)

    def fill_machine(self, over):
        amount = min(512 << 20, available_bytes() // 8)
        self.note(f"another process takes {amount >> 20} MiB for 2 s")
        self.during(over, 2, FILL, str(amount))

    # --- the server's own limits ---

    def silent_clients(self, over):
        """Two hundred that connect, some with half a request, and go or fall silent."""
        self.note("200 clients with half a request")
        clients = []
        for _ in range(200):
            try:
                client = Connection(self.load.port, 30)
            except OSError:
                break
            request = encode([b"SET", b"silent", b"x" * self.random.choice([10, 1000, 100000])])
            client.send(request[: self.random.randrange(len(request))])
            clients.append(client)
        over.wait(self.random.uniform(0, 2))
        for client in clients:
            client.slam() if self.random.random() < 0.5 else client.close()

    def fill_heap(self, over):
        """Values until the heap has no room: others are refused too, and lose nothing. Then it lets go."""
        self.note("the heap is filled")
        start, stored, refused, freed = time.monotonic(), 0, 0, 0
        client = Connection(self.load.port, 120)
        value = data.filled(b"ballast", 0, 200 * 1024)
        names = []
        # Refused often, or for some time, or never since others are slow: what comes first.
        while refused < 20 and time.monotonic() - start < 20 and not over.is_set():
            names.append(b"ballast:%d" % len(names))
            answer = client.ask(b"SET", names[-1], value if self.random.random() < 0.8 else value[:9000])
            if isinstance(answer, Refused):
                refused += 1
            else:
                stored += 1
        for name in names:
            answer = client.ask(b"DEL", name)
            freed += answer == 1
        # It has let go: what is asked for now has to be had, as soon as a collection has seen it.
        recovery, patience = time.monotonic(), Patience(60)
        while isinstance(client.ask(b"SET", b"ballast", value), Refused):
            if patience.is_over():
                raise Broken("memory is refused a minute after the heap was emptied")
        client.ask(b"DEL", b"ballast")
        self.longest_refusal_s = max(self.longest_refusal_s, time.monotonic() - recovery)
        client.close()
        if freed != stored:
            raise Broken(f"{stored} values of ballast were stored and {freed} found")
        self.note(f"the heap held {stored} values more and refused {refused}; memory came back after "
                  f"{time.monotonic() - recovery:.2f} s; {time.monotonic() - start:.1f} s in all")
