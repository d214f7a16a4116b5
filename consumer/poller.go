package consumer

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// receiveGrace is how long a receive may take beyond the wait that it was asked for
	// before it counts as hanging.
	receiveGrace = 30 * time.Second
	// maxSpare is how many receives in a row may bring less than they asked for before
	// their poller retires.
	maxSpare = 3
	// afterOutage is how long the receives of an outage wait, so that its end is known
	// soon.
	afterOutage = time.Second
	// sharedWait is how long a receive that holds slots waits, if there are several
	// sources.
	sharedWait = time.Second
)

// A poller receives for a source, one receive after the other. A source has at least
// one poller until the consumer stops, and at most slots.mostPollers. It is used by its
// own goroutine.
type poller struct {
	source *source
	waiter *waiter
	early  int         // receives in a row that came back empty long before their wait
	spare  int         // receives in a row that brought less than was asked for
	ds     []*delivery // accept's own
}

func newPoller(s *source) *poller { return &poller{source: s, waiter: newWaiter(s)} }

// run receives until the poller retires.
func (p *poller) run() {
	c := p.source.c
	defer func() {
		c.mu.Lock()
		c.drain.signal()
		c.mu.Unlock()
	}()
	for p.step() {
	}
}

// step makes one receive. It reports whether the poller continues; if not, the poller
// has retired. A poller of which the source has others may retire after each receive
// that does not bring all it asked for.
func (p *poller) step() bool {
	s := p.source
	c := s.c
	hold, trial := s.outage.hold(time.Now())
	if hold > 0 {
		if p.retireIfSpare() {
			return false
		}
		return c.drain.sleep(hold) || p.retire()
	}
	n, slots := c.slots.acquire(p.waiter)
	if n == 0 {
		return p.retire()
	}
	if trial {
		n = 1
	}
	n, slots, turns, ok := p.admit(n, slots)
	if !ok {
		return p.retire()
	}
	if n == 0 {
		return true
	}
	var followed *probe
	if len(turns) > 0 {
		followed = newProbe()
	}
	began := time.Now()
	wait := p.wait(slots)
	ds, err := p.receive(n, wait)
	took := time.Since(began)
	if err == nil {
		s.outage.receiveSucceeded()
		p.accept(ds, n, slots, followed, took)
		if len(turns) > 0 {
			c.gates.await(followed)
		}
	} else {
		c.slots.releaseFailed(s, slots)
	}
	for _, g := range turns {
		g.endTurn()
	}
	if c.drain.begun() {
		return p.retire()
	}
	if err != nil {
		if s.outage.receiveFailed(err, took) {
			return p.retire()
		}
		if p.retireIfSpare() {
			return false
		}
		c.drain.sleep(s.outage.delay()) // a stop is found by the next acquire
		return true
	}
	if len(ds) > 0 {
		p.early = 0
		s.emptiness.reset()
		if p.spare++; len(ds) >= n {
			p.spare = 0
		}
		return p.spare < maxSpare || !p.retireIfSpare()
	}
	if p.retireIfSpare() {
		return false
	}
	if c.cfg.UntilEmpty && s.emptiness.check() {
		<-c.drain.stop
		return true
	}
	p.pause(wait, began)
	return true
}

// admit asks the source's gates, and then those of all sources, how many of n messages may
// be received; see gates.admit. It returns the gates whose turn the poller holds.
func (p *poller) admit(n, slots int) (admitted, left int, turns []*gates, ok bool) {
	s := p.source
	for _, g := range [...]*gates{&s.gates, &s.c.gates} {
		var restricted bool
		n, slots, restricted, ok = g.admit(s, n, slots)
		if !ok || n == 0 {
			for _, g := range turns {
				g.endTurn()
			}
			return 0, 0, nil, ok
		}
		if restricted {
			turns = append(turns, g)
		}
	}
	return n, slots, turns, true
}

// wait returns how long the next receive may wait for a message.
func (p *poller) wait(slots int) time.Duration {
	s := p.source
	switch wait := s.c.cfg.ReceiveWait; {
	case s.outage.receivesFail():
		return min(wait, afterOutage)
	case slots > 0 && len(s.c.sources) > 1:
		return min(wait, sharedWait)
	case s.c.cfg.UntilEmpty:
		return min(wait, s.emptiness.wait(s.c.hand.empty()))
	default:
		return wait
	}
}

// receive asks the driver for up to n messages.
func (p *poller) receive(n int, wait time.Duration) ([]drivers.Delivery, error) {
	s := p.source
	ctx, cancel := context.WithTimeout(s.c.polls, wait+receiveGrace)
	defer cancel()
	slept := s.asleep()
	ds, err := s.driver.Receive(ctx, n, wait)
	if slept = s.asleep() - slept; slept > jitter {
		// The leases may have begun before the machine was suspended.
		for i := range ds {
			if !ds[i].Deadline.IsZero() {
				ds[i].Deadline = ds[i].Deadline.Add(-slept)
			}
		}
	}
	if err != nil && len(ds) > 0 {
		s.c.log.Error("damaged messages were received: they are redelivered when their leases end", "queue", s.caps.Queue, "error", invoke.Safe(err))
		err = nil
	}
	return ds, err
}

// accept takes in the messages of a receive for n messages, which holds the given slots
// and took so long.
func (p *poller) accept(received []drivers.Delivery, n, slots int, followed *probe, took time.Duration) {
	s := p.source
	c := s.c
	c.sleepClock.shortenLeases()
	now := time.Now()
	p.ds = newDeliveries(p.ds[:0], s, received, now, followed)
	ds := p.ds
	defer clear(ds)
	event := handler.Event{Kind: handler.EventReceived, Origin: s.origin, N: len(ds), Duration: took}
	if len(ds) > 0 {
		c.report.count(event)
		c.report.withoutAttempt(s, ds, now)
		s.emptiness.noteReceived(ds)
		followed.add(len(ds))
	} else if c.hand.empty() {
		c.progress.note(now)
	}
	c.heap.SetAll(ds, func(d *delivery) (time.Time, bool) {
		// No one else knows it yet, so its lock is not needed.
		return d.nextCare(now).time(), d.lease.timed()
	})
	c.mu.Lock()
	c.slots.release(s, slots)
	if s.busy = slots > 0 && len(ds) >= n; s.busy {
		s.forecast.received(took)
	}
	if s.ask = len(ds); len(ds) >= n {
		s.ask = 2 * n
	}
	suspects := c.isolation.suspects.len()
	back, delays, turns := p.dispatch(ds, now)
	s.noteReceived(len(ds), n, turns)
	s.caution.note(len(ds), c.isolation.suspects.len() > suspects || c.isolation.excludes(), now)
	c.workers.wake()
	if s.busy && !c.drain.stopping && s.pollers < c.slots.mostPollers(s) && !s.outage.receivesFail() && c.slots.spareBatch(s) {
		s.pollers++
		go newPoller(s).run()
	}
	c.slots.grant()
	c.mu.Unlock()
	if len(ds) > 0 {
		// Not before: another poller must not overtake this one meanwhile.
		c.report.pass(event)
	}
	for i, d := range back {
		d.nack(delays[i], now)
	}
	if len(back) > 0 {
		s.settler.retries.Flush()
	}
}

// dispatch registers received deliveries: each is ready, waits for its group, or must be
// released. It returns those to nack, with their delays, and how many had their turn.
// Consumer.mu is held.
func (p *poller) dispatch(ds []*delivery, now time.Time) (back []*delivery, delays []time.Duration, turns int) {
	s := p.source
	c := s.c
	for _, d := range ds {
		c.hand.link(d)
		if c.drain.stopping && !c.drain.inTime(s, now) {
			if c.drain.hurried {
				back, delays = append(back, d), append(delays, 0)
			} else {
				c.drain.late = append(c.drain.late, d)
			}
			continue
		}
		if delay := s.groups.nackDelay(d, now); delay > 0 {
			back, delays = append(back, d), append(delays, delay)
			continue
		}
		if s.groups.admit(d, now) {
			c.workers.enqueue(d, now)
			turns++
		} else {
			d.detachProbe() // a gate learns of it when its turn comes
		}
	}
	return back, delays, turns
}

// pause waits if receives in a row came back empty long before their wait: a provider
// that answers so must not be asked in a hot loop.
func (p *poller) pause(wait time.Duration, began time.Time) {
	if time.Since(began) >= min(wait/2, time.Second) {
		p.early = 0
		return
	}
	p.early++
	p.source.c.drain.sleep(backoffDelay(p.early, 50*time.Millisecond, time.Second))
}

// retire removes the poller from its source. It returns false, which ends the poller.
func (p *poller) retire() (goOn bool) {
	p.source.c.mu.Lock()
	defer p.source.c.mu.Unlock()
	p.source.pollers--
	return false
}

// retireIfSpare retires the poller unless it is the source's only one. It reports
// whether it did.
func (p *poller) retireIfSpare() bool {
	p.source.c.mu.Lock()
	defer p.source.c.mu.Unlock()
	if p.source.pollers == 1 {
		return false
	}
	p.source.pollers--
	return true
}
