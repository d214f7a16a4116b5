package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
)

// scheduled returns the times of a schedule's pending messages.
func scheduled(t *testing.T, table *outbox.Table, name string) (out []string) {
	t.Helper()
	entries, err := table.Pending(t.Context(), 10_000, "q")
	require.NoError(t, err)
	for _, e := range entries {
		if e.Message.Attribute("schedule") == name {
			require.Equal(t, name+"/"+e.Message.Attribute("scheduled-at"), e.Message.DedupeID)
			out = append(out, e.Message.Attribute("scheduled-at"))
		}
	}
	return out
}

// back sets a schedule's clock back, as if no relay had run since. MySQL may choose the
// update as the victim of a deadlock with the relay's transaction, and then asks to repeat it.
func back(t *testing.T, db *sql.DB, name string, by time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		res, err := db.ExecContext(t.Context(), "UPDATE sluice_outbox SET due_at = due_at - "+strconv.FormatInt(by.Milliseconds(), 10)+" WHERE unique_key = 'schedule:"+name+"' AND state = 2")
		var refused *mysql.MySQLError
		if errors.As(err, &refused) && refused.Number == 1213 {
			return false
		}
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		return n == 1
	}, 30*time.Second, 5*time.Millisecond)
}

// onlyClocks is a relay's source that leaves the rows of schedules in the table.
func onlyClocks() *outbox.SourceConfig { return &outbox.SourceConfig{Queues: []string{"none"}} }

// Three replicas, of which one after the other is stopped and started: each time has one
// message. The downtime before is caught up.
func TestEachTimeHasOneMessage(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		s := outbox.Schedule{Name: "s", Queue: "q", Every: time.Second, CatchUp: outbox.CatchUpAll, Message: &handler.Message{Body: []byte("tick")}}
		begin := func() (stop func()) {
			r, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: new(post).open, Source: onlyClocks(), Schedules: []outbox.Schedule{s}})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			return func() {
				cancel()
				require.NoError(t, <-done)
			}
		}
		stop := begin()
		back(t, db, "s", time.Millisecond) // the relay has made the clock
		stop()
		_, err := db.ExecContext(t.Context(), "DELETE FROM sluice_outbox WHERE state <> 2") // ticks on a slow machine
		require.NoError(t, err)
		back(t, db, "s", 1000*time.Second)
		var stops []func()
		for range 3 {
			stops = append(stops, begin())
		}
		for i := range 6 {
			stops[i%3]()
			stops[i%3] = begin()
		}
		require.Eventually(t, func() bool { return len(scheduled(t, table, "s")) > 1000 }, time.Minute, 20*time.Millisecond)
		for _, stop := range stops {
			stop()
		}
		got := scheduled(t, table, "s")
		first, err := time.Parse(time.RFC3339, got[0])
		require.NoError(t, err)
		want := make([]string, len(got))
		for i := range want {
			want[i] = first.Add(time.Duration(i) * time.Second).Format(time.RFC3339)
		}
		require.Equal(t, want, got, "each second once, in order")
	})
}

func TestCatchingUp(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		var ss []outbox.Schedule
		want := map[string]int{"last": 1, "all": 24, "none": 0}
		for name, c := range map[string]outbox.CatchUp{"last": outbox.CatchUpLast, "all": outbox.CatchUpAll, "none": outbox.CatchUpNone} {
			ss = append(ss, outbox.Schedule{Name: name, Queue: "q", Every: time.Hour, CatchUp: c})
		}
		r := func() func() {
			r, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: new(post).open, Source: onlyClocks(), Schedules: ss})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			return func() {
				cancel()
				require.NoError(t, <-done)
			}
		}
		stop := r()
		for name := range want {
			back(t, db, name, 24*time.Hour)
		}
		stop()
		defer r()()
		for name, n := range want {
			// An hour may begin while the test runs, which has its message too.
			require.Eventually(t, func() bool { return len(scheduled(t, table, name)) >= n }, 30*time.Second, 10*time.Millisecond, name)
			require.LessOrEqual(t, len(scheduled(t, table, name)), n+1, name)
		}
	})
}

// While its queue is down a schedule that must not overlap has one message, and goes on
// after.
func TestAScheduleThatMustNotOverlap(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		s := outbox.Schedule{Name: "s", Queue: "q", Every: time.Second, Overlap: outbox.OverlapSkip}
		run(t, table, &outbox.RelayConfig{Open: new(post).open, Source: onlyClocks(), Schedules: []outbox.Schedule{s}})
		var last int64
		require.Eventually(t, func() bool {
			var n int64
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT coalesce(max(attempts), 0) FROM sluice_outbox WHERE state = 2").Scan(&n))
			last = n
			return n >= 3
		}, 30*time.Second, 20*time.Millisecond)
		require.GreaterOrEqual(t, last, int64(3))
		require.Len(t, scheduled(t, table, "s"), 1)
		src, err := table.Source(&outbox.SourceConfig{Queues: []string{"q"}})
		require.NoError(t, err)
		defer src.Close()
		d := take(t, src)
		require.Len(t, d, 1)
		require.NoError(t, ack(t, src, d[0]))
		require.Eventually(t, func() bool { return len(scheduled(t, table, "s")) == 1 }, 30*time.Second, 20*time.Millisecond)
	})
}

// A thousand times across both changes of daylight saving: the times that relays would make
// one by one are those that one look makes.
func TestAThousandTimesAcrossDaylightSaving(t *testing.T) {
	t.Parallel()
	s := outbox.Schedule{Name: "s", Queue: "q", Cron: "*/30 * * * *", Zone: "Europe/Berlin"}
	for _, from := range []time.Time{time.Date(2026, 3, 18, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)} {
		seen := make(map[int64]int)
		at := from
		for range 1000 {
			next, err := s.Next(at)
			require.NoError(t, err)
			seen[next.Unix()]++
			// From any moment before it, the next time is the same.
			mid, err := s.Next(at.Add(next.Sub(at) / 2))
			require.NoError(t, err)
			require.Equal(t, next, mid)
			at = next
		}
		require.Len(t, seen, 1000)
		keys := slices.Sorted(maps.Keys(seen))
		require.EqualValues(t, 1000*1800, keys[999]-from.Unix(), fmt.Sprint("from ", from))
	}
}

// A database whose clock was set far ahead and back leaves a schedule standing: the log says
// so, and what to do.
func TestAScheduleThatStandsStillIsLogged(t *testing.T) {
	t.Parallel()
	db, table := open(t, outbox.SQLite)
	s := outbox.Schedule{Name: "s", Queue: "q", Every: time.Second}
	p, logs := new(post), make(chan string, 1000)
	run(t, table, &outbox.RelayConfig{Open: p.open, Schedules: []outbox.Schedule{s}, Logger: slog.New(slog.NewTextHandler(lines(logs), nil))})
	back(t, db, "s", -48*time.Hour)
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line := <-logs:
			if strings.Contains(line, "makes no messages until its latest time") {
				require.Contains(t, line, "unique_key = 'schedule:s'")
				return
			}
		case <-deadline:
			t.Fatal("nothing was logged")
		}
	}
}

// lines is a writer of whole lines.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}
