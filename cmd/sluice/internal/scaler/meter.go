package scaler

import (
	"sync"
	"time"
)

const (
	// leastSpan is the shortest time over which a throughput is measured, and mostSpan
	// the longest: a process that was asleep has measured nothing.
	leastSpan = 10 * time.Second
	mostSpan  = 5 * time.Minute
	// newest is how much the latest measurement counts against those before.
	newest = 0.3
)

// A sample is what the workers of a queue had counted at a time.
type sample struct {
	at      time.Time
	waiting bool               // messages were visible
	handled map[string]float64 // by worker
}

// A meter measures what a replica handles in a second. The zero meter has measured
// nothing. Its methods may be called concurrently.
type meter struct {
	mu   sync.Mutex
	last sample
	rate float64
}

// add measures from the sample before to s, if messages waited at both: the workers were
// busy then. A worker counts that is in both.
func (m *meter) add(s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	span := s.at.Sub(m.last.at)
	if span < leastSpan && !m.last.at.IsZero() {
		return
	}
	last := m.last
	m.last = s
	if last.at.IsZero() || span > mostSpan || !last.waiting || !s.waiting {
		return
	}
	var handled float64
	workers := 0
	for name, now := range s.handled {
		if was, ok := last.handled[name]; ok && now >= was { // less is another process
			handled += now - was
			workers++
		}
	}
	if workers == 0 || handled == 0 {
		return // zero says nothing: one that waits for its first end may be fast
	}
	rate := handled / span.Seconds() / float64(workers)
	if m.rate > 0 {
		rate = newest*rate + (1-newest)*m.rate
	}
	m.rate = rate
}

// measured returns a replica's throughput, zero if none was measured.
func (m *meter) measured() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}
