"""The verdict on memory, of runs that are made up: an hour with a sample a minute, or less."""
import random
import unittest

from watch import Memory


def is_flat(minutes, in_heap_mb_hour=0.0, beside_mb_hour=0.0, filled=()):
    """filled: minutes in which the store holds 250 MB more, and cells are larger than what it accounts for."""
    memory, noise = Memory(), random.Random(1)
    for minute in range(minutes + 1):
        stored = noise.uniform(25e6, 60e6) + (250e6 if minute in filled else 0)
        live = 1.05 * stored + noise.uniform(0, 2e6) + in_heap_mb_hour * 1e6 * minute / 60
        info = {"used_memory": stored, "used_memory_receiving": 0, "gc_live_bytes": live}
        memory.add(minute * 60, info, 12e6 + noise.uniform(0, 4e6) + beside_mb_hour * 1e6 * minute / 60)
    return memory.verdict()[0]


class Verdict(unittest.TestCase):
    def test_data_and_fillings_are_no_leak(self):
        self.assertTrue(is_flat(60))
        self.assertTrue(is_flat(60, filled=(40, 41, 45, 50, 51, 52, 58)))

    def test_leaks_are_found(self):
        self.assertFalse(is_flat(60, in_heap_mb_hour=12))
        self.assertFalse(is_flat(60, beside_mb_hour=20))
        self.assertFalse(is_flat(5, in_heap_mb_hour=300))

    def test_fillings_do_not_hide_leaks(self):
        self.assertFalse(is_flat(60, in_heap_mb_hour=20, filled=(13, 14, 15, 20, 21)))

    def test_what_is_short_is_not_judged(self):
        self.assertTrue(is_flat(1, beside_mb_hour=6000))


unittest.main()
