// As gcbench.c.
package main

const (
	depthMin         = 4
	depthMax         = 16
	longLivedDepth   = 16
	doubles          = 500 * 1000
	holePattern      = 256
	holeStopsPercent = 15
	nodeBytes        = 32
)

type node struct {
	left, right *node
	zero, depth int32
}

var holeWords [holePattern]int

type work struct {
	holes int
	hole  []uint64 // keeps the holes from being optimised away
}

func prepareHoles() {
	random := randomOf(0)
	for i := range holeWords {
		for random.below(100) >= holeStopsPercent && holeWords[i] < 255 {
			holeWords[i]++
		}
	}
}

func (w *work) leaveHole() {
	words := holeWords[w.holes%holePattern]
	w.holes++
	if words != 0 {
		w.hole = make([]uint64, words)
	}
}

func (w *work) populate(depth int32, at *node) {
	at.depth = depth
	if depth == 0 {
		return
	}
	w.leaveHole()
	left := &node{}
	w.leaveHole()
	right := &node{}
	at.left = left
	at.right = right
	w.populate(depth-1, left)
	w.populate(depth-1, right)
}

func (w *work) topDown(depth int32) *node {
	root := &node{}
	w.populate(depth, root)
	return root
}

func (w *work) bottomUp(depth int32) *node {
	if depth == 0 {
		return &node{}
	}
	left := w.bottomUp(depth - 1)
	right := w.bottomUp(depth - 1)
	w.leaveHole()
	return &node{left: left, right: right, depth: depth}
}

func checkEdge(tree *node, depth int32) {
	for ; depth >= 0; depth-- {
		must(tree != nil && tree.zero == 0 && tree.depth == depth, "a tree is broken")
		tree = tree.left
	}
}

func (tree *node) isWhole(depth int32) bool {
	if tree.zero != 0 || tree.depth != depth {
		return false
	}
	if depth == 0 {
		return tree.left == nil && tree.right == nil
	}
	return tree.left.isWhole(depth-1) && tree.right.isWhole(depth-1)
}

func nodes(depth int32) uint64 { return 1<<(depth+1) - 1 }

func run(index int) {
	w := &work{}
	longLived := w.topDown(longLivedDepth)
	array := make([]float64, doubles)
	for i := 0; i < doubles/2; i++ {
		array[i] = 1 / float64(i+1)
	}
	for depth := int32(depthMin); depth <= depthMax; depth += 2 {
		iterations := 2 * nodes(depthMax+2) / nodes(depth)
		for i := uint64(0); i < iterations; i++ {
			checkEdge(w.topDown(depth), depth)
		}
		for i := uint64(0); i < iterations; i++ {
			checkEdge(w.bottomUp(depth), depth)
		}
	}
	must(longLived.isWhole(longLivedDepth) && array[999] == 1.0/1000, "long-lived objects are broken")
}

func main() {
	threads, heapPercent := uint64(1), uint64(250)
	argumentsParse(map[string]*uint64{"threads": &threads, "heap-percent": &heapPercent})
	prepareHoles()
	live := threads * ((nodes(longLivedDepth)+nodes(depthMax))*nodeBytes + doubles*8)
	heapLimit(live * heapPercent / 100)
	measureBegin()
	workersRun(threads, run)
	measureEnd("gcbench")
	resultEnd()
}
