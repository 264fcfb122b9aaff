"""A connection that speaks the Redis protocol and answers in bytes, numbers, lists, None or Refused."""
import io
import select
import socket
import struct
import time


class Refused(Exception):
    """An error reply."""


class Broken(Exception):
    """What came is no reply, or nothing came."""


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Patience:
    """A limit in seconds in which this process could run: where it stands still, so may the server. is_over() is asked at least
    once a second."""
    LONGEST_STEP_S = 2

    def __init__(self, seconds):
        self.left_s, self.asked = seconds, time.monotonic()

    def is_over(self):
        now = time.monotonic()
        self.left_s -= min(now - self.asked, self.LONGEST_STEP_S)
        self.asked = now
        return self.left_s < 0


class Connection(io.RawIOBase):
    def __init__(self, port, patience_s):
        """patience_s: seconds without progress after which the server counts as hung."""
        self.patience_s = patience_s
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.replies = io.BufferedReader(self, 1 << 16)

    def wait(self, reading, writing):
        patience = Patience(self.patience_s)
        while not any(select.select(reading, writing, [], 1)):
            if patience.is_over():
                raise TimeoutError

    def send(self, data):
        rest = memoryview(data)
        while rest:
            self.wait([], [self.socket])
            rest = rest[self.socket.send(rest):]

    def readable(self):
        return True

    def readinto(self, buffer):
        self.wait([self.socket], [])
        return self.socket.recv_into(buffer)

    def reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise Broken(f"the connection ended after {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Refused(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            body = self.replies.read(length + 2)
            if len(body) != length + 2 or body[-2:] != b"\r\n":
                raise Broken(f"a string of {length} bytes ended after {len(body)}")
            return body[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))] if int(rest) >= 0 else None
        raise Broken(f"no reply begins with {line[:80]!r}")

    def ask(self, *words):
        self.send(encode([w if isinstance(w, bytes) else str(w).encode() for w in words]))
        return self.reply()

    def close(self):
        self.socket.close()
        super().close()

    def slam(self):
        """Ends without a farewell: the server gets a reset, and what it has not yet read is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
