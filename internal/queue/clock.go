package queue

import (
	"math"
	"time"
)

// Options are what [NewMemory] and [OpenSQLite] may be given. Nil has the
// defaults.
type Options struct {
	// Clock is what the engine goes by, in a test. Nil is the machine's.
	Clock Clock
	// Sync has each commit of a SQLite engine wait until the disk has it. Without
	// it nothing that was done is lost when processes are killed; a power cut, or
	// a crash of the operating system, can undo the latest commits, but does not
	// damage the file. An engine in memory has no use for it.
	Sync bool
}

// A moment is when an operation happens. An engine compares times of its own
// only: they run evenly, whatever is done to the wall clock. What it tells of
// them it tells by the wall clock.
type moment struct {
	at  int64     // the engine's time, in nanoseconds
	now time.Time // the wall clock, with a monotonic part if the clock is real
}

// show returns the time at which a program that goes by time.Now sees that the
// engine's time is at.
func (m moment) show(at int64) time.Time {
	// A time.Time has no room for a monotonic part from 2157 on.
	const far = 100 * 365 * 24 * time.Hour
	switch d := at - m.at; {
	case at > m.at && (d > int64(far) || d < 0):
		return m.now.Add(far)
	default:
		return m.now.Add(time.Duration(d))
	}
}

// wall is what the wall clock shows, in nanoseconds since 1970.
func (m moment) wall() int64 { return nanos(m.now) }

// nanos is t.UnixNano, or the nearest that there is.
func nanos(t time.Time) int64 {
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

// later is the time d after at. What would be later than the last time there is
// is that.
func later(at int64, d time.Duration) int64 {
	if d > 0 && at > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return at + int64(d)
}

// earlier is the time d before at, with d above zero, or the first time there is.
func earlier(at int64, d time.Duration) int64 {
	if at < math.MinInt64+int64(d) {
		return math.MinInt64
	}
	return at - int64(d)
}

// ticker is the time of an engine in one process: it begins at the wall clock's
// time, and runs by the monotonic clock.
type ticker struct {
	clock Clock // nil is the machine's
	begin time.Time
}

func newTicker(o *Options) ticker {
	if o != nil && o.Clock != nil {
		return ticker{clock: o.Clock}
	}
	return ticker{begin: time.Now()}
}

func (t ticker) moment() moment {
	if t.clock != nil {
		now := t.clock.Now()
		return moment{nanos(now), now}
	}
	now := time.Now()
	return moment{later(nanos(t.begin), now.Sub(t.begin)), now}
}

// after is time.After by the engine's clock.
func (t ticker) after(d time.Duration) <-chan time.Time {
	if t.clock != nil {
		return t.clock.After(d)
	}
	return time.After(d)
}
