package consumer

import "time"

// jitter is by how much two readings of the clocks may differ though the machine
// was not suspended.
const jitter = 100 * time.Millisecond

// noteSleep shortens all leases by the time for which the machine was suspended
// since the last call. Providers count it and the monotonic clock does not, so
// that verdicts would be carried out, and handlers go on, on messages that
// others have by now. It is called before leases are judged: when requests are
// sent and when messages come. An embedded queue counts leases as the monotonic
// clock does; then the message is delivered again later than it could be.
func (c *Consumer) noteSleep() {
	total := int64(c.asleep())
	last := c.slept.Load()
	d := time.Duration(total - last)
	if d <= jitter || !c.slept.CompareAndSwap(last, total) {
		return
	}
	c.mu.Lock()
	fs := make([]*flight, 0, c.alive)
	for f := c.live; f != nil; f = f.next {
		fs = append(fs, f)
	}
	c.mu.Unlock()
	for _, f := range fs {
		f.mu.Lock()
		if f.leased() && f.state != done {
			f.deadline, f.received = f.deadline.Add(-d), f.received.Add(-d)
			if f.state == held || f.state == running || f.state == parked {
				c.heap.Set(&f.timer, time.Now())
			}
		}
		f.mu.Unlock()
	}
	c.log.Warn("the machine was suspended: leases have run down meanwhile", "suspended", d, "messages", len(fs))
}
