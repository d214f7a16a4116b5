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

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/consumer"
)

// orderedQueue is a queue that delivers groups in order. It holds a group back
// while one of it is in flight, and hands out all that it has of it at once.
func orderedQueue() *queue {
	q := newQueue(0)
	q.caps.Ordered = true
	return q
}

func TestGroupsAreHandledInOrderOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
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

func TestAFailureSendsTheRestOfItsGroupBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict error
		back    bool // the rest goes back
	}{
		{"retry after", handler.RetryAfter(10*time.Second, errors.New("x")), true},
		{"retry", errors.New("x"), true},
		{"reject", handler.Reject(errors.New("x")), false},
		{"discard", handler.Discard(errors.New("x")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o order
				q := orderedQueue()
				q.add(4, "g")
				q.add(2, "h")
				q.fifo = true
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					o.add(m.ID)
					if m.ID == "m2" && m.Attempt == 1 {
						return c.verdict
					}
					return lasting(time.Millisecond)(ctx, m)
				}, consumer.Config{})
				pass(5 * time.Second)
				var group, other []string
				for _, id := range o.all() {
					if id == "m5" || id == "m6" {
						other = append(other, id)
					} else {
						group = append(group, id)
					}
				}
				require.Equal(t, []string{"m5", "m6"}, other, "other groups go on")
				if !c.back {
					require.Equal(t, []string{"m1", "m2", "m3", "m4"}, group)
					require.NoError(t, w.stop())
					return
				}
				require.Equal(t, []string{"m1", "m2"}, group)
				released := w.events.of(handler.EventReleased)
				require.Len(t, released, 2)
				require.Equal(t, "m3", released[0].id)
				require.Equal(t, "m4", released[1].id)
				require.EqualValues(t, 2, w.c.Stats().Released)
				pass(40 * time.Second)
				require.Equal(t, []string{"m2", "m3", "m4"}, o.all()[4:], "in order again")
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestARejectionThatFailsSendsTheRestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		q := orderedQueue()
		q.add(3, "g")
		q.onSettle = func(s drivers.Settlement) error {
			if s.Action == handler.DeadLetter && s.Message.Attempt == 1 {
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
		q.add(1000, "g")
		w := start(t, q, lasting(10*time.Second), consumer.Config{Concurrency: 5})
		pass(time.Second)
		require.LessOrEqual(t, w.c.Stats().Waiting, 5+10+10)
		require.Equal(t, 1, w.c.Stats().Running)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
	})
}

func TestALostLeaseAmongTheWaitingSendsTheLaterOnesBack(t *testing.T) {
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
		pass(41 * time.Second)
		require.Equal(t, []string{"m1", "m2"}, o.all()[:2])
		require.NotContains(t, o.all()[:2], "m3")
		require.Len(t, w.events.of(handler.EventLeaseLost), 1)
		require.Equal(t, "m3", w.events.of(handler.EventLeaseLost)[0].id)
		require.Equal(t, "m4", w.events.of(handler.EventReleased)[0].id)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
	})
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
