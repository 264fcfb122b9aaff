"""What the server takes and says about itself, sampled; and what to think of it."""
from resp import Connection


def peak_resident_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def resident_beside_heap_bytes(pid):
    """Of all mappings but the heap's arena: the ones side by side that span the most."""
    spans = [] # (end, size, resident)
    with open(f"/proc/{pid}/smaps") as maps:
        for line in maps:
            words = line.split()
            if "-" in words[0]:
                begin, end = (int(word, 16) for word in words[0].split("-"))
                _, size, resident = spans.pop() if spans and spans[-1][0] == begin else (0, 0, 0)
                spans.append((end, size + end - begin, resident))
            elif words[0] == "Rss:":
                end, size, resident = spans.pop()
                spans.append((end, size, resident + int(words[1]) * 1024))
    return sum(resident for _, _, resident in spans) - max(spans, key=lambda span: span[1])[2]


def information(port):
    """INFO as a dictionary, after a full collection: what it says of the heap is what lives."""
    connection = Connection(port, 120)
    connection.ask("MEMORY", "PURGE")
    text = connection.ask("INFO").decode()
    connection.close()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0


class Memory:
    """What is taken beyond the data: what lives in the heap and the store does not account for, and what is resident beside
    the heap. Flat: the median of neither is, in the later half of what follows the warm-up, more than a tenth and SLACK above
    that of the earlier. Not what is resident in all, which follows the data, the faults, and when full collections fall."""
    WARM_UP = 0.2
    SLACK_BYTES = 2e6
    LEAST_S = 240 # of a run that is judged

    def __init__(self):
        self.samples = [] # (seconds, bytes in the heap, bytes beside it)

    def add(self, at_s, info, beside_heap):
        stored = int(info["used_memory"]) + int(info["used_memory_receiving"])
        self.samples.append((at_s, int(info["gc_live_bytes"]) - stored, beside_heap))

    def halves(self):
        end = self.samples[-1][0]
        steady = [sample for sample in self.samples if sample[0] >= end * self.WARM_UP] or self.samples
        middle = len(steady) // 2
        return steady[:middle] or steady, steady[middle:]

    def verdict(self):
        """(flat or not, a text)"""
        if not self.samples:
            return False, "no sample"
        flat, texts = True, []
        for column, name in (1, "in the heap"), (2, "beside it"):
            first, last = (percentile([sample[column] for sample in half], 50) for half in self.halves())
            flat = flat and last <= first + 0.1 * abs(first) + self.SLACK_BYTES
            texts.append(f"{name} {first / 1e6:.1f} and {last / 1e6:.1f} MB")
        text = f"beyond the data, in the earlier half after the warm-up and the later: {', '.join(texts)}"
        if self.samples[-1][0] < self.LEAST_S:
            return True, text + "; too short to judge"
        return flat, text
