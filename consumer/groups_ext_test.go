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

// orderedQueue is a queue that delivers groups in order. It holds a group back
// while one of its messages is in flight, and otherwise delivers all of it together.
func orderedQueue() *queue {
	q := newQueue(0)
	q.caps.Ordered = true
	return q
}

func TestGroupsAreHandledInOrderOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true // one batch of a group at a time, as SQS and Pub/Sub have it
		for range 10 {
			for g := range 5 {
				q.add(1, fmt.Sprint("g", g))
			}
		}
		var running [5]atomic.Int64
		var seen [5]order
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			var g int
			_, err := fmt.Sscanf(m.Group, "g%d", &g)
			require.NoError(t, err)
			require.EqualValues(t, 1, running[g].Add(1), "one of a group at a time")
			defer running[g].Add(-1)
			seen[g].add(m.ID)
			return lasting(time.Duration(1+g)*time.Millisecond)(ctx, m)
		}, consumer.Config{Concurrency: 20})
		pass(time.Second)
		require.EqualValues(t, 50, w.c.Stats().Acked)
		for g := range 5 {
			var want []string
			for i := range 10 {
				want = append(want, fmt.Sprint("m", 5*i+g+1))
			}
			require.Equal(t, want, seen[g].all())
		}
		require.NoError(t, w.stop())
	})
}

func TestMessagesThatWaitForTheirGroupHoldNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.add(10, "slow")
		q.add(3, "other")
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			if m.Group == "slow" {
				return lasting(10*time.Second)(ctx, m)
			}
			return nil
		}, consumer.Config{Concurrency: 10})
		pass(time.Second)
		require.EqualValues(t, 3, w.c.Stats().Acked)
		require.Equal(t, 1, w.c.Stats().Running)
		require.Equal(t, 9, w.c.Stats().Waiting)
		pass(100 * time.Second)
		require.EqualValues(t, 13, w.c.Stats().Acked)
		require.EqualValues(t, 13, w.c.Stats().Received, "those that waited were kept alive")
		require.Empty(t, w.events.of(handler.EventLeaseLost))
		require.NoError(t, w.stop())
	})
}

func TestAMessageThatWaitedStartsWithAFullLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.add(3, "g")
		w := start(t, q, lasting(25*time.Second), consumer.Config{})
		pass(80 * time.Second)
		require.EqualValues(t, 3, w.c.Stats().Acked, "25 s fit into a lease of 30 s, wherever the message stood")
		require.NoError(t, w.stop())
	})
}

// A rejection is a retry if there is no dead-letter queue. It spends no attempt of
// the messages behind it, and is reported.
func TestARejectedHeadWithoutADeadLetterQueueKeepsItsTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.caps.DeadLetter = false
		q.add(3, "g")
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(fmt.Sprint(m.ID, ".", m.Attempt))
			if m.ID == "m1" && m.Attempt < 4 {
				return handler.Reject(errors.New("boom"))
			}
			return nil
		}, consumer.Config{})
		pass(5 * time.Minute)
		require.Equal(t, []string{"m1.1", "m1.2", "m1.3", "m1.4", "m2.1", "m3.1"}, o.all())
		require.EqualValues(t, 3, w.c.Stats().Received, "nothing was given back")
		require.Zero(t, w.c.Stats().Released)
		require.Positive(t, w.logs.count("no dead-letter queue"), "it is reported")
		require.NoError(t, w.stop())
	})
}

func TestAFailedHeadIsRetriedInPlace(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict error
		delay   time.Duration // until the head runs again; 0 means never
	}{
		{"retry after", handler.RetryAfter(10*time.Second, errors.New("x")), 10 * time.Second},
		{"retry", errors.New("x"), 30 * time.Second}, // when its lease would have ended
		{"reject", handler.Reject(errors.New("x")), 0},
		{"drop", handler.Drop(errors.New("x")), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o order
				q := orderedQueue()
				q.add(4, "g")
				q.add(2, "h")
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					o.add(fmt.Sprint(m.ID, ".", m.Attempt))
					if m.ID == "m2" && m.Attempt == 1 {
						return c.verdict
					}
					return nil
				}, consumer.Config{})
				if c.delay > 0 {
					pass(c.delay - time.Millisecond)
					require.ElementsMatch(t, []string{"m1.1", "m2.1", "m5.1", "m6.1"}, o.all(), "other groups go on")
					require.Equal(t, 1, w.c.Stats().Parked)
					require.Equal(t, 2, w.c.Stats().Waiting)
				}
				pass(time.Second)
				var group []string
				for _, run := range o.all() {
					if run < "m5" {
						group = append(group, run)
					}
				}
				if c.delay > 0 {
					require.Equal(t, []string{"m1.1", "m2.1", "m2.2", "m3.1", "m4.1"}, group)
					require.EqualValues(t, 1, w.c.Stats().Retried)
				} else {
					require.Equal(t, []string{"m1.1", "m2.1", "m3.1", "m4.1"}, group)
				}
				require.EqualValues(t, 6, w.c.Stats().Received, "nothing was given back")
				require.Zero(t, w.c.Stats().Released)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestAPoisonHeadSpendsItsOwnAttemptsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.caps.MaxAttempts = 3
		q.add(10, "g")
		runs := map[string]int{}
		began := time.Now()
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			runs[m.ID]++
			if m.ID == "m1" {
				return handler.RetryAfter(time.Minute, errors.New("poison"))
			}
			return nil
		}, consumer.Config{})
		pass(3 * time.Minute)
		require.Len(t, q.letters, 1)
		require.Equal(t, "m1", q.letters[0].Message.ID)
		require.Equal(t, "attempts used up: attempt 3 of 3: poison", q.letters[0].Failure.Reason)
		require.Equal(t, began, q.letters[0].Failure.First)
		require.Equal(t, began.Add(2*time.Minute), q.letters[0].Failure.Last)
		require.Len(t, runs, 10)
		for id, n := range runs {
			require.Equal(t, map[bool]int{true: 3, false: 1}[id == "m1"], n, id)
		}
		require.EqualValues(t, 10, w.c.Stats().Received)
		require.Empty(t, w.events.of(handler.EventLeaseLost), "leases were kept for two minutes")
		require.NoError(t, w.stop())
	})
}

func TestAHeadThatCannotBeKeptGoesBackWithItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.fifo = true
		q.caps.MaxLease = 10 * time.Minute
		q.add(3, "g")
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(fmt.Sprint(m.ID, ".", m.Attempt))
			if m.ID == "m1" && m.Attempt == 1 {
				return handler.RetryAfter(590*time.Second, nil) // longer than the lease can be kept
			}
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.EqualValues(t, 2, w.c.Stats().Released)
		q.locked(func() {
			for _, s := range q.settles[0] {
				require.Equal(t, s.Message.ID != "m1", s.Released, "no handler has seen the later ones")
			}
		})
		pass(20 * time.Minute)
		require.Equal(t, []string{"m1.1", "m1.2", "m2.2", "m3.2"}, o.all())
		require.NoError(t, w.stop())
	})
}

func TestTheNextStartsWhenTheAckWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.add(3, "g")
		q.latency = 100 * time.Millisecond
		q.onSettle = func(s drivers.Settlement) error { // called when the answer is due
			o.add("acked " + s.Message.ID)
			return nil
		}
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add("handled " + m.ID)
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.Equal(t, []string{"handled m1", "acked m1", "handled m2", "acked m2", "handled m3", "acked m3"}, o.all())
		require.NoError(t, w.stop())
	})
}

func TestNothingOvertakesAMessageWhoseAckFails(t *testing.T) {
	for _, code := range []drivers.Code{drivers.Invalid, drivers.LeaseLost} {
		synctest.Test(t, func(t *testing.T) {
			var o order
			q := orderedQueue()
			q.add(3, "g")
			q.fifo = true
			q.onSettle = func(s drivers.Settlement) error {
				if s.Message.ID == "m1" && s.Message.Attempt == 1 && s.Action == handler.ActionAck {
					return fault(code)
				}
				return nil
			}
			w := start(t, q, func(_ context.Context, m *handler.Message) error {
				o.add(m.ID)
				return nil
			}, consumer.Config{})
			pass(29 * time.Second)
			require.Equal(t, []string{"m1"}, o.all())
			pass(2 * time.Second)
			require.Equal(t, []string{"m1", "m1", "m2", "m3"}, o.all())
			require.NoError(t, w.stop())
		})
	}
}

func TestARejectionThatFailsSendsTheRestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.add(3, "g")
		q.onSettle = func(s drivers.Settlement) error {
			if s.Action == handler.ActionDeadLetter && s.Message.Attempt == 1 {
				return fault(drivers.Closed)
			}
			return nil
		}
		q.fifo = true
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(m.ID)
			if m.ID == "m1" {
				return handler.Reject(errors.New("x"))
			}
			return nil
		}, consumer.Config{})
		pass(time.Second)
		require.Equal(t, []string{"m1"}, o.all())
		require.EqualValues(t, 2, w.c.Stats().Released)
		pass(time.Minute)
		require.Equal(t, []string{"m1", "m1", "m2", "m3"}, o.all())
		require.Len(t, q.letters, 1)
		require.NoError(t, w.stop())
	})
}

func TestAGroupWhoseHeadWaitsForItsRetryIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A provider that hands out the later ones meanwhile.
		var o order
		q := orderedQueue()
		q.add(3, "g")
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			o.add(m.ID)
			if m.ID == "m1" && m.Attempt == 1 {
				return handler.RetryAfter(10*time.Second, nil)
			}
			return nil
		}, consumer.Config{})
		pass(9 * time.Second)
		require.Equal(t, []string{"m1"}, o.all())
		pass(2 * time.Second)
		require.Equal(t, "m1", o.all()[1])
		pass(time.Minute)
		require.Len(t, o.all(), 4)
		require.NoError(t, w.stop())
	})
}

func TestGroupsOfAnUnorderedQueueAreNoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		q.add(5, "tenant")
		w := start(t, q, lasting(time.Second), consumer.Config{})
		require.Equal(t, 5, w.c.Stats().Running)
		require.NoError(t, w.stop())
	})
}

func TestTooManyWaitingMessagesPauseReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.add(3000, "g")
		w := start(t, q, lasting(10*time.Second), consumer.Config{Concurrency: 5})
		pass(time.Second)
		require.InDelta(t, 1000, w.c.Stats().Waiting, 10)
		require.Equal(t, 1, w.c.Stats().Running)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
	})
}

func TestALostLeaseAmongTheWaitingIsNotOvertaken(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var o order
			q := orderedQueue()
			q.add(4, "g")
			receipts := map[string]string{}
			q.onExtend = func(e drivers.Extension) error {
				if receipts["m3"] == e.Receipt {
					return fault(drivers.LeaseLost)
				}
				return nil
			}
			w := start(t, noting{q, receipts}, func(ctx context.Context, m *handler.Message) error {
				o.add(m.ID)
				return lasting(20*time.Second)(ctx, m)
			}, consumer.Config{})
			if elsewhere {
				pass(29 * time.Second)
				q.locked(func() { delete(q.flying, receipts["m3"]) })
			}
			pass(41 * time.Second)
			require.Equal(t, []string{"m1", "m2"}, o.all()[:2])
			require.Len(t, w.events.of(handler.EventLeaseLost), 1)
			require.Equal(t, "m3", w.events.of(handler.EventLeaseLost)[0].id)
			if elsewhere {
				require.Equal(t, "m4", w.events.of(handler.EventReleased)[0].id)
			} else {
				pass(40 * time.Second)
				require.Equal(t, []string{"m1", "m2", "m3", "m4"}, o.all(), "it came back to us: nothing is given back")
				require.Zero(t, w.c.Stats().Released)
			}
			w.c.Abort()
			<-w.ended
		})
	}
}

// noting remembers the first receipt of each message.
type noting struct {
	*queue
	receipts map[string]string
}

func (q noting) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := q.queue.Receive(ctx, n, wait)
	q.locked(func() {
		for _, d := range ds {
			if _, ok := q.receipts[d.Message.ID]; !ok {
				q.receipts[d.Message.ID] = d.Receipt
			}
		}
	})
	return ds, err
}

// Of an ordered queue a receive asks for more messages than it has slots, since most wait
// for their group. If none does, it takes no more than there are handlers for.
func TestMessagesWithoutGroupsTakeTheirSlots(t *testing.T) {
	for _, free := range []bool{true, false} {
		t.Run(fmt.Sprint("releases are free: ", free), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sources := make([]consumer.Weighted, 2)
				for i := range sources {
					q := namedQueue(fmt.Sprint("q", i), 10_000)
					q.caps.Ordered, q.caps.FreeRelease = true, free
					sources[i] = consumer.Weighted{Source: q, Priority: i}
				}
				w := startAll(t, sources, lasting(50*time.Millisecond), consumer.Config{Concurrency: 16})
				pass(time.Second) // each queue begins with a few messages beside the slots
				most := 0
				for range 900 {
					pass(10 * time.Millisecond)
					most = max(most, w.c.Stats().Waiting)
				}
				require.Greater(t, w.c.Stats().Acked, uint64(10*20*16*7/10), "the slots are used")
				require.LessOrEqual(t, most, 2)
				require.NoError(t, w.stop())
			})
		})
	}
}
