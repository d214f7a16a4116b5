package console

import (
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// A sample is one count of a queue.
type sample struct {
	at    time.Time
	depth drivers.Depth
}

// waiting returns the messages of the queue that are not done, or drivers.Unknown.
func (s *sample) waiting() int64 {
	if s.depth.Visible == drivers.Unknown {
		return drivers.Unknown
	}
	return s.depth.Visible + max(s.depth.InFlight, 0) + max(s.depth.Delayed, 0)
}
