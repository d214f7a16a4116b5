package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func TestGroupsBlock(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/1", "g/2", "g/3", "h/1", "alone")...)
		g := b.receive("q", 2)
		require.Equal(b, []string{"1", "2"}, bodies(g))
		require.Equal(b, []string{"1", "alone"}, bodies(b.receive("q", 10)), "g is blocked, h and what has no group are not")

		b.delete("q", g[0])
		require.Empty(b, b.receive("q", 10), "one of g is still in flight")
		b.change("q", 0, g[1])
		again := b.receive("q", 10)
		require.Equal(b, []string{"2", "3"}, bodies(again))
		require.Equal(b, []int{2, 1}, []int{again[0].Receives, again[1].Receives})

		// The second comes back before the first: nothing of g is delivered.
		b.change("q", 10*time.Second, again[0])
		b.change("q", 0, again[1])
		require.Empty(b, b.receive("q", 10))
		b.clock.Advance(10 * time.Second)
		require.Equal(b, []string{"2", "3"}, bodies(b.receive("q", 10)))
	})
}

func TestGroupWaitsForTheRetryOfALaterOne(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/1", "g/2")...)
		rs := b.receive("q", 2)
		b.change("q", 0, rs[0])
		require.Empty(b, b.receive("q", 10), "one at a time")
		b.delete("q", rs[1])
		require.Equal(b, []string{"1"}, bodies(b.receive("q", 10)))
	})
}

func TestDelayedMessageOfAGroup(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", queue.Message{Group: "g", Body: []byte("1")},
			queue.Message{Group: "g", Body: []byte("2"), Delay: 5 * time.Second}, queue.Message{Group: "g", Body: []byte("3")})
		first := b.receive("q", 10)
		require.Equal(b, []string{"1"}, bodies(first), "what comes after a delayed one waits for it")
		b.delete("q", first...)
		require.Empty(b, b.receive("q", 10))
		b.counts("q", 1, 0, 1)
		b.clock.Advance(5 * time.Second)
		require.Equal(b, []string{"2", "3"}, bodies(b.receive("q", 10)))
	})
}

func TestSpread(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/g1", "g/g2", "g/g3", "h/h1", "h/h2", "i/i1", "alone")...)
		give := func(rs []queue.Received) { b.change("q", 0, rs...) }
		ask := func(n int, spread bool) []string {
			rs := b.receiveBy("q", queue.ReceiveRequest{Max: n, Visibility: time.Minute, Spread: spread})
			give(rs)
			return bodies(rs)
		}
		require.Equal(b, []string{"g1", "g2", "g3", "h1"}, ask(4, false))
		require.Equal(b, []string{"g1", "h1", "i1"}, first(ask(7, true), 3), "before a second of any")
		all := ask(20, true)
		require.Len(b, all, 7)
		require.Less(b, index(all, "alone"), index(all, "g2"))
		require.Less(b, index(all, "g1"), index(all, "g2"))
		require.Less(b, index(all, "g2"), index(all, "g3"))
		require.Less(b, index(all, "h2"), index(all, "g3"), "groups take turns")
	})
}

func first(s []string, n int) []string { return s[:min(n, len(s))] }

func index(s []string, v string) int {
	for i := range s {
		if s[i] == v {
			return i
		}
	}
	return -1
}

func TestExhaustedHeadLetsTheGroupGoOn(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true, DeadLetter: "d", MaxReceives: 2})
		b.create("d", queue.Config{Ordered: true})
		b.send("q", text("g/poison", "g/2", "h/1")...)
		for range 2 {
			poison := b.receiveOne("q")
			require.Equal(b, "poison", string(poison.Body))
			b.change("q", 0, poison)
		}
		require.Equal(b, []string{"2", "1"}, bodies(b.receive("q", 10)), "poison makes room in the same receive")
		letters := b.receive("d", 10)
		require.Equal(b, []string{"poison"}, bodies(letters))
		require.Equal(b, "g", letters[0].Group)
		require.Equal(b, "q", letters[0].Source)
		require.Equal(b, b.clock.Now().UnixNano(), letters[0].EnqueuedAt.UnixNano(), "an ordered queue's letters are enqueued anew")
	})
}

func TestOrderIsKeptThroughAnything(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		const groups, each = 5, 20
		var ms []queue.Message
		for i := range each {
			for g := range groups {
				ms = append(ms, text(fmt.Sprintf("g%d/%d", g, i))...)
			}
		}
		b.send("q", ms...)
		next := map[string]int{}
		for round := 0; len(next) < groups || b.stats("q").Visible > 0; round++ {
			rs := b.receiveBy("q", queue.ReceiveRequest{Max: 3, Visibility: time.Minute, Spread: round%2 == 0})
			stopped := map[string]bool{}
			for i, r := range rs {
				if stopped[r.Group] || (round+i)%3 == 0 {
					stopped[r.Group] = true
					b.change("q", time.Duration((round+i)%2)*time.Second, r)
					continue
				}
				require.Equal(b, fmt.Sprint(next[r.Group]), string(r.Body), "group %s", r.Group)
				next[r.Group]++
				b.delete("q", r)
			}
			b.clock.Advance(time.Second)
		}
		for g := range groups {
			require.Equal(b, each, next[fmt.Sprintf("g%d", g)])
		}
	})
}

func TestOrderSwitchedOnAndOff(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", text("g/1", "g/2", "h/1", "alone")...)
		held := b.receive("q", 1)
		require.NoError(b, b.Configure(b.ctx, "q", queue.Config{Ordered: true}))
		b.counts("q", 3, 1, 0)
		require.ElementsMatch(b, []string{"1", "alone"}, bodies(b.receive("q", 10)), "g is blocked now")
		b.delete("q", held...)
		require.Equal(b, []string{"2"}, bodies(b.receive("q", 10)))
		require.NoError(b, b.Configure(b.ctx, "q", queue.Config{}))
		b.clock.Advance(time.Minute)
		require.ElementsMatch(b, []string{"1", "2", "alone"}, bodies(b.receive("q", 10)))
	})
}
