import java.util.Arrays;
import java.util.Map;

/** As words.c. A word is its bytes: a String would be two objects. */
final class Words {
    private static final int BUCKETS_MIN = 64;

    private static final class Entry {
        Entry next;
        final byte[] word;
        final long hash;
        long count = 1;

        Entry(Entry next, byte[] word, long hash) {
            this.next = next;
            this.word = word;
            this.hash = hash;
        }
    }

    // --- the text, made twice: its length is known after the first time ---

    private static final String[] syllables = { "ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se",
        "ti", "vo", "wu", "xe" };

    private static byte[] text;
    private static int[] written;

    private static int spelledLength(long rank) { return rank < 16 ? 2 : 2 + spelledLength(rank / 16 - 1); }

    /** Returns where the word ends. */
    private static int spell(byte[] to, int at, long rank) {
        do {
            final String syllable = syllables[(int) (rank % 16)];
            to[at++] = (byte) syllable.charAt(0);
            to[at++] = (byte) syllable.charAt(1);
            rank /= 16;
        } while (rank-- != 0);
        return at;
    }

    private static int draw(Measure.Random random, int vocabulary) {
        final double part = (random.next() >>> 11) * 0x1p-53;
        return (int) Math.exp(part * Math.log(vocabulary));
    }

    private static void makeText(long words, int vocabulary) {
        written = new int[vocabulary + 1];
        Measure.Random random = new Measure.Random(0);
        int length = 0;
        for (long i = 0; i < words; i++) {
            final int rank = draw(random, vocabulary);
            written[rank]++;
            length += spelledLength(rank) + 1;
        }
        text = new byte[length];
        random = new Measure.Random(0);
        for (int at = 0; at < length;) {
            at = spell(text, at, draw(random, vocabulary));
            text[at++] = ' ';
        }
    }

    // --- the count ---

    private Entry[] buckets = new Entry[BUCKETS_MIN];
    private long entries;

    private Words() {}

    private static long hash(byte[] word) {
        long hash = 0xcbf29ce484222325L;
        for (final byte each : word) hash = (hash ^ each & 0xff) * 0x100000001b3L;
        return hash ^ hash >>> 32;
    }

    private Entry find(byte[] word, long hash) {
        Entry entry = buckets[(int) hash & buckets.length - 1];
        while (entry != null && (entry.hash != hash || !Arrays.equals(entry.word, word))) entry = entry.next;
        return entry;
    }

    private void resize(int size) {
        final Entry[] made = new Entry[size];
        for (final Entry first : buckets)
            for (Entry entry = first, next; entry != null; entry = next) {
                final int at = (int) entry.hash & size - 1;
                next = entry.next;
                entry.next = made[at];
                made[at] = entry;
            }
        buckets = made;
    }

    private void add(byte[] word, long hash) {
        if (entries++ == buckets.length) resize(2 * buckets.length);
        final int at = (int) hash & buckets.length - 1;
        buckets[at] = new Entry(buckets[at], word, hash);
    }

    private void count(byte[] word) {
        final long hash = hash(word);
        final Entry found = find(word, hash);
        if (found == null) add(word, hash);
        else found.count++;
    }

    private static Words countAll() {
        final Words table = new Words();
        for (int at = 0; at < text.length;) {
            int space = at;
            while (text[space] != ' ') space++;
            table.count(Arrays.copyOfRange(text, at, space));
            at = space + 1;
        }
        return table;
    }

    private void check() {
        long distinct = 0;
        for (int rank = 0; rank < written.length; rank++) {
            if (written[rank] == 0) continue;
            final byte[] word = new byte[spelledLength(rank)];
            spell(word, 0, rank);
            final Entry entry = find(word, hash(word));
            if (entry == null || entry.count != written[rank])
                throw new IllegalStateException('"' + new String(word) + "\" is not counted right");
            distinct++;
        }
        if (distinct != entries) throw new IllegalStateException(entries + " words of " + distinct);
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("words", 4_000_000L, "vocabulary", 300_000L));
        makeText(arguments.get("words"), arguments.get("vocabulary").intValue());
        Measure.begin();
        final Words table = countAll();
        Measure.end("words");
        table.check();
        Measure.count("text_bytes", text.length);
        Measure.count("distinct", table.entries);
        Measure.print();
    }
}
