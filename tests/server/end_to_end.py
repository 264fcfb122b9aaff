#!/usr/bin/env python3
"""Starts the server on a free port and drives it with redis-cli and raw sockets: every command, bad input, pipelining,
large values, expiry, eviction, and its end.

usage: end_to_end.py TENURE-SERVER [words for --heap]
"""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

server_path = sys.argv[1]
heap_words = sys.argv[2] if len(sys.argv) > 2 else ""
failures = 0
checks = 0
started = time.monotonic()


class Server:
    def __init__(self, *options):
        words = [server_path, "--port", "0", "--report", *options]
        if heap_words:
            words += ["--heap", heap_words]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        match = re.search(r":(\d+), \d+ threads", ready)
        if not match:
            sys.exit(f"the server did not start: {ready!r}")
        self.port = int(match.group(1))

    def ended(self, seconds=60):
        """The exit status and what was printed after the ready line."""
        try:
            out, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return "no end", ""
        return self.process.returncode, out

    def cli(self, *words, data=None, timeout=60):
        """What redis-cli prints, without the last newline."""
        result = subprocess.run(["redis-cli", "-p", str(self.port), *words], input=data, capture_output=True,
                                timeout=timeout)
        return result.stdout.decode("latin-1").removesuffix("\n")


class Error(str):
    """An error reply."""


class Client:
    """A raw connection."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        line = self.file.readline()
        if not line:
            return EOFError
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            assert data[-2:] == b"\r\n"
            return data[:-2]
        assert kind == b"*", line
        return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]

    def __call__(self, *words):
        self.send(encode(*words))
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()


def encode(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def check(what, got, wanted):
    global failures, checks
    checks += 1
    if callable(wanted) and wanted is not EOFError:
        good = wanted(got)
    else:
        good = got == wanted and isinstance(got, Error) == isinstance(wanted, Error)
    if not good:
        failures += 1
        print(f"FAILED: {what}: got {str(got)[:300]!r}, wanted {str(wanted)[:300]!r}", flush=True)


def section(name):
    print(f"{time.monotonic() - started:6.1f} s  {name}", flush=True)


WRONG = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_INTEGER = Error("ERR value is not an integer or out of range")
SYNTAX = Error("ERR syntax error")


def redis_cli(server):
    """Every command once, as somebody types it."""
    section("redis-cli")
    script = """
PING -> PONG
PING hello -> hello
ECHO "a b" -> a b
SET k v -> OK
GET k -> v
GET missing ->
SET k w NX ->
SET k w XX -> OK
SET k x GET -> w
SET e 1 EX 100 -> OK
TTL e -> 100
SET e 1 PX 100000 -> OK
TTL e -> 100
PERSIST e -> 1
TTL e -> -1
TTL missing -> -2
PTTL missing -> -2
EXPIRE e 50 -> 1
EXPIRE missing 50 -> 0
PEXPIRE e 50000 -> 1
TTL e -> 50
GETSET k y -> x
MSET a 1 b 2 c 3 -> OK
MGET a missing c -> 1||3
DEL a b missing -> 2
EXISTS c c missing -> 2
INCR n -> 1
INCRBY n 41 -> 42
DECR n -> 41
DECRBY n 40 -> 1
APPEND n 23 -> 3
GET n -> 123
STRLEN n -> 3
STRLEN missing -> 0
SETNX n 1 -> 0
SETNX n2 1 -> 1
SETEX s 10 v -> OK
PSETEX s 10000 v -> OK
TYPE s -> string
LPUSH l a b c -> 3
RPUSH l d -> 4
LRANGE l 0 -1 -> c|b|a|d
LRANGE l -2 -1 -> a|d
LRANGE l 5 9 ->
LLEN l -> 4
LPOP l -> c
RPOP l -> d
LPOP l 5 -> b|a
LLEN l -> 0
TYPE l -> none
SADD t a b a -> 2
SADD t b -> 0
SISMEMBER t a -> 1
SISMEMBER t x -> 0
SCARD t -> 2
SREM t a x -> 1
SMEMBERS t -> b
SPOP t -> b
SPOP t ->
EXISTS t -> 0
HSET h f 1 g 2 -> 2
HSET h f 3 -> 0
HGET h f -> 3
HGET h x ->
HMGET h f x g -> 3||2
HMSET h i 4 -> OK
HEXISTS h i -> 1
HDEL h i x -> 1
HLEN h -> 2
TYPE h -> hash
RENAME n n3 -> OK
GET n3 -> 123
EXISTS n -> 0
SELECT 0 -> OK
CONFIG GET maxmemory -> maxmemory|0
CONFIG GET save -> save|
CONFIG GET appendonly -> appendonly|no
CLIENT SETNAME me -> OK
CLIENT GETNAME ->
QUIT -> OK
""".strip().split("\n")
    for step in script:
        words, _, wanted = step.partition(" ->")
        args = re.findall(r'"[^"]*"|\S+', words)
        got = server.cli(*[a.strip('"') for a in args])
        check(words, got.replace("\n", "|"), wanted.strip())
    check("HGETALL", sorted(server.cli("HGETALL", "h").split()), ["2", "3", "f", "g"])
    check("HKEYS", sorted(server.cli("HKEYS", "h").split()), ["f", "g"])
    check("HVALS", sorted(server.cli("HVALS", "h").split()), ["2", "3"])
    check("KEYS", sorted(server.cli("KEYS", "n*").split()), ["n2", "n3"])
    check("DBSIZE", server.cli("DBSIZE"), str(len(server.cli("KEYS", "*").split("\n"))))
    check("--scan", sorted(server.cli("--scan").split()), sorted(server.cli("KEYS", "*").split()))
    check("RANDOMKEY", server.cli("RANDOMKEY") in server.cli("KEYS", "*").split(), True)
    check("COMMAND COUNT", int(server.cli("COMMAND", "COUNT")), lambda n: n > 50)
    check("COMMAND INFO", server.cli("COMMAND", "INFO", "get").split("\n")[:2], ["get", "2"])
    check("COMMAND", server.cli("COMMAND"), lambda text: "smembers" in text)
    check("CLIENT LIST", server.cli("CLIENT", "LIST"), lambda text: "addr=127.0.0.1:" in text)
    check("CLIENT ID", int(server.cli("CLIENT", "ID")), lambda n: n > 50)
    info = server.cli("INFO")
    for word in ("# Server", "# gc", "gc_gen0_collections:", "gc_pause_us:p50=", "redis_version:", "db0:keys="):
        check("INFO", word in info, True)
    check("INFO gc", server.cli("INFO", "gc").startswith("# gc"), True)
    full = lambda: int(re.search(r"gc_gen2_collections:(\d+)", server.cli("INFO", "gc"))[1])
    before = full()
    check("MEMORY PURGE", (server.cli("MEMORY", "PURGE"), full() > before), ("OK", True))
    check("TIME", abs(int(server.cli("TIME").split()[0]) - time.time()) < 5, True)
    check("interactive", server.cli(data=b"PING\nSET q 1\nGET q\n"), "PONG\nOK\n1")
    check("FLUSHALL", server.cli("FLUSHALL"), "OK")
    check("DBSIZE", server.cli("DBSIZE"), "0")


def errors(server):
    section("errors that leave the connection usable")
    c = Client(server)
    c("SET", "string", "v"), c("RPUSH", "list", "a"), c("SADD", "set", "a"), c("HSET", "hash", "f", "v")
    wrong_types = {
        "string": ["LPUSH k x", "RPUSH k x", "LPOP k", "RPOP k", "LLEN k", "LRANGE k 0 1", "SADD k x", "SREM k x",
                   "SISMEMBER k x", "SMEMBERS k", "SCARD k", "SPOP k", "HSET k f v", "HGET k f", "HDEL k f", "HLEN k",
                   "HGETALL k", "HMGET k f", "HEXISTS k f", "LPOP k 2", "SPOP k 2"],
        "list": ["GET k", "GETSET k v", "INCR k", "DECRBY k 2", "APPEND k x", "STRLEN k", "SADD k x", "HSET k f v",
                 "SET k v GET"],
        "set": ["GET k", "LPUSH k x", "HGET k f", "LLEN k"],
        "hash": ["GET k", "SADD k x", "RPOP k", "APPEND k x"],
    }
    for key, commands in wrong_types.items():
        for command in commands:
            check(f"{command} on a {key}", c(*[key if w == "k" else w for w in command.split()]), WRONG)
    check("MGET of a list", c("MGET", "list", "string"), [None, b"v"])
    for words, wanted in {
        "NOSUCH a b": Error("ERR unknown command `NOSUCH`, with args beginning with: `a`, `b`, "),
        "HELLO 3": Error("ERR unknown command `HELLO`, with args beginning with: `3`, "),
        "GET": Error("ERR wrong number of arguments for 'get' command"),
        "GET a b": Error("ERR wrong number of arguments for 'get' command"),
        "SET a": Error("ERR wrong number of arguments for 'set' command"),
        "MSET a": Error("ERR wrong number of arguments for 'mset' command"),
        "MSET a 1 b": Error("ERR wrong number of arguments for 'mset' command"),
        "HSET hash f": Error("ERR wrong number of arguments for 'hset' command"),
        "HSET hash f v g": Error("ERR wrong number of arguments for 'HSET' command"),
        "SET a b WRONG": SYNTAX, "SET a b NX XX": SYNTAX, "SET a b EX": SYNTAX, "SET a b EX 1 PX 1": SYNTAX,
        "SET a b EX x": NOT_INTEGER,
        "SET a b EX 0": Error("ERR invalid expire time in 'SET' command"),
        "SET a b EX 9223372036854775807": Error("ERR invalid expire time in 'SET' command"),
        "SETEX a -1 b": Error("ERR invalid expire time in 'SETEX' command"),
        "INCR string": NOT_INTEGER, "INCRBY x y": NOT_INTEGER, "EXPIRE string x": NOT_INTEGER,
        "LRANGE list a b": NOT_INTEGER, "LPOP list -1": Error("ERR value is out of range, must be positive"),
        "SELECT 1": Error("ERR DB index is out of range"), "SCAN x": Error("ERR invalid cursor"),
        "SCAN 0 COUNT 0": SYNTAX, "SCAN 0 MATCH": SYNTAX, "FLUSHALL now": SYNTAX,
        "RENAME missing x": Error("ERR no such key"),
        "MEMORY USAGE": Error("ERR Unknown subcommand or wrong number of arguments for 'USAGE'"),
        "SHUTDOWN SAVE": Error("ERR this server saves nothing: SHUTDOWN NOSAVE"),
    }.items():
        check(words, c(*words.split()), wanted)
    c("SET", "big", 2**63 - 1)
    check("INCR overflow", c("INCR", "big"), Error("ERR increment or decrement would overflow"))
    check("INCR kept", c("GET", "big"), str(2**63 - 1).encode())
    check("name with line breaks", c("A\r\nB"), lambda e: isinstance(e, Error))
    check("still there", c("PING"), "PONG")
    check("empty key and value", (c("SET", "", ""), c("GET", ""), c("EXISTS", "")), ("OK", b"", 1))
    check("name in any case", (c("pInG"), c("gEt", "string")), ("PONG", b"v"))
    c("FLUSHALL")
    c.close()

    section("protocol errors end the connection")
    for data, wanted in {
        b"*x\r\n": "invalid multibulk length", b"*1048577\r\n": "invalid multibulk length",
        b"*1\r\nGET\r\n": "expected '$', got 'G'", b"*1\r\n$-1\r\n": "invalid bulk length",
        b"*1\r\n$536870913\r\n": "invalid bulk length", b"*1\r\n$4\r\nPINGPING": "expected CRLF after bulk string",
        b"SET 'a\r\n": "unbalanced quotes in request", b"x" * 70000: "too big inline request",
        b"*1\r\n$" + b"1" * 70000: "too big bulk count string",
    }.items():
        c = Client(server)
        c.send(b"PING\r\n" + data)
        check("before the error", c.reply(), "PONG")
        check(data[:30], c.reply(), Error("ERR Protocol error: " + wanted))
        check("closed", c.reply(), EOFError)
        c.close()

    section("random bytes")
    pieces = [b"*1\r\n", b"*3\r\n", b"$3\r\n", b"SET", b"\r\n", b"$", b"*", b"-1", b"GET a", b"\0", b'"', b"99999", b"\n"]
    random.seed(1)
    for _ in range(200):
        c = Client(server)
        try:
            c.send(b"".join(random.choice(pieces) for _ in range(random.randrange(40))))
        except OSError:
            pass
        c.close()
    c = Client(server)
    check("still there", c("PING"), "PONG")
    c.close()


def inline_and_pipelines(server):
    section("inline commands")
    c = Client(server)
    c.send(b"PING\r\nSET  inline \"a\\x00b\\n\"\nGET inline\r\n\r\nEXISTS inline nothing\r\n")
    check("inline", [c.reply() for _ in range(4)], ["PONG", "OK", b"a\0b\n", 1])
    section("pipelining")
    n = 20000
    data = b"".join(encode("SET", f"p{i}", f"value {i}") + encode("GET", f"p{i}") for i in range(n))
    sender = threading.Thread(target=c.send, args=(data,))
    sender.start()
    good = sum(c.reply() == "OK" and c.reply() == b"value %d" % i for i in range(n))
    sender.join()
    check("pipelined", good, n)
    section("a request in single bytes")
    for byte in encode("SET", "slow", "x\r\ny"):
        c.send(bytes([byte]))
    check("single bytes", (c.reply(), c("GET", "slow")), ("OK", b"x\r\ny"))
    section("a client that does not read: 200 replies of 1 MB")
    c("SET", "mb", b"m" * 1000000)
    c.send(encode("GET", "mb") * 200 + encode("PING"))
    time.sleep(0.5)
    other = Client(server)
    check("others are served", other("PING"), "PONG")
    good = sum(c.reply() == b"m" * 1000000 for _ in range(200))
    check("all replies", (good, c.reply()), (200, "PONG"))
    other.close()
    section("many arguments")
    words = [w for i in range(100000) for w in (f"m{i}", i)]
    check("MSET of 100000", c("MSET", *words), "OK")
    check("MGET of 100000", c("MGET", *words[::2]), [str(i).encode() for i in range(100000)])
    check("DEL of 100000", c("DEL", *words[::2]), 100000)
    c("FLUSHALL")
    c.close()


def large_values(server):
    section("binary values of 16 MB")
    c = Client(server)
    value = random.Random(3).randbytes(16 * 1024 * 1024)
    check("SET", c("SET", "large", value), "OK")
    check("GET", c("GET", "large"), lambda got: got == value)
    check("STRLEN", c("STRLEN", "large"), len(value))
    check("ECHO", c("ECHO", value), lambda got: got == value)
    check("APPEND", c("APPEND", "large", value), 2 * len(value))
    check("GETSET", c("GETSET", "large", "small"), lambda got: got == value + value)
    check("RPUSH", (c("RPUSH", "ll", value, "x"), c("LLEN", "ll")), (2, 2))
    check("LRANGE", c("LRANGE", "ll", 0, -1), lambda got: got == [value, b"x"])
    check("HSET", c("HSET", "hh", value[:100000], value), 1)
    check("HGETALL", c("HGETALL", "hh"), lambda got: got == [value[:100000], value])
    check("SADD", (c("SADD", "ss", value), c("SISMEMBER", "ss", value)), (1, 1))
    check("SPOP", c("SPOP", "ss"), lambda got: got == value)
    check("MSET", c("MSET", "m1", value, "m2", value[::-1]), "OK")
    check("MGET", c("MGET", "m1", "none", "m2"), lambda got: got == [value, None, value[::-1]])
    check("a large key", (c("SET", value, 1), c("GET", value), c("DEL", value)), ("OK", b"1", 1))
    section("pipelined large values")
    sender = threading.Thread(target=lambda: [c.send(encode("SET", f"v{i}", value[i:]) + encode("GET", f"v{i}"))
                                              for i in range(10)])
    sender.start()
    check("pipelined", all(c.reply() == "OK" and c.reply() == value[i:] for i in range(10)), True)
    sender.join()
    check("redis-cli -x", server.cli("-x", "SET", "file", data=value), "OK")
    check("redis-cli -x", c("GET", "file"), lambda got: got == value)
    section("a client that goes away in the middle of a value")
    for _ in range(20):
        gone = Client(server)
        gone.send(b"*3\r\n$3\r\nSET\r\n$4\r\ngone\r\n$16777216\r\n" + value[:300000])
        gone.close()
    check("not set", c("EXISTS", "gone"), 0)
    c("FLUSHALL")
    end = time.time() + 20
    while "used_memory_receiving:0\r" not in c("INFO", "memory").decode() and time.time() < end:
        time.sleep(0.05)
    check("nothing is held", time.time() < end, True)
    c.close()


def expiry(server):
    section("expiry")
    c = Client(server)
    c("SET", "soon", "v", "PX", 300)
    c("SET", "later", "v", "EX", 100)
    c("SADD", "pe", "m")
    check("PEXPIRE", c("PEXPIRE", "pe", 300), 1)
    check("PTTL", c("PTTL", "soon"), lambda ms: 0 < ms <= 300)
    check("before", c("GET", "soon"), b"v")
    time.sleep(0.4)
    check("after", (c("GET", "soon"), c("EXISTS", "pe"), c("TTL", "soon"), c("GET", "later")), (None, 0, -2, b"v"))
    check("set again", (c("SET", "later", "w"), c("TTL", "later")), ("OK", -1))
    check("KEEPTTL", (c("SET", "later", "w", "EX", 100), c("SET", "later", "x", "KEEPTTL"), c("TTL", "later")),
          ("OK", "OK", 100))
    check("EXPIRE in the past", (c("EXPIRE", "later", -1), c("EXISTS", "later")), (1, 0))
    c.send(b"".join(encode("SET", f"x{i}", "v", "PX", 1 + i % 300) for i in range(5000)))
    for _ in range(5000):
        c.reply()
    check("INCR keeps the expiry", (c("SET", "n", 1, "EX", 100), c("INCR", "n"), c("TTL", "n")), ("OK", 2, 100))
    end = time.time() + 20
    while c("DBSIZE") > 1 and time.time() < end:
        time.sleep(0.05)
    check("keys that nobody asks for go too", c("DBSIZE"), 1)
    c("FLUSHALL")
    c.close()


def scan(server):
    section("KEYS and SCAN")
    c = Client(server)
    n = 20000
    c("MSET", *[w for i in range(n) for w in (f"key:{i}", "v")])
    for i in range(100):
        c("RPUSH", f"list:{i}", "x")
    check("KEYS", len(c("KEYS", "*")), n + 100)
    check("KEYS pattern", sorted(c("KEYS", "key:1?")), sorted(b"key:%d" % i for i in range(10, 20)))

    def scan_all(*options, meanwhile=lambda: None):
        found, cursor, calls = set(), b"0", 0
        while True:
            cursor, keys = c("SCAN", cursor, *options)
            found.update(keys)
            calls += 1
            meanwhile()
            if cursor == b"0":
                return found, calls

    found, calls = scan_all()
    check("SCAN", (len(found), calls > 500), (n + 100, True))
    found, calls = scan_all("COUNT", 1000000)
    check("SCAN COUNT", (len(found), calls), (n + 100, 1))
    check("SCAN MATCH", len(scan_all("MATCH", "list:*")[0]), 100)
    check("SCAN TYPE", len(scan_all("TYPE", "list", "COUNT", 100)[0]), 100)
    extra = iter(range(10**9))
    found, _ = scan_all("COUNT", 50, meanwhile=lambda: c("MSET", *[w for _ in range(30) for w in (f"e:{next(extra)}", 1)]))
    check("SCAN while growing", sum(k.startswith(b"key:") for k in found), n)
    c("FLUSHALL")
    c.close()


def many_clients(server):
    section("1000 clients at a time, on all threads")
    clients = [Client(server) for _ in range(1000)]
    for i, c in enumerate(clients):
        c.send(encode("INCR", "shared") + encode("SET", f"c{i}", i) + encode("GET", f"c{i}"))
    numbers, good = set(), 0
    for i, c in enumerate(clients):
        numbers.add(c.reply())
        good += c.reply() == "OK" and c.reply() == str(i).encode()
    check("each INCR once", numbers, set(range(1, 1001)))
    check("own values", good, 1000)
    for c in clients:
        c.close()

    section("8 clients, all commands, the same few keys")
    wrong = []

    def load(number):
        rng, c = random.Random(number), Client(server)
        for _ in range(3000):
            k = f"mixed{rng.randrange(8)}"
            kind = rng.choice("slht")
            commands = {
                "s": [("SET", f"s{k}", k * rng.randrange(100)), ("GET", f"s{k}"), ("APPEND", f"s{k}", k), ("STRLEN", f"s{k}"),
                      ("GETSET", f"s{k}", k)],
                "l": [("LPUSH", f"l{k}", k, k), ("RPUSH", f"l{k}", k), ("LPOP", f"l{k}"), ("RPOP", f"l{k}"),
                      ("LRANGE", f"l{k}", -5, -1)],
                "h": [("HSET", f"h{k}", rng.randrange(50), k), ("HGET", f"h{k}", rng.randrange(50)),
                      ("HDEL", f"h{k}", rng.randrange(50)), ("HGETALL", f"h{k}")],
                "t": [("SADD", f"t{k}", rng.randrange(99)), ("SPOP", f"t{k}"), ("SMEMBERS", f"t{k}"),
                      ("SREM", f"t{k}", rng.randrange(99))],
            }[kind]
            reply = c(*rng.choice(commands))
            text = b"".join(reply) if isinstance(reply, list) and kind == "l" else reply if isinstance(reply, bytes) else b""
            if isinstance(reply, Error) or (kind in "sl" and text.replace(k.encode(), b"") != b""):
                wrong.append(reply)
        c.close()

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("no reply is wrong", wrong[:3], [])
    c = Client(server)
    c("FLUSHALL")
    c.close()


def limits():
    section("maxclients")
    server = Server("--maxclients", "5")
    clients = [Client(server) for _ in range(5)]
    check("five", [c("PING") for c in clients], ["PONG"] * 5)
    sixth = Client(server)
    check("the sixth", sixth.reply(), Error("ERR max number of clients reached"))
    check("closed", sixth.reply(), EOFError)
    clients[0].close()
    time.sleep(0.2)
    again = Client(server)
    check("a place is free", again("PING"), "PONG")
    for c in clients[1:] + [sixth, again]:
        c.close()
    check("SHUTDOWN", server.cli("SHUTDOWN", "NOSAVE"), "")
    status, out = server.ended()
    check("exit status", status, 0)
    check("last words", out.endswith("tenure-server stopped\n"), True)

    section("maxmemory")
    server = Server("--maxmemory", "20mb")
    c = Client(server)
    for start in range(0, 100000, 1000):
        c.send(b"".join(encode("SET", f"k{i}", "v" * 1000) for i in range(start, start + 1000)))
        replies = {c.reply() for _ in range(1000)}
        check("SET", replies, {"OK"})
        check("the key in use stays", c("SET" if start == 0 else "GET", "hot", *(["v"] if start == 0 else [])),
              "OK" if start == 0 else b"v")
    info = c("INFO").decode()
    check("evicted", int(re.search(r"evicted_keys:(\d+)", info).group(1)), lambda n: n > 70000)
    check("used", int(re.search(r"used_memory:(\d+)", info).group(1)), lambda n: 15e6 < n < 22e6)
    large = random.Random(4).randbytes(3000000)
    for i in range(40):
        check("3 MB values", c("SET", f"large{i}", large), "OK")
    check("the last one", c("GET", "large39"), lambda got: got == large)
    check("one that can never fit", c("SET", "huge", b"x" * 30000000), lambda e: isinstance(e, Error) and e.startswith("OOM"))
    check("still there", c("PING"), "PONG")
    for i in range(30):
        c("RPUSH", f"biglist{i % 3}", *[b"e" * 100] * 5000)
    check("within the limit", int(re.search(r"used_memory:(\d+)", c("INFO", "memory").decode()).group(1)),
          lambda n: n < 22e6)
    check("CONFIG SET", (c("CONFIG", "SET", "maxmemory", "5mb"), c("SET", "x", "y")), ("OK", "OK"))
    check("lower limit", int(re.search(r"used_memory:(\d+)", c("INFO", "memory").decode()).group(1)), lambda n: n < 6e6)
    c.close()
    server.process.send_signal(signal.SIGINT)
    check("SIGINT", server.ended()[0], 0)

    section("a client that lets too many replies wait")
    server = Server("--max-output", "2mb")
    c = Client(server)
    c("RPUSH", "l", *[b"e" * 1000] * 5000)
    c.send(encode("LRANGE", "l", 0, -1))
    try:
        check("dropped", c.file.read(), lambda got: len(got) < 5000000)
    except ConnectionError:
        pass
    check("others are served", server.cli("PING"), "PONG")
    server.process.send_signal(signal.SIGTERM)
    check("SIGTERM", server.ended()[0], 0)


def command_line():
    section("the command line")
    for words, status in {"--help": 0, "--port": 2, "--port x": 2, "--port 99999": 2, "--nothing 1": 2,
                          "--maxmemory 1x": 2, "--heap nothing=1": 1, "--port 0 --bind nowhere.invalid": 1}.items():
        try:
            result = subprocess.run([server_path, *words.split()], capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            check(words, "it runs", status)
            continue
        check(words, result.returncode, status)
        check(words, bool(result.stdout if status == 0 else result.stderr), True)


def main():
    if shutil.which("redis-cli") is None:
        print("skipped: there is no redis-cli here (Debian: redis-tools)")
        sys.exit(77)
    server = Server("--threads", "3")
    for part in (redis_cli, errors, inline_and_pipelines, large_values, expiry, scan, many_clients):
        part(server)
        if server.process.poll() is not None:
            sys.exit(f"the server died in {part.__name__}: {server.process.returncode}")
    idle = Client(server)
    check("idle", idle("PING"), "PONG")
    server.process.send_signal(signal.SIGTERM)
    status, out = server.ended()
    check("SIGTERM", status, 0)
    check("report", len(out.split("\n")) > 1 and out.endswith("tenure-server stopped\n"), True)
    check("clients are let go", idle.reply(), EOFError)
    limits()
    command_line()
    print(f"{checks} checks, {failures} failed")
    sys.exit(1 if failures else 0)


main()
