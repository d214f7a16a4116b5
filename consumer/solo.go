package consumer

import (
	"slices"
	"time"
)

// A message that kills the process takes the messages beside it along: none of them
// has a verdict, and each delivery counts. So a suspect, a message that has used more
// than half of its attempts and was not retried here, runs alone: nothing else runs
// beside it, and nothing that was received and handled waits for the provider to take
// its verdict. See docs/adr/0013.
//
// The order, with Consumer.mu held throughout: enqueue puts a suspect aside (wait); step
// chooses one (next), from when on nothing is received; what is ready runs first; take
// starts it once nothing runs and nothing is unsettled (now); leave ends it, and step
// chooses another. Each step has a bound, after which the suspect runs beside others, and
// all of them together have a tenth of the time and a reserve, and what is left when
// there is nothing else: isolation protects, and must not stop, the queue.
type solo struct {
	wait  fifo[*flight] // suspects in hand
	next  *flight       // chosen; it has a slot
	now   *flight       // it runs alone
	over  bool          // now has run for so long that others may begin
	began time.Time     // when next was chosen that is now next, or now
	// spent is how long suspects have kept others from being received, less what has
	// been earned since; at is until when that is reckoned.
	spent time.Duration
	at    time.Time
	timer *time.Timer
	turn  int // of the timer: one that was stopped too late is for an earlier turn
}

const (
	// maxSuspects is how many suspects wait. Beyond it a suspect is run as any other:
	// so many come from retries in other processes, not from a crash.
	maxSuspects = 100
	// soloPatience is how long a suspect waits for others to end, and how long it
	// then runs alone.
	soloPatience = 30 * time.Second
	// soloShare is the part of the time that suspects may have: one in so many. The
	// reserve is what a house full of suspects takes twice, within bounds: it is what
	// a process that was killed leaves behind.
	soloShare                 = 10
	leastReserve, mostReserve = 5 * time.Second, 5 * time.Minute
	// maxKnown is how many messages are remembered that were retried here.
	maxKnown = 10_000
)

// suspicious reports whether a message of l with so many attempts may have killed a
// process.
func (l *lane) suspicious(attempt int) bool {
	if attempt <= 1 {
		return false
	}
	deadLetter, most := l.policy()
	return deadLetter && most > 1 && attempt > most/2
}

// suspect reports whether f is to run alone, and forgets that it was retried here. c.mu
// is held.
func (c *Consumer) suspect(f *flight) bool {
	if f.cleared || !f.lane.suspicious(f.attempt) {
		return false
	}
	f.cleared = true // asked once
	if _, known := f.lane.known[f.msg.ID]; known {
		delete(f.lane.known, f.msg.ID)
		return false
	}
	return c.solo.wait.len() < maxSuspects
}

// noteKnown remembers a message that the handler has retried here: its next attempt is
// no sign of a crash. c.mu is not held.
func (l *lane) noteKnown(f *flight) {
	if f.verdict.released || !l.suspicious(f.attempt+1) {
		return
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.known == nil || len(l.known) >= maxKnown {
		l.known = make(map[string]struct{})
	}
	l.known[f.msg.ID] = struct{}{}
}

// setAside keeps a suspect in hand until it can run alone. c.mu is held.
func (c *Consumer) setAside(f *flight) {
	c.solo.wait.push(f)
	c.beginWait(f)
	f.leaveProbe() // a gate learns of it when its turn comes
	c.step(time.Now())
}

// dropAside takes all suspects out that have not been started. c.mu is held.
func (c *Consumer) dropAside() []*flight {
	back := c.solo.wait.drain()
	c.endWait(back...)
	if f := c.solo.next; f != nil {
		c.solo.next = nil
		c.give(f.lane, 1)
		back = append(back, f)
	}
	return back
}

// step chooses the next suspect, if it is time. c.mu is held.
func (c *Consumer) step(now time.Time) {
	s := &c.solo
	if s.next != nil || s.now != nil || s.wait.len() == 0 {
		return
	}
	if over := c.overspent(now); over >= 0 && !c.vacant() {
		wait := soloShare*over + time.Second
		c.soloTimer(min(wait, soloPatience), func(now time.Time) {
			if wait > soloPatience {
				c.mix()
			}
			c.step(now)
		})
		return
	}
	s.began = now
	f := s.wait.pop()
	c.endWait(f)
	f.lane.used++
	c.free--
	s.next = f
	c.soloTimer(soloPatience, func(now time.Time) {
		if s.next == f { // others do not end: it runs beside them
			s.next = nil
			c.ready.push(f)
			c.spend(now)
		}
	})
	c.wake()
}

// vacant reports whether nothing runs, and the latest receives brought nothing. c.mu is
// held.
func (c *Consumer) vacant() bool {
	return c.running+c.ready.len() == 0 && !slices.ContainsFunc(c.lanes, func(l *lane) bool { return l.busy || l.ask > 0 })
}

// mix has suspects run beside others, as many as there are slots: their time would come
// too late. c.mu is held.
func (c *Consumer) mix() {
	for range min(c.solo.wait.len(), c.cfg.Concurrency) {
		f := c.solo.wait.pop()
		c.endWait(f)
		c.enqueue(f) // it is cleared
	}
	c.wake()
}

// overspent is by how much suspects have had more than their time; below zero, how much
// is left. c.mu is held.
func (c *Consumer) overspent(now time.Time) time.Duration {
	s := &c.solo
	s.spent = max(s.spent-now.Sub(s.at)/soloShare, 0)
	s.at = now
	usual := time.Duration(0)
	for _, l := range c.lanes {
		usual = max(usual, l.usual)
	}
	usual = min(usual, mostReserve)
	return s.spent - min(max(2*time.Duration(min(c.cfg.Concurrency, 1000))*usual, leastReserve), mostReserve)
}

// spend reckons what a suspect has taken, and goes on with the others. c.mu is held.
func (c *Consumer) spend(now time.Time) {
	c.solo.spent += now.Sub(c.solo.began)
	c.step(now)
	c.wake()
	c.grant()
}

// soloTimer calls f with c.mu held after d, unless it is set again before. c.mu is held.
func (c *Consumer) soloTimer(d time.Duration, f func(now time.Time)) {
	s := &c.solo
	if s.timer != nil {
		s.timer.Stop()
	}
	s.turn++
	turn := s.turn
	s.timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.turn == turn && !c.ended {
			f(time.Now())
		}
	})
}

// apart reports whether a suspect keeps others from being received. c.mu is held.
func (c *Consumer) apart() bool { return c.solo.next != nil || c.solo.now != nil && !c.solo.over }

// runnable reports whether there is something to be run now. c.mu is held.
func (c *Consumer) runnable() bool {
	s := &c.solo
	switch {
	case s.now != nil && !s.over && !c.stopping: // a drain would give the others back
		return false
	case c.ready.len() > 0:
		return true
	default:
		return s.next != nil && c.running == 0 && c.unsettled() == 0
	}
}

// take removes and returns the flight that runs next. c.mu is held, and runnable is
// true.
func (c *Consumer) take() *flight {
	if c.ready.len() > 0 {
		return c.ready.pop()
	}
	s := &c.solo
	f := s.next
	s.next, s.now, s.over = nil, f, false
	f.alone = true
	c.soloTimer(soloPatience, func(time.Time) {
		s.over = true
		c.wake()
		c.grant()
	})
	return f
}

// leftAlone goes on after f, which ran alone. c.mu is held.
func (c *Consumer) leftAlone(f *flight, now time.Time) {
	s := &c.solo
	if s.now != f {
		return
	}
	s.now, s.over = nil, false
	s.turn++ // its timer is for no one any more
	c.spend(now)
}

// tellAlone logs, once a minute, that a suspect runs alone. No lock is held.
//
//go:noinline
func (c *Consumer) tellAlone(f *flight, now time.Time) {
	if missed, ok := f.lane.suspects.Allow(now, time.Minute); ok {
		c.log.Info("earlier attempts of the message may have ended its process: it runs alone",
			"queue", f.lane.caps.Queue, "message", f.msg.ID, "attempt", f.attempt, "not_logged", missed)
	}
}

// A consumer that has just started may follow one that was killed. The messages that
// that one had in hand arrive within one lease, the suspect among its neighbours. If the
// suspect kills again, each message received beside it loses an attempt. So for that time
// a receive asks for one message, and for twice as many after each that brought no
// suspect. Each suspect begins the time anew.

// beginCaution begins the cautious time. c.mu is held.
func (l *lane) beginCaution(now time.Time) {
	if deadLetter, most := l.policy(); deadLetter && most > 1 && l.caps.Lease > 0 {
		l.most, l.cautious = 1, now.Add(min(l.caps.Lease, maxCaution)+cautionMargin)
	}
}

const (
	maxCaution    = 10 * time.Minute
	cautionMargin = 5 * time.Second
)

// cap bounds what a receive asks for. c.mu is held.
func (l *lane) cap(n int) int {
	if l.most > 0 {
		return min(n, l.most)
	}
	return n
}

// noteCaution takes in what a receive has brought. c.mu is held.
func (l *lane) noteCaution(n int, suspects bool, now time.Time) {
	switch {
	case suspects && l.c.overspent(now) < 0:
		l.beginCaution(now)
	case l.most == 0:
	case suspects || now.After(l.cautious):
		l.most = 0
	case n == 0:
		l.most = 1
	default:
		l.most = min(2*l.most, 1<<20)
	}
}
