package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/sleep"
)

// A slow database has one schedule, and takes its time for each statement.
type slow struct {
	takes       time.Duration
	last, moved int64 // the schedule's latest time, committed and in the transaction
	sent, wrote int   // its messages, likewise
	most        int   // the most messages of a transaction
}

func (s *slow) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *slow) Driver() driver.Driver                        { return s }
func (s *slow) Open(string) (driver.Conn, error)             { return s, nil }
func (s *slow) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (s *slow) Close() error                                 { return nil }

func (s *slow) Begin() (driver.Tx, error) {
	s.moved, s.wrote = s.last, 0
	return s, nil
}

func (s *slow) Commit() error {
	s.last, s.sent, s.most = s.moved, s.sent+s.wrote, max(s.most, s.wrote)
	return nil
}

func (s *slow) Rollback() error { return nil }

func (s *slow) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := sleep.For(ctx, s.takes); err != nil {
		return nil, err
	}
	if strings.HasPrefix(query, "UPDATE") {
		s.moved = args[0].Value.(int64)
	} else {
		s.wrote++
	}
	return driver.RowsAffected(1), nil
}

func (s *slow) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	return &clockRow{s.last, false}, sleep.For(ctx, s.takes)
}

// A clockRow is a schedule's latest time, and now.
type clockRow struct {
	last int64
	read bool
}

func (*clockRow) Columns() []string { return []string{"due_at", "now"} }
func (*clockRow) Close() error      { return nil }

func (r *clockRow) Next(dest []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, dest[0], dest[1] = true, r.last, time.Now().UnixMilli()
	return nil
}

// A transaction of as many messages as a fast database takes would end at its deadline, for
// ever.
func TestASlowDatabaseCatchesUp(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{400 * time.Millisecond, 7 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const missed = 150
				s := &slow{takes: takes, last: time.Now().Add(-missed * time.Hour).UnixMilli()}
				db := sql.OpenDB(s)
				defer db.Close()
				table, err := New(db, SQLite, nil)
				require.NoError(t, err)
				log := new(records)
				clocks, err := newTickers(table, []Schedule{{Name: "s", Every: time.Hour, Queue: "q", CatchUp: CatchUpAll}}, slog.New(log))
				require.NoError(t, err)
				run := func(d time.Duration) {
					ctx, cancel := context.WithTimeout(t.Context(), d)
					defer cancel()
					clocks[0].run(ctx)
				}
				run(time.Hour - time.Second)
				require.Equal(t, missed, s.sent)
				require.NotZero(t, log.n.Load(), "no tick came to its deadline")

				// It is fast again.
				s.takes, s.most, s.last = 0, 0, time.Now().Add(-1000*time.Hour).UnixMilli()
				run(time.Minute)
				require.GreaterOrEqual(t, s.sent, missed+1000)
				require.Equal(t, most, s.most)
			})
		})
	}
}
