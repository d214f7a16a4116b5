package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func TestVerdictsBecomeSettlements(t *testing.T) {
	for _, c := range []struct {
		name string
		h    func() error
		want drivers.Settlement
		log  string
	}{
		{"nil", func() error { return nil }, drivers.Settlement{Action: handler.ActionAck}, ""},
		{"error", func() error { return errors.New("x") }, drivers.Settlement{Action: handler.ActionRetry}, ""},
		{"retry after", func() error { return handler.RetryAfter(time.Minute, errors.New("x")) },
			drivers.Settlement{Action: handler.ActionRetry, Delayed: true, Delay: time.Minute}, ""},
		{"retry now", func() error { return handler.RetryAfter(0, nil) }, drivers.Settlement{Action: handler.ActionRetry, Delayed: true}, ""},
		{"reject", func() error { return handler.Reject(errors.New("bad")) }, drivers.Settlement{Action: handler.ActionDeadLetter}, ""},
		{"permanent", func() error { return backoff.Permanent(errors.New("bad")) }, drivers.Settlement{Action: handler.ActionDeadLetter}, ""},
		{"drop", func() error { return handler.Drop(errors.New("old")) }, drivers.Settlement{Action: handler.ActionDrop}, "message dropped"},
		{"panic", func() error { panic("no") }, drivers.Settlement{Action: handler.ActionRetry}, "settler_ext_test.go"},
		{"panic with a verdict", func() error { panic(handler.Drop(errors.New("no"))) }, drivers.Settlement{Action: handler.ActionRetry}, "handler panicked"},
		{"Goexit", func() error { runtime.Goexit(); return nil }, drivers.Settlement{Action: handler.ActionRetry}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					return c.h()
				}, consumer.Config{Name: "worker-7"})
				pass(10 * time.Millisecond)
				require.NotEmpty(t, q.settles)
				got := q.settles[0][0]
				require.Equal(t, "m1", got.Message.ID)
				if c.want.Action == handler.ActionDeadLetter {
					require.Contains(t, got.Failure.Reason, "bad")
					require.Equal(t, "worker-7", got.Failure.Consumer)
					require.False(t, got.Failure.Last.IsZero())
					require.Equal(t, got.Failure.Last, got.Failure.First, "it is the first attempt")
				}
				got.Message, got.Receipt, got.Failure = nil, "", nil
				require.Equal(t, c.want, got)
				if c.log != "" {
					require.Equal(t, 1, w.logs.count(c.log))
				}
				require.NoError(t, w.stop())
				require.Equal(t, 1, q.closed, "Run closes the source")

				handled, settled := w.events.of(handler.EventHandled), w.events.of(handler.EventSettled)
				require.NotEmpty(t, handled)
				require.NotEmpty(t, settled)
				require.Equal(t, c.want.Action, handled[0].Action)
				// A retry may come back, be acked and reported before that.
				first := slices.IndexFunc(settled, func(e event) bool { return e.Action == c.want.Action })
				require.GreaterOrEqual(t, first, 0, "%v", settled)
				require.NoError(t, settled[first].Err)
			})
		})
	}
}

func TestStatsCountWhatTheProviderTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(4)
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			switch m.ID {
			case "m1":
				return handler.RetryAfter(time.Hour, nil)
			case "m2":
				return handler.Reject(nil)
			case "m3":
				return handler.Drop(nil)
			}
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.NoError(t, w.stop())
		require.Equal(t, consumer.Stats{Counts: handler.Counts{Received: 4, Acked: 1, Retried: 1, DeadLettered: 1, Dropped: 1}}, w.c.Stats())
	})
}

func TestRejectionWithoutDeadLetterQueueIsRetriedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5)
		q.caps.DeadLetter = false
		w := start(t, q, func(context.Context, *handler.Message) error { return handler.Reject(errors.New("bad")) }, consumer.Config{})
		pass(time.Second)
		for _, batch := range q.settles {
			for _, s := range batch {
				require.Equal(t, handler.ActionRetry, s.Action)
				require.False(t, s.Delayed, "the queue's own policy decides")
			}
		}
		require.Len(t, w.events.of(handler.EventNoDeadLetter), 5)
		require.Equal(t, 1, w.logs.count("no dead-letter queue"), "once a minute a queue")
		pass(65 * time.Second) // they came back twice, the second time in another minute
		require.Len(t, w.events.of(handler.EventNoDeadLetter), 15)
		require.Equal(t, 2, w.logs.count("no dead-letter queue"))
		require.Equal(t, 1, w.logs.count("not_logged=9"))
		require.NoError(t, w.stop())
	})
}

// uncounted is a queue that does not count attempts, and delivers a message again
// immediately if its retry has no delay.
type uncounted struct{ *queue }

func (u uncounted) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := u.queue.Receive(ctx, n, wait)
	for i := range ds {
		ds[i].Message.Attempt = 0
	}
	return ds, err
}

func (u uncounted) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	for i := range ss {
		ss[i].Delayed = true // a nack
	}
	return u.queue.Settle(ctx, ss)
}

// A message that always fails is not handled in a hot loop, which nothing would end.
func TestAnUncountedMessageIsNotRetriedInAHotLoop(t *testing.T) {
	for name, err := range map[string]error{
		"a failure": errors.New("bad"), "a rejection": handler.Reject(errors.New("bad")), "a panic": &handler.PanicError{Value: "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := uncounted{newQueue(1)}
				q.caps.DeadLetter, q.caps.AttemptKnown = false, false
				runs := 0
				w := start(t, q, func(context.Context, *handler.Message) error {
					if runs++; runs > 1000 {
						return nil
					}
					return err
				}, consumer.Config{})
				pass(10 * time.Second)
				require.LessOrEqual(t, runs, 11)
				require.Greater(t, runs, 5)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestRejectionIsOfTheMessageAsItWasReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			m.Body = []byte("unpacked by a middleware")
			m.Attributes = map[string]string{"made": "up"}
			return handler.Reject(nil)
		}, consumer.Config{})
		require.Len(t, q.letters, 1)
		require.Equal(t, "body", string(q.letters[0].Message.Body))
		require.Empty(t, q.letters[0].Message.Attributes)
		require.NoError(t, w.stop())
	})
}

func TestAFailedSettlementIsTriedAgainWhileTheLeaseLasts(t *testing.T) {
	for _, c := range []struct {
		name   string
		action func() error
		code   drivers.Code
		again  bool
	}{
		{"throttled ack", func() error { return nil }, drivers.Throttled, true},
		{"transient retry", func() error { return handler.RetryAfter(time.Second, nil) }, drivers.Transient, true},
		{"rejection to a queue that is gone", func() error { return handler.Reject(nil) }, drivers.NotFound, true},
		{"rejection that is denied", func() error { return handler.Reject(nil) }, drivers.Denied, true},
		{"invalid ack", func() error { return nil }, drivers.Invalid, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, began := 0, time.Now()
				q := newQueue(2)
				q.onSettle = func(s drivers.Settlement) error {
					if s.Message.ID != "m1" {
						return nil
					}
					if tries++; tries > 4 && s.Message.Attempt == 1 && c.name != "invalid ack" {
						return fault(c.code)
					}
					if s.Message.Attempt > 1 {
						return nil
					}
					return fault(c.code)
				}
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					if m.ID == "m2" || m.Attempt > 1 {
						return nil
					}
					return c.action()
				}, consumer.Config{})
				pass(29 * time.Second)
				q.locked(func() {
					if c.again {
						require.Greater(t, tries, 4)
					} else {
						require.Equal(t, 1, tries)
					}
				})
				require.Len(t, w.events.of(handler.EventHandled), 2)
				require.EqualValues(t, 1, w.c.Stats().Acked, "m2 does not suffer")
				pass(5 * time.Second)
				require.GreaterOrEqual(t, time.Since(began), 30*time.Second)
				require.Len(t, w.events.of(handler.EventHandled), 3, "m1 was delivered again when its lease ended")
				require.EqualValues(t, 1, w.c.Stats().Unsettled)
				require.Equal(t, 1, w.logs.count("verdict could not be carried out"))
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestASettlementThatSucceedsInTheEndCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		tries := 0
		q.onSettle = func(drivers.Settlement) error {
			if tries++; tries < 4 {
				return fault(drivers.Transient)
			}
			return nil
		}
		w := start(t, q, ack, consumer.Config{})
		pass(5 * time.Second)
		require.Equal(t, 4, tries)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.Len(t, w.events.of(handler.EventSettled), 1)
		require.NoError(t, w.stop())
	})
}

func TestAQueueThatRefusesToSettleEndsRun(t *testing.T) {
	for _, code := range []drivers.Code{drivers.Denied, drivers.NotFound} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(3)
			q.onSettle = func(drivers.Settlement) error { return fault(code) }
			w := start(t, q, ack, consumer.Config{})
			err := <-w.done
			require.ErrorIs(t, err, code)
			require.ErrorContains(t, err, `queue "orders"`)
			require.Equal(t, 1, q.closed)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		q.onSettle = func(s drivers.Settlement) error {
			if s.Message.ID == "m2" {
				return fault(drivers.NotFound)
			}
			return nil
		}
		w := start(t, q, ack, consumer.Config{})
		pass(time.Second)
		require.EqualValues(t, 2, w.c.Stats().Acked, "one item of a batch is not the whole queue")
		require.NoError(t, w.stop())
	})
}

func TestALateAckIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.onSettle = func(drivers.Settlement) error { return fault(drivers.LeaseLost) }
		w := start(t, q, ack, consumer.Config{})
		pass(time.Second)
		s := w.c.Stats()
		require.Zero(t, s.Acked)
		require.EqualValues(t, 1, s.Late)
		require.Len(t, w.events.of(handler.EventLateVerdict), 1)
		require.Empty(t, w.events.of(handler.EventSettled))
		require.NoError(t, w.stop())
	})
}

func TestSettlementsFillBatches(t *testing.T) {
	for _, c := range []struct {
		name        string
		h           handler.HandlerFunc
		concurrency int
		most        float64
	}{
		{"no-op", ack, 32, 0.205},
		{"5 ms", lasting(5 * time.Millisecond), 32, 0.215},
		{"5 ms, 1000 together", lasting(5 * time.Millisecond), 1000, 0.205},
		{"50 ms", lasting(50 * time.Millisecond), 32, 0.25},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 10_000
				q := newQueue(n)
				q.latency = 2 * time.Millisecond
				w := start(t, q, c.h, consumer.Config{Concurrency: c.concurrency})
				for w.c.Stats().Acked < n {
					pass(time.Millisecond)
				}
				receives, settles, _ := q.requests()
				t.Logf("%d receives, %d settles", receives, settles)
				require.LessOrEqual(t, float64(receives+settles)/n, c.most)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestASingleAckDoesNotWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, ack, consumer.Config{SettleDelay: time.Hour})
		q.add(1, "")
		synctest.Wait()
		require.EqualValues(t, 1, w.c.Stats().Acked, "nothing else is running and the queue is not busy")
		require.NoError(t, w.stop())
	})
}

func TestAnAckWaitsNoLongerThanSettleDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			if m.ID == "m1" {
				return lasting(time.Second)(ctx, m)
			}
			return nil
		}, consumer.Config{SettleDelay: 20 * time.Millisecond})
		q.add(2, "")
		pass(19 * time.Millisecond)
		require.Zero(t, w.c.Stats().Acked)
		pass(2 * time.Millisecond)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

func TestAnAckNearTheLeasesEndDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		q.caps.Lease = 10 * time.Second
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			d := 9500 * time.Millisecond
			if m.ID == "m1" {
				d = 9900 * time.Millisecond
			}
			return lasting(d)(ctx, m)
		}, consumer.Config{SettleDelay: 5 * time.Second})
		pass(9550 * time.Millisecond)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
		require.EqualValues(t, 2, w.c.Stats().Acked)
	})
}

func TestNegativeSettleDelaySettlesEachAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5)
		q.latency = time.Millisecond
		w := start(t, q, ack, consumer.Config{SettleDelay: -1, Concurrency: 1})
		pass(time.Second)
		require.Len(t, q.settles, 5)
		require.NoError(t, w.stop())
	})
}

func TestADriverThatAnswersWrongIsNotTakenAtItsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		w := start(t, wrongAnswers{q}, ack, consumer.Config{})
		pass(time.Second)
		require.Zero(t, w.c.Stats().Acked)
		require.Zero(t, w.c.Stats().Unsettled, "it is tried again")
		w.cancel()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
		require.Equal(t, 1, w.logs.count("a wrong number of results"))
	})
}

type wrongAnswers struct{ *queue }

func (wrongAnswers) Settle(context.Context, []drivers.Settlement) []error { return make([]error, 7) }
