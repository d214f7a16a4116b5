package consumer

import (
	"math"
	"time"
)

// A forecast predicts how many slots of a source will be free when the answer to a
// receive arrives, so that a receive may ask for them now. Without it each handler
// of a few milliseconds waits for a round trip between two messages.
//
// The prediction is Concurrency × trip ÷ took: the number of handlers that end
// within a round trip while all slots are busy. trip is an estimate from below and
// took one from above, by the mean deviation of each, so that what varies much is
// predicted with caution. It is zero until both are known.
//
// Bounds, each because a message in hand has a lease that runs and an attempt that
// a killed process spends:
//
//   - at most Concurrency messages more than there are slots;
//   - none is expected to wait for more than a tenth of its lease, and after one
//     that did none is asked for in advance until a lease has passed;
//   - all are expected to be handled within a drain, so that none is given back.
//
// With handlers of minutes the prediction is zero, as it is below a sixteenth of the
// slots: a few messages in advance gain little, and handlers that no longer end
// together share fewer requests. Every method runs in constant
// time. It is guarded by Consumer.mu.
type forecast struct {
	source *source
	trip   estimate // of receives that brought all they asked for
	took   estimate // of handlers
	until  time.Time
}

// waitShare is the share of its lease that a message may wait in hand, as a divisor.
const waitShare = 10

// received takes in how long a receive took that brought all it asked for: it did
// not wait for messages. Consumer.mu is held.
func (f *forecast) received(took time.Duration) { f.trip.add(took) }

// handled takes in how long a handler took. Consumer.mu is held.
func (f *forecast) handled(took time.Duration) { f.took.add(took) }

// waited takes in how long a message waited in hand for a worker. Consumer.mu is held.
func (f *forecast) waited(d, lease time.Duration, now time.Time) {
	if lease > 0 && d > lease/waitShare {
		f.until = now.Add(lease)
	}
}

// ahead returns for how many messages more than there are free slots a receive may
// ask. Consumer.mu is held.
func (f *forecast) ahead() int {
	s := f.source
	concurrency := s.c.cfg.Concurrency
	if !f.trip.known || !f.took.known || !f.until.IsZero() && time.Now().Before(f.until) {
		return 0
	}
	took := max(f.took.above(), time.Microsecond)
	if 2*took > s.c.cfg.DrainTimeout {
		return 0 // a drain has to handle what runs and what waits behind it
	}
	n := float64(concurrency) * float64(f.trip.below()) / float64(took)
	if lease := s.caps.Lease; lease > 0 {
		n = min(n, float64(concurrency)*float64(lease/waitShare)/float64(took))
	}
	if n < float64(concurrency)/16 {
		return 0
	}
	return int(min(n, float64(concurrency), math.MaxInt32))
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

// below returns a duration that few fall below.
func (e *estimate) below() time.Duration { return max(e.mean-e.deviation, 0) }
