package pubsubpush

import (
	"sync/atomic"

	"github.com/sluice-go/sluice/handler"
)

// Stats are an endpoint's numbers: totals since it was made, and the state of this
// moment.
type Stats struct {
	// Counts are the numbers of the events that the endpoint has observed itself.
	// Verdicts count when they were answered. Postponed messages are released.
	// Unsettled counts the dead letters that could not be published, whose messages
	// are pushed again, and Late the verdicts that came after the request had ended.
	handler.Counts
	// Foreign is the number of messages that a redrive sent to another
	// subscription, which were acknowledged unhandled.
	Foreign uint64
	// Refused is the number of requests without a valid token, Malformed of those
	// that could not be read or were too large, and Busy of those that were turned
	// away because Concurrency handlers were running.
	Refused, Malformed, Busy uint64
	// Panics is the number of handlers that panicked.
	Panics uint64
	// Running is the number of handlers that are running.
	Running int
}

// counts are the numbers of what is not an event.
type counts struct{ foreign, refused, malformed, busy atomic.Uint64 }
