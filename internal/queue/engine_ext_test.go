package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// newClock returns a clock that stands still until it is moved.
func newClock() *sqstest.ManualClock { return sqstest.NewManualClock(time.Unix(1_800_000_000, 0)) }

// bench is an engine under test, with a queue "q".
type bench struct {
	*testing.T
	queue.Engine
	clock *sqstest.ManualClock
	ctx   context.Context //nolint:containedctx // the test's own
	held  []queue.Received
}

// until waits for something that another goroutine does.
func (b *bench) until(done func() bool) {
	b.Helper()
	require.Eventually(b, done, 10*time.Second, time.Millisecond)
}

// stores are what every test of behaviour is run on.
func stores(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		test(newBench(t, c, queue.NewMemory(c)))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		e, err := sqlitequeue.Open(t.Context(), filepath.Join(t.TempDir(), "queues.db"), &sqlitequeue.Options{Clock: c})
		require.NoError(t, err)
		test(newBench(t, c, e))
	})
}

func newBench(t *testing.T, c *sqstest.ManualClock, e queue.Engine) *bench {
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return &bench{T: t, Engine: e, clock: c, ctx: context.Background()}
}

func (b *bench) create(name string, c queue.Config) {
	b.Helper()
	require.NoError(b, b.Create(b.ctx, name, c))
}

// text makes messages out of "group/body" or "body".
func text(specs ...string) []queue.Message {
	ms := make([]queue.Message, len(specs))
	for i, s := range specs {
		for j := range s {
			if s[j] == '/' {
				ms[i].Group, s = s[:j], s[j+1:]
				break
			}
		}
		ms[i].Body = []byte(s)
	}
	return ms
}

func (b *bench) send(name string, ms ...queue.Message) []queue.Message {
	b.Helper()
	out, err := b.Send(b.ctx, name, ms)
	require.NoError(b, err)
	require.Len(b, out, len(ms))
	return out
}

// receive receives up to n messages for a minute.
func (b *bench) receive(name string, n int) []queue.Received {
	b.Helper()
	return b.receiveBy(name, queue.ReceiveRequest{Max: n, Visibility: time.Minute})
}

func (b *bench) receiveBy(name string, r queue.ReceiveRequest) []queue.Received {
	b.Helper()
	out, err := b.Receive(b.ctx, name, r)
	require.NoError(b, err)
	return out
}

func (b *bench) receiveOne(name string) queue.Received {
	b.Helper()
	out := b.receive(name, 1)
	require.Len(b, out, 1)
	return out[0]
}

func (b *bench) change(name string, by time.Duration, rs ...queue.Received) {
	b.Helper()
	cs := make([]queue.Change, len(rs))
	for i := range rs {
		cs[i] = queue.Change{Receipt: rs[i].Receipt, By: by}
	}
	require.Nil(b, b.Change(b.ctx, name, cs))
}

func (b *bench) delete(name string, rs ...queue.Received) {
	b.Helper()
	require.Nil(b, b.Delete(b.ctx, name, receipts(rs)))
}

func (b *bench) stats(name string) queue.Stats {
	b.Helper()
	s, err := b.Stats(b.ctx, name)
	require.NoError(b, err)
	return s
}

// counts requires numbers of visible, in flight and delayed messages.
func (b *bench) counts(name string, visible, inFlight, delayed int64) {
	b.Helper()
	s := b.stats(name)
	require.Equal(b, [3]int64{visible, inFlight, delayed}, [3]int64{s.Visible, s.InFlight, s.Delayed}, "visible, in flight, delayed")
}

func receipts(rs []queue.Received) []string {
	out := make([]string, len(rs))
	for i := range rs {
		out[i] = rs[i].Receipt
	}
	return out
}

func bodies(rs []queue.Received) []string {
	out := make([]string, len(rs))
	for i := range rs {
		out[i] = string(rs[i].Body)
	}
	return out
}

func numbered(n int) []queue.Message {
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i].Body = fmt.Append(nil, i)
	}
	return ms
}
