"""The checked data: what a key holds follows from its name and its version, so that any byte that is wrong is seen, and where
it came from can be told. Version 0 is absent.

Each kind says which commands bring a key from one version to the next, and what reading it has to answer."""
import hashlib

HOUR_MS = b"36000000"


def filled(name, version, size):
    """That many bytes which nothing else holds; they begin with whose they are."""
    head = b"%s@%d:" % (name, version)
    return (head + hashlib.shake_128(head).digest(max(size - len(head), 8)))[: max(size, len(head) + 8)]


def draw(name, version, what, below):
    """A number that follows from the key, its version and what it is for."""
    return int.from_bytes(hashlib.blake2b(b"%s %d %s" % (name, version, what), digest_size=6).digest(), "big") % below


def size_of(name, version):
    """Most are small; one in a hundred is an object of several blocks, few are half a megabyte."""
    dice = draw(name, version, b"class", 1000)
    low, high = (8, 200) if dice < 700 else (200, 4000) if dice < 950 else (4000, 40000) if dice < 995 else (65536, 600000)
    return low + draw(name, version, b"size", high - low)


class Text:
    @staticmethod
    def write(name, version):
        words = [b"SET", name, filled(name, version, size_of(name, version))]
        if draw(name, version, b"expires", 4) == 0:
            words += [b"PX", HOUR_MS]
        return [words]

    @staticmethod
    def read(name, version):
        return [b"GET", name], filled(name, version, size_of(name, version)) if version else None


class Log:
    """A string that is appended to: version v is the first v pieces. It starts anew after LENGTH."""
    LENGTH = 24

    @staticmethod
    def pieces(version):
        return (version - 1) % Log.LENGTH + 1 if version else 0

    @staticmethod
    def write(name, version):
        first = version - Log.pieces(version) + 1
        piece = filled(name, version, 20 + draw(name, version, b"piece", 300))
        return ([[b"DEL", name]] if version == first else []) + [[b"APPEND", name, piece]]

    @staticmethod
    def read(name, version):
        first = version - Log.pieces(version) + 1
        return [b"GET", name], b"".join(
            filled(name, v, 20 + draw(name, v, b"piece", 300)) for v in range(first, version + 1)) if version else None


class Counter:
    @staticmethod
    def write(name, version):
        return [[b"INCR", name]]

    @staticmethod
    def read(name, version):
        return [b"GET", name], b"%d" % version if version else None


class Several:
    """A container: made anew by each version, in one command."""
    @staticmethod
    def elements(name, version):
        count = 1 + draw(name, version, b"count", 12 if draw(name, version, b"class", 20) else 600)
        return [filled(name, version * 1000 + i, 20 + draw(name, version, b"%d" % i, 100)) for i in range(count)]

    @staticmethod
    def is_part(found, whole):
        if isinstance(found, dict):
            return found.items() <= whole.items()
        return set(found) <= set(whole)


class List(Several):
    @staticmethod
    def write(name, version):
        return [[b"DEL", name], [b"RPUSH", name] + List.elements(name, version)]

    @staticmethod
    def read(name, version):
        return [b"LRANGE", name, b"0", b"-1"], List.elements(name, version) if version else []


class Set(Several):
    @staticmethod
    def write(name, version):
        return [[b"DEL", name], [b"SADD", name] + Set.elements(name, version)]

    @staticmethod
    def read(name, version):
        return [b"SMEMBERS", name], sorted(Set.elements(name, version)) if version else []


class Hash(Several):
    @staticmethod
    def pairs(name, version):
        elements = Hash.elements(name, version)
        return {b"field %d" % i: element for i, element in enumerate(elements)}

    @staticmethod
    def write(name, version):
        words = [b"HSET", name]
        for pair in Hash.pairs(name, version).items():
            words += pair
        return [[b"DEL", name], words]

    @staticmethod
    def read(name, version):
        return [b"HGETALL", name], Hash.pairs(name, version) if version else {}


# Which kind a key is follows from its number.
KINDS = [Text, Text, Text, Text, Text, Text, Text, Log, Log, Counter, List, List, Set, Hash, Hash, Text]


def kind_of(number):
    return KINDS[number % len(KINDS)]


def normal(kind, answer):
    """An answer as the kind's read() states what is expected: sets have no order, hashes come as a list."""
    if isinstance(answer, list) and kind is Set:
        return sorted(answer)
    if isinstance(answer, list) and kind is Hash:
        return dict(zip(answer[0::2], answer[1::2]))
    return answer


def difference(expected, found):
    """Where the two part, and what is there: it names the key and version that it belongs to, if it is data."""
    if isinstance(expected, bytes) and isinstance(found, bytes):
        at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
        return (f"{len(expected)} bytes expected, {len(found)} found, different from byte {at}; begins {found[:60]!r}, "
                f"there {found[at:at + 60]!r} instead of {expected[at:at + 60]!r}")
    if isinstance(expected, dict) and isinstance(found, dict):
        expected, found = sorted(expected.items()), sorted(found.items())
    if isinstance(expected, list) and isinstance(found, list):
        at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
        return (f"{len(expected)} elements expected, {len(found)} found, different from element {at}: "
                f"{found[at:at + 1]!r:.200} instead of {expected[at:at + 1]!r:.200}")
    return f"{expected!r:.120} expected, {found!r:.120} found"
