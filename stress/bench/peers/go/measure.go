// Arguments, threads, random numbers and the result line, as measure.h, workers.h, random.h and histogram.h have them
// for C. Every workload is built from this file and its own.
package main

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	line        strings.Builder
	beginTime   time.Time
	beginCPU    float64
	beginMemory runtime.MemStats
	beginPauses []uint64
)

// "--name value" pairs over defaults; another name ends the program.
func argumentsParse(values map[string]*uint64) {
	for i := 1; i < len(os.Args); i += 2 {
		value, known := values[strings.TrimPrefix(os.Args[i], "--")]
		if !known || i+1 == len(os.Args) {
			fmt.Fprintln(os.Stderr, "usage:", os.Args[0], "--name value...")
			os.Exit(1)
		}
		parsed, err := strconv.ParseUint(os.Args[i+1], 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		*value = parsed
	}
}

func workersRun(count uint64, run func(index int)) {
	var workers sync.WaitGroup
	for i := 0; i < int(count); i++ {
		workers.Add(1)
		go func(index int) {
			defer workers.Done()
			run(index)
		}(i)
	}
	workers.Wait()
}

// The heap's soft limit, which Go enforces by collecting more often.
func heapLimit(bytes uint64) {
	if bytes != 0 {
		debug.SetMemoryLimit(int64(bytes))
		debug.SetGCPercent(-1)
	}
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) * 1e-9
}

// The stops since the start of the program, by their length.
func pauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/gc/pauses:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

func measureBegin() {
	beginPauses = append([]uint64(nil), pauses().Counts...)
	runtime.ReadMemStats(&beginMemory)
	beginCPU = cpuSeconds()
	beginTime = time.Now()
}

func measureEnd(program string) {
	wall := time.Since(beginTime).Seconds()
	cpu := cpuSeconds() - beginCPU
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	line.WriteString("program=" + program)
	resultReal("wall_seconds", wall)
	resultReal("cpu_seconds", cpu)
	resultReal("pause_seconds", float64(memory.PauseTotalNs-beginMemory.PauseTotalNs)*1e-9)
	reportPauses()
}

// Every collection has two stops. A percentile is its bucket's upper end.
func reportPauses() {
	now, total := pauses(), uint64(0)
	for i := range now.Counts {
		now.Counts[i] -= beginPauses[i]
		total += now.Counts[i]
	}
	resultCount("pause_count", total)
	if total == 0 {
		return
	}
	for _, each := range []struct {
		key  string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		rank, seen := uint64(math.Ceil(float64(total)*each.part)), uint64(0)
		for i, count := range now.Counts {
			seen += count
			if seen >= rank {
				resultReal("pause_"+each.key+"_ns", now.Buckets[i+1]*1e9)
				break
			}
		}
	}
}

func resultCount(key string, value uint64) { fmt.Fprintf(&line, " %s=%d", key, value) }
func resultReal(key string, value float64) { fmt.Fprintf(&line, " %s=%.6f", key, value) }
func resultLatency(nanoseconds *histogram) {
	resultCount("latency_p50_ns", nanoseconds.percentile(50))
	resultCount("latency_p99_ns", nanoseconds.percentile(99))
	resultCount("latency_p999_ns", nanoseconds.percentile(99.9))
	resultCount("latency_p9999_ns", nanoseconds.percentile(99.99))
	resultCount("latency_max_ns", nanoseconds.percentile(100))
}

func resultEnd() { fmt.Println(line.String()) }

// xorshift64*; never zero.
type random struct{ state uint64 }

func randomOf(thread int) random { return random{0x9e3779b97f4a7c15 * uint64(thread+1)} }

func (r *random) next() uint64 {
	x := r.state
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	r.state = x
	return x * 0x2545f4914f6cdd1d
}

func (r *random) below(bound uint64) uint64 { return (r.next() >> 32) * bound >> 32 }

const (
	histogramSubBits = 5
	histogramSub     = 1 << histogramSubBits
)

// Log-linear, as histogram.h.
type histogram struct {
	count, max uint64
	buckets    [60 * histogramSub]uint64
}

func (h *histogram) add(value uint64) {
	h.count++
	if value > h.max {
		h.max = value
	}
	if value < histogramSub {
		h.buckets[value]++
		return
	}
	shift := uint(63-bits.LeadingZeros64(value)) - histogramSubBits
	h.buckets[(shift+1)*histogramSub+uint(value>>shift)&(histogramSub-1)]++
}

func (h *histogram) merge(other *histogram) {
	h.count += other.count
	if other.max > h.max {
		h.max = other.max
	}
	for i := range h.buckets {
		h.buckets[i] += other.buckets[i]
	}
}

func (h *histogram) upper(bucket uint) uint64 {
	if bucket < histogramSub {
		return uint64(bucket)
	}
	shift := bucket/histogramSub - 1
	return uint64(histogramSub+bucket%histogramSub+1)<<shift - 1
}

func (h *histogram) percentile(percent float64) uint64 {
	rank := uint64(float64(h.count) * percent / 100)
	seen := uint64(0)
	for i := range h.buckets {
		seen += h.buckets[i]
		if seen > rank || seen == h.count && seen != 0 {
			upper := h.upper(uint(i))
			if upper < h.max {
				return upper
			}
			return h.max
		}
	}
	return 0
}

func must(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, what)
		os.Exit(1)
	}
}
