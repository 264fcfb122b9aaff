// As splay.c.
package main

const dataLevels = 3

type data struct {
	left, right *data
	key         uint64
	words       [8]uint64
}

type node struct {
	left, right *node
	data        *data
	key         uint64
}

type tree struct{ root, header *node }

func dataMake(key uint64, levels int) *data {
	if levels == 0 {
		return nil
	}
	made := &data{left: dataMake(key, levels-1), right: dataMake(key, levels-1), key: key}
	made.words[0] = key
	return made
}

func (d *data) count(key uint64) int {
	if d == nil {
		return 0
	}
	count := d.left.count(key) + d.right.count(key)
	if d.key == key && d.words[0] == key {
		count++
	}
	return count
}

func (t *tree) splay(key uint64) {
	header := t.header
	less, greater, at := header, header, t.root
	header.left, header.right = nil, nil
	for key != at.key {
		if key < at.key {
			left := at.left
			if left == nil {
				break
			}
			if key < left.key {
				at.left = left.right
				left.right = at
				at = left
				if at.left == nil {
					break
				}
			}
			greater.left = at
			greater = at
			at = at.left
		} else {
			right := at.right
			if right == nil {
				break
			}
			if key > right.key {
				at.right = right.left
				right.left = at
				at = right
				if at.right == nil {
					break
				}
			}
			less.right = at
			less = at
			at = at.right
		}
	}
	less.right = at.left
	greater.left = at.right
	at.left = header.right
	at.right = header.left
	t.root = at
}

func (t *tree) insert(key uint64) {
	made := &node{data: dataMake(key, dataLevels), key: key}
	if t.root != nil {
		t.splay(key)
		root := t.root
		if root.key < key {
			made.left = root
			made.right = root.right
			root.right = nil
		} else {
			made.right = root
			made.left = root.left
			root.left = nil
		}
	}
	t.root = made
}

func (t *tree) removeRoot() {
	gone := t.root
	if gone.left == nil {
		t.root = gone.right
		return
	}
	t.root = gone.left
	t.splay(gone.key)
	t.root.right = gone.right
}

func (t *tree) removePredecessor() {
	if before := t.root.left; before != nil {
		for before.right != nil {
			before = before.right
		}
		t.splay(before.key)
	}
	t.removeRoot()
}

func (t *tree) check() uint64 {
	count, least := uint64(0), uint64(0)
	for ; t.root != nil; count++ {
		t.splay(0)
		root := t.root
		must(root.key >= least && root.data.count(root.key) == 1<<dataLevels-1, "the tree is broken")
		least = root.key
		t.removeRoot()
	}
	return count
}

func main() {
	nodes, operations, threads := uint64(32*1024), uint64(200*1000), uint64(1)
	argumentsParse(map[string]*uint64{"nodes": &nodes, "operations": &operations, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		random := randomOf(index)
		t := &tree{header: &node{}}
		for i := uint64(0); i < nodes; i++ {
			t.insert(random.next())
		}
		for i := uint64(0); i < operations; i++ {
			t.insert(random.next())
			t.removePredecessor()
		}
		must(t.check() == nodes, "nodes are lost")
	})
	measureEnd("splay")
	resultEnd()
}
