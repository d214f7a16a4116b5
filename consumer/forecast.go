package consumer

import (
	"math"
	"time"
)

// A forecast predicts how many messages a source can use beyond its free slots, so
// that a receive may ask for them now. Without it each handler of a few milliseconds
// waits for a round trip between two messages.
//
// The handlers of a source end at a rate of Concurrency ÷ took while all slots are
// busy. The prediction is the sum of
//
//   - those that end within a round trip: their slots are free when the answer
//     arrives;
//   - three receives' worth of messages, as far as they are handled within another round
//     trip, or within the shorter of took and briefly: a receive is made when enough
//     slots for a batch are free, and no handler should be idle until then, nor while
//     one batch is on its way and another waits for slots, nor when many handlers end
//     together.
//
// trip is a mean, and took an estimate from above by its mean deviation, so that what
// varies much is predicted with caution. The prediction is zero until both are known.
//
// Limits, each because the lease of a held message runs down and a killed process
// spends its attempt:
//
//   - at most Concurrency messages more than there are slots, or if that is more a
//     batch of at most costlyBatch if releases cost attempts, and otherwise two batches,
//     which take turns, and freeHand with the slots;
//   - when messages have waited for longer than one and three quarters of a round trip,
//     one handler's time and unnoticed, fewer are asked for, until they don't: a worker's
//     time beside its handler is in no estimate, and handlers of microseconds are slower
//     than it. Few wait for more than two round trips then;
//   - none is expected to wait for more than a tenth of its lease, and after one
//     that did none is asked for in advance until a lease has passed;
//   - those that handlers of a sudden don't come to are given back when their leases
//     would be extended, except for Concurrency of them, if that costs no attempt (see
//     workers.withdraw);
//   - all are expected to be handled within a drain, so that none is given back.
//
// With handlers of minutes the prediction is zero, as it is if less than a sixteenth
// of the handlers end within a round trip: a few messages in advance gain little, and
// handlers that no longer end together share fewer requests. Every method runs in
// constant time. It is guarded by Consumer.mu.
type forecast struct {
	source  *source
	trip    estimate // of receives that brought all they asked for
	took    estimate // of handlers
	until   time.Time
	stalled bool          // messages were given back, and no handler has returned since
	longest time.Duration // that a message has waited since the latest receive
	cut     float64       // the part of the prediction that is left out
}

const (
	// waitShare is the share of its lease that a held message may wait, as a
	// divisor.
	waitShare = 10
	// freeHand is how many messages may be handled, held and requested, and costlyBatch
	// how many may be asked for in advance, but no more than two batches of the provider's
	// or one, however low Concurrency is: one handler of microseconds uses them within a
	// round trip. If it suddenly takes long, the latter are kept for it.
	freeHand    = 200
	costlyBatch = 10
	// briefly is how long a message may wait so that receives ask for whole batches.
	briefly = 10 * time.Millisecond
	// unnoticed is a wait that is never too long: a source that answers faster than
	// goroutines take turns would be asked for single messages.
	unnoticed = 100 * time.Microsecond
	// turn is what a message costs between its receive and its handler beside the
	// request: switches between goroutines, for which one slot or few would be idle.
	turn = 20 * time.Microsecond
)

// received takes in how long a receive took that brought all it asked for: it did
// not wait for messages. Consumer.mu is held.
func (f *forecast) received(took time.Duration) {
	f.trip.add(took)
	if f.longest > max(7*f.trip.mean/4, f.took.mean, unnoticed) {
		f.cut += (1 - f.cut) / 4
	} else {
		f.cut = max(f.cut-1./16, 0)
	}
	f.longest = 0
}

// handled takes in how long a handler took. Consumer.mu is held.
func (f *forecast) handled(took time.Duration) {
	f.took.add(took)
	f.stalled = false
}

// stall records that a message was given back because handlers don't return.
// Consumer.mu is held.
func (f *forecast) stall(lease time.Duration, now time.Time) {
	f.stalled = true
	f.until = now.Add(lease)
}

// waited records how long a held message waited for a worker. Consumer.mu is
// held.
func (f *forecast) waited(d, lease time.Duration, now time.Time) {
	f.longest = max(f.longest, d)
	if lease > 0 && d > lease/waitShare {
		f.until = now.Add(lease)
	}
}

// ahead returns for how many messages more than there are free slots a receive may
// ask. Consumer.mu is held.
func (f *forecast) ahead() int {
	if !f.trip.known || !f.took.known || f.stalled || !f.until.IsZero() && time.Now().Before(f.until) {
		return 0
	}
	s := f.source
	took := float64(max(f.took.above(), time.Microsecond))
	drain := float64(s.c.cfg.DrainTimeout)
	if 2*took > drain {
		return 0 // a drain has to handle what runs and what waits behind it
	}
	slots, trip := float64(s.c.cfg.Concurrency), float64(f.trip.mean+turn)
	ends := slots * trip / took
	if ends < slots/16 {
		return 0
	}
	batch := float64(s.caps.MaxReceive)
	n := ends + min(3*batch, slots*max(trip, min(took, float64(briefly)))/took)
	most := slots
	if most < freeHand {
		most = max(slots, min(batch, costlyBatch))
		if n > most && s.releasesFree() {
			most = max(slots, min(2*batch, freeHand-slots))
		}
	}
	n = min(n, most, slots*(drain/took-1))
	if lease := s.caps.Lease; lease > 0 {
		n = min(n, slots*float64(lease/waitShare)/took)
	}
	return int(min(n*(1-f.cut), math.MaxInt32))
}

// An estimate is a moving mean of durations and of their deviation from it. The
// zero estimate knows nothing.
type estimate struct {
	mean, deviation time.Duration
	known           bool
}

// add takes in a duration.
func (e *estimate) add(d time.Duration) {
	if !e.known {
		*e = estimate{mean: d, deviation: d / 2, known: true}
		return
	}
	off := d - e.mean
	e.mean += off / 8
	e.deviation += (max(off, -off) - e.deviation) / 8
}

// above returns a duration that few exceed.
func (e *estimate) above() time.Duration { return e.mean + e.deviation }
