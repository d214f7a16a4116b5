package console

import (
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// KeepTries has the tries to log in that are used up stay used up, however slow the machine is.
func (c *Console) KeepTries() { c.guard.logins.SetLimit(0) }

// Fill gives a queue a history of an hour, before what it has counted: a count in five
// seconds.
func (c *Console) Fill(queue string, depth func(minute float64) drivers.Depth) {
	h, now := &c.byName[queue].history, time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var past []sample
	for d := kept; d > 0; d -= 5 * time.Second {
		past = append(past, sample{now.Add(-d), depth((kept - d).Minutes())})
	}
	h.samples = append(past, h.samples...)
}
