package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// While the first queue has messages, the second gets none of the slots, even if the
// receives of the first can't fill them; then it gets all.
func TestPrioritiesAreStrict(t *testing.T) {
	for name, c := range map[string]struct {
		latency time.Duration
		pollers int
		least   int // of the first, in 5 seconds
	}{
		"enough receives": {time.Millisecond, 0, 3500},
		"few receives":    {100 * time.Millisecond, 1, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				qa, qb := namedQueue("a", 10_000), namedQueue("b", 10_000)
				qa.latency = c.latency
				h, count := tally(20 * time.Millisecond)
				w := startAll(t, []consumer.Weighted{{Source: qb, Priority: 1}, {Source: qa, Priority: 2}}, h, consumer.Config{Concurrency: 20, MaxPollers: c.pollers})
				pass(time.Second)
				before := count("b")
				require.Less(t, before, 500, "the first moment")
				receives, _, _ := qb.requests()
				pass(5 * time.Second)
				after, _, _ := qb.requests()
				require.LessOrEqual(t, after, receives+2, "nothing is received for the second")
				require.Greater(t, count("a"), c.least)
				require.Less(t, count("b")-before, 10)
				for count("a") < 10_000 {
					pass(time.Second)
				}
				before = count("b")
				pass(5 * time.Second)
				require.Greater(t, count("b")-before, 1000, "its slots are the other's when it is empty")
				qa.add(10_000, "")
				pass(time.Second)
				before, first := count("b"), count("a")
				pass(2 * time.Second)
				require.Less(t, count("b")-before, 10, "and its own again when messages come")
				require.Greater(t, count("a")-first, c.least/5)
				require.NoError(t, w.stop())
			})
		})
	}
}

// A queue of few messages, which takes no slots for its receives, waits as well.
func TestAQueueOfFewMessagesIsPreceded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 10_000), namedQueue("b", 0)
		h, count := tally(20 * time.Millisecond)
		w := startAll(t, []consumer.Weighted{{Source: qa, Priority: 1}, {Source: qb}}, h, consumer.Config{Concurrency: 10})
		for range 10 {
			pass(200 * time.Millisecond)
			qb.add(1, "")
		}
		pass(time.Second)
		receives, _, _ := qb.requests()
		require.LessOrEqual(t, receives, 2, "the receive of the beginning, which found a message, and no more")
		require.NotEmpty(t, qb.visible)
		pass(30 * time.Second)
		require.Equal(t, 10, count("b"), "until the other is empty")
		require.NoError(t, w.stop())
	})
}

// Of the messages in hand, those of the first queue run first.
func TestThePriorityOfMessagesInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 0), namedQueue("b", 0)
		h, count := tally(10 * time.Second)
		w := startAll(t, []consumer.Weighted{{Source: qb}, {Source: qa, Priority: 1}}, h, consumer.Config{Concurrency: 2})
		for range 4 {
			qb.add(1, "")
			pass(100 * time.Millisecond)
		}
		require.Positive(t, w.c.Stats().Waiting, "some are in hand")
		qa.add(1, "")
		pass(100 * time.Millisecond)
		qa.add(1, "")
		pass(20 * time.Second)
		require.Equal(t, []int{2, 2}, []int{count("a"), count("b")})
		require.NoError(t, w.stop())
	})
}

// A source whose own gate is closed is not stuck, also if there is no other.
func TestTheGateOfTheOnlyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, g := namedQueue("a", 100), newGate(0)
		w := startAll(t, []consumer.Weighted{{Source: q, Gates: []handler.Gate{g}}}, ack, consumer.Config{})
		for range 20 {
			pass(time.Minute)
			require.Equal(t, consumer.HealthOK, w.c.Health().Status)
		}
		require.Empty(t, q.receives)
		g.set(-1)
		pass(time.Second)
		require.EqualValues(t, 100, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

// The gate of one queue holds back no other: by weight, and by priority.
func TestTheGateOfOneQueue(t *testing.T) {
	for name, priorities := range map[string][2]int{"weights": {0, 0}, "first": {2, 1}, "last": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				qa, qb := namedQueue("a", 100_000), namedQueue("b", 100_000)
				h, count := tally(20 * time.Millisecond)
				g, shared := newGate(-1), newGate(-1)
				w := startAll(t, []consumer.Weighted{
					{Source: qa, Weight: 9, Priority: priorities[0], Gates: []handler.Gate{g}}, {Source: qb, Priority: priorities[1]},
				}, h, consumer.Config{Concurrency: 20, Gates: []handler.Gate{shared}})
				pass(2 * time.Second)
				g.set(0)
				pass(time.Second)
				before, receives := count("b"), len(qa.receives)
				pass(5 * time.Second)
				require.Len(t, qa.receives, receives)
				require.Greater(t, count("b")-before, 5*50*20*7/10, "the slots of the first are the other's")
				asked := priorities[0] >= priorities[1] // else there was no reason to ask the gate
				health := w.c.Health()
				require.Equal(t, consumer.HealthOK, health.Status)
				require.Equal(t, asked, w.c.Stats().Paused == 1)
				require.Equal(t, asked, health.Queues[0].Paused)
				require.False(t, health.Queues[1].Paused)
				pass(10 * time.Minute)
				require.Equal(t, consumer.HealthOK, w.c.Health().Status)
				g.set(-1)
				before = count("a")
				pass(2 * time.Second)
				if asked {
					require.Greater(t, count("a")-before, 500)
				}
				shared.set(0)
				pass(25 * time.Second) // for long polls to end
				require.Equal(t, 2, w.c.Stats().Paused)
				require.NoError(t, w.stop())
			})
		})
	}
}

// Each source may have a handler of its own.
func TestHandlersBySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 10), namedQueue("b", 20)
		var a, b atomic.Int32
		count := func(n *atomic.Int32, queue string) handler.HandlerFunc {
			return func(_ context.Context, m *handler.Message) error {
				require.Equal(t, queue, m.Origin().Queue)
				n.Add(1)
				return nil
			}
		}
		w := startAll(t, []consumer.Weighted{{Source: qa, Handler: count(&a, "a")}, {Source: qb, Handler: count(&b, "b")}}, ack, consumer.Config{Concurrency: 2})
		pass(time.Minute)
		require.Equal(t, []int32{10, 20}, []int32{a.Load(), b.Load()})
		require.NoError(t, w.stop())
	})
}

func TestFaultsOfSources(t *testing.T) {
	t.Parallel()
	ok := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	for want, sources := range map[string][]consumer.Weighted{
		"source 1 has priority -1":  {{Source: newQueue(0)}, {Source: newQueue(0), Priority: -1}},
		"source 0: Gates[0] is nil": {{Source: newQueue(0), Gates: []handler.Gate{nil}}},
		"the handler is nil":        {{Source: newQueue(0), Handler: handler.HandlerFunc(nil)}},
	} {
		_, err := consumer.NewWeighted(sources, ok, nil)
		require.ErrorContains(t, err, want)
	}
	_, err := consumer.NewWeighted([]consumer.Weighted{{Source: newQueue(0), Handler: ok}, {Source: newQueue(0)}}, nil, nil)
	require.ErrorContains(t, err, "handler is nil")
}
