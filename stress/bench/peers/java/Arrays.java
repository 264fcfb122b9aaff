import java.util.Map;

/** As arrays.c. */
final class Arrays {
    private static final int WORDS_LOG_MIN = 12, WORDS_LOGS = 7, SPACING = 64, LIVE = 32;

    private static final class Item {
        final long number;

        Item(long number) { this.number = number; }
    }

    /** One array, whichever of the two kinds. */
    private static final class Holder {
        long[] numbers;
        Item[] items;
        final int count;
        final long first;

        Holder(int count, long first) {
            this.count = count;
            this.first = first;
        }

        void fillNumbers() {
            numbers = new long[count];
            for (int i = 0; i < count; i++) numbers[i] = first + i;
        }

        void fillItems() {
            items = new Item[count];
            for (int i = 0; i < count; i += SPACING) items[i] = new Item(first + i);
        }

        private boolean numbersAreWhole() {
            long wrong = numbers.length ^ count;
            for (int i = 0; i < count; i++) wrong |= numbers[i] ^ first + i;
            return wrong == 0;
        }

        private boolean itemsAreWhole() {
            for (int i = 0; i < count; i += SPACING)
                if (items[i].number != first + i || items[i + 1] != null) return false;
            return true;
        }

        void check() {
            if (numbers != null ? !numbersAreWhole() : !itemsAreWhole())
                throw new IllegalStateException("an array is broken");
        }
    }

    private Arrays() {}

    private static void run(int index, long arrays) {
        final Measure.Random random = new Measure.Random(index);
        final Holder[] live = new Holder[LIVE];
        for (long i = 0; i < arrays + LIVE; i++) {
            final int at = (int) (i % LIVE);
            if (live[at] != null) live[at].check();
            live[at] = new Holder(1 << WORDS_LOG_MIN + (int) random.below(WORDS_LOGS), i);
            if (i % 2 == 0) live[at].fillNumbers();
            else live[at].fillItems();
        }
        for (final Holder holder : live) holder.check();
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments = Measure.arguments(words, Map.of("arrays", 3000L, "threads", 1L));
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> run(index, arguments.get("arrays")));
        Measure.end("arrays");
        Measure.print();
    }
}
