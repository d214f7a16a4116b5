package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// Deploy after deploy, no failure: nothing is given back, so that no attempt is
// spent at a provider that counts receives.
func TestRestartsSpendNoAttempts(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(0)
			q.caps.Ordered, q.fifo, q.caps.MaxAttempts = ordered, ordered, 3
			q.latency = 5 * time.Millisecond
			q.add(100, "g")
			var o order
			for range 7 {
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					o.add(m.ID)
					require.Equal(t, 1, m.Attempt)
					return lasting(100*time.Millisecond)(ctx, m)
				}, consumer.Config{Concurrency: 8})
				pass(250 * time.Millisecond)
				began := time.Now()
				require.NoError(t, w.stop())
				require.Less(t, time.Since(began), 20*time.Second)
				require.Zero(t, w.c.Stats().Released)
			}
			require.Empty(t, q.letters)
			seen := map[string]bool{}
			for _, id := range o.all() {
				require.False(t, seen[id], id)
				seen[id] = true
			}
			require.Greater(t, len(seen), 50)
		})
	}
}

// Messages that can't be handled within the drain are given back.
func TestADrainGivesBackWhatIsNotInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true
		q.add(10, "g")
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(7*time.Second)), consumer.Config{DrainTimeout: 20 * time.Second})
		pass(8 * time.Second) // one is done
		began := time.Now()
		require.NoError(t, w.stop())
		s := w.c.Stats()
		require.EqualValues(t, 3, s.Acked, "those that end at 14 s and 21 s, but not one that would at 28 s, when 28 s are allowed")
		require.EqualValues(t, 7, s.Released)
		require.Equal(t, 13*time.Second, time.Since(began))
		for _, batch := range q.settles {
			for _, e := range batch {
				require.Equal(t, e.Action == handler.ActionRetry, e.Released)
			}
		}
	})
}

// A message whose turn comes too late in a drain is kept until no receive is on its
// way any more, which would bring it here again, at the cost of an attempt.
func TestNothingIsGivenBackWhileAReceiveIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true
		q.add(2, "g")
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(7*time.Second)), consumer.Config{Concurrency: 4, DrainTimeout: 5 * time.Second})
		pass(6500 * time.Millisecond)
		q.locked(func() { require.Equal(t, 1, q.polling, "a long poll is on its way") })
		w.cancel()
		pass(700 * time.Millisecond) // m1 is acked, and m2 would not end in time
		require.EqualValues(t, 1, w.c.Stats().Acked)
		q.locked(func() {
			require.Equal(t, 1, q.polling)
			require.Len(t, q.settles, 1, "m1's ack alone")
		})
		require.NoError(t, <-w.done)
		s := w.c.Stats()
		require.EqualValues(t, 2, s.Received, "m2 came once")
		require.EqualValues(t, 1, s.Released)

		var o order
		w = start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(fmt.Sprint(m.ID, ".", m.Attempt))
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.Equal(t, []string{"m2.2"}, o.all())
		require.NoError(t, w.stop())
	})
}

func TestWhatIsParkedWhenAConsumerStops(t *testing.T) {
	for _, c := range []struct {
		name     string
		ordered  bool
		verdict  error
		runs     int // of m1
		released bool
		delay    time.Duration // of its release or retry
		took     time.Duration
	}{
		{"postponed, due soon", false, handler.Postpone(10*time.Second, nil), 2, false, 0, 9 * time.Second},
		{"postponed for long", false, handler.Postpone(time.Minute, nil), 1, true, 58 * time.Second, time.Second},
		{"head, due soon", true, handler.RetryAfter(10*time.Second, errors.New("x")), 2, false, 0, 9 * time.Second},
		{"head that waits for long", true, handler.RetryAfter(time.Minute, errors.New("x")), 1, false, 58 * time.Second, time.Second},
		{"postponed head that waits for long", true, handler.Postpone(time.Minute, nil), 1, true, 58 * time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(0)
				q.caps.Ordered, q.fifo = c.ordered, c.ordered
				q.add(3, "g")
				runs := 0
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					if m.ID != "m1" {
						return nil
					}
					if runs++; runs == 1 {
						return c.verdict
					}
					return nil
				}, consumer.Config{})
				pass(time.Second)
				began := time.Now()
				require.NoError(t, w.stop())
				require.Equal(t, c.took, time.Since(began))
				require.Equal(t, c.runs, runs)
				require.Zero(t, w.c.Stats().Parked)
				s := w.c.Stats()
				if c.runs == 2 {
					require.EqualValues(t, 3, s.Acked)
					return
				}
				back := 0
				for _, batch := range q.settles {
					for _, e := range batch {
						if e.Message.ID == "m1" {
							back++
							require.Equal(t, c.released, e.Released)
							require.True(t, e.Delayed)
							require.Equal(t, c.delay, e.Delay)
						} else {
							require.Equal(t, c.ordered, e.Released, "the tail of its group")
						}
					}
				}
				require.Equal(t, 1, back)
			})
		})
	}
}

func TestAbortGivesBackWhatHasNotBeenStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true
		for g := range 3 {
			q.add(5, fmt.Sprint("g", g))
		}
		w := start(t, q, lasting(time.Minute), consumer.Config{Concurrency: 15})
		pass(time.Second)
		require.Equal(t, 3, w.c.Stats().Running)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
		require.EqualValues(t, 12, w.c.Stats().Released)
	})
}

// A handler whose process was killed may return before its context is canceled:
// its message is given back all the same, and not left until its lease ends.
func TestWhatWasKilledBeforeItsContextEndedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		kill := make(chan struct{})
		w := start(t, q, handler.HandlerFunc(func(context.Context, *handler.Message) error {
			<-kill
			return fmt.Errorf("killed: %w", handler.ErrStopped)
		}), consumer.Config{Concurrency: 1})
		pass(time.Second)
		w.cancel()
		pass(10 * time.Millisecond)
		close(kill)
		require.NoError(t, <-w.done)
		q.locked(func() {
			require.Len(t, q.settles, 1)
			require.True(t, q.settles[0][0].Delayed, "it is not left until its lease ends")
			require.Zero(t, q.settles[0][0].Delay)
		})
	})
}

// A handler may end as soon as a drain is aborted, because its process was killed: it was
// cut short all the same.
func TestAnAbortThatCutsAHandlerShortIsNoDrain(t *testing.T) {
	for range 20 { // it races with the handler's end
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			killed := make(chan struct{})
			w := start(t, q, keeping(handler.KeepOptions{}, func(context.Context, *handler.Message) error {
				<-killed
				return handler.ErrStopped
			}), consumer.Config{})
			pass(time.Second)
			time.AfterFunc(time.Second, func() {
				w.c.Abort()
				close(killed)
			})
			require.ErrorIs(t, w.stop(), consumer.ErrDrainTimeout)
		})
	}
}

// A drain that began while the first handlers ran learns from them how long a
// handler takes, and starts none that it would have to cut short.
func TestADrainStartsNothingThatItCutsShort(t *testing.T) {
	const lasts = 20 * time.Second
	for range 50 { // the acknowledgement races with the worker that has learned
		synctest.Test(t, func(t *testing.T) {
			q := orderedQueue()
			q.fifo = true
			q.add(10, "g")
			w := start(t, q, keeping(handler.KeepOptions{}, lasting(lasts)), consumer.Config{})
			for range 4 { // they hold the worker up
				time.AfterFunc(lasts, func() {
					for range 200 {
						w.c.Stats()
					}
				})
			}
			pass(time.Second)
			require.NoError(t, w.stop())
			s := w.c.Stats()
			require.EqualValues(t, 1, s.Acked)
			require.EqualValues(t, 9, s.Released)
		})
	}
}

// A queue that counts receives as attempts brings as much of a group as a drain can
// handle: a tail that each restart gives back would be dead-lettered unhandled.
func TestATailIsReceivedAsFarAsADrainCanHandleIt(t *testing.T) {
	for _, c := range []struct {
		name          string
		groups        int
		handler, runs time.Duration
		drain         time.Duration
	}{
		{"one slow group", 1, 20 * time.Second, time.Second, 0},
		{"a short drain", 1, 2 * time.Second, 100 * time.Millisecond, 3 * time.Second},
		{"several groups", 3, 20 * time.Second, 2 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(0)
				q.caps.Ordered, q.fifo, q.caps.MaxAttempts = true, true, 3
				for i := range 9 {
					q.add(1, fmt.Sprint(i%c.groups))
				}
				var done atomic.Int64
				for range 12 {
					w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
						done.Add(1)
						require.LessOrEqual(t, m.Attempt, 2)
						return lasting(c.handler)(ctx, m)
					}), consumer.Config{DrainTimeout: c.drain})
					pass(c.runs)
					require.NoError(t, w.stop())
				}
				require.EqualValues(t, 9, done.Load())
			})
		})
	}
}

// The bound on a group's messages in a receive costs no throughput.
func TestManySlowGroupsUseAllSlots(t *testing.T) {
	for _, lasts := range []time.Duration{10 * time.Millisecond, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(0)
			q.caps.Ordered, q.fifo, q.caps.MaxAttempts = true, true, 3
			q.latency = time.Millisecond
			for g := range 200 {
				q.add(50, fmt.Sprint(g))
			}
			w := start(t, q, keeping(handler.KeepOptions{}, lasting(lasts)), consumer.Config{Concurrency: 100})
			pass(20 * lasts)
			require.Greater(t, w.c.Stats().Acked, uint64(20*100*8/10))
			w.c.Abort()
			_ = w.stop()
		})
	}
}
