package outbox

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// An Entry is a pending row of a [Table], for operators.
type Entry struct {
	// Queue is the queue that the row is for.
	Queue string
	// Message is the row's message. Its Attempt counts the attempts to send it.
	Message *handler.Message
	// Due is when the row may be sent; zero means from the start.
	Due time.Time
	// Next is when it is tried next, or when the lease of the relay that sends it ends.
	// Zero means when a relay comes to it.
	Next time.Time
	// Leased is true while a relay sends it.
	Leased bool
	// Error is why the latest attempt failed, or "".
	Error string
}

func at(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}
