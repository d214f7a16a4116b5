package consumer

import "time"

// caution bounds the receives of a source after a start and after a suspect. A
// consumer that has just started may follow one that was killed. The messages that
// the other process held arrive within one lease, the suspect among them. If the
// suspect crashes this process too, each message received with it loses an attempt.
// So for that time a receive asks for one message, and for twice as many after each
// that brought no suspect. Each suspect restarts the period. It is guarded by
// Consumer.mu.
type caution struct {
	source *source
	most   int // for how many messages a receive may ask; 0 means any number
	until  time.Time
}

const (
	maxCaution    = 10 * time.Minute
	cautionMargin = 5 * time.Second
)

// begin starts the cautious time. Consumer.mu is held.
func (k *caution) begin(now time.Time) {
	s := k.source
	if deadLetter, most := s.policy(); deadLetter && most > 1 && s.caps.Lease > 0 {
		k.most, k.until = 1, now.Add(min(s.caps.Lease, maxCaution)+cautionMargin)
	}
}

// cap bounds the number of messages that a receive asks for. Consumer.mu is held.
func (k *caution) cap(n int) int {
	if k.most > 0 {
		return min(n, k.most)
	}
	return n
}

// note takes in that a receive brought n messages, and whether suspects were among
// them. Consumer.mu is held.
func (k *caution) note(n int, suspects bool, now time.Time) {
	switch {
	case suspects && k.source.c.isolation.overspent(now) < 0:
		k.begin(now)
	case k.most == 0:
	case suspects || now.After(k.until):
		k.most = 0
	case n == 0:
		k.most = 1
	default:
		k.most = min(2*k.most, 1<<20)
	}
}
