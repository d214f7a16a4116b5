package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// asleep runs a consumer whose machine can be suspended: the monotonic clock,
// and so the bubble's, stands still meanwhile.
func asleep(t *testing.T, q drivers.Source, h handler.HandlerFunc) (*world, func(time.Duration)) {
	t.Helper()
	var total atomic.Int64
	w := &world{t: t, logs: &logs{}, events: &events{}, done: make(chan error, 1), ended: make(chan struct{})}
	c, err := consumer.New(q, h, &consumer.Config{Observers: []handler.Observer{w.events}, Logger: w.logs.logger()})
	require.NoError(t, err)
	c.SetAsleep(func() time.Duration { return time.Duration(total.Load()) })
	ctx, cancel := context.WithCancel(t.Context())
	w.c, w.cancel = c, cancel
	go func() {
		defer close(w.ended)
		w.done <- c.Run(ctx)
	}()
	t.Cleanup(func() { // of a test that failed
		cancel()
		<-w.ended
	})
	synctest.Wait()
	return w, func(d time.Duration) { total.Add(int64(d)) }
}

func TestALeaseRunsDownWhileTheMachineIsSuspended(t *testing.T) {
	for _, c := range []struct {
		name      string
		suspended time.Duration
		acked     uint64
	}{
		{"for an hour", time.Hour, 0},
		{"for as long as was left", 25 * time.Second, 0},
		{"for less", 8 * time.Second, 1},
		{"not at all", 0, 1},
	} {
		t.Run("a verdict/"+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				w, suspend := asleep(t, q, lasting(10*time.Second))
				pass(5 * time.Second)
				suspend(c.suspended)
				pass(6 * time.Second)
				s := w.c.Stats()
				require.Equal(t, c.acked, s.Acked, "%+v", s)
				require.Equal(t, 1-c.acked, s.Late, "%+v", s)
				require.Len(t, q.settles, int(c.acked))
				require.NoError(t, w.stop())
			})
		})
		t.Run("a handler that keeps its lease/"+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				w, suspend := asleep(t, q, keeping(handler.KeepOptions{}, lasting(22*time.Second)))
				pass(5 * time.Second)
				suspend(c.suspended)
				pass(20 * time.Second) // its beat is due at half of the lease
				s := w.c.Stats()
				require.Equal(t, c.acked, s.Acked, "%+v", s)
				require.Equal(t, 1-c.acked, s.LeasesLost, "%+v", s)
				require.NoError(t, w.stop())
			})
		})
		t.Run("a message that was on its way/"+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(0)
				q.latency = time.Second
				w, suspend := asleep(t, q, ack)
				q.add(1, "")
				suspend(c.suspended)
				pass(5 * time.Second)
				want := uint64(1)
				if c.suspended > q.caps.Lease {
					want = 0 // its lease may have been over before it came
				}
				require.Equal(t, want, w.c.Stats().Acked)
				require.NoError(t, w.stop())
			})
		})
	}
}

// An embedded queue's leases stand still as the monotonic clock does.
func TestALeaseOfTheMachinesOwnClockOutlivesASuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		q.caps.LocalClock = true
		w, suspend := asleep(t, q, keeping(handler.KeepOptions{}, lasting(40*time.Second)))
		pass(5 * time.Second)
		suspend(time.Hour)
		pass(50 * time.Second)
		s := w.c.Stats()
		require.EqualValues(t, 2, s.Acked, "%+v", s)
		require.Zero(t, s.LeasesLost+s.Late, "%+v", s)
		require.NoError(t, w.stop())
	})
}

// deliveries is a queue that changes its deliveries.
type deliveries struct {
	*queue
	change func(d *drivers.Delivery)
}

func (q deliveries) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := q.queue.Receive(ctx, n, wait)
	for i := range ds {
		q.change(&ds[i])
	}
	return ds, err
}

// A bubble's clock has no monotonic part, so this is in real time.
func TestALeasesDeadlineHasAMonotonicPart(t *testing.T) {
	q := deliveries{newQueue(1), func(d *drivers.Delivery) { d.Deadline = d.Deadline.Round(0).UTC() }}
	deadlines := make(chan time.Time, 1)
	c, err := consumer.New(q, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		deadlines <- m.Lease().Deadline()
		return nil
	}), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	deadline := <-deadlines
	cancel()
	require.NoError(t, <-done)
	require.NotEqual(t, deadline.Round(0), deadline, "it has no monotonic part: a step of the wall clock moves it")
	require.InDelta(t, q.caps.Lease.Seconds(), time.Until(deadline).Seconds(), 10)
}

// The visibility timeout of the queue was changed after the source was opened.
func TestALeaseHasTheLengthOfItsReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := deliveries{newQueue(1), func(d *drivers.Delivery) {
			d.Lease = 2 * time.Second
			d.Deadline = time.Now().Add(d.Lease)
		}}
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(10*time.Second)), consumer.Config{})
		pass(11 * time.Second)
		s := w.c.Stats()
		require.EqualValues(t, 1, s.Acked, "%+v", s)
		require.GreaterOrEqual(t, s.Extended, uint64(5), "it is extended when half of two seconds is left")
		for _, es := range q.extends {
			require.Equal(t, 2*time.Second, es[0].By)
		}
		require.NoError(t, w.stop())
	})
}
