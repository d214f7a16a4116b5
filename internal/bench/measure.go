package main

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The metrics of a sample. Those of requests by action are metricRequests + ":"
// + the action.
const (
	metricRate     = "msgs/s"
	metricRequests = "requests/msg"
	metricAllocs   = "allocs/msg"
	metricBytes    = "B/msg"
	metricCPU      = "cpu-µs/msg"
	metricTime     = "ns/msg"
	metricIdle     = "requests"     // in the idle time
	metricBurst    = "after-burst"  // requests in the idle time after a burst
	metricCore     = "core-%"       // of one core
	metricExtend   = "requests/ext" // an extended lease
	metricHeld     = "B/held"       // beyond the body
	metricStack    = "B/stack"      // of those, the goroutines' stacks
	metricWait50   = "wait-p50-µs"  // of a message in hand, before its handler starts
	metricWait99   = "wait-p99-µs"
	metricTrip     = "round-trip-µs" // median of the receives that brought messages
	metricHandling = "handling-µs"   // median

	metricLatency50 = "latency-p50-µs" // of a message, from its commit to its queue
	metricLatency99 = "latency-p99-µs"
)

// A sample is what one run measured.
type sample map[string]float64

// A counter counts requests by action. It is safe for concurrent use.
type counter struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *counter) add(action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int64)
	}
	c.n[action]++
}

// since returns what was counted beyond before; nil is from the beginning.
func (c *counter) since(before map[string]int64) map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := make(map[string]int64, len(c.n))
	for action, n := range c.n {
		if n -= before[action]; n > 0 {
			d[action] = n
		}
	}
	return d
}

func total(counts map[string]int64) (n int64) {
	for _, v := range counts {
		n += v
	}
	return n
}

// A meter measures this process from its making to its end. Servers and fakes
// are processes of their own, so that what is measured is the client.
type meter struct {
	counts *counter // nil: there are no requests
	before map[string]int64
	memory runtime.MemStats
	cpu    time.Duration
	began  time.Time
}

func begin(c *counter) (*meter, error) {
	m := &meter{counts: c}
	runtime.GC() // what was made before is not collected at this run's cost
	if c != nil {
		m.before = c.since(nil)
	}
	runtime.ReadMemStats(&m.memory)
	var err error
	m.cpu, err = cpuTime()
	m.began = time.Now()
	return m, err
}

// end returns what n messages cost.
func (m *meter) end(n int) (sample, error) {
	took := time.Since(m.began)
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	per := func(v float64) float64 { return v / float64(n) }
	s := sample{
		metricRate:   float64(n) / took.Seconds(),
		metricTime:   per(float64(took.Nanoseconds())),
		metricCPU:    per(float64((cpu - m.cpu).Nanoseconds()) / 1e3),
		metricAllocs: per(float64(memory.Mallocs - m.memory.Mallocs)),
		metricBytes:  per(float64(memory.TotalAlloc - m.memory.TotalAlloc)),
	}
	if m.counts != nil {
		s.requests(m.counts.since(m.before), n)
	}
	return s, nil
}

// requests sets the metrics of the requests, by action, that n messages took.
func (s sample) requests(counts map[string]int64, n int) {
	s[metricRequests] = float64(total(counts)) / float64(n)
	for action, v := range counts {
		s[metricRequests+":"+action] = float64(v) / float64(n)
	}
}

// cpuTime is the processor time that this process has used, and its children
// have not.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// action is the last part of a name such as AmazonSQS.ReceiveMessage or
// /google.pubsub.v1.Subscriber/Pull.
func action(name string) string { return name[strings.LastIndexAny(name, "./")+1:] }
