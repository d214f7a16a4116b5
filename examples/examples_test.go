// Package examples_test holds what is true of every example.
package examples_test

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// Package signal swallows every signal from the first on until stop is called:
// whoever waits for a handler that hangs could not end the program. The error of Run
// decides the exit status and is not merely printed.
func TestEveryMainEndsAsItShould(t *testing.T) {
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.Greater(t, len(mains), 5)
	shown, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, snippet, found := strings.Cut(string(shown), "```go\n")
	require.True(t, found)
	snippet, _, _ = strings.Cut(snippet, "```")
	sources := map[string]string{"README.md": snippet}
	for _, name := range mains {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		sources[name] = string(b)
	}
	printed := regexp.MustCompile(`Print(f|ln)?\([^\n]*\.Run\(`)
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, strings.Count(source, "signal.NotifyContext("), strings.Count(source, "context.AfterFunc(ctx, stop)"),
				"the second signal would be swallowed")
			require.NotRegexp(t, printed, source, "a fatal error would end with status 0")
		})
	}
}

// build builds the program of an example and returns its path.
func build(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, command.Build(t.Context(), dir, "./"+example))
	return filepath.Join(dir, example)
}

func TestEveryProgramFailsWithAStatus(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	for name, args := range map[string][]string{
		"bulkinsert": nil,
		"everywhere": {"-sqs", "http://127.0.0.1:1"},
		"lambda":     nil,
		"payments":   {"-queue", "sqlite://" + blocked + "/queue.db?queue=payments"},
		"push":       nil,
		"quickstart": nil,
		"service":    nil,
		"thumbnails": {"-queue", "sqlite://" + blocked + "/queue.db?queue=thumbnails"},
		"two-clouds": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), build(t, name), args...)
			cmd.Env = append(os.Environ(), "QUEUE_URL=nonsense://", "AWS_REGION=us-east-1",
				"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
			exit := (*exec.ExitError)(nil)
			require.ErrorAs(t, cmd.Run(), &exit, "it ended as if all were well: %s", &out)
			require.Positive(t, exit.ExitCode(), "it had to be killed: %s", &out)
			require.NotContains(t, out.String(), "goroutine ", "it panicked")
			require.NotEmpty(t, out.String(), "it does not say why")
		})
	}
}

// An endpoint that drains waits for a request that does not end: the second
// signal ends it all the same.
func TestTheSecondSignalEndsIt(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	addr, err := process.FreeAddr()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), build(t, "payments"), "-role", "api", "-listen", addr,
		"-queue", "sqlite://"+filepath.Join(t.TempDir(), "queue.db")+"?queue=payments")
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var conn net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", addr)
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	defer conn.Close()
	_, err = conn.Write([]byte("POST /payments HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"))
	require.NoError(t, err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, answer, "100 Continue") // the handler reads the body

	// One that comes before stop was called is swallowed; then another does it.
	first := time.Now()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			exit := (*exec.ExitError)(nil)
			require.ErrorAs(t, err, &exit)
			status, ok := exit.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			require.True(t, status.Signaled(), "it ended by itself after %v: %v", time.Since(first), err)
			require.Equal(t, syscall.SIGTERM, status.Signal())
			return
		case <-tick.C:
		}
	}
}
