//go:build unix

package exechandler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
)

// pool returns a pool of this test binary as workers.
func pool(t testing.TB, c *PoolConfig, args ...string) (*Pool, *output.Buffer) {
	t.Helper()
	if c == nil {
		c = &PoolConfig{}
	}
	logged := &output.Buffer{}
	c.Env = append(append(os.Environ(), asWorker+"=1"), c.Env...)
	c.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.MinRestart == 0 {
		c.MinRestart = time.Millisecond
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	p, err := NewPool(append([]string{exe}, args...), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, logged
}

func handle(t testing.TB, p *Pool, body string) error {
	t.Helper()
	return p.Handle(t.Context(), &handler.Message{ID: "m-1", Body: []byte(body)})
}

// pid returns the process ID of the worker that has the next message.
func pid(t testing.TB, p *Pool) int {
	t.Helper()
	id, err := strconv.Atoi(handler.Cause(handle(t, p, "pid")).Error())
	require.NoError(t, err)
	return id
}

func awaitFile(t *testing.T, file string) {
	t.Helper()
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 30*time.Second, 2*time.Millisecond)
}

func TestAWorkerHandlesMessageAfterMessage(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{Workers: 4})
	first := pid(t, p)
	require.NoError(t, handle(t, p, "x"))
	require.NoError(t, handle(t, p, "say {\"verdict\":\"ack\"}"), "the ID may be left out")
	v := handler.VerdictOf(handle(t, p, `say {"verdict":"retry","after":"30s","error":"busy"}`))
	require.Equal(t, handler.Verdict{Action: handler.ActionRetry, Delayed: true, Delay: 30 * time.Second, Err: v.Err}, v)
	require.EqualError(t, handle(t, p, `say {"verdict":"drop","error":"old"}`), "dropped: old")
	require.NoError(t, p.Handle(t.Context(), &handler.Message{Body: []byte("x")}), "a message without an ID")
	require.Equal(t, first, pid(t, p), "the worker that was used last has the next")
	require.NotContains(t, logged.String(), "level=WARN")
}

func TestLinesCanBeMegabytes(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, nil)
	require.NoError(t, handle(t, p, strings.Repeat("x\n", 3<<20)))
	require.NoError(t, handle(t, p, "say {\"verdict\":\"ack\""+strings.Repeat(" ", 3<<20)+"}"))
	err := handle(t, p, "say {\"verdict\":\"ack\""+strings.Repeat(" ", maxAnswer)+"}")
	require.ErrorContains(t, err, "not a verdict: a line of more than 16777216 bytes")
	require.NoError(t, handle(t, p, "x"))
}

// Every way in which a worker can fail a message: it is retried, the worker is
// replaced, and the next message is handled.
func TestAWorkerThatFailsIsReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, says string }{
		{"die", "the worker ended before it answered: signal: killed"},
		{"fail no database", "the worker ended before it answered: exit status 1: no database"},
		{"close", "the worker ended before it answered: signal: terminated"},
		{"say ok", `the worker's answer is not a verdict: it is not a JSON object: "ok"`},
		{"say", `not a verdict: it is not a JSON object: ""`},
		{`say {"verdict":"ok"}`, `not a verdict: the verdict is "ok"`},
		{`say {"verdict":"ack","id":"m-0"}`, `not a verdict: it names another message, "m-0"`},
		{"noise", "not a verdict: a line of more than"},
	} {
		t.Run(c.body, func(t *testing.T) {
			p, _ := pool(t, &PoolConfig{Workers: 1, Config: Config{KillGrace: 10 * time.Second}})
			before := pid(t, p)
			err := handle(t, p, c.body)
			require.Equal(t, handler.Verdict{Err: err}, handler.VerdictOf(err), "a retry by the queue's policy")
			require.ErrorContains(t, err, c.says)
			require.False(t, alive(before), "it has ended before its message can be given to another")
			require.NotEqual(t, before, pid(t, p))
		})
	}
}

// An answer beyond a worker's verdict must not become the verdict of another
// message.
func TestAnAnswerTooManyIsNotTheNextMessages(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{Workers: 1})
	before := pid(t, p)
	require.NoError(t, handle(t, p, "say {\"verdict\":\"ack\"}\n{\"verdict\":\"ack\"}"))
	require.Eventually(t, func() bool { // until the second line has come
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.idle) == 1 && len(p.idle[0].lines) == 1
	}, 30*time.Second, time.Millisecond)
	require.EqualError(t, handle(t, p, `say {"verdict":"reject","error":"mine"}`), "rejected: mine")
	require.NotEqual(t, before, pid(t, p))
	require.Contains(t, logged.String(), "replacing a worker")
	require.Contains(t, logged.String(), "wrote to standard output while it had no message")
}

func TestAWorkerMayEndItself(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{Workers: 1})
	for range 3 {
		before := pid(t, p)
		require.NoError(t, handle(t, p, "leave"))
		require.Eventually(t, func() bool { return !alive(before) }, 30*time.Second, time.Millisecond)
		p.mu.Lock()
		w := p.idle[0]
		p.mu.Unlock()
		<-w.ended
		require.Eventually(t, func() bool { // until its output has ended too
			_, err := w.idle()
			return err != nil
		}, 30*time.Second, time.Millisecond)
		require.NoError(t, handle(t, p, "x"), "no message pays for it")
	}
	require.NotContains(t, logged.String(), "level=WARN")
}

func TestAnIdleWorkerThatIsKilledCostsNoMessage(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{Workers: 1})
	require.NoError(t, handle(t, p, "x"))
	p.mu.Lock()
	w := p.idle[0]
	p.mu.Unlock()
	w.kill()
	<-w.ended
	require.Eventually(t, func() bool { _, err := w.idle(); return err != nil }, 30*time.Second, time.Millisecond)
	require.NoError(t, handle(t, p, "x"))
	require.Contains(t, logged.String(), "ended while it had no message: signal: killed")
}

func TestWorkersAreReplacedAfterSoManyMessages(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, &PoolConfig{Workers: 1, MaxMessages: 3})
	seen := map[int]int{}
	for range 9 {
		seen[pid(t, p)]++
	}
	require.Len(t, seen, 3)
	for _, n := range seen {
		require.Equal(t, 3, n)
	}
}

func TestCancelingEndsTheWorker(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"hang", "deaf"} {
		t.Run(word, func(t *testing.T) {
			p, _ := pool(t, &PoolConfig{Workers: 1, Config: Config{KillGrace: 200 * time.Millisecond}})
			file := filepath.Join(t.TempDir(), "up")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan error, 1)
			go func() { done <- p.Handle(ctx, &handler.Message{ID: "m-1", Body: []byte(word + " " + file)}) }()
			awaitFile(t, file)
			cancel(handler.ErrLeaseLost)
			err := <-done
			require.ErrorIs(t, err, handler.ErrLeaseLost)
			require.ErrorContains(t, err, "was ended")
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			id, err := strconv.Atoi(string(content))
			require.NoError(t, err)
			require.False(t, alive(id))
			require.NoError(t, handle(t, p, "x"))
		})
	}
	t.Run("before it has begun", func(t *testing.T) {
		p, _ := pool(t, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(handler.ErrStopped)
		require.ErrorIs(t, p.Handle(ctx, &handler.Message{}), handler.ErrStopped)
		require.Empty(t, p.idle)
	})
}

func TestAnAnswerAfterSIGTERMCounts(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, &PoolConfig{Workers: 1, Config: Config{KillGrace: time.Minute}})
	file := filepath.Join(t.TempDir(), "up")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Handle(ctx, &handler.Message{ID: "m-1", Body: []byte("finish " + file)}) }()
	awaitFile(t, file)
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, handle(t, p, "x"), "another worker has the next")
}

// A process that a worker has started ends with it; one that has left its group,
// with the worker's output open, at least holds nothing up.
func TestGrandchildren(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"child", "orphan"} {
		t.Run(word, func(t *testing.T) {
			p, _ := pool(t, nil)
			file := filepath.Join(t.TempDir(), "pid")
			require.ErrorContains(t, handle(t, p, word+" "+file), "ended before it answered: exit status 1")
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			id, err := strconv.Atoi(string(content))
			require.NoError(t, err)
			if word == "orphan" {
				require.True(t, alive(id))
				require.NoError(t, syscall.Kill(id, syscall.SIGKILL))
			}
			require.Eventually(t, func() bool { return !alive(id) }, 30*time.Second, time.Millisecond)
		})
	}
}

func TestStandardErrorGoesToTheLog(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{Workers: 1}, "warn starting")
	require.ErrorContains(t, handle(t, p, "fail a reason"), "a reason")
	require.Contains(t, logged.String(), "stream=stderr message=m-1 attempt=0 line=\"a reason\"")
	require.Contains(t, logged.String(), "line=starting")
	require.Contains(t, logged.String(), "pid=")
}

func TestThereAreNeverMoreWorkersThanAllowed(t *testing.T) {
	t.Parallel()
	const workers = 3
	p, _ := pool(t, &PoolConfig{Workers: workers})
	seen := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			id := handler.Cause(handle(t, p, "pid")).Error()
			mu.Lock()
			defer mu.Unlock()
			seen[id] = true
		})
	}
	wg.Wait()
	require.LessOrEqual(t, len(seen), workers)
}

func TestCloseEndsWorkersGently(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, logged := pool(t, &PoolConfig{StopGrace: time.Minute, Config: Config{Env: []string{"AT_END=" + filepath.Join(dir, "end")}}})
	id := pid(t, p)
	file := filepath.Join(dir, "up")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Handle(ctx, &handler.Message{ID: "m-1", Body: []byte("finish " + file)}) }()
	awaitFile(t, file)
	require.Len(t, p.slots, 1)
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	require.Eventually(t, func() bool { return strings.Contains(fmt.Sprint(handle(t, p, "x")), "closed") }, 30*time.Second, time.Millisecond)
	select {
	case err := <-closed:
		require.NoError(t, err)
		t.Error("it did not wait for the message that is handled")
	default:
	}
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, <-closed)
	require.False(t, alive(id))
	require.FileExists(t, filepath.Join(dir, "end"), "it ended with its input, and by no signal")
	require.NotContains(t, logged.String(), "level=WARN")
	require.NoError(t, p.Close())
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(handle(t, p, "x")).Action)
}

func TestCloseEndsWorkersThatLinger(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, &PoolConfig{StopGrace: 50 * time.Millisecond, Config: Config{Env: []string{"LINGER=1"}}})
	id := pid(t, p)
	require.NoError(t, p.Close())
	require.False(t, alive(id))
	require.Contains(t, logged.String(), "did not exit when its standard input closed")
}

func TestKillEndsAllAtOnce(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, &PoolConfig{Config: Config{KillGrace: time.Hour}, StopGrace: time.Hour})
	file := filepath.Join(t.TempDir(), "up")
	done := make(chan error, 1)
	go func() { done <- handle(t, p, "deaf "+file) }()
	awaitFile(t, file)
	p.Kill()
	require.ErrorContains(t, <-done, "signal: killed")
	require.ErrorContains(t, handle(t, p, "x"), "closed")
	require.NoError(t, p.Close())
}

// A program that cannot start holds back receiving, rather than costing every
// message its attempts.
func TestTheGateClosesWhileWorkersFail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	require.NoError(t, os.WriteFile(broken, nil, 0o600))
	p, err := NewPool([]string{"sh", "-c", `test ! -e "$0" || { echo syntax error >&2; exit 2; }; while read -r line; do echo '{"verdict":"ack"}'; done`, broken},
		&PoolConfig{Workers: 2, MinRestart: 100 * time.Millisecond, MaxRestart: 300 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	n, _ := p.Gate().Admit(7)
	require.Equal(t, 7, n)
	begin := time.Now()
	for range gateAfter {
		require.ErrorContains(t, handle(t, p, "x"), "exit status 2: syntax error")
	}
	require.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond, "the second start waits 100 ms, the third 200")
	n, reopened := p.Gate().Admit(7)
	require.Zero(t, n)
	<-reopened
	n, _ = p.Gate().Admit(7)
	require.Equal(t, 1, n, "one to try with")
	require.NoError(t, os.Remove(broken))
	require.NoError(t, handle(t, p, "x"))
	n, _ = p.Gate().Admit(7)
	require.Equal(t, 7, n)
}

func TestAProgramThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700))
	p, err := NewPool([]string{file}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, os.Remove(file))
	err = handle(t, p, "x")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
}

func BenchmarkExec(b *testing.B) {
	body, err := json.Marshal(map[string]string{"order": strings.Repeat("x", 1000)})
	require.NoError(b, err)
	m := &handler.Message{ID: "m-1", Body: body}
	run := func(b *testing.B, h handler.Handler) {
		b.Helper()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := h.Handle(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("message", func(b *testing.B) {
		h, err := New([]string{"cat"}, nil)
		require.NoError(b, err)
		run(b, h)
	})
	b.Run("worker", func(b *testing.B) {
		p, _ := pool(b, nil)
		run(b, p)
	})
}
