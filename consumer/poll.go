package consumer

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// receiveGrace is how long a receive may take beyond the wait that it was asked
// for before it is taken to hang.
const receiveGrace = 30 * time.Second

// maxSpare is how many receives in a row may bring less than they asked for
// before their poller is one too many.
const maxSpare = 3

// poll receives for a lane until it is not needed any more. The lane's last
// one ends with the consumer only.
func (l *lane) poll() {
	c := l.c
	w := newWaiter(l)
	early := 0 // receives in a row that came back empty long before their wait
	spare := 0 // receives in a row that brought less than was asked for
	defer func() {
		c.mu.Lock()
		c.changed()
		c.mu.Unlock()
	}()
	for {
		wait, trial := l.outage.hold(time.Now())
		if wait > 0 {
			if l.quit(false) {
				return
			}
			if !c.sleep(wait) {
				l.quit(true)
				return
			}
			continue
		}
		n, slots := c.acquire(w)
		if n == 0 {
			l.quit(true)
			return
		}
		if trial {
			n = 1
		}
		n, slots, restricted, ok := c.admit(l, n, slots)
		if !ok {
			l.quit(true)
			return
		}
		if n == 0 {
			continue
		}
		var p *probe
		if restricted {
			p = newProbe()
		}
		began := time.Now()
		wait = l.wait(slots)
		ds, err := l.receive(n, wait)
		took := time.Since(began)
		if err == nil {
			l.recovered()
			l.deliver(ds, n, slots, p, took)
			if restricted {
				c.await(p)
			}
		} else {
			c.missed(l, slots)
		}
		if restricted {
			<-c.turn
		}
		switch {
		case c.isStopping():
			l.quit(true)
			return
		case err != nil:
			if l.failed(err, took) {
				l.quit(true)
				return
			}
			if l.quit(false) {
				return
			}
			c.sleep(l.outage.delay()) // a stop is found at the next acquire
		case len(ds) > 0:
			early = 0
			l.empty.reset()
			if spare++; len(ds) >= n {
				spare = 0
			}
			if spare >= maxSpare && l.quit(false) {
				return
			}
		default:
			if l.quit(false) {
				return
			}
			if c.cfg.UntilEmpty && c.checkEmpty(l) {
				<-c.stop
				continue
			}
			if early = l.pace(early, wait, began); early > 0 {
				c.sleep(backoffDelay(early, 50*time.Millisecond, time.Second))
			}
		}
	}
}

// receive asks the source for up to n messages.
func (l *lane) receive(n int, wait time.Duration) ([]drivers.Delivery, error) {
	ctx, cancel := context.WithTimeout(l.c.polls, wait+receiveGrace)
	defer cancel()
	slept := l.asleep()
	ds, err := l.source.Receive(ctx, n, wait)
	if slept = l.asleep() - slept; slept > jitter {
		// The leases may have been given before the machine was suspended.
		for i := range ds {
			if !ds[i].Deadline.IsZero() {
				ds[i].Deadline = ds[i].Deadline.Add(-slept)
			}
		}
	}
	if err != nil && len(ds) > 0 {
		l.c.log.Error("messages came damaged: they come again when their leases end", "queue", l.caps.Queue, "error", invoke.Safe(err))
		err = nil
	}
	return ds, err
}

// afterOutage is how long the receives of an outage wait, so that its end is
// known soon.
const afterOutage = time.Second

// sharedWait is how long the receives of one lane of several wait that hold
// handler slots.
const sharedWait = time.Second

// wait is how long the next receive may wait for a message.
func (l *lane) wait(slots int) time.Duration {
	switch wait := l.c.cfg.ReceiveWait; {
	case l.outage.is():
		return min(wait, afterOutage)
	case slots > 0 && len(l.c.lanes) > 1:
		return min(wait, sharedWait)
	case l.c.cfg.UntilEmpty:
		return min(wait, l.empty.wait(l.c.idleNow()))
	default:
		return wait
	}
}

// pace counts receives in a row that came back empty at once though they were
// asked to wait: a provider that does so must not be asked in a hot loop.
func (l *lane) pace(early int, wait time.Duration, began time.Time) int {
	if time.Since(began) < min(wait/2, time.Second) {
		return early + 1
	}
	return 0
}

// quit ends the calling poller if the lane can do without it, or must.
func (l *lane) quit(must bool) bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if !must && l.pollers == 1 {
		return false
	}
	l.pollers--
	return true
}

// noteUncounted logs, once a minute, that the provider, which counts attempts, has
// left some out: a message whose attempt is not known is never at its last.
func (l *lane) noteUncounted(fs []*flight, now time.Time) {
	if !l.caps.AttemptKnown {
		return
	}
	for _, f := range fs {
		if f.msg.Attempt > 0 {
			continue
		}
		if missed, ok := l.uncount.Allow(now, time.Minute); ok {
			l.c.log.Error("messages come without their number of attempts: limits of attempts do not hold", "queue", l.caps.Queue,
				"message", f.msg.ID, "receives_before", missed)
		}
		return
	}
}

// deliver takes in what a receive for n messages has brought, which holds the
// given slots, and how long it took.
func (l *lane) deliver(ds []drivers.Delivery, n, slots int, p *probe, took time.Duration) {
	c := l.c
	c.noteSleep()
	now := time.Now()
	fs := l.newFlights(ds, now, p)
	received := handler.Event{Kind: handler.EventReceived, Origin: l.origin, N: len(fs), Duration: took}
	if len(fs) > 0 {
		c.count.Observe(received)
		l.noteUncounted(fs, now)
		l.noteBack(fs)
		if p != nil {
			p.add(len(fs))
		}
	} else if c.idleNow() {
		c.progressed(now)
	}
	for _, f := range fs {
		f.reschedule(now) // no one else knows f yet, so its lock is not needed
	}
	var back []*flight
	var delays []time.Duration
	turns := 0
	c.mu.Lock()
	c.give(l, slots)
	l.busy = slots > 0 && len(ds) >= n
	if l.ask = len(ds); len(ds) >= n {
		l.ask = 2 * n
	}
	aside := c.solo.wait.len()
	for _, f := range fs {
		c.link(f)
		if c.stopping && !c.inTime(l, now) {
			if c.hurried {
				back, delays = append(back, f), append(delays, 0)
			} else {
				c.unfit = append(c.unfit, f)
			}
			continue
		}
		if d := l.keptOut(f, now); d > 0 {
			back, delays = append(back, f), append(delays, d)
			continue
		}
		if l.queue(f, now) {
			c.enqueue(f)
			turns++
		} else {
			f.leaveProbe() // a gate learns of it when its turn comes
		}
	}
	if len(fs) > 0 {
		l.turns = max(turns, l.turns/2)
		if l.usual > 0 && turns == len(fs) && len(ds) >= n && l.careful() {
			l.turns = 2 * n // the next one may be of as many groups
		}
	}
	l.noteCaution(len(fs), c.solo.wait.len() > aside || c.apart(), now)
	c.wake()
	if l.busy && !c.stopping && l.pollers < l.mostPollers() && !l.outage.is() {
		_, full, _ := c.target(l)
		if c.available() >= full && l.used+full <= c.share(l) && len(c.waiters) == 0 {
			l.pollers++
			go l.poll()
		}
	}
	c.grant()
	c.mu.Unlock()
	if len(fs) > 0 {
		// Not before: another poller must not overtake this one meanwhile.
		c.told.Observe(received)
	}
	for i, f := range back {
		f.giveBack(delays[i], now)
	}
	if len(back) > 0 {
		l.retries.Flush()
	}
}

// missed notes that a receive failed, and returns its slots. The lane's share is
// the others' until it has messages again.
func (c *Consumer) missed(l *lane, slots int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.give(l, slots)
	l.busy, l.ask = false, 0
	c.grant()
}

func (c *Consumer) isStopping() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// idleNow reports whether nothing is held here.
func (c *Consumer) idleNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive == 0
}

// sleep waits, and reports false if the consumer stops meanwhile.
func (c *Consumer) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.stop:
		return false
	}
}
