import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.IntConsumer;

/** Arguments, threads, random numbers and the result line, as measure.h, workers.h and random.h have them for C. */
final class Measure {
    private static Instant entered;
    private static long beginNanos, beginCpuNanos, beginUptimeMillis;
    private static final StringBuilder line = new StringBuilder();

    private Measure() {}

    /** "--name value" pairs over defaults; another name ends the program. To be called first. */
    static Map<String, Long> arguments(String[] words, Map<String, Long> defaults) {
        entered = Instant.now();
        final Map<String, Long> values = new HashMap<>(defaults);
        for (int i = 0; i < words.length; i += 2) {
            final String name = words[i].startsWith("--") ? words[i].substring(2) : "";
            if (!values.containsKey(name) || i + 1 == words.length) {
                System.err.println("arguments: " + defaults);
                System.exit(1);
            }
            values.put(name, Long.parseLong(words[i + 1]));
        }
        return values;
    }

    static void workers(long count, IntConsumer run) {
        final Thread[] threads = new Thread[(int) count];
        for (int i = 0; i < count; i++) {
            final int index = i;
            threads[i] = new Thread(null, () -> run.accept(index), "worker-" + i, 64L << 20);
            threads[i].setUncaughtExceptionHandler((thread, problem) -> {
                System.err.println(problem);
                Runtime.getRuntime().halt(problem instanceof OutOfMemoryError ? 3 : 1);
            });
            threads[i].start();
        }
        try {
            for (final Thread thread : threads) thread.join();
        } catch (InterruptedException problem) {
            throw new IllegalStateException(problem);
        }
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime();
    }

    static void begin() {
        beginUptimeMillis = ManagementFactory.getRuntimeMXBean().getUptime();
        beginCpuNanos = cpuNanos();
        beginNanos = System.nanoTime();
    }

    /** When main was entered, and when the measured part was within the virtual machine's own time: its log tells pauses. */
    static void end(String program) {
        final long nanos = System.nanoTime() - beginNanos;
        final long cpuNanos = cpuNanos() - beginCpuNanos;
        final long endUptimeMillis = ManagementFactory.getRuntimeMXBean().getUptime();
        line.append("program=").append(program);
        real("wall_seconds", nanos * 1e-9);
        real("cpu_seconds", cpuNanos * 1e-9);
        real("entered_seconds", Duration.between(Instant.EPOCH, entered).toNanos() * 1e-9);
        count("begin_uptime_ms", beginUptimeMillis);
        count("end_uptime_ms", endUptimeMillis);
    }

    static void count(String key, long value) { line.append(' ').append(key).append('=').append(value); }

    static void real(String key, double value) { line.append(String.format(Locale.ROOT, " %s=%.6f", key, value)); }

    static void latency(Histogram nanos) {
        real("latency_p50_ns", nanos.percentile(50));
        real("latency_p99_ns", nanos.percentile(99));
        real("latency_p999_ns", nanos.percentile(99.9));
        real("latency_p9999_ns", nanos.percentile(99.99));
        real("latency_max_ns", nanos.percentile(100));
    }

    static void print() { System.out.println(line); }

    /** xorshift64*; never zero. */
    static long seed(int thread) { return 0x9e3779b97f4a7c15L * (thread + 1); }

    static final class Random {
        private long state;

        Random(int thread) { state = seed(thread); }

        long next() {
            long x = state;
            x ^= x >>> 12;
            x ^= x << 25;
            x ^= x >>> 27;
            state = x;
            return x * 0x2545f4914f6cdd1dL;
        }

        long below(long bound) { return (next() >>> 32) * bound >>> 32; }
    }

    /** Log-linear, as histogram.h. */
    static final class Histogram {
        private static final int SUB_BITS = 5, SUB = 1 << SUB_BITS;
        private final long[] buckets = new long[60 * SUB];
        private long count, max;

        void add(long value) {
            count++;
            if (value > max) max = value;
            if (value < SUB) {
                buckets[(int) value]++;
                return;
            }
            final int shift = 63 - Long.numberOfLeadingZeros(value) - SUB_BITS;
            buckets[(shift + 1) * SUB + ((int) (value >>> shift) & (SUB - 1))]++;
        }

        void merge(Histogram other) {
            count += other.count;
            max = Math.max(max, other.max);
            for (int i = 0; i < buckets.length; i++) buckets[i] += other.buckets[i];
        }

        private static long upper(int bucket) {
            if (bucket < SUB) return bucket;
            final int shift = bucket / SUB - 1;
            return ((long) (SUB + bucket % SUB + 1) << shift) - 1;
        }

        long percentile(double percent) {
            final long rank = (long) (count * percent / 100);
            long seen = 0;
            for (int i = 0; i < buckets.length; i++) {
                seen += buckets[i];
                if (seen > rank || seen == count && seen != 0) return Math.min(upper(i), max);
            }
            return 0;
        }
    }
}
