import java.util.Map;

/** As quad_trees.c. */
final class QuadTrees {
    private static final int DEPTH_MIN = 2;

    /** Its kids are fields: an array would be an object of its own. */
    private static final class Node {
        Node a, b, c, d;
    }

    private QuadTrees() {}

    private static Node bottomUp(int depth) {
        if (depth == 1) return new Node();
        final Node a = bottomUp(depth - 1), b = bottomUp(depth - 1), c = bottomUp(depth - 1), d = bottomUp(depth - 1);
        final Node tree = new Node();
        tree.a = a;
        tree.b = b;
        tree.c = c;
        tree.d = d;
        return tree;
    }

    private static Node topDown(int depth) {
        final Node tree = new Node();
        if (depth == 1) return tree;
        tree.a = topDown(depth - 1);
        tree.b = topDown(depth - 1);
        tree.c = topDown(depth - 1);
        tree.d = topDown(depth - 1);
        return tree;
    }

    private static long count(Node tree) {
        if (tree == null) return 0;
        return 1 + count(tree.a) + count(tree.b) + count(tree.c) + count(tree.d);
    }

    private static long nodes(int depth) { return ((1L << 2 * depth) - 1) / 3; }

    private static void check(Node tree, int depth) {
        final long counted = count(tree);
        if (counted != nodes(depth))
            throw new IllegalStateException("counted " + counted + " nodes of " + nodes(depth));
    }

    private static void run(int depthMax) {
        final Node longLived = topDown(depthMax);
        for (int depth = DEPTH_MIN; depth < depthMax; depth++) {
            final long iterations = 32 * nodes(depthMax) / nodes(depth);
            for (long i = iterations; i != 0; i--) check(bottomUp(depth), depth);
            for (long i = iterations; i != 0; i--) check(topDown(depth), depth);
        }
        check(longLived, depthMax);
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments = Measure.arguments(words, Map.of("depth", 9L, "threads", 1L));
        final int depthMax = arguments.get("depth").intValue();
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> run(depthMax));
        Measure.end("quad_trees");
        Measure.print();
    }
}
