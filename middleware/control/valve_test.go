package control_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/control"
)

var by = control.Change{By: "alice", At: time.Date(2026, 11, 29, 19, 0, 0, 0, time.UTC), Reason: "migration"}

// within fails the test unless ch is closed within d.
func within(t *testing.T, d time.Duration, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(d):
		t.Fatal("the gate is not worth asking again")
	}
}

func TestAPausedValveAdmitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		v := control.New("orders", slog.New(slog.NewTextHandler(&log, nil)))
		n, _ := v.Admit(10)
		require.Equal(t, 10, n)
		require.Empty(t, v.Reason())
		var began, ended atomic.Int32
		release := make(chan struct{})
		h := v.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			began.Add(1)
			<-release
			ended.Add(1)
			return nil
		}))
		go func() { _ = h.Handle(t.Context(), &handler.Message{}) }()
		synctest.Wait()

		require.NoError(t, v.Set(control.State{Paused: true, Pause: by}))
		n, reopened := v.Admit(10)
		require.Zero(t, n)
		require.Equal(t, "paused by alice since 2026-11-29T19:00:00Z (migration)", v.Reason())
		require.Equal(t, 1, strings.Count(log.String(), "msg=\"paused: nothing is received until sluice resume\" queue=orders by=alice"), log.String())
		err := h.Handle(t.Context(), &handler.Message{})
		require.ErrorIs(t, err, control.ErrHeld)
		require.ErrorIs(t, err, handler.ErrPostponed)
		require.GreaterOrEqual(t, handler.VerdictOf(err).Delay, time.Second)
		require.Less(t, handler.VerdictOf(err).Delay, 2*time.Second)
		close(release)
		synctest.Wait()
		require.EqualValues(t, 1, ended.Load(), "what had begun is finished")
		select {
		case <-reopened:
			t.Fatal("it is still paused")
		default:
		}

		require.NoError(t, v.Set(control.State{Pause: by}))
		within(t, time.Millisecond, reopened)
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		require.EqualValues(t, 2, began.Load())
		require.Contains(t, log.String(), "msg=resumed queue=orders by=alice")
	})
}

// As many handlers run as the limit says, whatever was received, and the gate counts them.
func TestALimitOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := control.New("orders", slog.New(slog.DiscardHandler))
		require.NoError(t, v.Set(control.State{Concurrency: 3, Limit: by}))
		n, _ := v.Admit(10)
		require.Equal(t, 3, n)
		n, _ = v.Admit(2)
		require.Less(t, n, 2, "two receives could bring more than is free")
		release := make(chan struct{})
		h := v.Middleware(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			<-release
			if m.Body != nil {
				panic("as a handler may")
			}
			return nil
		}))
		run := func(m *handler.Message) {
			defer func() { _ = recover() }()
			_ = h.Handle(t.Context(), m)
		}
		for range 2 {
			go run(&handler.Message{})
		}
		go run(&handler.Message{Body: []byte("x")})
		synctest.Wait()
		n, reopened := v.Admit(10)
		require.Zero(t, n)
		require.Equal(t, "limited to 3 handlers by alice since 2026-11-29T19:00:00Z (migration)", v.Reason())
		require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{}), control.ErrHeld)
		release <- struct{}{}
		synctest.Wait()
		within(t, time.Millisecond, reopened)
		n, _ = v.Admit(10)
		require.Equal(t, 1, n)
		close(release)
		synctest.Wait()
		n, _ = v.Admit(10)
		require.Equal(t, 3, n, "a panic gives its place back")
		require.NoError(t, v.Set(control.State{}))
		n, _ = v.Admit(10)
		require.Equal(t, 10, n)
	})
}

// A limit that was taken away holds nobody back for the rest of its time.
func TestALimitOfTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := control.New("orders", slog.New(slog.DiscardHandler))
		var handled int
		h := v.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { handled++; return nil }))
		require.NoError(t, v.Set(control.State{Rate: 2, Per: time.Hour, Limit: by}))
		for range 2 {
			require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		}
		require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{}), handler.ErrPostponed)
		n, reopened := v.Admit(10)
		require.Zero(t, n)
		require.Contains(t, v.Reason(), "rate limit")
		require.NoError(t, v.Set(control.State{Rate: 2, Per: time.Hour, Concurrency: 100, Limit: by}), "the rate goes on")
		require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{}), handler.ErrPostponed)
		require.NoError(t, v.Set(control.State{Limit: by}))
		within(t, time.Millisecond, reopened)
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		require.Equal(t, 3, handled)
	})
}

func TestAStateThatCannotBeObeyed(t *testing.T) {
	t.Parallel()
	v := control.New("orders", nil)
	for _, s := range []control.State{{Concurrency: -1}, {Rate: -1}, {Rate: 1}, {Rate: 1, Per: -1}} {
		require.ErrorContains(t, v.Set(s), `control of queue "orders"`)
		require.Equal(t, control.State{}, v.State())
	}
}

func BenchmarkValve(b *testing.B) {
	v := control.New("orders", slog.New(slog.DiscardHandler))
	h := v.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	m := &handler.Message{}
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Handle(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}
