package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/internal/seldom"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/sqlconn"
)

// A ticker makes the messages of one schedule. The schedule has a row in the table, whose
// due_at is the latest time that has been dealt with. Whoever moves it on writes the
// messages in the same transaction, so that of any number of tickers one makes them.
type ticker struct {
	t      *Table
	s      Schedule
	times  times
	batch  int // the number of messages that one transaction may write
	log    *slog.Logger
	failed seldom.Event
	ahead  bool // the database's clock was set back far behind the schedule's latest time
}

func newTickers(t *Table, ss []Schedule, log *slog.Logger) ([]*ticker, error) {
	var out []*ticker
	var faults []error
	names := make(map[string]bool, len(ss))
	for _, s := range ss {
		if names[s.Name] {
			faults = append(faults, fmt.Errorf("schedule %q is there twice", s.Name))
		}
		names[s.Name] = true
		if err := s.Check(); err != nil {
			faults = append(faults, err)
			continue
		}
		times, err := s.times()
		faults = append(faults, err)
		out = append(out, &ticker{t: t, s: s, times: times, batch: most, log: log})
	}
	return out, errors.Join(faults...)
}

// clockKey is what the unique key of a schedule's row begins with.
const clockKey = "schedule:"

// patience is how long the database may take for the messages of a schedule, and for the
// removal of old rows. A line that has died says nothing: a driver that waits for an answer
// finds out after the best part of an hour.
const patience = 30 * time.Second

// run makes messages until ctx is done. It looks again when the next time comes, by the
// database's clock, and at least every ten seconds, since clocks are set.
func (k *ticker) run(ctx context.Context) {
	const longest = 10 * time.Second
	failures := 0
	for ctx.Err() == nil {
		begun := time.Now()
		asked, cancel := context.WithTimeout(ctx, patience)
		wait, err := k.tick(asked)
		k.fit(time.Since(begun), err)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			if missed, ok := k.failed.Allow(time.Now(), time.Minute); ok {
				k.log.LogAttrs(ctx, slog.LevelError, "a schedule could not make its messages; it tries again",
					slog.String("schedule", k.s.Name), slog.String("queue", k.s.Queue), slog.Any("error", err), slog.Int("not_logged", missed))
			}
			wait = min(time.Second<<min(failures-1, 4), longest)
		case err == nil:
			failures = 0
		}
		_ = sleep.For(ctx, min(max(wait, 10*time.Millisecond), longest))
	}
}

// most is the number of messages that one transaction writes if the database is fast.
const most = 100

// fit adapts the batch to a database that is so slow that a tick of most messages would run
// out of patience, and be rolled back, each time. A tick that took all of it halves the
// batch. One that took less than a quarter doubles it: twice as much takes half of the
// patience at most.
func (k *ticker) fit(took time.Duration, err error) {
	switch {
	case err != nil && took >= patience:
		k.batch = max(k.batch/2, 1)
	case err == nil && took < patience/4:
		k.batch = min(2*k.batch, most)
	}
}

// tick makes the messages whose time has come, and returns how long it is until the next.
func (k *ticker) tick(ctx context.Context) (time.Duration, error) {
	last, now, err := k.clock(ctx)
	if err != nil {
		return 0, err
	}
	k.noteAhead(ctx, last, now)
	due, upTo, next, err := k.due(last, now)
	if err != nil {
		return 0, err
	}
	if upTo.After(last) {
		if err := k.make(ctx, last, upTo, due); err != nil {
			return 0, err
		}
	}
	return next.Sub(now), nil
}

// noteAhead logs once that the schedule's latest time has not come yet, since the database's
// clock was wrong then or is now: no message is made until it comes.
func (k *ticker) noteAhead(ctx context.Context, last, now time.Time) {
	ahead := last.After(now.Add(grace))
	if ahead && !k.ahead {
		k.log.LogAttrs(ctx, slog.LevelError, "a schedule makes no messages until its latest time, which the database's clock is behind; if that clock was wrong, delete the schedule's row to begin anew",
			slog.String("schedule", k.s.Name), slog.String("queue", k.s.Queue), slog.Time("latest", last), slog.Time("database", now),
			slog.String("row", "unique_key = '"+clockKey+k.s.Name+"'"))
	}
	k.ahead = ahead
}

// due returns the times after last that have come and get messages, the latest of all that
// are dealt with by that, and the next time. Of times that are older than grace it computes
// no more than it needs, however long no relay ran.
func (k *ticker) due(last, now time.Time) (due []time.Time, upTo, next time.Time, err error) {
	from := last
	if old := now.Add(-grace); last.Before(old) && k.s.CatchUp != CatchUpAll {
		if k.s.CatchUp == CatchUpLast {
			missed, err := k.latest(last, old)
			if err != nil {
				return nil, last, now, err
			}
			if !missed.IsZero() {
				due = append(due, missed)
			}
		}
		from = old
	}
	for {
		if next, err = k.times.next(from); err != nil || next.After(now) || len(due) >= k.batch {
			break
		}
		due, from = append(due, next), next
	}
	if upTo = last; len(due) > 0 {
		upTo = due[len(due)-1]
	}
	return due, upTo, next, err
}

// latest returns the latest time after from and not after to, or zero. It looks through
// spans before to that grow.
func (k *ticker) latest(from, to time.Time) (found time.Time, err error) {
	for _, span := range []time.Duration{time.Minute, time.Hour, day, 31 * day, 366 * day, drivers.Unlimited} {
		begin := to.Add(-span)
		if begin.Before(from) {
			begin = from
		}
		for t := begin; ; found = t {
			if t, err = k.times.next(t); err != nil || t.After(to) {
				break
			}
		}
		if err != nil || !found.IsZero() || begin.Equal(from) {
			return found, err
		}
	}
	return found, nil
}

const day = 24 * time.Hour

// clock reads the schedule's row and the database's clock. It makes the row if there is
// none: the schedule begins now.
func (k *ticker) clock(ctx context.Context) (last, now time.Time, err error) {
	key := clockKey + k.s.Name
	for range tries {
		var l, n int64
		_, err = sqlconn.On(ctx, k.t.db, func(conn *sql.Conn) (struct{}, error) {
			return struct{}{}, conn.QueryRowContext(ctx, k.t.q.readClock(), k.t.args(conn, []any{key})...).Scan(&l, &n)
		})
		if !errors.Is(err, sql.ErrNoRows) {
			return time.UnixMilli(l), time.UnixMilli(n), k.t.wrap(ctx, "read a schedule", err)
		}
		if _, err = k.t.exec(ctx, k.t.q.insertClock(), identity.New(), key, k.describe()); err != nil {
			return last, now, k.t.wrap(ctx, "write a schedule", err)
		}
	}
	return last, now, k.t.wrap(ctx, "read a schedule", err)
}

// describe returns the schedule as its row's message, for those who read the table.
func (k *ticker) describe() string {
	b, err := json.Marshal(content{Attributes: map[string]string{
		"cron": k.s.Cron, "every": k.s.Every.String(), "zone": k.s.Zone, "queue": k.s.Queue,
	}})
	if err != nil {
		return "{}"
	}
	return string(b)
}

// make writes the messages of times and moves the schedule's row on, unless another ticker
// has.
func (k *ticker) make(ctx context.Context, last, upTo time.Time, due []time.Time) error {
	err := k.t.transact(ctx, func(tx *sql.Tx) error { return k.makeIn(ctx, tx, last, upTo, due) })
	return k.t.wrap(ctx, "make scheduled messages", err)
}

func (k *ticker) makeIn(ctx context.Context, tx Tx, last, upTo time.Time, due []time.Time) error {
	moved, err := k.t.change(ctx, tx, k.t.q.moveClock(), []any{upTo.UnixMilli(), len(due), clockKey + k.s.Name, last.UnixMilli()})
	if err != nil || moved == 0 {
		return err
	}
	for _, at := range due {
		if err := k.write(ctx, tx, at); err != nil {
			return err
		}
	}
	return nil
}

func (k *ticker) write(ctx context.Context, tx Tx, at time.Time) error {
	m := k.s.MessageAt(at)
	if k.s.Overlap != OverlapSkip {
		return k.t.Send(ctx, tx, k.s.Queue, m)
	}
	wrote, err := k.t.SendUnique(ctx, tx, k.s.Queue, clockKey+k.s.Name, m)
	if err == nil && !wrote {
		k.log.LogAttrs(ctx, slog.LevelWarn, "a scheduled message was skipped: the one before is still pending",
			slog.String("schedule", k.s.Name), slog.String("queue", k.s.Queue), slog.String("scheduled-at", m.Attribute("scheduled-at")))
	}
	return err
}
