"""redis-benchmark, one round after another until the end: kinds of commands, sizes, clients and pipelines are drawn."""
import random
import subprocess
import threading
import time

from resp import Broken, Connection

ROUNDS = ["set,get", "incr", "lpush,lpop,lrange_100", "rpush,rpop", "sadd,spop", "hset", "mset", "ping_mbulk,set"]


class Load:
    def __init__(self, port, seed, rest, over):
        """rest: how long it pauses after a round, as a share of what the round took."""
        self.port, self.rest, self.over = port, rest, over
        self.random = random.Random(f"{seed} load")
        self.lock = threading.Lock()
        self.process = None # lock
        self.rounds = self.unfinished = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def signal(self, number):
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                return False
            self.process.send_signal(number)
            return True

    def run(self):
        while not self.over.is_set():
            size = self.random.choice([3, 100, 1000, 16000])
            words = ["redis-benchmark", "-p", str(self.port), "-q", "-t", self.random.choice(ROUNDS),
                     "-c", str(self.random.choice([1, 10, 50, 200])), "-P", str(self.random.choice([1, 1, 16])),
                     "-d", str(size), "-r", str(50000 if size < 10000 else 2000),
                     "-n", str(self.random.randrange(5000, 60000) // (1 if size < 10000 else 8))]
            start = time.monotonic()
            with self.lock:
                self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.process.poll() is None and not self.over.wait(0.05):
                pass
            with self.lock:
                if self.process.poll() is None:
                    self.process.kill()
            self.rounds += 1
            self.unfinished += self.process.wait() != 0
            self.delete_leftovers()
            self.over.wait((time.monotonic() - start) * self.rest)

    def delete_leftovers(self):
        """So that the data is bounded whatever is drawn: what memory has to be flat for."""
        try:
            client = Connection(self.port, 120)
            for pattern in ("key:*", "counter:*", "mylist", "myset", "myhash"):
                names = client.ask("KEYS", pattern)
                for at in range(0, len(names), 1000):
                    client.ask("DEL", *names[at:at + 1000])
            client.close()
        except (Broken, OSError):
            pass # the server's end is seen by others

    def end(self):
        self.thread.join()
