package queue

import "time"

// Options are what [NewMemory] and [OpenSQLite] may be told. Nil has the
// defaults.
type Options struct {
	// Clock is what the engine goes by. Nil is the real time.
	Clock Clock
	// Sync has each commit of a SQLite engine wait until the disk has it. Without
	// it nothing that was done is lost when processes are killed; a power cut, or
	// a crash of the operating system, can undo the latest commits, but does not
	// damage the file. An engine in memory has no use for it.
	Sync bool
}

func (o *Options) clock() Clock {
	if o == nil || o.Clock == nil {
		return wallClock{}
	}
	return o.Clock
}

// wallClock is the time that processes share.
type wallClock struct{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// steadyClock begins at the real time and then runs evenly, whatever is done to
// the machine's clock: leases in one process need no more.
type steadyClock struct{ begin time.Time }

func (c steadyClock) Now() time.Time                         { return c.begin.Add(time.Since(c.begin)) }
func (c steadyClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
