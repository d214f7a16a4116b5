package sqlitequeue

import (
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// An epoch ties the time of a file's queues to the clocks of the machine: when
// the uptime of a boot was uptime, and the wall clock showed wall, it was time.
//
// While the machine is up the time goes by the uptime, which all processes
// share and nothing sets. Across a reboot, and on another machine, it uses the
// wall clock: no other clock shows how long the machine was down.
type epoch struct {
	boot               string
	uptime, wall, time int64
}

// epochAge is how old the epoch in the file may become. If the wall clock is
// set between the last note and a reboot, the difference counts as time that
// has passed.
const epochAge = 10 * time.Second

func newEpoch(r reading) epoch {
	return epoch{r.boot, r.uptime, store.Nanos(r.now), store.Nanos(r.now)}
}

// sameBoot reports whether the uptimes are of one clock. One that has gone back
// is of another, whatever it is called.
func (e *epoch) sameBoot(r reading) bool {
	return e.boot == r.boot && r.uptime > store.Earlier(e.uptime, time.Minute)
}

// at is the time when the clocks show that. It never goes back.
func (e *epoch) at(r reading) int64 {
	since := store.Nanos(r.now) - e.wall
	if e.sameBoot(r) {
		since = r.uptime - e.uptime
	}
	return store.Later(e.time, time.Duration(max(since, 0)))
}
