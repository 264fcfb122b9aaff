import java.util.Map;

/** As graph.c. */
final class Graph {
    private static final int EDGES = 4, RECORDS = 64;

    /** Its edges are indexed, and so an array: an object of its own. */
    private static final class Node {
        final Node[] edges = new Node[EDGES];
        final long number;
        long seen;

        Node(long number) { this.number = number; }
    }

    private static final class Record {
        final Record previous;
        final Node from, to;

        Record(Record previous, Node from, Node to) {
            this.previous = previous;
            this.from = from;
            this.to = to;
        }
    }

    private Graph() {}

    private static Node[] make(int nodes) {
        final Node[] graph = new Node[nodes];
        for (int i = 0; i < nodes; i++) graph[i] = new Node(i);
        for (int i = 0; i < nodes; i++)
            for (int j = 0; j < EDGES; j++) graph[i].edges[j] = graph[(i + j + 1) % nodes];
        return graph;
    }

    private static void exchange(Node a, Node b, long which) {
        final int i = (int) which & EDGES - 1, j = (int) (which >>> 2) & EDGES - 1;
        final Node ofA = a.edges[i], ofB = b.edges[j];
        a.edges[i] = ofB;
        b.edges[j] = ofA;
    }

    private static void check(Record records) {
        int count = 0;
        for (; records != null; records = records.previous) count++;
        if (count != RECORDS) throw new IllegalStateException("records are lost");
    }

    private static void check(Node[] graph) {
        for (final Node node : graph)
            for (final Node to : node.edges) to.seen++;
        for (int i = 0; i < graph.length; i++)
            if (graph[i].number != i || graph[i].seen != EDGES)
                throw new IllegalStateException("the edges of a node are lost");
    }

    private static void run(int index, int nodes, long operations) {
        final Measure.Random random = new Measure.Random(index);
        final Node[] graph = make(nodes);
        for (long i = 0; i < operations; i += RECORDS) {
            Record records = null;
            for (int j = 0; j < RECORDS; j++) {
                final Node a = graph[(int) random.below(nodes)], b = graph[(int) random.below(nodes)];
                exchange(a, b, random.next());
                records = new Record(records, a, b);
            }
            check(records);
        }
        check(graph);
    }

    public static void main(String[] words) {
        final Map<String, Long> arguments =
            Measure.arguments(words, Map.of("nodes", 256L * 1024, "operations", 4_000_000L, "threads", 1L));
        final int nodes = arguments.get("nodes").intValue();
        Measure.begin();
        Measure.workers(arguments.get("threads"), index -> run(index, nodes, arguments.get("operations")));
        Measure.end("graph");
        Measure.print();
    }
}
