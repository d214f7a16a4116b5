package consumer

import (
	"sync/atomic"
	"time"
)

// jitter is by how much two readings of the clocks may differ though the machine was
// not suspended.
const jitter = 100 * time.Millisecond

// A sleepClock shortens leases by the time for which the machine was suspended.
// Providers count that time and the monotonic clock does not: without it verdicts would
// be carried out, and handlers would go on, on messages that others have by now.
type sleepClock struct {
	c      *Consumer
	asleep func() time.Duration // for how long the machine was suspended
	judged atomic.Int64         // the result of asleep when leases were judged last
}

// shortenLeases shortens all leases by the suspends since its last call. It must be
// called before leases are judged: when requests are sent and when messages come. Leases
// by the machine's own clock (Capabilities.LocalClock) are left alone. No lock may be
// held. Without a suspend it takes constant time.
func (k *sleepClock) shortenLeases() {
	total := int64(k.asleep())
	last := k.judged.Load()
	d := time.Duration(total - last)
	if d <= jitter || !k.judged.CompareAndSwap(last, total) {
		return
	}
	n := 0
	for _, one := range k.c.hand.list() {
		if !one.source.caps.LocalClock {
			one.shiftLease(d)
			n++
		}
	}
	if n > 0 {
		k.c.log.Warn("the machine was suspended: leases ran down meanwhile", "suspended", d, "messages", n)
	}
}

// start forgets the suspends before Run.
func (k *sleepClock) start() { k.judged.Store(int64(k.asleep())) }
