import java.util.Map;

/** As splay.c. */
final class Splay {
    private static final int DATA_LEVELS = 3, WORDS = 8;

    /** Its words are fields: an array would be an object of its own. */
    private static final class Data {
        final Data left, right;
        final long key;
        final long word0;
        long word1, word2, word3, word4, word5, word6, word7;

        Data(long key, int levels) {
            left = levels == 1 ? null : new Data(key, levels - 1);
            right = levels == 1 ? null : new Data(key, levels - 1);
            this.key = key;
            word0 = key;
        }

        int count(long wanted) {
            return (key == wanted && word0 == wanted ? 1 : 0) + (left == null ? 0 : left.count(wanted))
                + (right == null ? 0 : right.count(wanted));
        }
    }

    private static final class Node {
        Node left, right;
        final Data data;
        final long key;

        Node(long key, Data data) {
            this.key = key;
            this.data = data;
        }
    }

    private final Node header = new Node(0, null);
    private Node root;

    private Splay() {}

    private static boolean less(long a, long b) { return Long.compareUnsigned(a, b) < 0; }

    private void splay(long key) {
        Node less = header, greater = header, at = root;
        header.left = header.right = null;
        while (key != at.key) {
            if (less(key, at.key)) {
                final Node left = at.left;
                if (left == null) break;
                if (less(key, left.key)) {
                    at.left = left.right;
                    left.right = at;
                    at = left;
                    if (at.left == null) break;
                }
                greater.left = at;
                greater = at;
                at = at.left;
            } else {
                final Node right = at.right;
                if (right == null) break;
                if (less(right.key, key)) {
                    at.right = right.left;
                    right.left = at;
                    at = right;
                    if (at.right == null) break;
                }
                less.right = at;
                less = at;
                at = at.right;
            }
        }
        less.right = at.left;
        greater.left = at.right;
        at.left = header.right;
        at.right = header.left;
        root = at;
    }

    private void insert(long key) {
        final Node made = new Node(key, new Data(key, DATA_LEVELS));
        if (root != null) {
            splay(key);
            if (less(root.key, key)) {
                made.left = root;
                made.right = root.right;
                root.right = null;
            } else {
                made.right = root;
                made.left = root.left;
                root.left = null;
            }
        }
        root = made;
    }

    private void removeRoot() {
        final Node gone = root;
        root = gone.left == null ? gone.right : gone.left;
        if (gone.left == null) return;
        splay(gone.key);
        root.right = gone.right;
    }

    private void removePredecessor() {
        Node before = root.left;
        if (before != null) {
            while (before.right != null) before = before.right;
            splay(before.key);
        }
        removeRoot();
    }

    private long check() {
        long count = 0, least = 0;
        for (; root != null; count++) {
            splay(0);
            if (less(root.key, least) || root.data.count(root.key) != (1 << DATA_LEVELS) - 1)
                throw new IllegalStateException("the tree is broken");
            least = root.key;
            removeRoot();
        }
        return count;
    }

    private static void run(int index, long nodes, long operations) {
        final Measure.Random random = new Measure.Random(index);
        final Splay tree = new Splay();
        for (long i = 0; i < nodes; i++) tree.insert(random.next());
        for (long i = 0; i < operations; i++) {
            tree.insert(random.next());
            tree.removePredecessor();
        }
        if (tree.check() != nodes) throw new IllegalStateException("nodes are lost");
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("nodes", 32L * 1024, "operations", 200_000L, "threads", 1L));
        Measure.begin();
        Measure.workers(
            arguments.get("threads"), index -> run(index, arguments.get("nodes"), arguments.get("operations")));
        Measure.end("splay");
        Measure.print();
    }
}
