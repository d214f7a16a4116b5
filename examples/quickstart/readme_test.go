package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

const patience = time.Minute

// The README shows the programs and the configuration as they are.
func TestTheReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	read := func(name string) string {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(b)
	}
	worker := read("main.go")
	require.LessOrEqual(t, strings.Count(worker, "\n"), 30)
	require.Contains(t, string(readme), "```go\n"+worker+"```")
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(read("sluice.yaml")), "\n", "\n    ")
	require.Contains(t, string(readme), indented)
	_, rest, found := strings.Cut(string(readme), "This sends it an order:\n\n```go\n")
	require.True(t, found)
	sending, _, _ := strings.Cut(rest, "```")
	require.LessOrEqual(t, strings.Count(sending, "\n"), 8)
	require.Contains(t, strings.ReplaceAll(read("send/main.go"), "\n\t", "\n"), sending)
}

// Built as the README shows them, the programs run on every queue; only the URL changes.
func TestTheReadmesProgramsRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, command.Build(t.Context(), dir, ".", "./send"))
	amazon, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, amazon.Close()) })
	google, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, google.Close()) })
	testserver.Credentials(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", google.Addr())
	type place struct{ url, endpoint string } // the endpoint is AWS's
	places := map[string]place{
		"embedded": {url: "sqlite://queue.db?queue=orders"},
		"SQS":      {"awssqs:///orders?region=us-east-1", amazon.URL()},
		"Pub/Sub":  {url: "gcppubsub://projects/p/subscriptions/orders"},
	}
	if suite.Asked() {
		places["LocalStack"] = place{"awssqs:///" + testserver.Name(t) + "?region=us-east-1", testserver.LocalStack(t).URL}
	}
	for name, p := range places {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL", p.endpoint)
			work := t.TempDir()
			text, err := os.ReadFile("sluice.yaml")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(work, "sluice.yaml"), text, 0o600))
			if name != "embedded" {
				_, err := admin.Apply(t.Context(), all.Mux(), admin.Target{URL: p.url, Spec: &provision.Spec{
					Name: "orders", DeadLetter: &provision.DeadLetter{MaxAttempts: 5},
				}}, false)
				require.NoError(t, err)
			}
			db, err := sql.Open("sqlite", "file:"+filepath.Join(work, "shop.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
			require.NoError(t, err)
			defer db.Close()
			_, err = db.ExecContext(t.Context(), "CREATE TABLE charges (id TEXT, customer TEXT)")
			require.NoError(t, err)
			command := func(name string, args ...string) *exec.Cmd {
				c := exec.CommandContext(t.Context(), filepath.Join(dir, name), args...)
				c.Dir = work
				c.Env = append(os.Environ(), "QUEUE_URL="+p.url, "SLUICE_SERVICE_ADMIN=0")
				return c
			}
			for i := range 3 {
				for range 2 { // the second is a duplicate
					said, err := command("send", fmt.Sprintf(`{"ID":"%d","Customer":"c"}`, i)).CombinedOutput()
					require.NoError(t, err, string(said))
				}
			}
			worker := command("quickstart")
			var log strings.Builder
			worker.Stderr = &log
			require.NoError(t, worker.Start())
			count := func() (n int) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM charges").Scan(&n))
				return n
			}
			require.Eventually(t, func() bool { return count() >= 3 }, patience, 20*time.Millisecond)
			require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
			require.NoError(t, worker.Wait(), &log)
			require.Equal(t, 3, count())
			require.Contains(t, log.String(), "drained")
		})
	}
}
