// As cache.c. A temporary is one object whose size its type says.
package main

import (
	"sync"
	"time"
)

const (
	temporaries  = 20
	replaceOneIn = 8
	wordsMin     = 14
	wordsSpread  = 7
	entryBytes   = 8 + 24 + 8 + (wordsMin+wordsSpread/2)*8
)

type entry struct {
	key, version uint64
	value        []uint64
}

type temporary struct {
	next               *temporary
	count, first, last uint64
}

type temporary3 struct {
	temporary
	words [1]uint64
}

type temporary4 struct {
	temporary
	words [2]uint64
}

type temporary5 struct {
	temporary
	words [3]uint64
}

type temporary6 struct {
	temporary
	words [4]uint64
}

type temporary7 struct {
	temporary
	words [5]uint64
}

type temporary8 struct {
	temporary
	words [6]uint64
}

type temporary9 struct {
	temporary
	words [7]uint64
}

type temporary10 struct {
	temporary
	words [8]uint64
}

func temporaryOf(count uint64) *temporary {
	switch count {
	case 3:
		return &(&temporary3{}).temporary
	case 4:
		return &(&temporary4{}).temporary
	case 5:
		return &(&temporary5{}).temporary
	case 6:
		return &(&temporary6{}).temporary
	case 7:
		return &(&temporary7{}).temporary
	case 8:
		return &(&temporary8{}).temporary
	case 9:
		return &(&temporary9{}).temporary
	case 10:
		return &(&temporary10{}).temporary
	default:
		return &temporary{}
	}
}

type cache struct {
	random        random
	table         []*entry
	latency       histogram
	requests, sum uint64
	ended         time.Time
}

func (c *cache) make(key, version uint64) *entry {
	value := make([]uint64, wordsMin+c.random.below(wordsSpread))
	for i := range value {
		value[i] = key + version + uint64(i)
	}
	return &entry{key, version, value}
}

func (e *entry) read(key uint64) uint64 {
	sum, count := uint64(0), uint64(len(e.value))
	for _, word := range e.value {
		sum += word
	}
	must(e.key == key && sum == count*(key+e.version)+count*(count-1)/2, "an entry is broken")
	return sum
}

func (c *cache) temporaries() *temporary {
	var list *temporary
	bits := uint64(0)
	for i := uint64(0); i < temporaries; i++ {
		if i%16 == 0 {
			bits = c.random.next()
		}
		count := 1 + bits&7 + bits>>2&2
		bits >>= 4
		made := temporaryOf(count)
		made.next = list
		made.count = count
		made.first = i
		made.last = bits
		list = made
	}
	return list
}

func (c *cache) serve() uint64 {
	list := c.temporaries()
	key := c.random.below(uint64(len(c.table)))
	sum := c.table[key].read(key)
	for ; list != nil; list = list.next {
		sum += list.first + list.last
	}
	if c.random.below(replaceOneIn) == 0 {
		c.table[key] = c.make(key, c.table[key].version+1)
	}
	return sum
}

func (c *cache) run(until time.Time) {
	for last := time.Now(); last.Before(until); {
		c.sum += c.serve()
		now := time.Now()
		c.latency.add(uint64(now.Sub(last)))
		last = now
		c.ended = now
		c.requests++
	}
}

func (c *cache) warmUp(duration time.Duration) {
	c.run(time.Now().Add(duration / 2))
	c.latency = histogram{}
	c.requests = 0
}

func main() {
	threads, liveMiB, milliseconds := uint64(2), uint64(256), uint64(3000)
	argumentsParse(map[string]*uint64{"threads": &threads, "live-mib": &liveMiB, "milliseconds": &milliseconds})
	duration := time.Duration(milliseconds) * time.Millisecond
	caches := make([]*cache, threads)
	var begin time.Time
	var ready, begun sync.WaitGroup
	ready.Add(int(threads))
	begun.Add(1)
	go func() {
		ready.Wait()
		measureBegin()
		begin = time.Now()
		begun.Done()
	}()
	beginTogether := func() {
		ready.Done()
		begun.Wait()
	}
	workersRun(threads, func(index int) {
		c := &cache{random: randomOf(index), table: make([]*entry, liveMiB*1024*1024/threads/entryBytes)}
		caches[index] = c
		if milliseconds == 0 {
			beginTogether()
		}
		for key := range c.table {
			c.table[key] = c.make(uint64(key), 0)
		}
		if milliseconds != 0 {
			c.warmUp(duration)
			beginTogether()
			c.run(begin.Add(duration))
			return
		}
		for key := range c.table {
			c.table[key].read(uint64(key))
		}
	})
	measureEnd("cache")
	if milliseconds != 0 {
		report(caches, begin)
	}
	resultEnd()
}

func report(caches []*cache, begin time.Time) {
	all := &histogram{}
	requests, elapsed := uint64(0), time.Duration(0)
	for _, c := range caches {
		all.merge(&c.latency)
		requests += c.requests
		if c.ended.Sub(begin) > elapsed {
			elapsed = c.ended.Sub(begin)
		}
	}
	resultCount("requests", requests)
	resultReal("requests_per_s", float64(requests)/elapsed.Seconds())
	resultLatency(all)
}
