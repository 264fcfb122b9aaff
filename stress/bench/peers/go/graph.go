// As graph.c.
package main

const (
	edges = 4
	batch = 64
)

type node struct {
	edges        [edges]*node
	number, seen uint64
}

type record struct {
	previous *record
	from, to *node
}

func graphMake(nodes uint64) []*node {
	graph := make([]*node, nodes)
	for i := range graph {
		graph[i] = &node{number: uint64(i)}
	}
	for i, from := range graph {
		for j := range from.edges {
			from.edges[j] = graph[(uint64(i)+uint64(j)+1)%nodes]
		}
	}
	return graph
}

func exchange(a, b *node, which uint64) {
	i, j := which%edges, which/edges%edges
	a.edges[i], b.edges[j] = b.edges[j], a.edges[i]
}

func recordsCheck(records *record) {
	count := 0
	for ; records != nil; records = records.previous {
		count++
	}
	must(count == batch, "records are lost")
}

func graphCheck(graph []*node) {
	for _, from := range graph {
		for _, to := range &from.edges {
			to.seen++
		}
	}
	for i, n := range graph {
		must(n.number == uint64(i) && n.seen == edges, "the edges of a node are lost")
	}
}

func main() {
	nodes, operations, threads := uint64(256*1024), uint64(4*1000*1000), uint64(1)
	argumentsParse(map[string]*uint64{"nodes": &nodes, "operations": &operations, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		random := randomOf(index)
		graph := graphMake(nodes)
		for i := uint64(0); i < operations; i += batch {
			var records *record
			for j := 0; j < batch; j++ {
				a, b := graph[random.below(nodes)], graph[random.below(nodes)]
				exchange(a, b, random.next())
				records = &record{records, a, b}
			}
			recordsCheck(records)
		}
		graphCheck(graph)
	})
	measureEnd("graph")
	resultEnd()
}
