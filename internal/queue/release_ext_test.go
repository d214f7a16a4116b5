package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func (b *bench) release(by time.Duration, rs ...queue.Received) []error {
	b.Helper()
	cs := make([]queue.Change, len(rs))
	for i := range rs {
		cs[i] = queue.Change{Receipt: rs[i].Receipt, By: by, Release: true}
	}
	return b.Change(b.ctx, "q", cs)
}

func TestReleaseIsNoReceive(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("letters", queue.Config{})
		b.create("q", queue.Config{DeadLetter: "letters", MaxReceives: 2})
		b.send("q", text("x")...)
		for range 5 {
			r := b.receiveOne("q")
			require.Equal(b, 1, r.Receives)
			require.Nil(b, b.release(0, r))
			require.Equal(b, []error{queue.ErrReceipt}, b.release(0, r), "one delivery is released once")
			require.Equal(b, []error{queue.ErrReceipt}, b.Delete(b.ctx, "q", []string{r.Receipt}), "its receipt is good for nothing more")
		}
		b.receiveOne("q")
		b.clock.Advance(time.Minute) // a crash counts
		r := b.receiveOne("q")
		require.Equal(b, 2, r.Receives)
		require.Nil(b, b.release(0, r))
		r = b.receiveOne("q")
		require.Equal(b, 2, r.Receives)
		b.change("q", 0, r)
		require.Empty(b, b.receive("q", 1))
		require.Equal(b, []string{"x"}, bodies(b.receive("letters", 10)))
	})
}

func TestReleaseAfterTheLease(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", text("x")...)
		lapsed := b.receiveOne("q")
		b.clock.Advance(time.Minute)
		require.Nil(b, b.release(time.Hour, lapsed))
		b.counts("q", 1, 0, 0)
		lapsed = b.receiveOne("q")
		require.Equal(b, 1, lapsed.Receives, "no one had received it in between")
		b.clock.Advance(time.Minute)
		held := b.receiveOne("q")
		require.Equal(b, 2, held.Receives)
		require.Equal(b, []error{queue.ErrReceipt}, b.release(0, lapsed), "it is another's")
		b.counts("q", 0, 1, 0)
	})
}

func TestReleaseByDelay(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", text("delayed", "left")...)
		rs := b.receive("q", 2)
		require.Nil(b, b.release(10*time.Second, rs[0]))
		require.Nil(b, b.release(-1, rs[1]))
		b.counts("q", 0, 2, 0)
		b.clock.Advance(10 * time.Second)
		require.Equal(b, []string{"delayed"}, bodies(b.receive("q", 2)))
		b.clock.Advance(50 * time.Second)
		require.Equal(b, "left", string(b.receiveOne("q").Body), "its lease ran down")
	})
}

// A released message has no receives, and is nevertheless one that was received
// before: the group continues, one at a time.
func TestReleaseKeepsOrder(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/1", "g/2", "g/3")...)
		rs := b.receive("q", 2)
		require.Nil(b, b.release(0, rs[0]))
		require.Empty(b, b.receive("q", 3), "the second is still in flight")
		b.change("q", 0, rs[1])
		rs = b.receive("q", 3)
		require.Equal(b, []string{"1", "2", "3"}, bodies(rs))
		require.Equal(b, []int{1, 2, 1}, []int{rs[0].Receives, rs[1].Receives, rs[2].Receives})

		require.Nil(b, b.release(0, rs[1], rs[2]))
		require.Nil(b, b.release(5*time.Second, rs[0]))
		require.Empty(b, b.receive("q", 3), "the first one's delay blocks its group")
		b.clock.Advance(5 * time.Second)
		require.Equal(b, []string{"1", "2", "3"}, bodies(b.receive("q", 3)))
	})
}
