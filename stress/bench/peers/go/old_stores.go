// As old_stores.c.
package main

type item struct{ number, check uint64 }

type holder struct {
	latest *item
	number uint64
}

func (h *holder) check() {
	must(h.latest.number == h.number && h.latest.check == ^h.number, "an item is broken")
}

func (h *holder) store(number uint64) {
	made := &item{number, ^number}
	if h.latest != nil {
		h.check()
	}
	h.number = number
	h.latest = made
}

func main() {
	holders, operations, threads := uint64(256*1024), uint64(4*1000*1000), uint64(1)
	argumentsParse(map[string]*uint64{"holders": &holders, "operations": &operations, "threads": &threads})
	measureBegin()
	workersRun(threads, func(index int) {
		random := randomOf(index)
		all := make([]*holder, holders)
		for i := range all {
			all[i] = &holder{}
			all[i].store(uint64(i))
		}
		for i := uint64(0); i < operations; i++ {
			all[random.below(holders)].store(holders + i)
		}
		for _, each := range all {
			each.check()
		}
	})
	measureEnd("old_stores")
	resultEnd()
}
