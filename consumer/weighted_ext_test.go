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

// tally counts the handled messages of each queue.
func tally(d time.Duration) (h handler.HandlerFunc, count func(queue string) int) {
	var a, b atomic.Int64
	pick := func(queue string) *atomic.Int64 {
		if queue == "a" {
			return &a
		}
		return &b
	}
	return func(ctx context.Context, m *handler.Message) error {
			defer pick(m.Origin().Queue).Add(1)
			return lasting(d)(ctx, m)
		}, func(queue string) int {
			return int(pick(queue).Load())
		}
}

func namedQueue(name string, n int) *queue {
	q := newQueue(n)
	q.caps.Queue = name
	q.latency = time.Millisecond
	return q
}

func TestWeightsShareTheSlots(t *testing.T) {
	for _, c := range []struct{ a, b, concurrency int }{{3, 1, 16}, {1, 1, 16}, {9, 1, 40}} {
		synctest.Test(t, func(t *testing.T) {
			qa, qb := namedQueue("a", 100_000), namedQueue("b", 100_000)
			h, count := tally(20 * time.Millisecond)
			w := startAll(t, []consumer.Weighted{{Source: qa, Weight: c.a}, {Source: qb, Weight: c.b}}, h, consumer.Config{Concurrency: c.concurrency})
			pass(4 * time.Second)
			require.InDelta(t, float64(c.a)/float64(c.b), float64(count("a"))/float64(count("b")), 0.35*float64(c.a)/float64(c.b), "%d to %d", count("a"), count("b"))
			require.Greater(t, count("a")+count("b"), 4*50*c.concurrency*6/10, "the slots are used")
			require.NoError(t, w.stop())
		})
	}
}

func TestAnIdleQueueLeavesItsSlotsToTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 0), namedQueue("b", 100_000)
		h, count := tally(20 * time.Millisecond)
		w := startAll(t, []consumer.Weighted{{Source: qa, Weight: 9}, {Source: qb}}, h, consumer.Config{Concurrency: 20})
		pass(5 * time.Second)
		require.Greater(t, count("b"), 5*50*20*7/10, "all but the one that the idle queue's poll holds")
		require.Zero(t, count("a"))

		// It is served immediately, and has its share, when messages come.
		qa.add(10_000, "")
		pass(500 * time.Millisecond)
		before := count("a")
		require.Positive(t, before)
		pass(5 * time.Second)
		require.Greater(t, count("a")-before, 5*50*10)
		require.NoError(t, w.stop())
	})
}

func TestALowWeightDoesNotStarve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 100_000), namedQueue("b", 100_000)
		h, count := tally(20 * time.Millisecond)
		w := startAll(t, []consumer.Weighted{{Source: qa, Weight: 1000}, {Source: qb, Weight: 1}}, h, consumer.Config{Concurrency: 8})
		pass(10 * time.Second)
		require.Greater(t, count("b"), 100)
		require.Greater(t, count("a"), 5*count("b"))
		require.NoError(t, w.stop())
	})
}

func TestAnOutageOfOneQueueLeavesTheOtherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		qa, qb := namedQueue("a", 0), namedQueue("b", 100)
		ok := true
		qa.onReceive = func(int) error {
			if ok {
				ok = false
				return nil
			}
			return fault(1)
		}
		h, count := tally(time.Millisecond)
		w := startAll(t, []consumer.Weighted{{Source: qa}, {Source: qb}}, h, consumer.Config{})
		pass(time.Minute)
		require.Equal(t, 100, count("b"))
		require.NoError(t, w.stop())
	})
}
