import java.util.Arrays;
import java.util.Map;

/** As ring.c. */
final class Ring {
    private static final int MESSAGE_BYTES = 1024;

    private static final class Message {
        final long number;
        final byte[] bytes;

        Message(long number) {
            this.number = number;
            bytes = new byte[MESSAGE_BYTES];
            Arrays.fill(bytes, (byte) number);
        }
    }

    private Ring() {}

    private static void check(Message message, long number) {
        final byte expected = (byte) number;
        if (message.number != number || message.bytes[0] != expected || message.bytes[MESSAGE_BYTES - 1] != expected)
            throw new IllegalStateException("message " + number + " is broken");
    }

    private static void push(Message[] ring, long number) {
        final Message made = new Message(number);
        final int at = (int) (number % ring.length);
        if (ring[at] != null) check(ring[at], number - ring.length);
        ring[at] = made;
    }

    private static void run(int window, long messages) {
        final Message[] ring = new Message[window];
        for (long number = 0; number < window; number++) push(ring, number);
        final Measure.Histogram latency = new Measure.Histogram();
        Measure.begin();
        long last = System.nanoTime();
        for (long number = window; number < window + messages; number++) {
            push(ring, number);
            final long now = System.nanoTime();
            latency.add(now - last);
            last = now;
        }
        Measure.end("ring");
        Measure.latency(latency);
        Measure.print();
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("window", 200_000L, "messages", 2_000_000L));
        Measure.workers(1, index -> run(arguments.get("window").intValue(), arguments.get("messages")));
    }
}
