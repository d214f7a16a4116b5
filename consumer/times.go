package consumer

import "time"

// times is how long a source's handlers take. Its methods run in constant time. It
// is guarded by Consumer.mu.
type times struct {
	took  time.Duration // smoothed, from zero
	usual time.Duration // the same, known from the first on
}

// add takes in how long a worker was occupied.
func (t *times) add(took time.Duration) { t.took += (took - t.took) / 16 }

// learn takes in how long a handler took. In a drain, which may begin before the
// first handler has returned, the longest time counts: a handler that starts and
// can't return in time is cut short.
func (t *times) learn(took time.Duration, draining bool) {
	switch {
	case t.usual == 0, draining && took > t.usual:
		t.usual = took
	default:
		t.usual += (took - t.usual) / 8
	}
}

// atLeast takes in that a handler has run for so long already.
func (t *times) atLeast(age time.Duration) { t.usual = max(t.usual, age) }

// likely is how long a handler may be expected to take.
func (t *times) likely() time.Duration { return t.usual + t.usual/4 }

// patience is how long a poller waits for enough slots for a batch, once it could
// have some: long enough for handlers that take a few milliseconds and were started
// together to return together, and a part of the time that longer ones take, so that
// slots are not idle for long.
func (t *times) patience() time.Duration {
	d := min(max(2*t.took, 5*time.Millisecond), 12*time.Millisecond)
	return min(max(d, t.took/8), 250*time.Millisecond)
}

// maxInARow bounds inARow: it is more than any receive brings.
const maxInARow = 10_000

// inARow returns how many messages can be handled one after the other within a
// drain: one as long as it is not known how long handlers take.
func (t *times) inARow(drain time.Duration) int {
	if t.usual <= 0 {
		return 1
	}
	n := max(drain, 0) / t.likely()
	return int(max(min(n, maxInARow), 1))
}
