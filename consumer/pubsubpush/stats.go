package pubsubpush

import (
	"sync/atomic"

	"github.com/sluice-go/sluice/handler"
)

// Stats are an endpoint's numbers: totals since it was created, and the current state.
type Stats struct {
	// Counts are the numbers of the events that the endpoint has observed. Verdicts
	// count when they are answered. Postponed messages count as released. Unsettled
	// is the number of dead letters that could not be published, whose messages are
	// pushed again. Late is the number of verdicts that came after the end of the
	// request.
	handler.Counts
	// Foreign is the number of messages that a redrive sent to another
	// subscription, which were acknowledged unhandled.
	Foreign uint64
	// Refused is the number of requests without a valid token. Malformed is the
	// number of those that could not be parsed or were too large. Busy is the number
	// of those refused because Concurrency handlers were running.
	Refused, Malformed, Busy uint64
	// Panics is the number of handlers that panicked.
	Panics uint64
	// Running is the number of handlers that are running.
	Running int
}

// counts has the numbers that do not come from events.
type counts struct{ foreign, refused, malformed, busy atomic.Uint64 }
