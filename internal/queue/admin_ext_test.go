package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func TestCreateConfigureRemove(t *testing.T) {
	stores(t, func(b *bench) {
		full := queue.Config{
			Visibility: time.Second, Retention: time.Hour, Delay: time.Minute, Ordered: true, DedupeWindow: time.Minute,
			DedupePerGroup: true, DeadLetter: "d", MaxReceives: 3, Extra: map[string]string{"k": "v\x00"},
		}
		b.create("q", full)
		b.create("q", full)
		b.create("a", queue.Config{})
		b.create("a", queue.Config{Visibility: queue.DefaultVisibility, Retention: queue.DefaultRetention, Extra: map[string]string{}})
		got, created, err := b.Config(b.ctx, "q")
		require.NoError(b, err)
		require.Equal(b, full, got)
		require.Equal(b, b.clock.Now().UnixNano(), created.UnixNano())

		other := full
		other.Extra = map[string]string{"k": "w"}
		require.ErrorIs(b, b.Create(b.ctx, "q", other), queue.ErrExists)
		b.clock.Advance(time.Hour)
		require.NoError(b, b.Configure(b.ctx, "q", other))
		got.Extra["k"] = "spoilt"
		got, again, err := b.Config(b.ctx, "q")
		require.NoError(b, err)
		require.Equal(b, other, got)
		require.Equal(b, created, again)

		names, err := b.List(b.ctx)
		require.NoError(b, err)
		require.Equal(b, []string{"a", "q"}, names)

		b.send("q", text("g/x")...)
		b.send("q", queue.Message{Body: make([]byte, 5000)})
		require.NoError(b, b.Remove(b.ctx, "q"))
		require.ErrorIs(b, b.Remove(b.ctx, "q"), queue.ErrNotFound)
		b.create("q", queue.Config{})
		b.counts("q", 0, 0, 0)
		require.Empty(b, b.receive("q", 1))
	})
}

func TestConfigurationThatMakesNoSense(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("ok", queue.Config{})
		for _, c := range []queue.Config{
			{Visibility: -1}, {Retention: -1}, {Delay: -1}, {DedupeWindow: -1}, {MaxReceives: -1}, {DeadLetter: "ok"},
		} {
			require.ErrorIs(b, b.Create(b.ctx, "ok", c), queue.ErrConfig)
			require.ErrorIs(b, b.Configure(b.ctx, "ok", c), queue.ErrConfig)
		}
		require.ErrorIs(b, b.Create(b.ctx, "", queue.Config{}), queue.ErrConfig)
	})
}

func TestConfigureCounts(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.create("d", queue.Config{})
		b.send("q", text("x")...)
		require.NoError(b, b.Configure(b.ctx, "q", queue.Config{Visibility: time.Second, DeadLetter: "d", MaxReceives: 1}))
		rs := b.receiveBy("q", queue.ReceiveRequest{Max: 1, Visibility: -1})
		require.Equal(b, b.clock.Now().Add(time.Second).UnixNano(), rs[0].Deadline.UnixNano())
		b.clock.Advance(time.Second)
		require.Empty(b, b.receive("q", 1))
		b.counts("d", 1, 0, 0)
		require.NoError(b, b.Configure(b.ctx, "d", queue.Config{Retention: time.Millisecond}))
		b.counts("d", 0, 0, 0)
	})
}

func TestPurge(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.create("other", queue.Config{})
		b.send("other", text("x")...)
		b.send("q", numbered(3000)...)
		b.send("q", text("g/1", "g/2")...)
		b.send("q", queue.Message{Delay: time.Hour, Body: make([]byte, 5000)})
		rs := b.receive("q", 10)
		require.NoError(b, b.Purge(b.ctx, "q"))
		b.counts("q", 0, 0, 0)
		require.Equal(b, queue.ErrReceipt, b.Delete(b.ctx, "q", receipts(rs))[0])
		b.counts("other", 1, 0, 0)
		b.send("q", text("g/3")...)
		require.Equal(b, []string{"3"}, bodies(b.receive("q", 10)))
	})
}

func TestPeekChangesNothing(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/held", "g/blocked", "free")...)
		b.send("q", queue.Message{Body: []byte("delayed"), Delay: time.Hour})
		held := b.receive("q", 1)[0]
		for range 2 {
			ms, err := b.Peek(b.ctx, "q", 10)
			require.NoError(b, err)
			require.Len(b, ms, 4)
			require.Equal(b, "held", string(ms[0].Body))
			require.Equal(b, 1, ms[0].Receives)
			require.Equal(b, held.Deadline, ms[0].VisibleAt)
			require.Equal(b, "blocked", string(ms[1].Body))
			require.Equal(b, 0, ms[1].Receives)
			require.True(b, ms[1].FirstReceived.IsZero())
			require.Equal(b, "delayed", string(ms[3].Body))
			b.counts("q", 2, 1, 1)
		}
		ms, err := b.Peek(b.ctx, "q", 2)
		require.NoError(b, err)
		require.Len(b, ms, 2)
		ms, err = b.Peek(b.ctx, "q", 0)
		require.NoError(b, err)
		require.Empty(b, ms)
	})
}

// calls is every operation on one queue, for what all have in common.
func (b *bench) calls(ctx context.Context, name string) map[string]func() error {
	joined := func(errs []error) error {
		if len(errs) == 0 {
			return nil
		}
		return errs[0]
	}
	return map[string]func() error{
		"Config":    func() error { _, _, err := b.Engine.Config(ctx, name); return err },
		"Configure": func() error { return b.Configure(ctx, name, queue.Config{}) },
		"Remove":    func() error { return b.Remove(ctx, name) },
		"Send":      func() error { _, err := b.Send(ctx, name, text("x")); return err },
		"Receive":   func() error { _, err := b.Receive(ctx, name, queue.ReceiveRequest{Max: 1}); return err },
		"Delete":    func() error { return joined(b.Delete(ctx, name, []string{"r"})) },
		"Change":    func() error { return joined(b.Change(ctx, name, []queue.Change{{Receipt: "r"}})) },
		"Reject":    func() error { return joined(b.Reject(ctx, name, []queue.Rejection{{Receipt: "r"}})) },
		"Peek":      func() error { _, err := b.Peek(ctx, name, 1); return err },
		"Stats":     func() error { _, err := b.Stats(ctx, name); return err },
		"Purge":     func() error { return b.Purge(ctx, name) },
		"StartMove": func() error { _, err := b.StartMove(ctx, name, "other", 0); return err },
		"Moves":     func() error { _, err := b.Moves(ctx, name); return err },
	}
}

func TestEveryCallTellsWhatIsWrong(t *testing.T) {
	stores(t, func(b *bench) {
		for op, call := range b.calls(b.ctx, "none") {
			err := call()
			require.ErrorIs(b, err, queue.ErrNotFound, op)
			require.ErrorContains(b, err, `"none"`, op)
		}
		b.create("q", queue.Config{})
		ended, cancel := context.WithCancel(b.ctx)
		cancel()
		for op, call := range b.calls(ended, "q") {
			require.ErrorIs(b, call(), context.Canceled, op)
		}
		_, err := b.List(ended)
		require.ErrorIs(b, err, context.Canceled)
		_, err = b.CancelMove(ended, "h")
		require.ErrorIs(b, err, context.Canceled)
		require.ErrorIs(b, b.Create(ended, "q", queue.Config{}), context.Canceled)

		require.NoError(b, b.Close())
		for op, call := range b.calls(b.ctx, "q") {
			require.ErrorIs(b, call(), queue.ErrClosed, op)
		}
		_, err = b.List(b.ctx)
		require.ErrorIs(b, err, queue.ErrClosed)
		_, err = b.CancelMove(b.ctx, "h")
		require.ErrorIs(b, err, queue.ErrClosed)
		require.ErrorIs(b, b.Create(b.ctx, "q", queue.Config{}), queue.ErrClosed)
		require.NoError(b, b.Close())
	})
}
