// As arrays.c.
package main

const (
	wordsLogMin = 12
	wordsLogs   = 7
	spacing     = 64
	live        = 32
)

type item struct{ number uint64 }

// One array, whichever of the two kinds.
type holder struct {
	numbers      []uint64
	items        []*item
	count, first uint64
}

func (h *holder) fillNumbers() {
	h.numbers = make([]uint64, h.count)
	for i := range h.numbers {
		h.numbers[i] = h.first + uint64(i)
	}
}

func (h *holder) fillItems() {
	h.items = make([]*item, h.count)
	for i := uint64(0); i < h.count; i += spacing {
		h.items[i] = &item{h.first + i}
	}
}

func (h *holder) numbersAreWhole() bool {
	wrong := uint64(len(h.numbers)) ^ h.count
	for i, number := range h.numbers {
		wrong |= number ^ (h.first + uint64(i))
	}
	return wrong == 0
}

func (h *holder) itemsAreWhole() bool {
	for i := uint64(0); i < h.count; i += spacing {
		if h.items[i].number != h.first+i || h.items[i+1] != nil {
			return false
		}
	}
	return true
}

func (h *holder) check() {
	if h.numbers != nil {
		must(h.numbersAreWhole(), "an array is broken")
	} else {
		must(h.itemsAreWhole(), "an array is broken")
	}
}

func main() {
	arrays, threads := uint64(3000), uint64(1)
	argumentsParse(map[string]*uint64{"arrays": &arrays, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		random := randomOf(index)
		all := make([]*holder, live)
		for i := uint64(0); i < arrays+live; i++ {
			if stale := all[i%live]; stale != nil {
				stale.check()
			}
			made := &holder{count: 1 << (wordsLogMin + random.below(wordsLogs)), first: i}
			all[i%live] = made
			if i%2 == 0 {
				made.fillNumbers()
			} else {
				made.fillItems()
			}
		}
		for _, each := range all {
			each.check()
		}
	})
	measureEnd("arrays")
	resultEnd()
}
