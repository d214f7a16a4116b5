package main

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

const patience = time.Minute

// Each job has its effect once, on SQLite and on PostgreSQL: only the store's URL differs.
func TestTheShop(t *testing.T) {
	t.Parallel()
	programs := t.TempDir()
	require.NoError(t, command.Build(t.Context(), programs, "."))
	program := filepath.Join(programs, "service")
	config, err := os.ReadFile("sluice.yaml")
	require.NoError(t, err)
	for name, c := range map[string]struct{ store, driver, dsn string }{
		"SQLite":     {"sqlite://shop.db", "sqlite", "shop.db"},
		"PostgreSQL": {testserver.Postgres(t).URL, "pgx", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "sluice.yaml"), config, 0o600))
			command := func(args ...string) *exec.Cmd {
				cmd := exec.CommandContext(t.Context(), program, args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "STORE_URL="+c.store, "SLUICE_SERVICE_ADMIN=0", "REMIND_AFTER=2s",
					"SLUICE_QUEUES_ORDERS_RETRY_MIN=10ms", "SLUICE_QUEUES_ORDERS_RETRY_MAX=20ms")
				return cmd
			}
			run := func(args ...string) {
				out, err := command(args...).CombinedOutput()
				require.NoError(t, err, string(out))
			}
			run("migrate")
			run("place", "1", "alice", "4200")
			run("place", "1", "alice", "4200") // a duplicate
			run("place", "2", "bob", "100")
			run("cancel", "3") // there is none
			worker := command()
			var log output.Buffer
			worker.Stderr = &log
			require.NoError(t, worker.Start())
			t.Cleanup(func() { _ = worker.Process.Kill() }) // of a test that failed
			dsn := c.store
			if c.dsn != "" {
				dsn = filepath.Join(dir, c.dsn)
			}
			db, err := sql.Open(c.driver, dsn)
			require.NoError(t, err)
			defer db.Close()
			// Earlier it would fail, and which of its attempts succeeds depends on the machine.
			require.Eventually(t, func() bool { return strings.Contains(log.String(), "receipt of order 2") }, patience, 20*time.Millisecond, &log)
			run("cancel", "2")
			require.Eventually(t, func() bool {
				return strings.Contains(log.String(), "attempt=5") && strings.Count(log.String(), "msg=mail") >= 4 && canceled(t, db) == 1
			}, patience, 20*time.Millisecond, &log)
			require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
			require.NoError(t, worker.Wait(), &log)
			for _, text := range []string{
				`to=alice text="receipt of order 1"`, `to=alice text="how do you like order 1?"`,
				`to=bob text="receipt of order 2"`, `to=bob text="how do you like order 2?"`,
			} {
				require.Equal(t, 1, strings.Count(log.String(), text), "%s in %s", text, &log)
			}
			require.Equal(t, 1, strings.Count(log.String(), `msg="stopping`), "in one line for the queues and the relay: %s", &log)
			require.Regexp(t, `drained received=\d+ acked=8 retried=\d+ rejected=1 duplicates=1`, log.String())
			var orders int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&orders))
			require.Equal(t, 2, orders)
			require.Equal(t, 1, canceled(t, db))
		})
	}
}

// canceled returns how many orders are canceled, -1 if that can't be read just now.
func canceled(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders WHERE canceled").Scan(&n); err != nil {
		return -1
	}
	return n
}
