package queue

import (
	"database/sql"
	"errors"
	"time"
)

// An epoch ties the time of a file's queues to the clocks of the machine: when
// the uptime of a boot was uptime, and the wall clock showed wall, it was time.
//
// While the machine is up the time goes by the uptime, which all processes share
// and nothing sets. Over a reboot, and on another machine, it goes by the wall
// clock: there is nothing else to tell how long the machine was down.
type epoch struct {
	boot               string
	uptime, wall, time int64
}

// epochAge is how old the epoch in the file becomes. What the wall clock is set by
// in the time between the last note and a reboot is taken for time that has
// passed.
const epochAge = 10 * time.Second

func newEpoch(r reading) epoch {
	return epoch{r.boot, r.uptime, nanos(r.now), nanos(r.now)}
}

// sameBoot reports whether the uptimes are of one clock. One that has gone back
// is of another, whatever it is called.
func (e *epoch) sameBoot(r reading) bool {
	return e.boot == r.boot && r.uptime > earlier(e.uptime, time.Minute)
}

// at is the time when the clocks show that. It never goes back.
func (e *epoch) at(r reading) int64 {
	since := nanos(r.now) - e.wall
	if e.sameBoot(r) {
		since = r.uptime - e.uptime
	}
	return later(e.time, time.Duration(max(since, 0)))
}

// tick reads the time of the transaction. One that writes calls it after it has
// waited for the lock, and notes the epoch in the file when it must.
func (tx *sqlTx) tick(write bool) error {
	r := tx.s.machine.read()
	var e epoch
	err := tx.row("SELECT boot, uptime, wall, time FROM clock").Scan(&e.boot, &e.uptime, &e.wall, &e.time)
	missing := errors.Is(err, sql.ErrNoRows)
	if missing {
		e = newEpoch(r)
	} else if err != nil {
		return err
	}
	tx.now = e.at(r)
	tx.moment = moment{tx.now, r.now}
	if !write || !missing && e.sameBoot(r) && r.uptime-e.uptime < int64(epochAge) {
		return nil
	}
	return tx.exec("INSERT INTO clock (id, boot, uptime, wall, time) VALUES (0, ?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET boot = ?1, uptime = ?2, wall = ?3, time = ?4",
		r.boot, r.uptime, nanos(r.now), tx.now)
}
