package consumer

import "time"

// SetAsleep replaces the clock of suspends.
func (c *Consumer) SetAsleep(f func() time.Duration) { c.sleepClock.asleep = f }
