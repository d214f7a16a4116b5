package consumer_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

var refusals = []drivers.Code{drivers.Denied, drivers.NotFound}

// after is a hook's error from the n-th call on, for as many calls.
func after(n, calls int64, code drivers.Code) func() error {
	var count atomic.Int64
	return func() error {
		if c := count.Add(1); c >= n && c < n+calls {
			return fault(code)
		}
		return nil
	}
}

func TestARefusalThatPassesDoesNotEndRun(t *testing.T) {
	for _, code := range refusals {
		for name, c := range map[string]struct{ first, calls int64 }{
			"one of thousands": {500, 1}, "the very first one": {1, 1}, "a few seconds' worth": {0, 0},
		} {
			t.Run(code.Error()+"/settlement, "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := newQueue(1000)
					hook := after(c.first, c.calls, code)
					if c.calls == 0 {
						from := time.Now().Add(100 * time.Second)
						hook = func() error {
							if d := time.Since(from); d >= 0 && d < 5*time.Second {
								return fault(code)
							}
							return nil
						}
					}
					q.onSettle = func(drivers.Settlement) error { return hook() }
					w := start(t, q, lasting(time.Second), consumer.Config{Concurrency: 1})
					pass(20 * time.Minute)
					require.Empty(t, w.done)
					s := w.c.Stats()
					require.EqualValues(t, 1000, s.Acked, "%+v", s)
					require.EqualValues(t, 1000, s.Received, "the refused one was tried again: %+v", s)
					require.NoError(t, w.stop())
				})
			})
		}
		t.Run(code.Error()+"/receives for minutes", func(t *testing.T) {
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
				for range 3 { // several of them are not added up
					down.Store(true)
					pass(14 * time.Minute)
					down.Store(false)
					pass(time.Minute)
				}
				q.add(1, "")
				pass(time.Minute)
				require.EqualValues(t, 2, w.c.Stats().Acked)
				require.NoError(t, w.stop())
			})
		})
	}
}

// A queue that is deleted, or forbidden for good, ends a consumer, whether it is
// idle or busy.
func TestARefusalThatLastsEndsRun(t *testing.T) {
	for _, code := range refusals {
		for name, c := range map[string]struct {
			messages        int
			receive, settle bool
			giveUp, soonest time.Duration
			latest          time.Duration
		}{
			"deleted while idle":         {0, true, true, 0, 15 * time.Minute, 17 * time.Minute},
			"deleted while busy":         {2000, true, true, 0, 15 * time.Minute, 17 * time.Minute},
			"settling is forbidden":      {2000, false, true, 0, 15 * time.Minute, 17 * time.Minute},
			"another time is configured": {2000, true, true, time.Minute, time.Minute, 2 * time.Minute},
		} {
			t.Run(code.Error()+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := newQueue(c.messages)
					var gone atomic.Bool
					q.onReceive = func(int) error {
						if c.receive && gone.Load() {
							return fault(code)
						}
						return nil
					}
					q.onSettle = func(drivers.Settlement) error {
						if c.settle && gone.Load() {
							return fault(code)
						}
						return nil
					}
					w := start(t, q, lasting(time.Second), consumer.Config{Concurrency: 2, GiveUpAfter: c.giveUp})
					pass(10 * time.Second)
					gone.Store(true)
					began := time.Now()
					pass(5 * time.Second)
					live := probe(t, consumer.Liveness(w.c.Health))
					require.Equal(t, http.StatusOK, live, "it is an outage meanwhile")
					err := <-w.done
					require.ErrorIs(t, err, code)
					require.ErrorContains(t, err, `queue "orders"`)
					require.GreaterOrEqual(t, time.Since(began), c.soonest)
					require.LessOrEqual(t, time.Since(began), c.latest+time.Minute)
				})
			})
		}
	}
}

func TestRefusalsThatDoNotEndRun(t *testing.T) {
	for _, code := range refusals {
		t.Run(code.Error()+"/never, if it is configured", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(0)
				hook := after(2, 1<<60, code)
				q.onReceive = func(int) error { return hook() }
				w := start(t, q, ack, consumer.Config{GiveUpAfter: -1})
				pass(24 * time.Hour)
				require.Empty(t, w.done)
				require.NoError(t, w.stop())
			})
		})
		t.Run(code.Error()+"/receives, while settlements succeed", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(16)
				hook := after(3, 1<<60, code)
				q.onReceive = func(int) error { return hook() }
				var n atomic.Int64
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					d := time.Duration(n.Add(1)) * 4 * time.Minute // one ends each four minutes
					return keeping(handler.KeepOptions{}, lasting(d))(ctx, m)
				}, consumer.Config{})
				pass(63 * time.Minute)
				require.Empty(t, w.done)
				require.EqualValues(t, 15, w.c.Stats().Acked)
				require.ErrorIs(t, <-w.done, code, "when they have ended, nothing succeeds any more")
			})
		})
		t.Run(code.Error()+"/the dead-letter queue's", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(5)
				q.onSettle = func(s drivers.Settlement) error {
					if s.Action == handler.ActionDeadLetter {
						return fault(code)
					}
					return nil
				}
				w := start(t, q, func(context.Context, *handler.Message) error { return handler.Reject(nil) }, consumer.Config{})
				pass(time.Hour)
				require.Empty(t, w.done)
				w.c.Abort()
				<-w.ended
			})
		})
	}
}

// The permission to settle has never been there: each message would be handled
// again and again.
func TestSettlementsThatNeverSucceededEndRunSoon(t *testing.T) {
	for _, code := range refusals {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(20)
			q.onSettle = func(drivers.Settlement) error { return fault(code) }
			began := time.Now()
			w := start(t, q, ack, consumer.Config{})
			require.ErrorIs(t, <-w.done, code)
			require.LessOrEqual(t, time.Since(began), 25*time.Second)
			require.EqualValues(t, 20, w.c.Stats().Received, "no message was handled twice")
		})
	}
}
