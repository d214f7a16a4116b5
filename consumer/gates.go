package consumer

import (
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// gateRetry is how long a gate that gave no channel to wait for stays closed
	// before it is asked again.
	gateRetry = time.Second
	// gateGrace is how long a handler that was started under a restricting gate has
	// to reach the gate's middleware before the gate is asked again: the gate learns
	// of a message only there.
	gateGrace = 5 * time.Millisecond
	// maxHasty is how many times in a row a gate may close in the moment in which it
	// reopened. After that it is asked at longer and longer intervals, up to hastyCap:
	// one that returns a closed channel would be asked in a hot loop.
	maxHasty = 3
	hastyCap = 100 * time.Millisecond
	// reasonPatience is how long health waits for a gate's reason: a probe that waited
	// forever would have the process restarted.
	reasonPatience = 250 * time.Millisecond
)

// gates asks a list of gates before each receive: Config.Gates before those of all
// sources, and Weighted.Gates before those of one, which come first. The gates of one
// source hold back no other.
//
// While the gates restrict, one poller holds the turn: it alone receives until its
// messages have reached the gates' middleware, so that several pollers do not each
// receive the number that was meant once.
type gates struct {
	c        *Consumer
	list     []handler.Gate
	turn     chan struct{} // has room for one poller
	closed   atomic.Bool
	closedBy atomic.Pointer[handler.Gate] // the gate that admitted nothing last
	reopened atomic.Int64                 // when one reopened last, since Consumer.born
	hasty    int                          // guarded by turn; see maxHasty
}

// admit asks the gates how many of n messages may be received, for which the caller
// holds slots. It releases slots that are not to be used and returns how many are
// left. If none may be received, or the caller had to wait for its turn, it returns 0. If restricted is true the caller holds the turn and must call endTurn. ok is
// false if the consumer stops.
func (g *gates) admit(s *source, n, slots int) (admitted, left int, restricted, ok bool) {
	if len(g.list) == 0 {
		return n, slots, false, true
	}
	select {
	case g.turn <- struct{}{}:
	default:
		if !g.awaitTurn(s, slots) {
			return 0, 0, false, false
		}
		if len(g.c.sources) > 1 {
			g.endTurn()
			return 0, 0, false, true
		}
	}
	admitted = n
	for _, gate := range g.list {
		m, reopened := g.ask(gate, admitted)
		if m > 0 {
			admitted = min(admitted, m)
			continue
		}
		g.c.slots.releaseHeld(s, slots)
		g.closedBy.Store(&gate)
		g.closed.Store(true)
		ok = g.awaitReopening(reopened)
		g.reopened.Store(int64(time.Since(g.c.progress.born)))
		g.closed.Store(false)
		g.endTurn()
		return 0, 0, false, ok
	}
	g.closedBy.Store(nil)
	g.hasty = 0
	if admitted == n {
		g.endTurn()
		return n, slots, false, true
	}
	left = min(slots, admitted)
	g.c.slots.releaseUnused(s, slots-left)
	return admitted, left, true, true
}

// awaitTurn waits until the caller has the turn. If there are other sources, it releases
// the slots, which they can use meanwhile: the gates may be closed for long. It reports
// false, with the slots released, if the consumer stops.
func (g *gates) awaitTurn(s *source, slots int) bool {
	shared := len(g.c.sources) > 1
	if shared {
		g.c.slots.releaseHeld(s, slots)
	}
	select {
	case g.turn <- struct{}{}:
		return true
	case <-g.c.drain.stop:
		if !shared {
			g.c.slots.releaseUnused(s, slots)
		}
		return false
	}
}

func (g *gates) endTurn() { <-g.turn }

// awaitReopening waits until a closed gate is worth asking again. It reports false
// if the consumer stops. The caller holds the turn.
func (g *gates) awaitReopening(reopened <-chan struct{}) bool {
	if reopened == nil {
		return g.c.drain.sleep(gateRetry)
	}
	began := time.Now()
	select {
	case <-reopened:
	case <-g.c.drain.stop:
		return false
	}
	if time.Since(began) >= time.Millisecond {
		g.hasty = 0
		return true
	}
	if g.hasty++; g.hasty > maxHasty {
		return g.c.drain.sleep(backoffDelay(g.hasty-maxHasty, time.Millisecond, hastyCap))
	}
	return true
}

// await waits until the gates know of every message of the probe.
func (g *gates) await(p *probe) {
	var grace <-chan time.Time
	for {
		waiting, open := p.left()
		if open <= 0 {
			return
		}
		if waiting <= 0 && grace == nil {
			t := time.NewTimer(gateGrace)
			defer t.Stop()
			grace = t.C
		}
		select {
		case <-p.change:
		case <-grace:
			return
		case <-g.c.drain.stop:
			return
		}
	}
}

// ask asks a gate for room. A gate that panics or ends its goroutine counts as
// closed, because its dependency may be down. It is asked again after
// gateRetry.
func (g *gates) ask(gate handler.Gate, want int) (n int, reopened <-chan struct{}) {
	err := invoke.DoApart(func() { n, reopened = gate.Admit(want) })
	if err == nil {
		return n, reopened
	}
	g.c.report.gatePanicked(gate, err)
	return 0, nil
}

// reason asks a source's closed gate why it is closed. It returns "" if the gate does
// not answer in time or has not answered the last time yet.
func (g *gates) reason(s *source, gate handler.Gate) string {
	r, ok := gate.(handler.GateReason)
	if !ok || !s.asking.CompareAndSwap(false, true) {
		return ""
	}
	answer := make(chan string, 1)
	go func() {
		reason := ""
		err := invoke.DoApart(func() { reason = r.Reason() })
		s.asking.Store(false)
		if err != nil {
			g.c.report.gatePanicked(gate, err)
			reason = ""
		}
		answer <- reason
	}()
	t := time.NewTimer(reasonPatience)
	defer t.Stop()
	select {
	case reason := <-answer:
		return reason
	case <-t.C:
		return ""
	}
}
