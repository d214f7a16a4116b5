package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func TestAPostponedMessageIsKeptInHand(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(0)
			q.caps.Ordered, q.caps.MaxAttempts = ordered, 1
			q.add(1, "g")
			runs, began := 0, time.Now()
			var last context.Context
			var message *handler.Message
			w := start(t, q, func(ctx context.Context, m *handler.Message) error {
				runs++
				require.Equal(t, 1, m.Attempt, "nothing is spent")
				require.Equal(t, "body", string(m.Body))
				require.NoError(t, ctx.Err())
				if runs > 1 {
					require.Error(t, last.Err(), "a context of its own each time")
					require.NotSame(t, message, m)
					require.ErrorIs(t, message.Lease().Extend(context.Background(), time.Minute), handler.ErrLeaseLost)
					require.InDelta(t, 30, time.Until(m.Lease().Deadline()).Seconds(), 16, "a lease to work with")
				}
				last, message = ctx, m
				m.Body, m.Attempt = []byte("unpacked"), 77
				if runs < 4 {
					return handler.Postpone(time.Minute, errors.New("the limit is reached"))
				}
				return nil
			}, consumer.Config{Concurrency: 1})
			pass(time.Second)
			require.Equal(t, 1, w.c.Stats().Parked)
			require.Zero(t, w.c.Stats().Running, "it holds no slot")
			pass(3 * time.Minute)
			require.Equal(t, 4, runs)
			require.Equal(t, 3*time.Minute+time.Second, time.Since(began))
			s := w.c.Stats()
			require.Equal(t, consumer.Stats{Counts: handler.Counts{Received: 1, Acked: 1, Postponed: 3, Extended: s.Extended}, Pollers: s.Pollers}, s)
			require.Len(t, w.events.of(handler.EventPostponed), 3)
			require.Len(t, w.events.of(handler.EventSettled), 1, "a postponement is not a verdict")
			_, settles, extends := q.requests()
			require.Equal(t, 1, settles)
			require.LessOrEqual(t, extends, 6)
			require.NoError(t, w.stop())
		})
	}
}

// Each run in hand can extend the lease, keep it, and learn its new deadline.
func TestEachRunInHandHasALeaseOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict error
		attempt int // of the second run
	}{
		{"postponed", handler.Postpone(10*time.Second, nil), 1},
		{"failed head", handler.RetryAfter(10*time.Second, errors.New("x")), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := orderedQueue()
				q.add(1, "g")
				runs, told := 0, 0
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					if runs++; runs == 1 {
						return c.verdict
					}
					require.Equal(t, c.attempt, m.Attempt)
					l := m.Lease()
					l.OnExtend(func(time.Time) { told++ })
					require.NoError(t, l.Extend(ctx, 5*time.Minute))
					require.WithinDuration(t, time.Now().Add(5*time.Minute), l.Deadline(), time.Second)
					stop, err := l.Keep(handler.KeepOptions{})
					require.NoError(t, err)
					defer stop()
					return lasting(20*time.Minute)(ctx, m)
				}, consumer.Config{})
				pass(21 * time.Minute)
				require.Equal(t, 2, runs)
				require.Positive(t, told)
				s := w.c.Stats()
				require.EqualValues(t, 1, s.Received)
				require.EqualValues(t, 1, s.Acked)
				require.Zero(t, s.LeasesLost)
				require.NoError(t, w.stop())
			})
		})
	}
}

// Of many messages a bulkhead lets few through at a time and postpones the rest.
func TestALimitSpendsNoAttempts(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const n = 500
			q := newQueue(0)
			q.caps.Ordered, q.caps.MaxAttempts = ordered, 3
			for i := range n {
				q.add(1, fmt.Sprint("g", i%100))
			}
			inside := make(chan struct{}, 4)
			w := start(t, q, func(ctx context.Context, m *handler.Message) error {
				select {
				case inside <- struct{}{}:
					defer func() { <-inside }()
					return lasting(time.Second)(ctx, m)
				default:
					return handler.Postpone(3*time.Second, nil)
				}
			}, consumer.Config{Concurrency: 64})
			pass(10 * time.Minute)
			s := w.c.Stats()
			require.EqualValues(t, n, s.Acked)
			require.EqualValues(t, n, s.Received)
			require.Zero(t, s.Released)
			require.Empty(t, q.letters)
			require.NoError(t, w.stop())
		})
	}
}

func TestAPostponedMessageHoldsItsGroupUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.add(3, "g")
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(m.ID)
			if len(o.all()) < 3 {
				return handler.Postpone(10*time.Second, nil)
			}
			return nil
		}, consumer.Config{})
		pass(21 * time.Second)
		require.Equal(t, []string{"m1", "m1", "m1", "m2", "m3"}, o.all())
		require.NoError(t, w.stop())
	})
}

func TestBeyondTheBoundsAPostponedMessageIsReleased(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(*queue)
		delay time.Duration
		want  time.Duration // the settlement's delay; negative means any
	}{
		{"the longest lease", func(q *queue) { q.caps.MaxLease = 10 * time.Minute }, 9*time.Minute + 50*time.Second, 9*time.Minute + 50*time.Second},
		{"leases can't be extended", func(q *queue) {
			q.onExtend = func(drivers.Extension) error { return fault(drivers.Unsupported) }
			q.caps.Lease = time.Minute
		}, 50 * time.Second, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				c.setUp(q)
				w := start(t, q, func(context.Context, *handler.Message) error {
					return handler.Postpone(c.delay, nil)
				}, consumer.Config{})
				pass(58*time.Second + time.Millisecond)
				require.NotEmpty(t, q.settles)
				s := q.settles[0][0]
				require.True(t, s.Released)
				require.True(t, s.Delayed)
				require.Equal(t, handler.ActionRetry, s.Action)
				if c.want >= 0 {
					require.Equal(t, c.want, s.Delay)
				}
				require.EqualValues(t, 1, w.c.Stats().Released)
				require.Zero(t, w.c.Stats().Retried)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestTooMuchInHandPausesReceiving(t *testing.T) {
	for _, c := range []struct {
		name     string
		messages int
		body     int
		most     int
	}{
		{"count", 11_000, 1, 10_000},
		{"bytes", 200, 1 << 20, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(c.messages)
				body := make([]byte, c.body)
				for _, e := range q.visible {
					e.message.Body = body
				}
				var mu sync.Mutex
				open := false
				w := start(t, q, func(context.Context, *handler.Message) error {
					mu.Lock()
					defer mu.Unlock()
					if open {
						return nil
					}
					return handler.Postpone(time.Hour, nil)
				}, consumer.Config{Concurrency: 20})
				pass(29 * time.Minute)
				w.c.Health() // asks whether messages wait
				pass(time.Minute)
				require.True(t, w.c.Health().Live(), "it waits on purpose")
				require.InDelta(t, c.most, w.c.Stats().Parked, 20)
				require.Zero(t, w.c.Stats().Released)
				mu.Lock()
				open = true
				mu.Unlock()
				pass(time.Hour)
				require.EqualValues(t, c.messages, w.c.Stats().Acked)
				require.EqualValues(t, c.messages, w.c.Stats().Received)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestAPostponedMessageWhoseLeaseIsLostIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.add(2, "g")
		q.fifo = true
		q.onExtend = func(drivers.Extension) error { return fault(drivers.LeaseLost) }
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(fmt.Sprint(m.ID, ".", m.Attempt))
			if m.Attempt == 1 && m.ID == "m1" {
				return handler.Postpone(20*time.Second, nil)
			}
			return nil
		}, consumer.Config{})
		pass(25 * time.Second)
		require.Equal(t, []string{"m1.1"}, o.all())
		require.Zero(t, w.c.Stats().Parked)
		pass(time.Minute)
		require.Equal(t, []string{"m1.1", "m1.2", "m2.2"}, o.all())
		require.NoError(t, w.stop())
	})
}
