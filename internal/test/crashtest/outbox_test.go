package crashtest

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// envOutbox is the URL of an outbox's table; that it is set makes the process a relay.
const envOutbox = "CRASHTEST_OUTBOX"

// relaying is the relay's main. All rows go to the one queue.
func relaying(ctx context.Context) error {
	table, db, err := opentable.URL(ctx, os.Getenv(envOutbox))
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := outbox.NewRelay(table, &outbox.RelayConfig{
		Open: func(ctx context.Context, _ string) (drivers.Sink, error) {
			return all.Mux().OpenSink(ctx, os.Getenv(envQueue), nil)
		},
		Source: &outbox.SourceConfig{Lease: 3 * time.Second, Poll: 20 * time.Millisecond},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// batch is how many messages a transaction of the sender has.
const batch = 10

// sending commits n messages, in transactions that write a row of the program's own too, and
// rolls back a tenth as many.
func sending(ctx context.Context, db *sql.DB, table *outbox.Table, n int) error {
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id integer)"); err != nil {
		return err
	}
	send := func(name string, i int, end func(tx *sql.Tx) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		ms := make([]*handler.Message, batch)
		for k := range ms {
			ms[k] = &handler.Message{Body: []byte("work"), DedupeID: name + strconv.Itoa(i*batch+k)}
		}
		if err := table.Send(ctx, tx, "jobs", ms...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO orders (id) VALUES (%d)", i)); err != nil {
			return err
		}
		return end(tx)
	}
	for i := range n / batch {
		if err := send("m", i, (*sql.Tx).Commit); err != nil {
			return err
		}
		if i%10 == 0 {
			if err := send("ghost", i, (*sql.Tx).Rollback); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestCommittedSendsHaveOneEffect: relays and workers are killed while messages are sent in
// transactions. Each message of a committed one has one effect, whatever is sent twice; none
// of one that was rolled back has any.
func TestCommittedSendsHaveOneEffect(t *testing.T) {
	suite.Only(t)
	for name, urls := range map[string]func(t *testing.T) (rows, effects string){
		"postgresql": func(t *testing.T) (string, string) {
			url := testserver.Postgres(t).URL
			return url, url
		},
		"sqlite": func(t *testing.T) (string, string) { // files of their own: a file has one writer
			dir := filepath.ToSlash(t.TempDir())
			return "sqlite://" + dir + "/outbox.db", "sqlite://" + dir + "/effects.db"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := full(t)
			rows, effects := urls(t)
			queue := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/queue.db?queue=jobs&visibility_timeout=3s&max_attempts=0"
			store, err := open.URL(t.Context(), effects)
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Close()) }()
			_, sight, err := opentable.URL(t.Context(), effects) // the same database, for the test's own statements
			require.NoError(t, err)
			defer func() { require.NoError(t, sight.Close()) }()
			db, ok := sight.(*sql.DB)
			require.True(t, ok)
			_, err = db.ExecContext(t.Context(), `CREATE TABLE effects (id text NOT NULL)`)
			require.NoError(t, err)
			table, closer, err := opentable.URL(t.Context(), rows)
			require.NoError(t, err)
			defer func() { require.NoError(t, closer.Close()) }()
			require.NoError(t, table.Migrate(t.Context()))
			own, ok := closer.(*sql.DB)
			require.True(t, ok)

			relays := newFleet(t, 2, envOutbox+"="+rows, envQueue+"="+queue)
			workers := newFleet(t, 3, envQueue+"="+queue, envStore+"="+effects, envEffects+"=1", envTakes+"=0s")
			sent := make(chan error, 1)
			go func() { sent <- sending(t.Context(), own, table, s.messages) }()
			number := func(what string) int {
				n, err := count(t.Context(), db, `SELECT count(`+what+`) FROM effects`)
				require.NoError(t, err)
				return n
			}
			for k := range s.kills {
				due := s.messages * 9 / 10 * (k + 1) / (s.kills + 1)
				require.Eventually(t, func() bool { return number("*") >= due }, time.Minute, 5*time.Millisecond, "before kill %d", k)
				[]*fleet{relays, workers}[k%2].kill()
			}
			require.NoError(t, <-sent)
			require.Eventually(t, func() bool { return number("*") >= s.messages }, time.Minute, 20*time.Millisecond)
			require.Eventually(t, func() bool {
				pending, err := table.Pending(t.Context(), 1)
				require.NoError(t, err)
				return len(pending) == 0
			}, time.Minute, 20*time.Millisecond, "rows that are not sent")
			source, err := all.Mux().OpenSource(t.Context(), queue, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, source.Close()) }()
			require.Eventually(t, func() bool {
				d, err := source.(drivers.Inspector).Depth(t.Context())
				return err == nil && d.Visible+d.InFlight+d.Delayed == 0
			}, time.Minute, 50*time.Millisecond, "the queue is not drained")
			relays.end()
			workers.end()

			ghosts, err := count(t.Context(), db, `SELECT count(*) FROM effects WHERE id LIKE 'ghost%'`)
			require.NoError(t, err)
			require.Zero(t, ghosts, "effects of what was rolled back")
			require.Equal(t, s.messages, number("DISTINCT id"), "effects that are missing")
			require.Equal(t, s.messages, number("*"), "effects that are doubled")
			require.Equal(t, s.kills, len(relays.died)+len(workers.died))
			t.Logf("delivered %d, lost 0, ghosts %d, effects doubled 0, killed %d relays and %d workers",
				s.messages, ghosts, len(relays.died), len(workers.died))
		})
	}
}
