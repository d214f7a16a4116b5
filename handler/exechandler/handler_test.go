//go:build unix

package exechandler

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func handlerFor(t *testing.T, line string) (*Handler, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	words, err := Split(line)
	require.NoError(t, err)
	h, err := New(words, &Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	require.NoError(t, err)
	return h, &logged
}

func TestExitStatusesAreVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		action handler.Action
		says   string
	}{
		{"exit 0", handler.ActionAck, ""},
		{"echo bad input >&2; exit 65", handler.ActionDeadLetter, "rejected: sh: exit status 65: bad input"},
		{"echo try later >&2; exit 75", handler.ActionRetry, "sh: exit status 75: try later"},
		{"exit 1", handler.ActionRetry, "sh: exit status 1"},
		{"exit 255", handler.ActionRetry, "sh: exit status 255"},
		{"kill -9 $$", handler.ActionRetry, "sh: signal: killed"},
	} {
		h, _ := handlerFor(t, `sh -c "`+strings.ReplaceAll(c.script, "$", `\$`)+`"`)
		err := h.Handle(t.Context(), &handler.Message{})
		v := handler.VerdictOf(err)
		require.Equal(t, c.action, v.Action, c.script)
		if c.says != "" {
			require.EqualError(t, v.Err, c.says)
		}
	}
}

func TestCommandGetsTheMessage(t *testing.T) {
	t.Setenv("SLUICE_ATTR_OLD", "of another message")
	t.Setenv("SLUICE_GROUP", "of another message")
	t.Setenv("KEPT", "yes")
	out := filepath.Join(t.TempDir(), "out")
	h, _ := handlerFor(t, `sh -c 'cat > "$0"; env >> "$0"' `+out)
	m := &handler.Message{ID: "m-1", Body: []byte("body\x00\xff\n"), Attempt: 2, DedupeID: "d-1", Attributes: map[string]string{
		"tenant-id": "acme", "tenant.id": "later wins", "nul": "a\x00b", "long": strings.Repeat("x", longestVariable),
	}}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	require.NoError(t, h.Handle(t.Context(), m))
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	got := string(content)
	require.True(t, strings.HasPrefix(got, "body\x00\xff\n"))
	for _, want := range []string{
		"SLUICE_MESSAGE_ID=m-1\n", "SLUICE_ATTEMPT=2\n", "SLUICE_QUEUE=orders\n", "SLUICE_DEDUPE_ID=d-1\n",
		"SLUICE_ATTR_TENANT_ID=later wins\n", "SLUICE_ATTR_NUL=a\uFFFDb\n", "KEPT=yes\n",
	} {
		require.Contains(t, got, want)
	}
	for _, no := range []string{"SLUICE_ATTR_OLD", "SLUICE_GROUP", "SLUICE_ATTR_LONG", "SLUICE_ATTRIBUTES"} {
		require.NotContains(t, got, no)
	}

	m.Attributes = map[string]string{"a": "1\n2"}
	require.NoError(t, h.Handle(t.Context(), m))
	content, err = os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(content), `SLUICE_ATTRIBUTES={"a":"1\n2"}`)
}

func TestACommandNeedNotReadItsInput(t *testing.T) {
	t.Parallel()
	h, _ := handlerFor(t, "true")
	require.NoError(t, h.Handle(t.Context(), &handler.Message{Body: make([]byte, 1<<20)}))
}

func TestOutputGoesToTheLog(t *testing.T) {
	t.Parallel()
	h, logged := handlerFor(t, `sh -c 'echo one; echo two >&2; printf three'`)
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m-1"}))
	require.Contains(t, logged.String(), "stream=stdout line=one")
	require.Contains(t, logged.String(), "stream=stderr line=two")
	require.Contains(t, logged.String(), "stream=stdout line=three")
	require.Contains(t, logged.String(), "message=m-1")
}

// alive is true while a process is there and is not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// A command and its child, which have written their process IDs to a file.
func startFamily(t *testing.T, ctx context.Context, trap string, grace time.Duration) (*Handler, chan error, func() []int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pids")
	words, err := Split(`sh -c '` + trap + ` sleep 300 & echo $$ $! > "$0".part; mv "$0".part "$0"; wait' ` + file)
	require.NoError(t, err)
	h, err := New(words, &Config{KillGrace: grace})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- h.Handle(ctx, &handler.Message{}) }()
	pids := func() []int {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		var ids []int
		for _, f := range strings.Fields(string(content)) {
			id, err := strconv.Atoi(f)
			require.NoError(t, err)
			ids = append(ids, id)
		}
		return ids
	}
	require.Eventually(t, func() bool { return len(pids()) == 2 }, 20*time.Second, 5*time.Millisecond)
	return h, ended, pids
}

func TestCancelingEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	_, done, pids := startFamily(t, ctx, "", 0)
	cancel(handler.ErrLeaseLost)
	err := <-done
	require.ErrorIs(t, err, handler.ErrLeaseLost)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	for _, id := range pids() {
		require.Eventually(t, func() bool { return !alive(id) }, 20*time.Second, 5*time.Millisecond)
	}
}

func TestKillKillsAtOnce(t *testing.T) {
	t.Parallel()
	h, done, pids := startFamily(t, t.Context(), `trap "" TERM INT;`, 0)
	h.Kill()
	err := <-done
	require.ErrorIs(t, err, handler.ErrStopped)
	require.ErrorContains(t, err, "signal: killed")
	for _, id := range pids() {
		require.Eventually(t, func() bool { return !alive(id) }, 20*time.Second, 5*time.Millisecond)
	}
}

func TestACommandThatEndedWellIsAckedThoughItWasCanceled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "up")
	h, _ := handlerFor(t, `sh -c 'trap "exit 0" TERM; touch "$0"; while :; do sleep 0.05; done' `+file)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Handle(ctx, &handler.Message{}) }()
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 20*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestACommandThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	_, done, pids := startFamily(t, ctx, `trap "" TERM;`, 200*time.Millisecond)
	begin := time.Now()
	cancel(handler.ErrStopped)
	err := <-done
	require.ErrorIs(t, err, handler.ErrStopped)
	require.GreaterOrEqual(t, time.Since(begin), 200*time.Millisecond, "it had its grace")
	for _, id := range pids() {
		require.Eventually(t, func() bool { return !alive(id) }, 20*time.Second, 5*time.Millisecond)
	}
}

// A process that a command leaves behind, with its output open, neither delays
// the verdict for longer than the grace nor changes it.
func TestAProcessLeftBehindDoesNotHoldTheVerdict(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	h, err := New([]string{"sh", "-c", `sleep 300 & echo $! > "$0"; exit 65`, file}, &Config{KillGrace: 200 * time.Millisecond})
	require.NoError(t, err)
	begin := time.Now()
	err = h.Handle(t.Context(), &handler.Message{})
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.Less(t, time.Since(begin), 100*time.Second)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	id, err := strconv.Atoi(strings.TrimSpace(string(content)))
	require.NoError(t, err)
	require.True(t, alive(id), "a command that ended by itself may leave something behind")
	require.NoError(t, syscall.Kill(id, syscall.SIGKILL))
}

func TestDirectoryAndEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := New([]string{"sh", "-c", `pwd > out; env >> out`}, &Config{Dir: dir, Env: []string{"ONLY=this", "SLUICE_GROUP=old", "PATH=" + os.Getenv("PATH")}})
	require.NoError(t, err)
	m := &handler.Message{Attributes: map[string]string{"traceparent": "00-x", "tracestate": "a=b"}}
	require.NoError(t, h.Handle(t.Context(), m))
	content, err := os.ReadFile(filepath.Join(dir, "out"))
	require.NoError(t, err)
	got := string(content)
	require.True(t, strings.HasSuffix(strings.SplitN(got, "\n", 2)[0], filepath.Base(dir)))
	for _, want := range []string{"ONLY=this\n", "TRACEPARENT=00-x\n", "TRACESTATE=a=b\n"} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "SLUICE_GROUP")
	require.NotContains(t, got, "HOME=")
}
