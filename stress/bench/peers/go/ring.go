// As ring.c.
package main

import "time"

const messageBytes = 1024

type message struct {
	number uint64
	bytes  [messageBytes]byte
}

func push(ring []*message, number uint64) {
	made := &message{number: number}
	for i := range made.bytes {
		made.bytes[i] = byte(number)
	}
	window := uint64(len(ring))
	stale := ring[number%window]
	if stale != nil {
		before := number - window
		must(stale.number == before && stale.bytes[0] == byte(before) && stale.bytes[messageBytes-1] == byte(before),
			"a message is broken")
	}
	ring[number%window] = made
}

func main() {
	window, messages := uint64(200*1000), uint64(2*1000*1000)
	argumentsParse(map[string]*uint64{"window": &window, "messages": &messages})
	ring := make([]*message, window)
	for number := uint64(0); number < window; number++ {
		push(ring, number)
	}
	latency := &histogram{}
	measureBegin()
	last := time.Now()
	for number := window; number < window+messages; number++ {
		push(ring, number)
		now := time.Now()
		latency.add(uint64(now.Sub(last)))
		last = now
	}
	measureEnd("ring")
	resultLatency(latency)
	resultEnd()
}
