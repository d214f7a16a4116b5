package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A receive asks for the slots that are free, for those that will be when its answer
// arrives, and for three batches, if handlers take milliseconds: at most Concurrency more, or two
// batches; and none if handlers take long.
func TestReceivesAreBounded(t *testing.T) {
	for _, c := range []struct {
		concurrency   int
		latency, took time.Duration
		ahead         int
	}{
		{1, 3 * time.Millisecond, 7 * time.Millisecond, 1},
		{1, 3 * time.Millisecond, 100 * time.Microsecond, 20},
		{1, 3 * time.Millisecond, 100 * time.Millisecond, 0},
		{3, 3 * time.Millisecond, 7 * time.Millisecond, 4},
		{16, 3 * time.Millisecond, 7 * time.Millisecond, 20},
		{100, 3 * time.Millisecond, 7 * time.Millisecond, 73},
		{16, 20 * time.Millisecond, time.Millisecond, 20},
		{100, 20 * time.Millisecond, time.Millisecond, 100},
		{16, 3 * time.Millisecond, 100 * time.Millisecond, 0},
		{16, 3 * time.Millisecond, 20 * time.Second, 0},
		{1, 3 * time.Millisecond, 20 * time.Second, 0},
	} {
		t.Run(fmt.Sprintf("%d slots, a receive takes %v, a handler %v", c.concurrency, c.latency, c.took), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 500
				if c.took > time.Second {
					n = 50
				}
				q := newQueue(n)
				q.latency = c.latency
				var running, most atomic.Int64
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					n := running.Add(1)
					defer running.Add(-1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					return lasting(c.took)(ctx, m)
				}, consumer.Config{Concurrency: c.concurrency, MaxPollers: 10})
				asked := 0
				for w.c.Stats().Acked < uint64(n) {
					pass(min(c.took, time.Second) / 5)
					q.locked(func() {
						// The messages that were requested and not answered, that
						// wait, and that are being handled.
						open := w.c.Stats().Waiting
						for _, r := range q.receives {
							if r.at.Add(q.latency).After(time.Now()) {
								open += r.max
							}
						}
						require.LessOrEqual(t, open+int(running.Load()), c.concurrency+c.ahead)
						asked = max(asked, open)
					})
				}
				require.GreaterOrEqual(t, int(most.Load()), c.concurrency*7/10, "they are used")
				require.LessOrEqual(t, int(most.Load()), c.concurrency, "handlers at once")
				require.True(t, asked > 0 || c.took > time.Second, "a slow handler is looked at too seldom to see a receive")
				require.NoError(t, w.stop())
			})
		})
	}
}

// Handlers that suddenly take long keep few messages from other processes: what waits is
// given back, once, unless that costs attempts.
func TestHandlersThatSlowDownGiveBackWhatWaits(t *testing.T) {
	for _, attempts := range []int{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			const fast = 2000
			q := newQueue(fast + 100)
			q.latency = 3 * time.Millisecond
			q.caps.MaxAttempts = attempts
			var n atomic.Int64
			w := start(t, q, func(ctx context.Context, m *handler.Message) error {
				if n.Add(1) == fast {
					<-time.After(10 * time.Minute) // the lease is not kept: it is lost
					return nil
				}
				return lasting(100*time.Microsecond)(ctx, m)
			}, consumer.Config{Concurrency: 1, DrainTimeout: time.Second})
			for n.Load() < fast {
				pass(time.Millisecond)
			}
			pass(14 * time.Second)
			waiting := w.c.Stats().Waiting
			require.Greater(t, waiting, 1)
			most := 20 // two batches
			if attempts > 0 {
				most = 10
			}
			require.LessOrEqual(t, waiting, most)
			require.Zero(t, w.c.Stats().Released)
			given := 0
			if attempts == 0 {
				given, waiting = waiting-1, 1
			}
			pass(2 * time.Second)
			require.Equal(t, waiting, w.c.Stats().Waiting)
			require.EqualValues(t, given, w.c.Stats().Released)
			pass(8 * time.Minute)
			require.Equal(t, waiting, w.c.Stats().Waiting)
			require.EqualValues(t, given, w.c.Stats().Released, "they are not received again")
			pass(3 * time.Minute)
			require.EqualValues(t, fast+100, w.c.Stats().Acked)
			require.NoError(t, w.stop())
		})
	}
}

func TestAnIdleQueueHasOnePollerAndThreeRequestsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, ack, consumer.Config{Concurrency: 100})
		pass(10 * time.Minute)
		receives, _, _ := q.requests()
		require.Equal(t, 31, receives)
		require.Equal(t, 1, w.c.Stats().Pollers)
		for _, r := range q.receives {
			require.Equal(t, 20*time.Second, r.wait)
		}
		require.NoError(t, w.stop())
	})
}

func TestPollersGrowWithABurstAndDecayAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5000)
		q.latency = 5 * time.Millisecond
		w := start(t, q, lasting(time.Millisecond), consumer.Config{Concurrency: 100})
		pass(100 * time.Millisecond)
		require.Equal(t, 4, w.c.Stats().Pollers)
		for w.c.Stats().Acked < 5000 {
			pass(time.Millisecond)
		}
		q.locked(func() { require.Equal(t, 4, q.maxPolls) })
		before, _, _ := q.requests()
		pass(time.Minute)
		after, _, _ := q.requests()
		require.LessOrEqual(t, after-before+4, 8, "the minute after the burst, with those that were on their way")
		require.Equal(t, 1, w.c.Stats().Pollers)
		pass(time.Minute)
		last, _, _ := q.requests()
		require.LessOrEqual(t, last-after, 4)
		require.NoError(t, w.stop())
	})
}

func TestATrickleNeedsOnePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1000)
		q.latency = time.Millisecond
		w := start(t, q, ack, consumer.Config{Concurrency: 100})
		pass(time.Second)
		for range 60 {
			q.add(1, "")
			pass(time.Second)
		}
		require.Equal(t, 1, w.c.Stats().Pollers)
		require.NoError(t, w.stop())
	})
}

func TestAProviderThatAnswersEmptyAtOnceIsNotAskedInAHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, hasty{q}, ack, consumer.Config{})
		pass(time.Minute)
		receives, _, _ := q.requests()
		require.Less(t, receives, 130)
		q.add(1, "")
		pass(time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

type hasty struct{ *queue }

func (q hasty) Receive(ctx context.Context, n int, _ time.Duration) ([]drivers.Delivery, error) {
	return q.queue.Receive(ctx, n, 0)
}

func TestAReceiveThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		h := &hanging{queue: q}
		w := start(t, h, ack, consumer.Config{})
		pass(45 * time.Second)
		require.Zero(t, w.c.Stats().Acked)
		pass(15 * time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

// hanging is a queue whose first receive never answers.
type hanging struct {
	*queue
	hung atomic.Bool
}

func (q *hanging) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	if q.hung.CompareAndSwap(false, true) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return q.queue.Receive(ctx, n, wait)
}

func TestAnOutageIsWaitedOut(t *testing.T) {
	for _, code := range []drivers.Code{drivers.Transient, drivers.Throttled, drivers.Unclassified, drivers.Denied, drivers.NotFound} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			var down atomic.Bool
			q.onReceive = func(int) error {
				if down.Load() {
					return fault(code)
				}
				return nil
			}
			w := start(t, q, ack, consumer.Config{})
			pass(time.Second)
			down.Store(true)
			pass(30 * time.Second) // the long poll that was on its way ends
			before, _, _ := q.requests()
			pass(10 * time.Minute)
			receives, _, _ := q.requests()
			require.Less(t, receives-before, 45, "it backs off, to half a minute")
			require.Greater(t, receives-before, 15)
			require.Equal(t, 1, w.logs.count("receiving failed"), "logged once")
			require.Len(t, w.events.of(handler.EventReceiveFailed), receives-2)
			down.Store(false)
			q.add(5, "")
			pass(31 * time.Second)
			require.EqualValues(t, 6, w.c.Stats().Acked, "no restart is needed")
			require.Equal(t, 1, w.logs.count("receiving works again"))
			require.NoError(t, w.stop())
		})
	}
}

func TestFatalAtStartUp(t *testing.T) {
	for _, code := range []drivers.Code{drivers.Denied, drivers.NotFound, drivers.Invalid, drivers.Unsupported, drivers.Closed} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			q.onReceive = func(int) error { return fault(code) }
			began := time.Now()
			w := start(t, q, ack, consumer.Config{})
			err := <-w.done
			require.ErrorIs(t, err, code)
			require.ErrorContains(t, err, `queue "orders"`)
			require.Zero(t, time.Since(began), "immediately")
			require.Equal(t, 1, q.closed)
			require.Len(t, q.receives, 1)
		})
	}
}

func TestASourceThatIsClosedUnderneathEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		n := 0
		q.onReceive = func(int) error {
			if n++; n > 1 {
				return fault(drivers.Closed)
			}
			return nil
		}
		w := start(t, q, ack, consumer.Config{})
		require.ErrorIs(t, <-w.done, drivers.ErrClosed)
	})
}

func TestRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, ack, consumer.Config{})
		require.ErrorIs(t, w.c.Run(t.Context()), consumer.ErrRunTwice)
		require.NoError(t, w.stop())
	})
}

func TestConfigIsValidated(t *testing.T) {
	_, err := consumer.NewWeighted([]consumer.Weighted{{}, {Source: newQueue(0), Weight: -1}}, nil, &consumer.Config{
		Concurrency: -1, MaxPollers: -1, ReceiveWait: time.Minute, StopTimeout: -1, StallAfter: -1,
		Gates: []handler.Gate{nil}, Observers: []handler.Observer{nil},
	})
	for _, want := range []string{"handler is nil", "source 0 is nil", "source 1 has weight -1", "Concurrency is -1", "MaxPollers is -1",
		"ReceiveWait is 1m0s", "StopTimeout is", "StallAfter is", "Gates[0] is nil", "Observers[0] is nil"} {
		require.ErrorContains(t, err, want)
	}
	_, err = consumer.NewWeighted(nil, handler.HandlerFunc(ack), nil)
	require.ErrorContains(t, err, "no source was given")
	_, err = consumer.NewWeighted([]consumer.Weighted{{Source: newQueue(0)}, {Source: newQueue(0)}}, handler.HandlerFunc(ack), &consumer.Config{Concurrency: 1})
	require.ErrorContains(t, err, "Concurrency is 1 for 2 sources")
	_, err = consumer.New(newQueue(0), handler.HandlerFunc(ack), nil)
	require.NoError(t, err, "nil is the defaults")
}

func TestHandlersHaveRunsValuesButNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			require.Equal(t, "value", ctx.Value(key{}))
			require.Equal(t, handler.Origin{Queue: "orders", System: "test", MaxDelay: 12 * time.Hour}, m.Origin())
			err := lasting(10*time.Second)(ctx, m)
			require.NoError(t, ctx.Err())
			return err
		}, consumer.Config{})
		require.NoError(t, w.stop())
		require.EqualValues(t, 1, w.c.Stats().Acked)
	})
}
