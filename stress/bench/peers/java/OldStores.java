import java.util.Map;

/** As old_stores.c. */
final class OldStores {
    private static final class Item {
        final long number, check;

        Item(long number) {
            this.number = number;
            check = ~number;
        }
    }

    private static final class Holder {
        Item latest;
        long number;

        void check() {
            if (latest.number != number || latest.check != ~number)
                throw new IllegalStateException("an item is broken");
        }

        void store(long number) {
            final Item made = new Item(number);
            if (latest != null) check();
            this.number = number;
            latest = made;
        }
    }

    private OldStores() {}

    private static void run(int index, int holders, long operations) {
        final Measure.Random random = new Measure.Random(index);
        final Holder[] all = new Holder[holders];
        for (int i = 0; i < holders; i++) {
            all[i] = new Holder();
            all[i].store(i);
        }
        for (long i = 0; i < operations; i++) all[(int) random.below(holders)].store(holders + i);
        for (final Holder holder : all) holder.check();
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("holders", 256L * 1024, "operations", 4_000_000L, "threads", 1L));
        final int holders = arguments.get("holders").intValue();
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> run(index, holders, arguments.get("operations")));
        Measure.end("old_stores");
        Measure.print();
    }
}
