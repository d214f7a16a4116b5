package consumer

import (
	"sync"
	"time"
)

// gateRetry is when a gate is asked again that gave no channel to wait for.
const gateRetry = time.Second

// gateGrace is what a handler that was started under a restricting gate gets to
// reach the middleware that the gate belongs to, before the gate is asked again:
// a gate learns of a message only there.
const gateGrace = 5 * time.Millisecond

// maxHasty is how many times in a row a gate may be closed again in the moment in
// which it has reopened before it is asked at longer and longer intervals, up to
// hastyCap: one that returns a channel that is closed already would be asked in a
// hot loop.
const (
	maxHasty = 3
	hastyCap = 100 * time.Millisecond
)

// admit asks the gates how many of n messages may be received, for which the
// caller holds slots. Slots that are not to be used are given back. Where the gates restrict, the calling poller
// holds the turn: it alone receives until its messages have reached the gates'
// middleware, so that several pollers do not each take what was meant once. ok
// is false when the consumer stops.
func (c *Consumer) admit(l *lane, n, slots int) (admitted, left int, restricted, ok bool) {
	if len(c.cfg.Gates) == 0 {
		return n, slots, false, true
	}
	select {
	case c.turn <- struct{}{}:
	case <-c.stop:
		c.giveBack(l, slots)
		return 0, 0, false, false
	}
	admitted = n
	for _, g := range c.cfg.Gates {
		m, reopened := c.askGate(g, admitted)
		if m > 0 {
			admitted = min(admitted, m)
			continue
		}
		c.giveBack(l, slots)
		l.closedBy.Store(&g)
		c.gated.Store(true)
		ok = c.awaitGate(reopened)
		c.reopened.Store(int64(time.Since(c.born)))
		c.gated.Store(false)
		<-c.turn
		return 0, 0, false, ok
	}
	l.closedBy.Store(nil)
	c.hasty = 0
	if admitted == n {
		<-c.turn
		return n, slots, false, true
	}
	left = min(slots, admitted)
	c.giveBack(l, slots-left)
	return admitted, left, true, true
}

// awaitGate waits until a closed gate is worth asking again. It reports false if
// the consumer stops. The turn is held.
func (c *Consumer) awaitGate(reopened <-chan struct{}) bool {
	if reopened == nil {
		return c.sleep(gateRetry)
	}
	began := time.Now()
	select {
	case <-reopened:
	case <-c.stop:
		return false
	}
	if time.Since(began) >= time.Millisecond {
		c.hasty = 0
		return true
	}
	if c.hasty++; c.hasty > maxHasty {
		return c.sleep(backoffDelay(c.hasty-maxHasty, time.Millisecond, hastyCap))
	}
	return true
}

// probe follows the messages of a receive that a gate restricted. A nil probe
// follows nothing.
type probe struct {
	mu      sync.Mutex
	waiting int // not started
	open    int // not finished
	change  chan struct{}
}

func newProbe() *probe { return &probe{change: make(chan struct{}, 1)} }

func (p *probe) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting += n
	p.open += n
}

// started notes that a message reached its handler; finished that it left it.
func (p *probe) started()  { p.note(1, 0) }
func (p *probe) finished() { p.note(0, 1) }

func (p *probe) note(started, finished int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.waiting -= started
	p.open -= finished
	p.mu.Unlock()
	select {
	case p.change <- struct{}{}:
	default:
	}
}

// leaveProbe has the restricted receive that brought f not wait for it.
func (f *flight) leaveProbe() {
	f.probe.started()
	f.probe.finished()
	f.probe = nil
}

func (p *probe) left() (waiting, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting, p.open
}

// await waits until the gates know of every message of the probe.
func (c *Consumer) await(p *probe) {
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
		case <-c.stop:
			return
		}
	}
}
