package consumer

import (
	"cmp"
	"math"
	"time"
)

// An instant is a moment in nanoseconds since epoch, by the monotonic clock. Zero means
// that no moment is set. A delivery keeps several; a [time.Time] takes three times as
// much memory.
type instant int64

// epoch is the moment from which instants count.
var epoch = time.Now()

// at returns the instant of t, zero if t is zero. t must have a monotonic reading, as
// time.Now has.
func at(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return cmp.Or(instant(t.Sub(epoch)), 1)
}

// time returns the time of i, the zero time if i is zero. Its monotonic reading is
// right; its wall clock is off by how far that clock was set since the process began.
func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(i))
}

// add returns the instant d later, or the latest instant if that is too late.
func (i instant) add(d time.Duration) instant {
	if d > 0 && i > instant(math.MaxInt64-d) {
		return math.MaxInt64
	}
	return i + instant(d)
}

// sub returns the time from j to i.
func (i instant) sub(j instant) time.Duration { return time.Duration(i - j) }
