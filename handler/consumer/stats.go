package consumer

import (
	"sync/atomic"

	"github.com/sluice-go/sluice/handler"
)

// Stats are a consumer's numbers: totals since it was made, and what is
// happening now.
type Stats struct {
	// Received counts deliveries; Acked, Retried, DeadLettered and Discarded
	// the verdicts that the provider has taken; Released the messages that were
	// given back unhandled.
	Received, Acked, Retried, DeadLettered, Discarded, Released uint64
	// LeasesLost counts leases that ended before their handler; Late the
	// verdicts that came after; Unsettled the verdicts that the provider did not
	// take in time.
	LeasesLost, Late, Unsettled uint64
	// Extended counts extensions of leases; Panics the handlers, and functions
	// given to OnExtend, that panicked, a batch handler's panic once;
	// HookFailures the calls of observers and gates that did.
	Extended, Panics, HookFailures uint64

	// Running is how many handlers are at work; Waiting how many messages wait
	// for their turn or their group; Parked how many retries are held back here
	// because their delay is longer than the provider's longest; Settling how
	// many verdicts are on their way.
	Running, Waiting, Parked, Settling int
	// Pollers is how many receives may be on their way.
	Pollers int
}

type counts struct {
	received, acked, retried, lettered, discarded, released atomic.Uint64
	lost, late, failed, extended, panics, gates             atomic.Uint64
}

func (n *counts) settled(v *settlement) {
	switch {
	case v.released:
		n.released.Add(1)
	case v.action == handler.Ack:
		n.acked.Add(1)
	case v.action == handler.Drop:
		n.discarded.Add(1)
	case v.action == handler.DeadLetter:
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
		DeadLettered: n.lettered.Load(), Discarded: n.discarded.Load(), Released: n.released.Load(),
		LeasesLost: n.lost.Load(), Late: n.late.Load(), Unsettled: n.failed.Load(),
		Extended: n.extended.Load(), Panics: n.panics.Load(), HookFailures: n.gates.Load() + c.told.Failures(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Running, s.Waiting, s.Parked = c.running, c.waiting+c.ready.len(), c.parked
	s.Settling, s.Pollers = c.unsettled(), c.polling()
	return s
}
