package consumer

import (
	"slices"
	"time"
)

// isolation runs suspects alone. A message that ends its process takes the messages
// beside it along: none of them has a verdict, and each delivery counts as an
// attempt. A suspect is a message that has used more than half of its attempts and
// was not retried here. Nothing runs beside it, and nothing that was handled waits
// for the provider to take its verdict. See docs/adr/0013.
//
// The order, with Consumer.mu held throughout: workers.enqueue hands a suspect to
// setAside (suspects); choose picks one (chosen), and nothing is received from then
// on; ready deliveries run first; start runs it once nothing runs and nothing is
// unsettled (alone); end ends it, and choose picks another.
//
// Invariant: at most one of chosen and alone is set, and chosen has a slot. Each
// step has a bound, after which the suspect runs beside others. All of them together
// get a tenth of the time, a reserve, and all of the time if there is no other
// message: isolation protects the queue and must not stop it. Each step takes
// constant time, except that mix runs over the suspects, of which there are at most
// maxSuspects.
type isolation struct {
	c        *Consumer
	suspects fifo[*delivery] // in hand
	chosen   *delivery
	alone    *delivery // until it has run for soloPatience
	began    time.Time // when chosen or alone was chosen
	// spent is for how long suspects have kept others from being received, minus what
	// has been earned since; at is the time up to which it is reckoned.
	spent time.Duration
	at    time.Time
	timer *time.Timer
	turn  int // of the timer: one that was stopped too late has an earlier turn
}

const (
	// maxSuspects bounds the suspects that wait. Beyond it a suspect runs like any
	// other message: so many come from retries in other processes, not from a crash.
	maxSuspects = 100
	// soloPatience is how long a suspect waits for others to end, and how long it then
	// runs alone.
	soloPatience = 30 * time.Second
	// soloShare is the part of the time that suspects may have: one in so many. The
	// reserve is what Concurrency suspects take twice, within bounds: as many as a
	// process that was killed leaves behind.
	soloShare                 = 10
	leastReserve, mostReserve = 5 * time.Second, 5 * time.Minute
	// maxRetriedHere bounds the memory of messages that were retried here.
	maxRetriedHere = 10_000
)

// isSuspect reports whether d must run alone. It asks once for each delivery, and
// erases the memory of its retry. Consumer.mu is held.
func (i *isolation) isSuspect(d *delivery) bool {
	if d.cleared || !d.source.suspicious(int(d.attempt)) {
		return false
	}
	d.cleared = true
	if _, known := d.source.retriedHere[d.msg.ID]; known {
		delete(d.source.retriedHere, d.msg.ID)
		return false
	}
	return i.suspects.len() < maxSuspects
}

// remember notes that the handler has retried a message here: its next attempt is
// not a sign of a crash. Consumer.mu is not held.
func (i *isolation) remember(d *delivery) {
	s := d.source
	if d.verdict.released || !s.suspicious(int(d.attempt)+1) {
		return
	}
	i.c.mu.Lock()
	defer i.c.mu.Unlock()
	if s.retriedHere == nil || len(s.retriedHere) >= maxRetriedHere {
		s.retriedHere = make(map[string]struct{})
	}
	s.retriedHere[d.msg.ID] = struct{}{}
}

// setAside holds a suspect until it can run alone. Consumer.mu is held.
func (i *isolation) setAside(d *delivery) {
	i.suspects.push(d)
	i.c.hand.beginWait(d)
	d.detachProbe() // a gate learns of it when its turn comes
	i.choose(time.Now())
}

// takeAll removes and returns the suspects that have not started. Consumer.mu is held.
func (i *isolation) takeAll() []*delivery {
	ds := i.suspects.takeAll()
	i.c.hand.endWait(ds...)
	if d := i.chosen; d != nil {
		i.chosen = nil
		i.c.slots.release(d.source, 1)
		ds = append(ds, d)
	}
	return ds
}

// choose picks the next suspect, if it is time. Consumer.mu is held.
func (i *isolation) choose(now time.Time) {
	if i.chosen != nil || i.alone != nil || i.suspects.len() == 0 {
		return
	}
	if over := i.overspent(now); over >= 0 && !i.vacant() {
		wait := soloShare*over + time.Second
		i.schedule(min(wait, soloPatience), func(now time.Time) {
			if wait > soloPatience {
				i.mix()
			}
			i.choose(now)
		})
		return
	}
	i.began = now
	d := i.suspects.pop()
	i.c.hand.endWait(d)
	i.c.slots.take(d.source, 1)
	i.chosen = d
	i.schedule(soloPatience, func(now time.Time) {
		if i.chosen == d { // others do not end: it runs beside them
			i.chosen = nil
			i.c.hand.ready.push(d)
			i.charge(now)
		}
	})
	i.c.workers.wake()
}

// start returns the chosen suspect, which runs alone from now on. Consumer.mu is held.
func (i *isolation) start() *delivery {
	d := i.chosen
	i.chosen, i.alone = nil, d
	d.alone = true
	i.schedule(soloPatience, func(now time.Time) { // it goes on beside others
		i.alone = nil
		i.charge(now)
	})
	return d
}

// end continues after d, which ran alone. Consumer.mu is held.
func (i *isolation) end(d *delivery, now time.Time) {
	if i.alone != d {
		return
	}
	i.alone = nil
	i.turn++ // the timer is for no one any more
	i.charge(now)
}

// vacant reports whether nothing runs, and the latest receives brought nothing.
// Consumer.mu is held.
func (i *isolation) vacant() bool {
	return i.c.hand.running+i.c.hand.ready.len() == 0 &&
		!slices.ContainsFunc(i.c.sources, func(s *source) bool { return s.busy || s.ask > 0 })
}

// mix makes suspects run beside others, as many as there are slots: their time alone
// would come too late. Consumer.mu is held.
func (i *isolation) mix() {
	for range min(i.suspects.len(), i.c.cfg.Concurrency) {
		d := i.suspects.pop()
		i.c.hand.endWait(d)
		i.c.workers.enqueue(d, time.Now()) // it is cleared
	}
	i.c.workers.wake()
}

// overspent returns by how much suspects have exceeded their time; a negative result
// is the time that is left. Consumer.mu is held.
func (i *isolation) overspent(now time.Time) time.Duration {
	i.spent = max(i.spent-now.Sub(i.at)/soloShare, 0)
	i.at = now
	usual := time.Duration(0)
	for _, s := range i.c.sources {
		usual = max(usual, s.times.usual)
	}
	usual = min(usual, mostReserve)
	return i.spent - min(max(2*time.Duration(min(i.c.cfg.Concurrency, 1000))*usual, leastReserve), mostReserve)
}

// charge accounts for the time of a suspect and continues with the others.
// Consumer.mu is held.
func (i *isolation) charge(now time.Time) {
	i.spent += now.Sub(i.began)
	i.choose(now)
	i.c.workers.wake()
	i.c.slots.grant()
}

// schedule calls f with Consumer.mu held after d, unless schedule or end is called
// before. Consumer.mu is held.
func (i *isolation) schedule(d time.Duration, f func(now time.Time)) {
	if i.timer != nil {
		i.timer.Stop()
	}
	i.turn++
	turn := i.turn
	i.timer = time.AfterFunc(d, func() {
		i.c.mu.Lock()
		defer i.c.mu.Unlock()
		if i.turn == turn && !i.c.drain.ended {
			f(time.Now())
		}
	})
}

// excludes reports whether a suspect keeps others from being received. Consumer.mu is
// held.
func (i *isolation) excludes() bool { return i.chosen != nil || i.alone != nil }
