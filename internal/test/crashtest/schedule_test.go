package crashtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// The environment of a replica that makes scheduled messages.
const (
	envSchedule = "CRASHTEST_SCHEDULE" // the table's URL; that it is set makes the process a replica
	envClock    = "CRASHTEST_CLOCK"    // the file with the time of a SQLite database, in milliseconds since 1970
)

// halfHourly is what the replicas run: evenly spaced in real time, also over the hour that
// its zone has twice.
var halfHourly = outbox.Schedule{
	Name: "half-hourly", Cron: "*/30 * * * *", Zone: "Europe/Berlin", Queue: "jobs", CatchUp: outbox.CatchUpAll,
	Message: &handler.Message{Body: []byte("tick")},
}

// replica is its main: it makes messages, and sends none.
func replica(ctx context.Context) error {
	if file := os.Getenv(envClock); file != "" {
		// julianday('now') is the database's clock.
		err := sqlite.RegisterScalarFunction("julianday", 1, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			millis, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			return float64(millis)/86400000 + 2440587.5, err
		})
		if err != nil {
			return err
		}
	}
	table, db, err := opentable.URL(ctx, os.Getenv(envSchedule))
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := outbox.NewRelay(table, &outbox.RelayConfig{
		Open:      func(context.Context, string) (drivers.Sink, error) { return nil, drivers.ErrUnsupported },
		Source:    &outbox.SourceConfig{Queues: []string{"none"}},
		Schedules: []outbox.Schedule{halfHourly}, Retention: -1,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// A stepped is a database whose clock the test sets.
type stepped struct {
	url string // of replicas
	env []string
	set func(t time.Time)
}

// steppedSQLite has its clock in a file that the replicas read.
func steppedSQLite(t *testing.T) (plain string, s stepped) {
	t.Helper()
	dir := filepath.ToSlash(t.TempDir())
	plain = "sqlite://" + dir + "/outbox.db"
	file := dir + "/clock"
	return plain, stepped{plain, []string{envClock + "=" + file}, func(at time.Time) {
		fresh := file + ".new"
		require.NoError(t, os.WriteFile(fresh, []byte(strconv.FormatInt(at.UnixMilli(), 10)), 0o600))
		require.NoError(t, os.Rename(fresh, file))
	}}
}

// steppedPostgres has a function before PostgreSQL's own in the replicas' search path.
func steppedPostgres(t *testing.T) (plain string, s stepped) {
	t.Helper()
	plain = testserver.Postgres(t).URL
	db, err := sql.Open("pgx", plain)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, q := range []string{
		"CREATE SCHEMA stepped", "CREATE TABLE stepped.clock (at timestamptz)", "INSERT INTO stepped.clock VALUES (now())",
		"CREATE FUNCTION stepped.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM stepped.clock'",
	} {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	return plain, stepped{plain + "&search_path=stepped,public,pg_catalog", nil, func(at time.Time) {
		_, err := db.ExecContext(t.Context(), "UPDATE stepped.clock SET at = $1", at)
		require.NoError(t, err)
	}}
}

// TestAThousandTimesHaveOneMessageEach: three replicas make the messages of a schedule over
// the end of summer time, while they are killed and the clock is set forward and back.
func TestAThousandTimesHaveOneMessageEach(t *testing.T) {
	suite.Only(t)
	for name, database := range map[string]func(t *testing.T) (string, stepped){"postgresql": steppedPostgres, "sqlite": steppedSQLite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			times, kills := 1000, 12
			if !suite.Full() {
				times, kills = 400, 3
			}
			const spacing = 30 * time.Minute
			begin := time.Date(2026, 10, 20, 0, 0, 1, 0, time.UTC) // summer time ends on the 25th
			plain, clock := database(t)
			table, closer, err := opentable.URL(t.Context(), plain)
			require.NoError(t, err)
			defer func() { require.NoError(t, closer.Close()) }()
			require.NoError(t, table.Migrate(t.Context()))

			clock.set(begin)
			f := newFleet(t, 3, append(clock.env, envSchedule+"="+clock.url)...)
			made := func() int {
				clocks, err := table.Clocks(t.Context())
				require.NoError(t, err)
				if len(clocks) == 0 {
					return -1 // the schedule has not begun
				}
				return int(clocks[0].Messages)
			}
			require.Eventually(t, func() bool { return made() >= 0 }, time.Minute, 5*time.Millisecond)
			for k := range kills {
				// Forward by a part of the way, back by some hours, and on.
				upTo := begin.Add(time.Duration(times*(k+1)/kills) * spacing)
				clock.set(upTo.Add(-time.Duration(rand.IntN(times/kills)) * spacing))
				f.kill() // the new one looks at the clock when it starts
				require.Eventually(t, func() bool { return made() > times*k/kills }, time.Minute, 5*time.Millisecond)
				clock.set(upTo.Add(-time.Duration(12+rand.IntN(24)) * time.Hour))
				f.kill()
				clock.set(upTo)
				f.kill()
				require.Eventually(t, func() bool { return made() >= times*(k+1)/kills }, time.Minute, 5*time.Millisecond)
			}
			f.end()
			require.Len(t, f.died, 3*kills)

			// All that was made arrives, each time once.
			queues := new(mem.Opener)
			r, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: func(ctx context.Context, queue string) (drivers.Sink, error) {
				return queues.Sink(ctx, queue, nil)
			}})
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			source, err := queues.Source(t.Context(), "jobs", nil)
			require.NoError(t, err)
			got := make(map[string]int)
			for len(got) < times {
				ds, err := source.Receive(t.Context(), 10, 20*time.Second)
				require.NoError(t, err)
				require.NotEmpty(t, ds, "%d of %d times have no message", times-len(got), times)
				for _, d := range ds {
					got[d.Message.Attribute("scheduled-at")]++
				}
			}
			rest, err := source.Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			require.Empty(t, rest, "a message too many")
			stop()
			require.NoError(t, <-done)
			for i := range times {
				at := begin.Add(time.Duration(i+1) * spacing).Truncate(spacing).Format(time.RFC3339)
				require.Equal(t, 1, got[at], at)
			}
			t.Logf("%d times, %d messages, 0 doubled, 0 missed, %d kills", times, len(got), len(f.died))
		})
	}
}
