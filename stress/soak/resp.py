"""A connection that speaks the Redis protocol and answers in bytes, numbers, lists, None or Refused."""
import socket
import struct


class Refused(Exception):
    """An error reply."""


class Broken(Exception):
    """What came is no reply, or nothing came."""


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Connection:
    def __init__(self, port, patience):
        """patience: seconds without an answer after which the server counts as hung."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb", 1 << 16)

    def send(self, data):
        self.socket.sendall(data)

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
        self.replies.close()
        self.socket.close()

    def slam(self):
        """Ends without a farewell: the server gets a reset, and what it has not yet read is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
