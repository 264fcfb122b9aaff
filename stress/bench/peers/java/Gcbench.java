import java.util.Map;

/** As gcbench.c. The heap's limit is the virtual machine's (-Xmx). */
final class Gcbench {
    private static final int DEPTH_MIN = 4, DEPTH_MAX = 16, LONG_LIVED_DEPTH = 16, DOUBLES = 500_000;
    private static final int HOLE_PATTERN = 256, HOLE_STOPS_PERCENT = 15;

    private static final class Node {
        Node left, right;
        int zero, depth;

        Node(int depth, Node left, Node right) {
            this.depth = depth;
            this.left = left;
            this.right = right;
        }
    }

    private static final int[] holeWords = new int[HOLE_PATTERN];
    /** Keeps the holes from being optimised away. */
    private volatile long[] hole;
    private int holes;

    private Gcbench() {}

    private static void prepareHoles() {
        final Measure.Random random = new Measure.Random(0);
        for (int i = 0; i < HOLE_PATTERN; i++)
            while (random.below(100) >= HOLE_STOPS_PERCENT && holeWords[i] < 255) holeWords[i]++;
    }

    private void leaveHole() {
        final int words = holeWords[holes++ % HOLE_PATTERN];
        if (words != 0) hole = new long[words];
    }

    private void populate(int depth, Node node) {
        node.depth = depth;
        if (depth == 0) return;
        leaveHole();
        final Node left = new Node(0, null, null);
        leaveHole();
        final Node right = new Node(0, null, null);
        node.left = left;
        node.right = right;
        populate(depth - 1, left);
        populate(depth - 1, right);
    }

    private Node topDown(int depth) {
        final Node root = new Node(0, null, null);
        populate(depth, root);
        return root;
    }

    private Node bottomUp(int depth) {
        if (depth == 0) return new Node(0, null, null);
        final Node left = bottomUp(depth - 1), right = bottomUp(depth - 1);
        leaveHole();
        return new Node(depth, left, right);
    }

    private static void checkEdge(Node tree, int depth) {
        for (; depth >= 0; depth--, tree = tree.left)
            if (tree == null || tree.zero != 0 || tree.depth != depth)
                throw new IllegalStateException("a tree is broken at depth " + depth);
    }

    private static boolean isWhole(Node tree, int depth) {
        if (tree.zero != 0 || tree.depth != depth) return false;
        if (depth == 0) return tree.left == null && tree.right == null;
        return isWhole(tree.left, depth - 1) && isWhole(tree.right, depth - 1);
    }

    private static long nodes(int depth) { return (1L << depth + 1) - 1; }

    private static long iterations(int depth) { return 2 * nodes(DEPTH_MAX + 2) / nodes(depth); }

    private void run() {
        final Node longLived = topDown(LONG_LIVED_DEPTH);
        final double[] doubles = new double[DOUBLES];
        for (int i = 0; i < DOUBLES / 2; i++) doubles[i] = 1.0 / (i + 1);
        for (int depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) {
            for (long i = iterations(depth); i != 0; i--) checkEdge(topDown(depth), depth);
            for (long i = iterations(depth); i != 0; i--) checkEdge(bottomUp(depth), depth);
        }
        if (!isWhole(longLived, LONG_LIVED_DEPTH) || doubles[999] != 1.0 / 1000)
            throw new IllegalStateException("long-lived objects are broken");
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments = Measure.arguments(words, Map.of("threads", 1L, "heap-percent", 250L));
        prepareHoles();
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> new Gcbench().run());
        Measure.end("gcbench");
        Measure.print();
    }
}
