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
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func TestALeaseThatRunsDownCancelsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		began := time.Now()
		var causes []error
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx), ctx.Err())
			require.Equal(t, 30*time.Second, time.Since(began))
			return nil // too late for an ack
		}, consumer.Config{})
		pass(31 * time.Second)
		require.Equal(t, []error{handler.ErrLeaseLost, context.Canceled}, causes)
		require.Len(t, w.events.of(handler.EventLeaseLost), 1)
		require.Len(t, w.events.of(handler.EventLateVerdict), 1)
		s := w.c.Stats()
		require.EqualValues(t, 1, s.LeasesLost)
		require.EqualValues(t, 1, s.Late)
		require.EqualValues(t, 1, s.Acked, "only the second delivery's")
		_, _, extends := q.requests()
		require.Zero(t, extends, "no one asked for an extension")
		require.NoError(t, w.stop())
	})
}

func TestAKeptLeaseOutlivesTheVisibilityTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(10*30*time.Second)), consumer.Config{})
		pass(301 * time.Second)
		require.NoError(t, w.stop())
		s := w.c.Stats()
		require.EqualValues(t, 1, s.Received, "it ran once")
		require.EqualValues(t, 1, s.Acked)
		_, _, extends := q.requests()
		require.InDelta(t, 20, extends, 2, "one every half of the lease")
		for _, e := range q.extends {
			require.Equal(t, 30*time.Second, e[0].By)
		}
		require.Len(t, w.events.of(handler.EventExtended), extends)
	})
}

func TestKeepOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		began := time.Now()
		w := start(t, q, keeping(handler.KeepOptions{Extension: 100 * time.Second, Fraction: 0.2, Max: 5 * time.Minute},
			func(ctx context.Context, _ *handler.Message) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}), consumer.Config{})
		for len(w.done) == 0 && w.c.Stats().Late == 0 {
			pass(time.Second)
		}
		// Extended when 20 s are left: at about 10, 90, 170, 250 s; at 330 s Max
		// is over, and the lease runs down until 350 s.
		require.InDelta(t, 350, time.Since(began).Seconds(), 6)
		_, _, extends := q.requests()
		require.Equal(t, 4, extends)
		require.Equal(t, 100*time.Second, q.extends[0][0].By)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
	})
}

func TestKeepRefusesWhatMakesNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			for _, o := range []handler.KeepOptions{{Extension: -1}, {Fraction: -1}, {Fraction: 1}, {Max: -1}} {
				stop, err := m.Lease().Keep(o)
				require.ErrorContains(t, err, "keep a lease")
				stop()
			}
			require.ErrorContains(t, m.Lease().Extend(ctx, 0), "must be positive")
			return nil
		}, consumer.Config{})
		require.NoError(t, w.stop())
		require.EqualValues(t, 1, w.c.Stats().Acked)
	})
}

func TestADeliveryWithoutALeaseSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, leaseless{q}, func(ctx context.Context, m *handler.Message) error {
			require.True(t, m.Lease().Deadline().IsZero())
			require.ErrorIs(t, m.Lease().Extend(ctx, time.Second), handler.ErrNoLease)
			_, err := m.Lease().Keep(handler.KeepOptions{})
			require.ErrorIs(t, err, handler.ErrNoLease)
			m.Lease().OnExtend(func(time.Time) {})
			return lasting(20*time.Second)(ctx, m)
		}, consumer.Config{})
		pass(21 * time.Second)
		require.Empty(t, w.events.of(handler.EventLeaseLost))
		require.Len(t, q.settles, 1)
		require.NoError(t, w.stop())
	})
}

type leaseless struct{ *queue }

func (q leaseless) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := q.queue.Receive(ctx, n, wait)
	for i := range ds {
		ds[i].Deadline = time.Time{}
	}
	return ds, err
}

func TestExtendSetsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.latency = 10 * time.Millisecond
		var late handler.Lease
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			l := m.Lease()
			late = l
			require.WithinDuration(t, time.Now().Add(30*time.Second), l.Deadline(), time.Second)
			before := time.Now()
			require.NoError(t, l.Extend(ctx, 2*time.Minute))
			require.Less(t, time.Since(before), 50*time.Millisecond)
			require.Equal(t, before.Add(2*time.Minute+10*time.Millisecond), l.Deadline())
			require.NoError(t, l.Extend(ctx, 48*time.Hour), "cut to the limit")
			require.WithinDuration(t, time.Now().Add(12*time.Hour), l.Deadline(), 10*time.Second)
			return lasting(time.Hour)(ctx, m)
		}, consumer.Config{})
		pass(time.Hour + time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
		require.ErrorIs(t, late.Extend(context.Background(), time.Minute), handler.ErrLeaseLost, "the handler has returned")
		_, err := late.Keep(handler.KeepOptions{})
		require.ErrorIs(t, err, handler.ErrLeaseLost)
	})
}

func TestExtendReturnsTheProvidersError(t *testing.T) {
	for _, c := range []struct {
		code drivers.Code
		want error
		lost bool
	}{
		{drivers.Throttled, drivers.ErrThrottled, false},
		{drivers.Denied, drivers.ErrDenied, false},
		{drivers.LeaseLost, handler.ErrLeaseLost, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			q.onExtend = func(drivers.Extension) error { return fault(c.code) }
			w := start(t, q, func(ctx context.Context, m *handler.Message) error {
				if m.Attempt > 1 {
					return nil
				}
				err := m.Lease().Extend(ctx, time.Minute)
				require.ErrorIs(t, err, c.want)
				synctest.Wait()
				require.Equal(t, c.lost, errors.Is(context.Cause(ctx), handler.ErrLeaseLost))
				return nil
			}, consumer.Config{})
			pass(time.Minute)
			require.NoError(t, w.stop())
			require.Equal(t, c.lost, w.c.Stats().Late == 1)
		})
	}
}

func TestExtendEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.latency = 5 * time.Second
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			require.ErrorIs(t, m.Lease().Extend(short, time.Minute), context.DeadlineExceeded)
			return nil
		}, consumer.Config{})
		pass(time.Minute)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

func TestARefusedExtensionCancelsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		q := newQueue(1)
		q.onExtend = func(drivers.Extension) error { return fault(drivers.LeaseLost) }
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
			require.InDelta(t, 15, time.Since(began).Seconds(), 2, "immediately")
			return nil
		}), consumer.Config{})
		pass(time.Minute)
		require.EqualValues(t, 1, w.c.Stats().Late)
		require.NoError(t, w.stop())
	})
}

func TestWithoutPermissionToExtendTheLeaseRunsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		q := newQueue(1)
		q.onExtend = func(drivers.Extension) error { return fault(drivers.Denied) }
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
			require.Equal(t, 30*time.Second, time.Since(began), "the rest of the lease is the handler's")
			return nil
		}), consumer.Config{})
		pass(40 * time.Second)
		require.Equal(t, 1, w.logs.count("refuses to extend"))
		_, _, extends := q.requests()
		require.Greater(t, extends, 3, "permissions change")
		require.Less(t, extends, 50, "with backoff")
		require.NoError(t, w.stop())
	})
}

// Credentials that expire are refused until they are renewed. Handlers that run for long
// must not be canceled for it.
func TestARefusedExtensionThatPassesCostsNoLease(t *testing.T) {
	for _, code := range []drivers.Code{drivers.Denied, drivers.NotFound} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			began := time.Now()
			q.onExtend = func(drivers.Extension) error {
				if at := time.Since(began); at > 14*time.Second && at < 24*time.Second {
					return fault(code)
				}
				return nil
			}
			w := start(t, q, keeping(handler.KeepOptions{}, lasting(10*time.Minute)), consumer.Config{})
			pass(601 * time.Second)
			s := w.c.Stats()
			require.Equal(t, []any{1, 1, 0}, []any{int(s.Received), int(s.Acked), int(s.LeasesLost)})
			require.Equal(t, 1, w.logs.count("refuses to extend"))
			require.NoError(t, w.stop())
		})
	}
}

func TestATransientExtensionFailureIsTriedAgainInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		fails := 0
		q.onExtend = func(drivers.Extension) error {
			if fails++; fails%4 != 0 {
				return fault(drivers.Transient)
			}
			return nil
		}
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(2*time.Minute)), consumer.Config{})
		pass(121 * time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.EqualValues(t, 1, w.c.Stats().Received)
		require.Greater(t, fails, 20)
		require.NoError(t, w.stop())
	})
}

func TestAnOutageLongerThanTheLeaseLosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.onExtend = func(drivers.Extension) error { return fault(drivers.Transient) }
		began := time.Now()
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			require.Equal(t, 30*time.Second, time.Since(began))
			return context.Cause(ctx)
		}), consumer.Config{})
		pass(time.Minute)
		_, _, extends := q.requests()
		require.Greater(t, extends, 5)
		require.Less(t, extends, 100, "with backoff")
		require.NoError(t, w.stop())
	})
}

func TestTheProvidersLongestLeaseIsNotExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.caps.Lease = 10 * time.Minute
		began := time.Now()
		q.onExtend = func(e drivers.Extension) error {
			if time.Since(began)+e.By > 12*time.Hour {
				return fault(drivers.Invalid)
			}
			return nil
		}
		var ended time.Duration
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			ended = time.Since(began)
			return context.Cause(ctx)
		}), consumer.Config{})
		pass(13 * time.Hour)
		require.InDelta(t, (12 * time.Hour).Seconds(), ended.Seconds(), 10, "the lease is used to its end")
		for _, e := range w.events.of(handler.EventExtended) {
			require.NoError(t, e.Err)
		}
		require.NoError(t, w.stop())
	})
}

func TestABeatOnItsWayIsAwaitedBeforeTheVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		h    handler.HandlerFunc
	}{
		{"stopped by the handler", func(ctx context.Context, m *handler.Message) error {
			stop, err := m.Lease().Keep(handler.KeepOptions{})
			require.NoError(t, err)
			// The extension is sent at about 16 s and answered 5 s later.
			_ = lasting(18*time.Second)(ctx, m)
			before := time.Now()
			stop()
			require.NotZero(t, time.Since(before), "stop waits for the answer")
			stop()
			return handler.RetryAfter(time.Second, nil)
		}},
		{"forgotten by the handler", func(ctx context.Context, m *handler.Message) error {
			_, err := m.Lease().Keep(handler.KeepOptions{})
			require.NoError(t, err)
			_ = lasting(18*time.Second)(ctx, m)
			return handler.RetryAfter(time.Second, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o order
				q := newQueue(1)
				q.onSettle = func(s drivers.Settlement) error {
					o.add("settle")
					return nil
				}
				w := start(t, slowExtend{q, 5 * time.Second, &o}, func(ctx context.Context, m *handler.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					return c.h(ctx, m)
				}, consumer.Config{})
				pass(30 * time.Second)
				require.Equal(t, []string{"extend", "extended", "settle", "settle"}, o.all())
				require.NoError(t, w.stop())
			})
		})
	}
}

// slowExtend is a queue whose extensions take a while, and that notes them.
type slowExtend struct {
	*queue
	d time.Duration
	o *order
}

func (q slowExtend) Extend(ctx context.Context, es []drivers.Extension) []error {
	q.o.add("extend")
	pause(q.d)
	defer q.o.add("extended")
	return q.queue.Extend(ctx, es)
}

func TestABeatThatIsNotSentYetIsNotSentAfterTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(15*time.Second+500*time.Millisecond)), consumer.Config{})
		pass(20 * time.Second)
		_, settles, extends := q.requests()
		require.Equal(t, 1, settles)
		require.Zero(t, extends, "it waited for company when the handler ended")
		require.NoError(t, w.stop())
	})
}

func TestKeepAskedTwiceHoldsTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			first, err := m.Lease().Keep(handler.KeepOptions{})
			require.NoError(t, err)
			second, err := m.Lease().Keep(handler.KeepOptions{Extension: 40 * time.Second})
			require.NoError(t, err)
			first() // does not end the second
			err = lasting(2*time.Minute)(ctx, m)
			second()
			return err
		}, consumer.Config{})
		pass(121 * time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.Equal(t, 40*time.Second, q.extends[0][0].By)
		require.NoError(t, w.stop())
	})
}

func TestOnExtendIsCalledAfterEachExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		var calls, atOnce, most atomic.Int64
		var deadlines []time.Time
		var returned atomic.Bool
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			m.Lease().OnExtend(func(time.Time) { panic("a panic of one is not the others' end") })
			m.Lease().OnExtend(func(deadline time.Time) {
				most.Store(max(most.Load(), atOnce.Add(1)))
				defer atOnce.Add(-1)
				require.False(t, returned.Load())
				calls.Add(1)
				deadlines = append(deadlines, deadline)
				if calls.Load() == 2 {
					pause(40 * time.Second) // longer than two beats
				}
			})
			err := lasting(2*time.Minute)(ctx, m)
			returned.Store(true)
			return err
		}), consumer.Config{})
		pass(10 * time.Minute)
		require.EqualValues(t, 1, most.Load(), "one call at a time")
		_, _, extends := q.requests()
		require.Equal(t, 7, extends)
		require.EqualValues(t, extends-1, calls.Load(), "the beats during the slow call make one")
		for i := 1; i < len(deadlines); i++ {
			require.True(t, deadlines[i].After(deadlines[i-1]))
		}
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.EqualValues(t, calls.Load(), w.c.Stats().Panics)
		require.NoError(t, w.stop())
	})
}

func TestManyLeasesShareExtensions(t *testing.T) {
	for _, spread := range []time.Duration{0, time.Millisecond} {
		t.Run(fmt.Sprint(spread), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 2000
				q := newQueue(n)
				q.latency = spread
				w := start(t, q, keeping(handler.KeepOptions{}, lasting(time.Hour)), consumer.Config{Concurrency: n, DrainTimeout: -1})
				for w.c.Stats().Running < n {
					pass(10 * time.Millisecond)
				}
				_, _, before := q.requests()
				require.Zero(t, before)
				pass(5*time.Minute - time.Second)
				_, _, extends := q.requests()
				extended := w.c.Stats().Extended
				require.GreaterOrEqual(t, extended, uint64(19*n))
				require.LessOrEqual(t, float64(extends)/float64(extended), 0.101, "one request for ten messages a period")
				require.Empty(t, w.events.of(handler.EventLeaseLost))
				require.ErrorIs(t, w.stop(), consumer.ErrDrainTimeout)
			})
		})
	}
}

func TestAHandlerThatStartsTooLateIsNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		ran := false
		// The answer took longer than the lease.
		w := start(t, lateReceive{q}, func(context.Context, *handler.Message) error {
			ran = true
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.False(t, ran)
		require.NotEmpty(t, w.events.of(handler.EventLeaseLost))
		require.NoError(t, w.stop())
	})
}

type lateReceive struct{ *queue }

func (q lateReceive) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := q.queue.Receive(ctx, n, wait)
	for i := range ds {
		ds[i].Deadline = time.Now().Add(-time.Millisecond)
	}
	return ds, err
}

func TestDelaysBeyondTheProvidersLimitAreParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.caps.MaxDelay, q.caps.MaxExtension, q.caps.MaxLease = 10*time.Minute, 10*time.Minute, drivers.Unlimited
		q.caps.Lease = 10 * time.Second
		began := time.Now()
		var again time.Duration
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			if m.ID != "m1" {
				return nil
			}
			if m.Attempt == 1 {
				return handler.RetryAfter(time.Hour, nil)
			}
			again = time.Since(began)
			return nil
		}, consumer.Config{Concurrency: 1})
		pass(time.Minute)
		require.Equal(t, 1, w.c.Stats().Parked)
		require.Zero(t, w.c.Stats().Running)
		q.add(3, "")
		pass(time.Minute)
		require.EqualValues(t, 3, w.c.Stats().Acked, "it takes no handler slot")
		pass(70 * time.Minute)
		require.InDelta(t, time.Hour.Seconds(), again.Seconds(), 0.1)
		require.Len(t, w.events.of(handler.EventHandled), 5)
		_, _, extends := q.requests()
		require.LessOrEqual(t, extends, 12)
		for _, batch := range q.settles {
			for _, s := range batch {
				require.LessOrEqual(t, s.Delay, 10*time.Minute)
			}
		}
		require.NoError(t, w.stop())
	})
}

func TestParkedMessagesAreGivenAwayOnStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.caps.MaxDelay, q.caps.MaxExtension = 10*time.Minute, 10*time.Minute
		w := start(t, q, func(context.Context, *handler.Message) error { return handler.RetryAfter(time.Hour, nil) }, consumer.Config{})
		pass(time.Minute)
		require.NoError(t, w.stop())
		require.Len(t, q.settles, 1)
		require.Equal(t, 10*time.Minute, q.settles[0][0].Delay)
		require.Zero(t, w.c.Stats().Parked)
	})
}

func TestADelayIsCutToWhatIsLeftOfTheLongestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
			_ = lasting(time.Hour)(ctx, m)
			return handler.RetryAfter(24*time.Hour, nil)
		}), consumer.Config{})
		pass(time.Hour + time.Second)
		require.Len(t, q.settles, 1)
		require.Equal(t, 11*time.Hour-5*time.Second, q.settles[0][0].Delay)
		require.NoError(t, w.stop())
	})
}
