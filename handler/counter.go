package handler

import "sync/atomic"

// A Counter is an [Observer] that counts events. The zero Counter is ready to use.
// Its methods may be called concurrently. A Counter must not be copied.
type Counter struct {
	received, acked, retried, deadLettered, dropped, released, postponed atomic.Uint64
	leasesLost, late, unsettled, extended, duplicates, expired           atomic.Uint64
}

// Counts are the numbers of a [Counter]: totals since its first event.
type Counts struct {
	// Received is the number of messages received.
	Received uint64
	// Acked, Retried, DeadLettered and Dropped are the numbers of verdicts that
	// were carried out.
	Acked, Retried, DeadLettered, Dropped uint64
	// Released is the number of messages returned to the queue unhandled.
	Released uint64
	// Postponed is the number of postponements (see [Postpone]). A postponed
	// message is handled again, or released.
	Postponed uint64
	// LeasesLost is the number of leases that ended before their handler did. Late
	// is the number of verdicts that came after that, or that the provider had not
	// accepted when their lease ended; Unsettled the number that the provider
	// refused, or did not accept for another reason. No verdict is in both.
	LeasesLost, Late, Unsettled uint64
	// Extended is the number of extensions of leases.
	Extended uint64
	// Duplicates is the number of messages that a middleware found to be handled
	// already. Each is also in the count of its verdict.
	Duplicates uint64
	// Expired is the number of messages that a middleware did not hand on because they
	// had expired. Each is also in the count of its verdict.
	Expired uint64
}

// Observe implements [Observer].
func (c *Counter) Observe(e Event) {
	switch e.Kind {
	case EventReceived:
		c.received.Add(uint64(max(e.N, 0)))
	case EventSettled:
		c.settled(e.Action, e.Err)
	case EventExtended:
		if e.Err == nil {
			c.extended.Add(1)
		}
	case EventLeaseLost:
		c.leasesLost.Add(1)
	case EventLateVerdict:
		c.late.Add(1)
	case EventReleased:
		c.released.Add(1)
	case EventPostponed:
		c.postponed.Add(1)
	case EventDuplicate:
		c.duplicates.Add(1)
	case EventExpired:
		c.expired.Add(1)
	case EventReceiveFailed, EventStarted, EventHandled, EventNoDeadLetter, EventStoreDown, EventStoreUp:
	}
}

func (c *Counter) settled(a Action, err error) {
	switch {
	case err != nil:
		c.unsettled.Add(1)
	case a == ActionAck:
		c.acked.Add(1)
	case a == ActionDeadLetter:
		c.deadLettered.Add(1)
	case a == ActionDrop:
		c.dropped.Add(1)
	default:
		c.retried.Add(1)
	}
}

// Counts returns the numbers so far. Events that are observed meanwhile may be in
// some of them and not yet in others.
func (c *Counter) Counts() Counts {
	return Counts{
		Received: c.received.Load(), Acked: c.acked.Load(), Retried: c.retried.Load(), DeadLettered: c.deadLettered.Load(),
		Dropped: c.dropped.Load(), Released: c.released.Load(), Postponed: c.postponed.Load(),
		LeasesLost: c.leasesLost.Load(), Late: c.late.Load(), Unsettled: c.unsettled.Load(),
		Extended: c.extended.Load(), Duplicates: c.duplicates.Load(), Expired: c.expired.Load(),
	}
}
