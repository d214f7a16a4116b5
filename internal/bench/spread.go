package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Each power of two has this many buckets of a spread.
const (
	parts    = 16
	partBits = 4
)

// A spread counts durations by their size, to a sixteenth of it. The zero spread is
// ready. It is safe for concurrent use.
type spread struct {
	counts [64 * parts]atomic.Int64
}

// bucket returns the bucket of a number of nanoseconds.
func bucket(ns uint64) int {
	if ns < parts {
		return int(ns)
	}
	shift := bits.Len64(ns) - 1 - partBits
	return (shift+1)*parts + int(ns>>shift)&(parts-1)
}

// floor returns the least number of nanoseconds in a bucket.
func floor(bucket int) uint64 {
	if bucket < parts {
		return uint64(bucket)
	}
	return uint64(parts+bucket%parts) << (bucket/parts - 1)
}

func (s *spread) add(d time.Duration) { s.counts[bucket(uint64(max(d, 0)))].Add(1) }

// quantile returns the duration, in microseconds, that the share q of all don't exceed
// by more than a sixteenth. It is zero if there are none.
func (s *spread) quantile(q float64) float64 {
	var total, sum int64
	for i := range s.counts {
		total += s.counts[i].Load()
	}
	for i := range s.counts {
		if sum += s.counts[i].Load(); sum > 0 && float64(sum) >= q*float64(total) {
			return float64(floor(i)) / 1e3
		}
	}
	return 0
}
