"""What the server takes and says about itself, sampled; and what to think of it."""
import statistics

from resp import Connection


def resident_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def information(port):
    """INFO as a dictionary."""
    connection = Connection(port, 120)
    text = connection.ask("INFO").decode()
    connection.close()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0


class Memory:
    """Resident bytes over time. Flat: the later half of what follows the warm-up takes no more than the earlier one and a
    tenth. Medians, since a fault that fills the heap makes a peak."""
    WARM_UP = 0.2
    LEAST_S = 240 # of a run that is judged

    def __init__(self):
        self.samples = [] # (seconds, bytes)

    def add(self, at_s, resident):
        self.samples.append((at_s, resident))

    def verdict(self):
        """(flat or not, a text)"""
        if not self.samples:
            return False, "no sample"
        end = self.samples[-1][0]
        steady = [s for s in self.samples if s[0] >= end * self.WARM_UP]
        middle = end * (1 + self.WARM_UP) / 2
        early = [b for s, b in steady if s < middle] or [steady[0][1]]
        late = [b for s, b in steady if s >= middle]
        first, last = statistics.median(early), statistics.median(late)
        text = (f"resident {first / 1e6:.0f} MB in the earlier half after the warm-up, {last / 1e6:.0f} MB in the later (medians); "
                f"trend {self.slope(steady) * 3600 / 1e6:+.1f} MB an hour; peak {max(b for _, b in self.samples) / 1e6:.0f} MB")
        if end < self.LEAST_S:
            return True, text + "; too short to judge"
        return last <= first * 1.1, text

    @staticmethod
    def slope(samples):
        """Bytes a second: the median over pairs of points half the time apart (Theil and Sen's estimate, thinned)."""
        half = len(samples) // 2
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(samples[:half], samples[len(samples) - half:]) if b[0] > a[0]]
        return statistics.median(slopes) if slopes else 0.0
