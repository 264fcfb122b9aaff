// As quad_trees.c.
package main

const depthMin = 2

type node struct{ kids [4]*node }

func bottomUp(depth uint64) *node {
	if depth == 1 {
		return &node{}
	}
	a := bottomUp(depth - 1)
	b := bottomUp(depth - 1)
	c := bottomUp(depth - 1)
	d := bottomUp(depth - 1)
	return &node{[...]*node{a, b, c, d}}
}

func topDown(depth uint64) *node {
	tree := &node{}
	if depth == 1 {
		return tree
	}
	for i := range tree.kids {
		tree.kids[i] = topDown(depth - 1)
	}
	return tree
}

func (tree *node) count() uint64 {
	count := uint64(1)
	for _, kid := range &tree.kids {
		if kid == nil {
			break
		}
		count += kid.count()
	}
	return count
}

func nodes(depth uint64) uint64 { return (1<<(2*depth) - 1) / 3 }

func (tree *node) check(depth uint64) { must(tree.count() == nodes(depth), "a tree is broken") }

func main() {
	depthMax, threads := uint64(9), uint64(1)
	argumentsParse(map[string]*uint64{"depth": &depthMax, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		longLived := topDown(depthMax)
		for depth := uint64(depthMin); depth < depthMax; depth++ {
			iterations := 32 * nodes(depthMax) / nodes(depth)
			for i := uint64(0); i < iterations; i++ {
				bottomUp(depth).check(depth)
			}
			for i := uint64(0); i < iterations; i++ {
				topDown(depth).check(depth)
			}
		}
		longLived.check(depthMax)
	})
	measureEnd("quad_trees")
	resultEnd()
}
