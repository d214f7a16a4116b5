package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A silent database takes statements and never answers.
type silent struct{ asked atomic.Int32 }

func (s *silent) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *silent) Driver() driver.Driver                        { return s }
func (s *silent) Open(string) (driver.Conn, error)             { return s, nil }
func (s *silent) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (s *silent) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (s *silent) Close() error                                 { return nil }

func (s *silent) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// Schedules and the removal of old rows do not wait for a dead line, and say so.
func TestADatabaseThatNeverAnswersIsReported(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(r *Relay, ctx context.Context){
		"schedules": func(r *Relay, ctx context.Context) { r.clocks[0].run(ctx) },
		"cleanup":   (*Relay).clean,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(silent)
				db := sql.OpenDB(s)
				defer db.Close()
				table, err := New(db, PostgreSQL, nil)
				require.NoError(t, err)
				log := new(records)
				clocks, err := newTickers(table, []Schedule{{Name: "tick", Every: time.Second, Queue: "q"}}, slog.New(log))
				require.NoError(t, err)
				r := &Relay{t: table, clocks: clocks, c: RelayConfig{Retention: time.Hour, Logger: slog.New(log)}}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				run(r, ctx)
				require.GreaterOrEqual(t, log.n.Load(), int32(2), "it is silent, or says so once")
				require.Greater(t, s.asked.Load(), int32(2), "it waits for the first answer")
			})
		})
	}
}

// records counts the records of a logger.
type records struct {
	slog.Handler
	n atomic.Int32
}

func (*records) Enabled(context.Context, slog.Level) bool { return true }

func (r *records) Handle(context.Context, slog.Record) error {
	r.n.Add(1)
	return nil
}

// An empty database has no rows.
type empty struct{ silent }

func (e *empty) Connect(context.Context) (driver.Conn, error) { return e, nil }

func (e *empty) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if e.asked.Add(1) > 1000 {
		return nil, errors.New("it is asked all the time") // and the bubble's clock stands still
	}
	return noRows{}, nil
}

type noRows struct{}

func (noRows) Columns() []string         { return []string{"seq"} }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

// A channel that is closed receives all the time.
func TestAWakeThatIsClosedMakesNoHotLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := new(empty)
		db := sql.OpenDB(e)
		defer db.Close()
		table, err := New(db, SQLite, nil)
		require.NoError(t, err)
		wake := make(chan struct{})
		s, err := table.Source(&SourceConfig{Wake: wake})
		require.NoError(t, err)
		close(wake)
		ds, err := s.Receive(t.Context(), 1, 2*time.Second)
		require.NoError(t, err)
		require.Empty(t, ds)
		require.LessOrEqual(t, e.asked.Load(), int32(12))
	})
}
