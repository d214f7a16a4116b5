package consumer_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// gate admits as many messages as a test sets.
type gate struct {
	mu     sync.Mutex
	admits int // negative means all that are wanted
	asked  int
	reopen chan struct{}
	mute   bool // gives no channel
}

func (g *gate) Admit(want int) (int, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.admits < 0 {
		return want, nil
	}
	if g.admits == 0 {
		if g.mute {
			return 0, nil
		}
		return 0, g.reopen
	}
	return g.admits, nil
}

func (g *gate) set(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admits == 0 && n != 0 {
		close(g.reopen)
		g.reopen = make(chan struct{})
	}
	g.admits = n
}

func newGate(n int) *gate { return &gate{admits: n, reopen: make(chan struct{})} }

func TestAClosedGatePausesReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, g := newGate(-1), newGate(0)
		q := newQueue(100)
		w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{open, g}})
		pass(10 * time.Minute)
		receives, _, _ := q.requests()
		require.Zero(t, receives)
		require.Equal(t, 1, g.asked, "it is waited for, not polled")
		g.set(-1)
		pass(time.Second)
		require.EqualValues(t, 100, w.c.Stats().Acked)
		g.set(0)
		require.NoError(t, w.stop(), "a closed gate does not hold up a stop")
	})
}

func TestAGateWithoutAChannelIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0)
		g.mute = true
		q := newQueue(10)
		w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{g}})
		pass(10 * time.Second)
		require.InDelta(t, 10, g.asked, 2)
		g.set(-1)
		pass(2 * time.Second)
		require.EqualValues(t, 10, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

func TestAGateLimitsEachReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(30)
		w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{newGate(3)}})
		pass(time.Second)
		require.EqualValues(t, 30, w.c.Stats().Acked)
		q.locked(func() {
			for _, r := range q.receives {
				require.LessOrEqual(t, r.max, 3)
			}
		})
		require.NoError(t, w.stop())
	})
}

// halfOpen is a breaker that lets one probe through at a time, and learns of it
// only in its middleware.
type halfOpen struct {
	mu     sync.Mutex
	state  int // closed, half open, probing
	reopen chan struct{}
}

func (b *halfOpen) Admit(want int) (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state {
	case 0:
		return want, nil
	case 1:
		return 1, nil
	default:
		return 0, b.reopen
	}
}

// move changes the state from one to another, and reports whether it was that.
func (b *halfOpen) move(from, to int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != from {
		return false
	}
	b.state = to
	close(b.reopen)
	b.reopen = make(chan struct{})
	return true
}

func TestSeveralPollersDoNotOverAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1000)
		q.latency = 10 * time.Millisecond
		b := &halfOpen{reopen: make(chan struct{})}
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			pause(time.Millisecond) // an outer middleware
			if b.move(1, 2) {
				defer b.move(2, 1)
			}
			return lasting(100*time.Millisecond)(ctx, m)
		}, consumer.Config{Concurrency: 100, Gates: []handler.Gate{b}})
		pass(200 * time.Millisecond)
		require.Equal(t, 4, w.c.Stats().Pollers)
		before := w.c.Stats().Received
		require.Greater(t, before, uint64(50))
		require.True(t, b.move(0, 1))
		pass(50 * time.Millisecond) // a receive was on its way
		inFlight := w.c.Stats().Received
		pass(time.Second)
		probes := w.c.Stats().Received - inFlight
		require.LessOrEqual(t, probes, uint64(10), "one at a time, each of 100 ms")
		require.GreaterOrEqual(t, probes, uint64(5))
		for !b.move(1, 0) {
			pass(time.Millisecond)
		}
		pass(3 * time.Second)
		require.EqualValues(t, 1000, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

// slowGate takes a while to say that it is closed, and gives no channel.
type slowGate time.Duration

func (g slowGate) Admit(int) (int, <-chan struct{}) {
	pause(time.Duration(g))
	return 0, nil
}

func TestAClosedGateThatAnswersSlowlyIsNoStall(t *testing.T) {
	for _, slow := range []time.Duration{400 * time.Millisecond, 45 * time.Second} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, newQueue(10), ack, consumer.Config{Gates: []handler.Gate{slowGate(slow)}})
				for range 3000 {
					pass(310 * time.Millisecond)
					require.Equal(t, consumer.HealthOK, w.c.Health().Status)
				}
				require.NoError(t, w.stop())
				pass(slow) // its last answer
			})
		})
	}
}

func TestNothingIsStalledWhenAGateReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, q := newGate(-1), newQueue(10)
		q.latency = 2 * time.Second
		w := start(t, q, lasting(3*time.Second), consumer.Config{Gates: []handler.Gate{g}})
		pass(time.Minute)
		g.set(0)
		q.add(300, "")
		pass(time.Hour)
		g.set(-1)
		for range 1000 {
			pass(10 * time.Millisecond)
			require.Equal(t, consumer.HealthOK, w.c.Health().Status)
		}
		require.NotZero(t, w.c.Stats().Running)
		require.NoError(t, w.stop())
	})
}

// hastyGate is closed and reports immediately that it is worth asking again.
type hastyGate struct{ asked atomic.Int64 }

func (g *hastyGate) Admit(want int) (int, <-chan struct{}) {
	if g.asked.Add(1) > 10_000 {
		return want, nil // it ends the loop
	}
	again := make(chan struct{})
	close(again)
	return 0, again
}

func TestAGateIsNotAskedInAHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &hastyGate{}
		w := start(t, newQueue(1), ack, consumer.Config{Gates: []handler.Gate{g}})
		pass(10 * time.Second)
		require.Less(t, g.asked.Load(), int64(300))
		require.NoError(t, w.stop())
	})
}

// muteGate is closed and never says why.
type muteGate struct {
	gate
	asked atomic.Int64
	end   chan struct{}
}

func (g *muteGate) Reason() string {
	g.asked.Add(1)
	<-g.end
	return "late"
}

func TestHealthDoesNotWaitForAGatesReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &muteGate{gate: gate{reopen: make(chan struct{})}, end: make(chan struct{})}
		w := start(t, newQueue(1), ack, consumer.Config{Gates: []handler.Gate{g}})
		for range 10 {
			began := time.Now()
			h := w.c.Health()
			require.Less(t, time.Since(began), time.Second)
			require.True(t, h.Queues[0].Paused)
			require.Empty(t, h.Queues[0].PausedBy)
		}
		require.EqualValues(t, 1, g.asked.Load(), "one that has not answered is not asked again")
		close(g.end)
		pass(time.Second)
		require.Equal(t, "late", w.c.Health().Queues[0].PausedBy)
		require.NoError(t, w.stop())
	})
}
