package consumer

import "time"

// jitter is by how much two readings of the clocks may differ though the machine
// was not suspended.
const jitter = 100 * time.Millisecond

// noteSleep shortens all leases by the time for which the machine was suspended
// since the last call. Providers count it and the monotonic clock does not, so
// that verdicts would be carried out, and handlers go on, on messages that
// others have by now. It is called before leases are judged: when requests are
// sent and when messages come. Leases by the machine's own clock are left alone
// (Capabilities.LocalClock): the message is still ours.
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
		if !f.lane.caps.LocalClock {
			fs = append(fs, f)
		}
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
	if len(fs) == 0 {
		return
	}
	c.log.Warn("the machine was suspended: leases have run down meanwhile", "suspended", d, "messages", len(fs))
}

// asleep is for how long leases of the lane ran down in suspends.
func (l *lane) asleep() time.Duration {
	if l.caps.LocalClock {
		return 0
	}
	return l.c.asleep()
}
