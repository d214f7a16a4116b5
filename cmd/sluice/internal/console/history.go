package console

import (
	"sync"
	"time"
)

const (
	// kept is how long counts are kept.
	kept = time.Hour
	// maxSamples bounds a history's memory, whatever the rate.
	maxSamples = 720
)

// A history has the counts of one queue in the last hour, the oldest first. Its methods
// may be called concurrently.
type history struct {
	mu      sync.Mutex
	samples []sample
}

// add adds a count and forgets those that are too old.
func (h *history) add(s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := 0
	for first < len(h.samples) && s.at.Sub(h.samples[first].at) > kept {
		first++
	}
	first = max(first, len(h.samples)+1-maxSamples)
	h.samples = append(h.samples[:0:0], append(h.samples[first:], s)...)
}

// all returns the counts. The caller must not change them.
func (h *history) all() []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.samples
}
