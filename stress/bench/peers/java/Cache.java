import java.util.Map;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;

/** As cache.c. A temporary is one object whose size its class says, for an array beside it would be a second object. */
final class Cache {
    private static final int TEMPORARIES = 20, REPLACE_ONE_IN = 8, WORDS_MIN = 14, WORDS_SPREAD = 7;
    private static final int ENTRY_BYTES = 8 + 24 + 8 + (WORDS_MIN + WORDS_SPREAD / 2) * 8;

    private static final class Entry {
        final long key, version;
        final long[] value;

        Entry(long key, long version, long[] value) {
            this.key = key;
            this.version = version;
            this.value = value;
        }
    }

    private static class Temporary {
        Temporary next;
        long count, first, last;
    }

    private static final class Temporary3 extends Temporary {
        long w2;
    }

    private static final class Temporary4 extends Temporary {
        long w2, w3;
    }

    private static final class Temporary5 extends Temporary {
        long w2, w3, w4;
    }

    private static final class Temporary6 extends Temporary {
        long w2, w3, w4, w5;
    }

    private static final class Temporary7 extends Temporary {
        long w2, w3, w4, w5, w6;
    }

    private static final class Temporary8 extends Temporary {
        long w2, w3, w4, w5, w6, w7;
    }

    private static final class Temporary9 extends Temporary {
        long w2, w3, w4, w5, w6, w7, w8;
    }

    private static final class Temporary10 extends Temporary {
        long w2, w3, w4, w5, w6, w7, w8, w9;
    }

    private static Temporary temporary(int count) {
        switch (count) {
        case 3:
            return new Temporary3();
        case 4:
            return new Temporary4();
        case 5:
            return new Temporary5();
        case 6:
            return new Temporary6();
        case 7:
            return new Temporary7();
        case 8:
            return new Temporary8();
        case 9:
            return new Temporary9();
        case 10:
            return new Temporary10();
        default:
            return new Temporary();
        }
    }

    private final Measure.Random random;
    private final Entry[] table;
    private Measure.Histogram latency = new Measure.Histogram();
    private static long begin;
    private long requests, ended, sum;

    private Cache(int index, int count) {
        random = new Measure.Random(index);
        table = new Entry[count];
    }

    private Entry make(long key, long version) {
        final long[] value = new long[WORDS_MIN + (int) random.below(WORDS_SPREAD)];
        for (int i = 0; i < value.length; i++) value[i] = key + version + i;
        return new Entry(key, version, value);
    }

    private static long read(Entry entry, long key) {
        long sum = 0;
        for (final long word : entry.value) sum += word;
        final long count = entry.value.length;
        if (entry.key != key || sum != count * (key + entry.version) + count * (count - 1) / 2)
            throw new IllegalStateException("the entry of key " + key + " is broken");
        return sum;
    }

    private Temporary temporaries() {
        Temporary list = null;
        long bits = 0;
        for (int i = 0; i < TEMPORARIES; i++) {
            if (i % 16 == 0) bits = random.next();
            final int count = 1 + (int) (bits & 7) + (int) (bits >>> 2 & 2);
            bits >>>= 4;
            final Temporary made = temporary(count);
            made.next = list;
            made.count = count;
            made.first = i;
            made.last = bits;
            list = made;
        }
        return list;
    }

    private long serve() {
        long sum = 0;
        final Temporary list = temporaries();
        final long key = random.below(table.length);
        sum += read(table[(int) key], key);
        for (Temporary each = list; each != null; each = each.next) sum += each.first + each.last;
        if (random.below(REPLACE_ONE_IN) == 0) table[(int) key] = make(key, table[(int) key].version + 1);
        return sum;
    }

    private void fill() {
        for (int key = 0; key < table.length; key++) table[key] = make(key, 0);
    }

    private void check() {
        for (int key = 0; key < table.length; key++) read(table[key], key);
    }

    private void run(long until) {
        long last = System.nanoTime();
        while (last < until) {
            sum += serve();
            final long now = System.nanoTime();
            latency.add(now - last);
            ended = last = now;
            requests++;
        }
    }

    private void warmUp(long nanos) {
        run(System.nanoTime() + nanos / 2);
        latency = new Measure.Histogram();
        requests = 0;
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("threads", 2L, "live-mib", 256L, "milliseconds", 3000L));
        final long threads = arguments.get("threads");
        final int entries = (int) (arguments.get("live-mib") * 1024 * 1024 / threads / ENTRY_BYTES);
        final Cache[] caches = new Cache[(int) threads];
        final long nanos = arguments.get("milliseconds") * 1_000_000;
        final CyclicBarrier begun = new CyclicBarrier((int) threads, () -> {
            Measure.begin();
            begin = System.nanoTime();
        });
        Measure.workers(threads, index -> {
            final Cache cache = caches[index] = new Cache(index, entries);
            if (nanos == 0) await(begun);
            cache.fill();
            if (nanos == 0) {
                cache.check();
            } else {
                cache.warmUp(nanos);
                await(begun);
                cache.run(begin + nanos);
            }
        });
        Measure.end("cache");
        if (nanos != 0) report(caches);
        Measure.print();
    }

    private static void await(CyclicBarrier barrier) {
        try {
            barrier.await();
        } catch (InterruptedException | BrokenBarrierException problem) {
            throw new IllegalStateException(problem);
        }
    }

    private static void report(Cache[] caches) {
        final Measure.Histogram all = new Measure.Histogram();
        long requests = 0;
        long ended = begin;
        for (final Cache cache : caches) {
            all.merge(cache.latency);
            requests += cache.requests;
            ended = Math.max(ended, cache.ended);
        }
        Measure.count("requests", requests);
        Measure.real("requests_per_s", requests * 1e9 / (ended - begin));
        Measure.latency(all);
    }
}
