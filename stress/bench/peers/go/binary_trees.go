// As binary_trees.c.
package main

const depthMin = 4

type node struct{ left, right *node }

func build(depth uint64) *node {
	if depth == 1 {
		return &node{}
	}
	left := build(depth - 1)
	right := build(depth - 1)
	return &node{left, right}
}

func (tree *node) count() uint64 {
	if tree.left == nil {
		return 1
	}
	return 1 + tree.left.count() + tree.right.count()
}

func nodes(depth uint64) uint64 { return 1<<depth - 1 }

func main() {
	depthMax, threads := uint64(18), uint64(1)
	argumentsParse(map[string]*uint64{"depth": &depthMax, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		must(build(depthMax+1).count() == nodes(depthMax+1), "the stretch tree is broken")
		longLived := build(depthMax)
		for depth := uint64(depthMin); depth <= depthMax; depth += 2 {
			iterations, counted := uint64(1)<<(depthMax-depth+depthMin), uint64(0)
			for i := uint64(0); i < iterations; i++ {
				counted += build(depth).count()
			}
			must(counted == iterations*nodes(depth), "a tree is broken")
		}
		must(longLived.count() == nodes(depthMax), "the long-lived tree is broken")
	})
	measureEnd("binary_trees")
	resultEnd()
}
