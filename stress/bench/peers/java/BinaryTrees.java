import java.util.Map;

/** As binary_trees.c. */
final class BinaryTrees {
    private static final int DEPTH_MIN = 4;

    private static final class Node {
        Node left, right;
    }

    private BinaryTrees() {}

    private static Node build(int depth) {
        final Node node = new Node();
        if (depth == 1) return node;
        node.left = build(depth - 1);
        node.right = build(depth - 1);
        return node;
    }

    private static long count(Node tree) {
        if (tree.left == null) return 1;
        return 1 + count(tree.left) + count(tree.right);
    }

    private static long nodes(int depth) { return (1L << depth) - 1; }

    private static void mustCount(long counted, long expected) {
        if (counted != expected) throw new IllegalStateException("counted " + counted + " nodes of " + expected);
    }

    private static long iterations(int depthMax, int depth) { return 1L << depthMax - depth + DEPTH_MIN; }

    private static void run(int depthMax) {
        mustCount(count(build(depthMax + 1)), nodes(depthMax + 1));
        final Node longLived = build(depthMax);
        for (int depth = DEPTH_MIN; depth <= depthMax; depth += 2) {
            long counted = 0;
            for (long i = 0; i < iterations(depthMax, depth); i++) counted += count(build(depth));
            mustCount(counted, iterations(depthMax, depth) * nodes(depth));
        }
        mustCount(count(longLived), nodes(depthMax));
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments = Measure.arguments(words, Map.of("depth", 18L, "threads", 1L));
        final int depthMax = arguments.get("depth").intValue();
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> run(depthMax));
        Measure.end("binary_trees");
        Measure.print();
    }
}
