package consumer

import (
	"sort"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
)

// maxSlowest is how many running handlers a Health lists.
const maxSlowest = 10

// A monitor judges a consumer's health.
type monitor struct{ c *Consumer }

// health returns the state of this moment. No lock may be held. It takes time linear in
// the number of held messages, and sorts those whose handlers run.
func (m monitor) health() Health {
	c, now := m.c, time.Now()
	h := Health{Status: HealthOK}
	for _, s := range c.sources {
		q := m.queue(s, now)
		if q.Status == HealthOutage {
			h.Status = HealthOutage
		}
		h.Queues = append(h.Queues, q)
	}
	c.mu.Lock()
	for i, s := range c.sources {
		h.Queues[i].Pollers = s.pollers
	}
	h.Running, h.Waiting, h.Parked, h.Settling = c.hand.running, c.hand.waiting+c.hand.ready.len(), c.parking.parked, c.hand.unsettled()
	busy := c.hand.running >= c.cfg.Concurrency || c.workers.runnable()
	stopping, ended := c.drain.stopping, c.drain.ended
	c.mu.Unlock()
	h.Slowest = m.slowest(now)
	idle, begun := c.progress.idle(now)
	h.IdleSeconds = idle.Seconds()
	switch {
	case ended:
		h.Status = HealthStopped
	case !begun:
		h.Status = HealthStarting
	case stopping:
		h.Status = HealthDraining
	case idle <= m.stallAfter():
	case busy:
		// Handlers are stuck, whatever the provider and the gates say.
		h.Status = HealthStalled
	case h.Status == HealthOK && !c.gates.closed.Load() && m.deaf(now):
		h.Status = HealthStalled
	}
	return h
}

// queue returns the health of one source, without its pollers.
func (m monitor) queue(s *source, now time.Time) QueueHealth {
	q := QueueHealth{Queue: s.caps.Queue, Status: HealthOK}
	if g := s.closedBy(); g != nil {
		q.Paused, q.PausedBy = true, m.c.gates.reason(s, *g)
	}
	if since, err := s.outage.state(now); err != nil {
		q.Status, q.Error, q.Since = HealthOutage, invoke.Text(err), &since
	} else if err := s.fault(); err != nil {
		q.Status, q.Error = HealthOutage, invoke.Text(err)
	}
	return q
}

// slowest returns the handlers that have run longest.
func (m monitor) slowest(now time.Time) []RunningHandler {
	var hs []RunningHandler
	for _, d := range m.c.hand.list() {
		d.mu.Lock()
		if d.state == running {
			hs = append(hs, RunningHandler{
				Queue: d.source.caps.Queue, Message: d.msg.ID, Attempt: d.msg.Attempt,
				Seconds: at(now).sub(d.started).Seconds(),
			})
		}
		d.mu.Unlock()
	}
	sort.Slice(hs, func(i, j int) bool { return hs[i].Seconds > hs[j].Seconds })
	return hs[:min(len(hs), maxSlowest)]
}

// stallAfter is how long without progress is too long.
func (m monitor) stallAfter() time.Duration {
	if m.c.cfg.StallAfter > 0 {
		return m.c.cfg.StallAfter
	}
	var d time.Duration
	for _, s := range m.c.sources {
		d = max(d, s.caps.Lease)
	}
	if d == 0 {
		return time.Minute
	}
	return d
}

// deaf reports whether a queue has messages though no receive of it has ended for longer
// than a receive takes that hangs: the poller is stuck. While too many messages are held,
// pollers wait on purpose. Time during which a gate was closed does not count.
func (m monitor) deaf(now time.Time) bool {
	c := m.c
	c.mu.Lock()
	full := c.hand.waitingRoom() < 1
	c.mu.Unlock()
	if full {
		return false
	}
	limit := max(m.stallAfter(), c.cfg.ReceiveWait+receiveGrace+afterOutage)
	for _, s := range c.sources {
		if s.gates.closed.Load() {
			continue
		}
		last := c.progress.born.Add(time.Duration(max(c.gates.reopened.Load(), s.gates.reopened.Load())))
		if r := s.outage.lastReceive(); r.After(last) {
			last = r
		}
		if now.Sub(last) > limit && s.backlog.waits(now, last) {
			return true
		}
	}
	return false
}
