package pubsubpush

import "sync/atomic"

// Stats are an endpoint's numbers: totals since it was made, and what is happening
// now.
type Stats struct {
	// Received counts messages; Acked, Retried, DeadLettered and Dropped the
	// verdicts that were answered; Postponed the messages that a middleware had
	// postponed ([handler.Postpone]), which were given back; Foreign the messages
	// that a redrive aimed at another subscription, which were acknowledged
	// unhandled.
	Received, Acked, Retried, DeadLettered, Dropped, Postponed, Foreign uint64
	// Refused counts requests without a valid token, Malformed those that could
	// not be read or were too large, Busy those that were turned away because
	// Concurrency handlers were running.
	Refused, Malformed, Busy uint64
	// Late counts verdicts that nobody waited for any more; Unsettled the dead
	// letters that could not be published, whose messages are pushed again;
	// Panics the handlers that panicked.
	Late, Unsettled, Panics uint64
	// Running is how many handlers are at work.
	Running int
}

type counts struct {
	received, acked, retried, lettered, dropped, foreign atomic.Uint64
	postponed                                            atomic.Uint64
	refused, malformed, busy, late, unsettled, panics    atomic.Uint64
}

// Stats returns the numbers as they are now.
func (e *Endpoint) Stats() Stats {
	n := &e.counts
	return Stats{
		Received: n.received.Load(), Acked: n.acked.Load(), Retried: n.retried.Load(),
		DeadLettered: n.lettered.Load(), Dropped: n.dropped.Load(), Postponed: n.postponed.Load(), Foreign: n.foreign.Load(),
		Refused: n.refused.Load(), Malformed: n.malformed.Load(), Busy: n.busy.Load(),
		Late: n.late.Load(), Unsettled: n.unsettled.Load(), Panics: n.panics.Load(),
		Running: int(e.running.Load()),
	}
}
