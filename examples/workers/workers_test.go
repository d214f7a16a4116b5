//go:build unix

// Package workers has no code but its tests: they run the workers as the README
// says.
package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }

// languages are the workers, by the programs that they need.
var languages = []struct{ program, file string }{{"python3", "worker.py"}, {"node", "worker.mjs"}}

// needs skips a test whose program is not on this machine; where CI=true it
// fails.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if testserver.Required() {
			t.Fatalf("%s cannot be had, and it is required here: %v", program, err)
		}
		t.Skipf("%s cannot be had: %v", program, err)
	}
}

func sluiceCommand(t *testing.T, args ...string) (c *exec.Cmd, stderr *output.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	c = exec.CommandContext(ctx, "sluice", args...)
	stderr = &output.Buffer{}
	c.Stderr = stderr
	return c, stderr
}

func sluice(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	c, said := sluiceCommand(t, args...)
	out, err := c.Output()
	require.NoError(t, err, said.String())
	return string(out), said.String()
}

// counts are the last line of a run.
type counts struct{ Received, Acked, Retried, Rejected, Duplicates int }

func read(t *testing.T, stdout string) counts {
	t.Helper()
	var c counts
	require.NoError(t, json.Unmarshal([]byte(stdout), &c))
	return c
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	for _, l := range languages {
		t.Run(l.program, func(t *testing.T) {
			t.Parallel()
			needs(t, l.program)
			queue := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/jobs.db?queue=orders"
			for _, body := range []string{`{"amount": 12}`, `{"amount": 0}`, `{"amount": 5, "busy": true}`, "not JSON", `{"amount": 7, "note": "` + strings.Repeat("é\\n", 100_000) + `"}`} {
				send, said := sluiceCommand(t, "send", queue, "--attr", "tenant=acme")
				send.Stdin = strings.NewReader(body)
				require.NoError(t, send.Run(), said.String())
			}
			out, log := sluice(t, "run", queue, "--exec", l.program+" "+l.file, "--worker", "--concurrency", "2", "--until-empty", "-o", "json")
			require.Equal(t, counts{Received: 6, Acked: 3, Retried: 1, Rejected: 2}, read(t, out), log)
			require.Contains(t, log, "the gateway is busy")
			for _, amount := range []string{"5", "7", "12"} {
				require.Contains(t, log, `line="charged `+amount+` for acme"`)
			}
			letters, _ := sluice(t, "peek", queue, "--dead", "-o", "json")
			require.Regexp(t, `"reason":"rejected: (ValueError: )?amount is 0"`, letters)
			require.Regexp(t, `"reason":"rejected: .*(Expecting value|not valid JSON)`, letters)
			require.Equal(t, 2, strings.Count(letters, "\n"))
		})
	}
}

// A worker that is killed in the middle of a message: the message is retried, by
// another worker, and none is lost.
func TestAWorkerThatIsKilledLosesNothing(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	for _, l := range languages {
		t.Run(l.program, func(t *testing.T) {
			t.Parallel()
			needs(t, l.program)
			dir := t.TempDir()
			queue := "sqlite://" + filepath.ToSlash(dir) + "/jobs.db?queue=orders"
			for range 10 {
				sluice(t, "send", queue, "--body", `{"amount": 1}`)
			}
			sluice(t, "send", queue, "--body", `{"amount": 2}`, "--attr", "hold=yes")

			source, err := os.ReadFile(l.file)
			require.NoError(t, err)
			held := filepath.Join(dir, l.file)
			require.NoError(t, os.WriteFile(held, []byte(hang(t, l.file, string(source), filepath.Join(dir, "pid"))), 0o600))

			run, log := sluiceCommand(t, "run", queue, "--exec", l.program+" "+held, "--worker", "--concurrency", "2", "--until-empty", "--backoff", "1ms..10ms", "-o", "json")
			var out bytes.Buffer
			run.Stdout = &out
			require.NoError(t, run.Start())
			var id int
			require.Eventually(t, func() bool {
				content, err := os.ReadFile(filepath.Join(dir, "pid"))
				if err != nil || len(content) == 0 {
					return false
				}
				id, err = strconv.Atoi(string(content))
				return err == nil
			}, 2*time.Minute, 5*time.Millisecond, "no worker has the message: %s", log)
			require.NoError(t, syscall.Kill(id, syscall.SIGKILL))
			require.NoError(t, run.Wait(), log.String())
			require.Equal(t, counts{Received: 12, Acked: 11, Retried: 1}, read(t, out.String()), log.String())
			require.Contains(t, log.String(), "the worker ended before it answered: signal: killed")
			depth, _ := sluice(t, "depth", queue, "-o", "json")
			require.Contains(t, depth, `"visible":0,"in_flight":0,"delayed":0,"dead_letters":0`)
		})
	}
}

// hang returns a worker that, at the first attempt of the message that says so,
// writes its process ID to a file and waits to be killed.
func hang(t *testing.T, name, source, file string) string {
	t.Helper()
	var at *regexp.Regexp
	var code string
	switch name {
	case "worker.py":
		at = regexp.MustCompile(`(?m)^    message = json.loads\(line\)\n`)
		code = `    if message.get("attributes", {}).get("hold") and message["attempt"] == 1:
        import os, time
        with open(FILE + ".part", "w") as f: f.write(str(os.getpid()))
        os.rename(FILE + ".part", FILE)
        time.sleep(600)
`
	default:
		at = regexp.MustCompile(`(?m)^  const message = JSON.parse\(line\);\n`)
		code = `  if (message.attributes?.hold && message.attempt === 1) {
    const fs = await import('node:fs');
    fs.writeFileSync(FILE + '.part', String(process.pid));
    fs.renameSync(FILE + '.part', FILE);
    await new Promise((r) => setTimeout(r, 600000));
  }
`
	}
	where := at.FindStringIndex(source)
	require.NotNil(t, where, "the worker is another: %s", name)
	return source[:where[1]] + strings.ReplaceAll(code, "FILE", strconv.Quote(file)) + source[where[1]:]
}
