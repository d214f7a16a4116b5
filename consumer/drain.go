package consumer

import "time"

// A drain handles what is in hand as far as its time allows, since giving a
// message back costs an attempt at most providers. It gives back what would not
// end in time, judged by how long handlers take; when its time is over, it gives
// back everything that has not been started.

// inTime reports whether a handler of l that starts at the given time is likely
// to end within the drain. c.mu is held.
func (c *Consumer) inTime(l *lane, at time.Time) bool {
	return !at.Add(l.usual + l.usual/4).After(c.drainBy)
}

// unstarted counts the messages in hand whose handlers are to run before a drain
// is over. c.mu is held.
func (c *Consumer) unstarted() int {
	n := c.ready.len() + c.waiting + c.reruns
	if c.solo.next != nil {
		n++
	}
	return n
}

// beginDrain stops receiving. What is in hand is to be handled by the given time.
func (c *Consumer) beginDrain(now, by time.Time) {
	for _, f := range c.flights() {
		f.noteAge(now) // what runs already says how long handlers take
	}
	c.mu.Lock()
	c.stopping, c.drainBy = true, by
	c.wake() // what waits beside a suspect runs now
	c.mu.Unlock()
	close(c.stop)
}

// hurry gives back what can't be handled within the drain, and from then on what
// turns out to be such.
func (c *Consumer) hurry(now time.Time) {
	c.mu.Lock()
	c.hurried = true
	back := c.unfit
	c.unfit = nil
	for _, l := range c.lanes {
		for _, g := range l.groups {
			if g.shut != nil && !c.inTime(l, l.blocked[g.key].until) {
				back = append(back, c.drainGroup(g)...)
			}
		}
	}
	c.mu.Unlock()
	c.release(back)
	for _, f := range c.flights() {
		f.hurry(now)
	}
	c.flushRetries()
}

// endDrain gives back what has not been started. It reports whether no handler
// runs.
func (c *Consumer) endDrain(now time.Time) bool {
	c.mu.Lock()
	c.drainBy = time.Time{} // nothing is in time any more
	drained := c.running == 0
	back := c.ready.drain()
	for _, f := range back {
		c.give(f.lane, 1)
	}
	back = append(back, c.dropAside()...)
	for _, l := range c.lanes {
		for _, g := range l.groups {
			back = append(back, c.drainGroup(g)...)
		}
	}
	c.unfit = append(c.unfit, back...)
	c.mu.Unlock()
	c.hurry(now)
	return drained
}

// flights lists the live flights.
func (c *Consumer) flights() []*flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	fs := make([]*flight, 0, c.alive)
	for f := c.live; f != nil; f = f.next {
		fs = append(fs, f)
	}
	return fs
}

// flushRetries sends what is given back: it is wanted elsewhere, so it does not
// wait for company.
func (c *Consumer) flushRetries() {
	for _, l := range c.lanes {
		l.retries.Flush()
	}
}

// noteAge takes the time that a handler has run already for the time that
// handlers take, if it is longer. A suspect's says nothing about others.
func (f *flight) noteAge(now time.Time) {
	f.mu.Lock()
	age := time.Duration(0)
	if f.state == running && !f.alone {
		age = now.Sub(f.started)
	}
	f.mu.Unlock()
	c := f.lane.c
	c.mu.Lock()
	defer c.mu.Unlock()
	f.lane.usual = max(f.lane.usual, age)
}

// hurry gives a parked flight back that can't run again within the drain.
func (f *flight) hurry(now time.Time) {
	f.mu.Lock()
	if f.state != parked {
		f.mu.Unlock()
		return
	}
	if f.verdict.rerun {
		c := f.lane.c
		c.mu.Lock()
		stays := c.inTime(f.lane, f.verdict.until)
		c.mu.Unlock()
		if stays {
			f.mu.Unlock()
			return
		}
	}
	f.unparkLocked(f.verdict.until.Sub(now), now)
}
