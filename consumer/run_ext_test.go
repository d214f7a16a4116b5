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

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.latency = 10 * time.Millisecond
		q.add(3, "g") // two of them wait
		q.add(1, "")
		var canceled atomic.Bool
		q.fifo = true
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			err := lasting(20*time.Second)(ctx, m)
			canceled.Store(canceled.Load() || ctx.Err() != nil)
			return err
		}), consumer.Config{Concurrency: 5})
		pass(10 * time.Second)
		require.Equal(t, 2, w.c.Stats().Running)
		began := time.Now()
		w.cancel()
		pass(100 * time.Millisecond)
		require.Zero(t, w.c.Stats().Released, "waiting messages are kept while they may be in time")
		require.NoError(t, <-w.done)
		require.EqualValues(t, 2, w.c.Stats().Released, "20 s do not fit into the 15 s that are left")
		q.locked(func() { require.Equal(t, 2, len(q.visible)+len(q.hidden)) })
		require.InDelta(t, 10, time.Since(began).Seconds(), 0.2)
		require.False(t, canceled.Load())
		require.EqualValues(t, 2, w.c.Stats().Acked)
		_, _, extends := q.requests()
		require.Positive(t, extends, "the leases were kept during the drain")
		require.Equal(t, 1, q.closed)
		q.locked(func() { require.Empty(t, q.flying) })
	})
}

func TestAReceiveOnItsWayHasASecondAndWhatItBringsIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, ack, consumer.Config{})
		began := time.Now()
		w.cancel()
		pass(500 * time.Millisecond)
		q.add(3, "")
		require.NoError(t, <-w.done)
		require.Less(t, time.Since(began), 600*time.Millisecond)
		require.EqualValues(t, 3, w.c.Stats().Received)
		require.EqualValues(t, 3, w.c.Stats().Acked, "giving it back would cost an attempt")
	})
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, lasting(20*time.Second), consumer.Config{DrainTimeout: 10 * time.Second})
		pass(21 * time.Second)
		w.cancel()
		pass(500 * time.Millisecond)
		q.add(3, "")
		require.NoError(t, <-w.done)
		require.EqualValues(t, 4, w.c.Stats().Received)
		require.EqualValues(t, 3, w.c.Stats().Released, "but it would not be in time")
		require.Len(t, w.events.of(handler.EventStarted), 1)
		q.locked(func() { require.Empty(t, q.visible); require.Len(t, q.hidden, 3) })
	})
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, ack, consumer.Config{})
		began := time.Now()
		require.NoError(t, w.stop())
		require.Equal(t, time.Second, time.Since(began), "then it is canceled")
	})
}

func TestHandlersAreCanceledWhenTheGracePeriodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		var causes order
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			<-ctx.Done()
			causes.add(context.Cause(ctx).Error())
			if m.ID == "m1" {
				return nil // finished in spite of it
			}
			return context.Cause(ctx)
		}), consumer.Config{DrainTimeout: 40 * time.Second})
		pass(time.Second)
		began := time.Now()
		err := w.stop()
		require.ErrorIs(t, err, consumer.ErrDrainTimeout)
		require.InDelta(t, 40, time.Since(began).Seconds(), 0.1)
		require.Equal(t, []string{handler.ErrStopped.Error(), handler.ErrStopped.Error()}, causes.all())
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.EqualValues(t, 1, w.c.Stats().Retried)
		q.locked(func() {
			q.ripen(time.Now())
			require.Len(t, q.visible, 1, "it is visible immediately, since it failed only because it was stopped")
		})
	})
}

func TestRunReturnsWithoutAHandlerThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		release := make(chan struct{})
		w := start(t, q, func(context.Context, *handler.Message) error {
			<-release
			return nil
		}, consumer.Config{DrainTimeout: 10 * time.Second, StopTimeout: 3 * time.Second})
		began := time.Now()
		err := w.stop()
		require.ErrorIs(t, err, consumer.ErrDrainTimeout)
		require.ErrorContains(t, err, "1 handlers are still running")
		require.Less(t, time.Since(began), 30*time.Second)
		require.Equal(t, 1, q.closed)
		close(release)
		synctest.Wait()
		require.Zero(t, w.c.Stats().Acked, "nothing is acked after Run has returned")
		q.locked(func() { require.Empty(t, q.settles) })
	})
}

func TestAbortEndsTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, consumer.Config{DrainTimeout: time.Hour})
		w.cancel()
		pass(5 * time.Second)
		require.Empty(t, w.done)
		began := time.Now()
		w.c.Abort()
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
		require.Zero(t, time.Since(began))
		require.EqualValues(t, 1, w.c.Stats().Retried)
	})
}

func TestSettlementsAreFlushedAfterTheContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(4)
		failing := true
		q.onSettle = func(drivers.Settlement) error {
			if failing {
				return fault(drivers.Transient)
			}
			return nil
		}
		w := start(t, ctxChecked{q, t}, lasting(time.Second), consumer.Config{SettleDelay: time.Hour})
		w.cancel()
		pass(2 * time.Second)
		q.locked(func() { failing = false })
		require.NoError(t, <-w.done)
		require.EqualValues(t, 4, w.c.Stats().Acked)
	})
}

// ctxChecked fails the test when a settlement's context has ended already.
type ctxChecked struct {
	*queue
	t *testing.T
}

func (q ctxChecked) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	require.NoError(q.t, ctx.Err())
	return q.queue.Settle(ctx, ss)
}

func TestSettlementsThatCannotBeFlushedAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		q.onSettle = func(drivers.Settlement) error { return fault(drivers.Transient) }
		w := start(t, q, ack, consumer.Config{})
		pass(time.Second)
		began := time.Now()
		err := w.stop()
		require.ErrorIs(t, err, consumer.ErrDrainTimeout)
		require.ErrorContains(t, err, "2 messages are not settled")
		require.LessOrEqual(t, time.Since(began), 15*time.Second)
	})
}

func TestNegativeDrainTimeoutCancelsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, lasting(time.Hour), consumer.Config{DrainTimeout: -1})
		began := time.Now()
		require.ErrorIs(t, w.stop(), consumer.ErrDrainTimeout)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestAContextThatHasEndedStopsBeforeItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5)
		c, err := consumer.New(q, lasting(time.Hour), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, c.Run(ctx))
		require.Zero(t, c.Stats().Running)
		require.Zero(t, c.Stats().Received)
		require.Equal(t, 1, q.closed)
	})
}
