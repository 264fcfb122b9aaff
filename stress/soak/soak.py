#!/usr/bin/env python3
"""The server under redis-benchmark, with faults, while clients of its own check every value.

usage: soak.py TENURE-SERVER [--minutes M] [--seed N] [--threads N] [--keys N] [--heap WORDS] [--rest R] [--keep DIRECTORY]

Ends with status 0 and "nothing wrong", or with 1 and what was: then the directory that it names has the log of the faults, the
server's output with a line for each collection, its INFO, where its threads were, and its core if the system writes
cores. The draws follow from the seed, which is printed; how threads interleave does not."""
import argparse
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import checker
import faults
import load
import watch
from resp import Broken, Patience

CHECKERS = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("server")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--threads", type=int, default=2, help="worker threads of the server")
    parser.add_argument("--keys", type=int, default=8000, help="checked keys of each of the two checking clients")
    parser.add_argument("--heap", default="max_heap=384m", help="options of the heap")
    parser.add_argument("--rest", type=float, default=0.5, help="pause between rounds of load, as a share of a round")
    parser.add_argument("--keep", help="where to leave the logs even if nothing is wrong")
    return parser.parse_args()


class Soak:
    def __init__(self, options):
        self.options = options
        self.started = time.monotonic()
        self.directory = options.keep or tempfile.mkdtemp(prefix="tenure-soak-")
        os.makedirs(self.directory, exist_ok=True)
        self.log = open(os.path.join(self.directory, "soak.log"), "w", buffering=1)
        self.over = multiprocessing.Event()        # no more faults and load
        self.wrong = []                             # texts
        self.counts, self.latencies = {}, []
        self.memory, self.peak = watch.Memory(), 0

    def note(self, text, loud=False):
        line = f"{time.monotonic() - self.started:9.3f} s  {text}"
        print(line, file=self.log)
        if loud:
            print(line, flush=True)

    # --- begin ---

    def start_server(self):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        self.output_path = os.path.join(self.directory, "server.log")
        words = [os.path.abspath(self.options.server), "--port", "0", "--threads", str(self.options.threads), "--report",
                 "--heap", ",".join(filter(None, ["log=gc", self.options.heap]))]
        self.note(" ".join(words))
        with open(self.output_path, "w") as output:
            self.server = subprocess.Popen(words, stdout=output, stderr=output, cwd=self.directory)
        while not (ready := re.search(r"ready at \S+:(\d+),", open(self.output_path).read())):
            if self.server.poll() is not None:
                sys.exit(f"soak: the server did not start: {open(self.output_path).read()}")
            time.sleep(0.05)
        self.port = int(ready.group(1))

    def start_checkers(self):
        self.checkers = []
        for number in range(CHECKERS):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.Process(target=checker.work, daemon=True, args=(
                number, self.port, self.options.seed, self.options.keys, 20, self.options.rest * 0.004, self.over, theirs))
            process.start()
            theirs.close()
            self.checkers.append([process, ours, {}])

    # --- while it runs ---

    def hear(self, wait_s):
        """What the checkers say. False: none of them is left."""
        pipes = [pipe for _, pipe, _ in self.checkers if not pipe.closed]
        for pipe in multiprocessing.connection.wait(pipes, wait_s) if pipes else ():
            entry = next(e for e in self.checkers if e[1] is pipe)
            try:
                what, *rest = pipe.recv()
            except EOFError:
                self.wrong.append("a checker ended without a word")
                pipe.close()
                continue
            if what == "wrong":
                self.wrong.append(rest[0])
                pipe.close()
            else:
                entry[2] = rest[0]
                self.latencies += rest[1]
                if what == "end":
                    pipe.close()
        return bool(pipes)

    def make_faults(self):
        try:
            while not self.over.is_set():
                self.faults.next(self.over)
        except (Broken, OSError) as error:
            if not self.over.is_set():
                self.wrong.append(f"during a fault: {error}")

    def total(self, name):
        return sum(counts.get(name, 0) for _, _, counts in self.checkers)

    def progress(self, samples):
        try:
            info = watch.information(self.port)
            beside_heap = watch.resident_beside_heap_bytes(self.server.pid)
            self.peak = watch.peak_resident_bytes(self.server.pid)
        except (Broken, OSError, ValueError, StopIteration) as error: # the last two: there is no process any more
            self.wrong.append(f"INFO: {error!r}")
            return
        at_s = time.monotonic() - self.started
        self.memory.add(at_s, info, beside_heap)
        with open(os.path.join(self.directory, "info.jsonl"), "a") as out:
            print(json.dumps({"at_s": at_s, "beside_heap": beside_heap, **info}), file=out)
        self.note(f"{self.total('read and right')} reads right, {self.total('written')} written, "
                  f"{sum(self.faults.counts.values())} faults, {int(info['used_memory_rss']) / 1e6:.0f} MB resident, "
                  f"{beside_heap / 1e6:.0f} MB of it beside the heap, collections {info['gc_gen0_collections']}"
                  f" + {info['gc_gen1_collections']} + {info['gc_gen2_collections']}", loud=True)

    def run(self):
        end = self.started + self.options.minutes * 60
        every_s = min(60.0, max(5.0, self.options.minutes * 6))
        next_progress = time.monotonic()
        while time.monotonic() < end and not self.wrong:
            self.hear(0.2)
            if self.server.poll() is not None:
                self.wrong.append(f"the server ended with status {self.server.returncode}")
            if time.monotonic() >= next_progress and not self.wrong:
                self.progress(every_s)
                next_progress = time.monotonic() + every_s

    # --- end ---

    def leave_evidence(self):
        """Before the server is gone."""
        self.note("; ".join(self.wrong), loud=True)
        task = f"/proc/{self.server.pid}/task"
        with open(os.path.join(self.directory, "threads.txt"), "w") as out:
            for thread in os.listdir(task) if os.path.isdir(task) else ():
                for what in ("comm", "wchan", "syscall", "status", "stack"):
                    try:
                        print(thread, what, open(f"{task}/{thread}/{what}").read(), file=out)
                    except OSError:
                        pass
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGCONT)
            self.server.send_signal(signal.SIGABRT)

    def finish_checkers(self):
        """The last full pass of each, and the deletion of everything."""
        patience = Patience(600)
        while not self.wrong and self.hear(1):
            if patience.is_over():
                self.wrong.append("the last pass took ten minutes")
        for process, _, _ in self.checkers:
            if self.wrong:
                process.kill()
            process.join()

    def finish_server(self):
        self.server.send_signal(signal.SIGTERM)
        patience = Patience(120)
        while self.server.poll() is None:
            if patience.is_over():
                self.wrong.append("the server does not end")
                return
            time.sleep(0.1)
        if self.server.returncode != 0:
            self.wrong.append(f"the server ended with status {self.server.returncode}")
        said = open(self.output_path).read()
        if "tenure-server stopped" not in said:
            self.wrong.append("the server did not say that it stopped")
        print("".join(line for line in said.splitlines(True) if not line.startswith("tenure: gc")), flush=True)

    def report(self):
        self.note("", loud=True)
        for name in ("commands", "read and right", "written", "deleted", "refused for memory", "connections broken off",
                     "full passes"):
            print(f"  {name:24} {self.total(name)}")
        print(f"  faults                   {json.dumps(self.faults.counts)}")
        print(f"  redis-benchmark          {self.load.rounds} rounds, {self.load.unfinished} of them killed or refused")
        print(f"  one command and its answer, us: p50 {watch.percentile(self.latencies, 50)}, p99 "
              f"{watch.percentile(self.latencies, 99)}, p99.9 {watch.percentile(self.latencies, 99.9)}, longest "
              f"{max(self.latencies, default=0)} ({len(self.latencies)} of them)")
        flat, text = self.memory.verdict()
        print(f"  memory: {text}; peak {self.peak / 1e6:.0f} MB resident")
        if not flat:
            self.wrong.append("memory is not flat: " + text)

    def carry_out(self):
        options = self.options
        self.note(f"seed {options.seed}: {options.minutes:g} minutes, logs in {self.directory}", loud=True)
        self.start_server()
        self.start_checkers()
        self.load = load.Load(self.port, options.seed, options.rest, self.over)
        self.faults = faults.Faults(self.server, self.load, options.seed, self.note)
        fault_thread = threading.Thread(target=self.make_faults, daemon=True)
        fault_thread.start()
        self.run()
        self.over.set()
        if self.wrong:
            self.leave_evidence()
        fault_thread.join()
        self.load.end()
        self.finish_checkers()
        if not self.wrong:
            self.finish_server()
        self.report()
        if self.wrong:
            if self.server.poll() is None:
                self.leave_evidence()
            print("soak: WRONG: " + "\n".join(self.wrong))
            print(f"soak: seed {options.seed}, evidence in {self.directory}")
            return 1
        print(f"soak: nothing wrong, nothing lost (seed {options.seed})")
        if not options.keep:
            shutil.rmtree(self.directory)
        return 0


if __name__ == "__main__":
    if shutil.which("redis-benchmark") is None:
        print("soak: redis-benchmark is missing (Debian: redis-tools)")
        sys.exit(77)
    soak = Soak(arguments())
    try:
        status = soak.carry_out()
    finally:
        soak.over.set()
        if soak.server.poll() is None:
            soak.server.send_signal(signal.SIGCONT)
            soak.server.kill()
    sys.exit(status)
