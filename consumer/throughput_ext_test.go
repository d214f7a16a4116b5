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

// SQS FIFO delivers as many messages of one group as it can; many groups have a backlog.
func TestAnOrderedQueueUsesAllSlots(t *testing.T) {
	for _, concurrency := range []int{1, 16, 100} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := orderedQueue()
				q.fifo = true
				for g := range 200 {
					q.add(50, fmt.Sprint("g", g))
				}
				var running, most, done atomic.Int64
				w := start(t, q, func(context.Context, *handler.Message) error {
					n := running.Add(1)
					most.Store(max(most.Load(), n))
					<-time.After(time.Second)
					running.Add(-1)
					done.Add(1)
					return nil
				}, consumer.Config{Concurrency: concurrency})
				<-time.After(60 * time.Second)
				require.EqualValues(t, concurrency, most.Load())
				require.Greater(t, int(done.Load()), concurrency*60*9/10)
				w.c.Abort()
				<-w.ended
			})
		})
	}
}

// With a poison head in half of the groups, the messages behind them do not keep
// the other groups from being received.
func TestGroupsThatWaitLeaveTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true
		for g := range 80 {
			q.add(10, fmt.Sprint("g", g))
		}
		var done atomic.Int64
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			if g := m.Group[1:]; len(g) == 1 || g < "40" {
				return handler.RetryAfter(time.Hour, nil)
			}
			<-time.After(time.Second)
			done.Add(1)
			return nil
		}, consumer.Config{Concurrency: 20})
		<-time.After(30 * time.Second)
		require.EqualValues(t, 400, done.Load(), "20 slots for 20 s")
		w.c.Abort()
		<-w.ended
	})
}

func TestAnOutageGivesTheSlotsToTheOtherQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := namedQueue("a", 100_000), namedQueue("b", 100_000)
		var down atomic.Bool
		a.onReceive = func(int) error {
			if down.Load() {
				return fault(drivers.Transient)
			}
			return nil
		}
		h, count := tally(time.Second)
		w := startAll(t, []consumer.Weighted{{Source: a, Weight: 9}, {Source: b, Weight: 1}}, h, consumer.Config{Concurrency: 100})
		pass(10 * time.Second)
		require.InDelta(t, 90, count("b"), 40)
		down.Store(true)
		pass(5 * time.Second)
		before := count("b")
		pass(time.Minute)
		require.Greater(t, count("b")-before, 60*90, "the share of the queue that is down goes to the other")
		down.Store(false)
		pass(time.Minute)
		before, after := count("a"), count("b")
		pass(10 * time.Second)
		require.Greater(t, count("a")-before, 10*75, "and comes back")
		require.Positive(t, count("b")-after)
		require.NoError(t, w.stop())
	})
}

func TestIdleQueuesLeaveTheSlotsToTheBusyOne(t *testing.T) {
	for _, trickle := range []bool{false, true} {
		t.Run(fmt.Sprint("trickle=", trickle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := namedQueue("b", 100_000)
				sources := []consumer.Weighted{{Source: busy}}
				var idle []*queue
				for range 15 {
					q := namedQueue("a", 0)
					idle = append(idle, q)
					sources = append(sources, consumer.Weighted{Source: q})
				}
				h, count := tally(100 * time.Millisecond)
				w := startAll(t, sources, h, consumer.Config{Concurrency: 16})
				pass(5 * time.Second)
				before, _, _ := idle[0].requests()
				done := count("b")
				for range 60 {
					if trickle {
						for _, q := range idle {
							q.add(1, "")
						}
					}
					pass(time.Second)
				}
				possible := 60 * 10 * 16
				if trickle {
					require.InDelta(t, 15*60, count("a"), 15)
					possible -= 15 * 60
				}
				require.Greater(t, count("b")-done, possible*85/100)
				if !trickle {
					after, _, _ := idle[0].requests()
					require.LessOrEqual(t, after-before, 4, "an idle queue is still asked three times a minute")
				}
				require.NoError(t, w.stop())
			})
		})
	}
}

// A gate that always restricts, such as a rate limit, on an ordered queue.
func TestARestrictingGateOnAnOrderedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := orderedQueue()
		q.fifo = true
		for g := range 26 {
			q.add(3, fmt.Sprint("g", g))
		}
		var done atomic.Int64
		w := start(t, q, func(context.Context, *handler.Message) error {
			<-time.After(10 * time.Second)
			done.Add(1)
			return nil
		}, consumer.Config{Concurrency: 26, Gates: []handler.Gate{newGate(6)}})
		<-time.After(35 * time.Second)
		require.EqualValues(t, 78, done.Load(), "26 groups of 3, 10 s each")
		require.NoError(t, w.stop())
	})
}
