package consumer

import (
	"sync/atomic"

	"github.com/sluice-go/sluice/handler"
)

// Stats are a consumer's numbers: totals since it was made, and what is
// happening now.
type Stats struct {
	// Received counts deliveries; Acked, Retried, DeadLettered and Dropped
	// the verdicts that the provider has taken, or that were carried out here;
	// Released the messages that were given back unhandled; Postponed the
	// postponements, after which a message is handled again here or given back.
	Received, Acked, Retried, DeadLettered, Dropped, Released, Postponed uint64
	// LeasesLost counts leases that ended before their handler; Late the
	// verdicts that came after, or that the provider had not taken when their
	// lease ended; Unsettled the verdicts that the provider refused or did not
	// take otherwise. No verdict is in two of them.
	LeasesLost, Late, Unsettled uint64
	// Extended counts extensions of leases; Panics the handlers, and functions
	// given to OnExtend, that panicked, a batch handler's panic once;
	// HookFailures the calls of observers and gates that did.
	Extended, Panics, HookFailures uint64

	// Running is how many handlers are at work; Waiting how many messages wait
	// for their turn or their group; Parked how many are kept in hand for a time:
	// postponed ones, failed heads of ordered groups, and retries whose delay is
	// longer than the provider's longest; Settling how many verdicts are on their
	// way.
	Running, Waiting, Parked, Settling int
	// Pollers is how many receives may be on their way.
	Pollers int
}

type counts struct {
	received, acked, retried, lettered, dropped, released, postponed atomic.Uint64
	lost, late, failed, extended, panics, gates                      atomic.Uint64
}

func (n *counts) settled(v *settlement) {
	switch {
	case v.released:
		n.released.Add(1)
	case v.action == handler.ActionAck:
		n.acked.Add(1)
	case v.action == handler.ActionDrop:
		n.dropped.Add(1)
	case v.action == handler.ActionDeadLetter:
		n.lettered.Add(1)
	default:
		n.retried.Add(1)
	}
}

// Stats returns the numbers of this moment.
func (c *Consumer) Stats() Stats {
	n := &c.counts
	s := Stats{
		Received: n.received.Load(), Acked: n.acked.Load(), Retried: n.retried.Load(),
		DeadLettered: n.lettered.Load(), Dropped: n.dropped.Load(), Released: n.released.Load(), Postponed: n.postponed.Load(),
		LeasesLost: n.lost.Load(), Late: n.late.Load(), Unsettled: n.failed.Load(),
		Extended: n.extended.Load(), Panics: n.panics.Load(), HookFailures: n.gates.Load() + c.told.Failures(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Running, s.Waiting, s.Parked = c.running, c.waiting+c.ready.len(), c.parked
	s.Settling, s.Pollers = c.unsettled(), c.polling()
	return s
}
