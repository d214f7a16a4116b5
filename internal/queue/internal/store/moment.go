package store

import (
	"math"
	"time"
)

// A Moment is when an operation happens. An engine compares its own times only,
// which advance evenly even if the wall clock is set. It reports times by the wall
// clock.
type Moment struct {
	At  int64     // the engine's time, in nanoseconds
	Now time.Time // the wall clock, with a monotonic part if the clock is real
}

// Show returns the wall-clock time at which the engine's time is at, for a program
// that compares it with time.Now.
func (m Moment) Show(at int64) time.Time {
	// A time.Time has no room for a monotonic part from 2157 on.
	const far = 100 * 365 * 24 * time.Hour
	switch d := at - m.At; {
	case at > m.At && (d > int64(far) || d < 0):
		return m.Now.Add(far)
	default:
		return m.Now.Add(time.Duration(d))
	}
}

// Wall returns the wall-clock time in nanoseconds since 1970.
func (m Moment) Wall() int64 { return Nanos(m.Now) }

// Nanos returns t.UnixNano, or the nearest int64 if that overflows.
func Nanos(t time.Time) int64 {
	const most, least = math.MaxInt64 / int64(time.Second), math.MinInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= most:
		return math.MaxInt64
	case s <= least:
		return math.MinInt64
	default:
		return t.UnixNano()
	}
}

// Later returns the time d after at. It saturates at the last time.
func Later(at int64, d time.Duration) int64 {
	if d > 0 && at > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return at + int64(d)
}

// Earlier returns the time d before at, for d above zero. It saturates at the first
// time.
func Earlier(at int64, d time.Duration) int64 {
	if at < math.MinInt64+int64(d) {
		return math.MinInt64
	}
	return at - int64(d)
}

// TimeOf returns the time at ns nanoseconds since 1970.
func TimeOf(ns int64) time.Time { return time.Unix(0, ns) }
