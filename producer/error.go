package producer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

var (
	// ErrOverloaded is the error of a message that was refused or shed because the
	// queue is too deep ([Config.Pressure]). An HTTP endpoint should answer 429.
	ErrOverloaded = errors.New("the queue is overloaded: try again later")

	// ErrHeldBack is the error of a message that was not sent because an earlier
	// message of its group failed in the same call of Send: sending it would
	// break the group's order.
	ErrHeldBack = errors.New("an earlier message of its group failed in the same call")

	// ErrUnknown is the error of a message whose request was on its way when
	// Send's context ended, or whose request never returned. The message may have
	// been sent.
	ErrUnknown = errors.New("the message may or may not have been sent")
)

// A SendError lists the messages of one call of [Producer.Send] that failed. The
// others were sent. errors.Is and errors.As examine every failure.
type SendError struct {
	// Queue is the queue's name.
	Queue string
	// Failed are the failures, in the order of the call's messages.
	Failed []Failure
	// Sent is the number of the call's messages that were sent.
	Sent int
}

// A Failure describes a message that was not sent.
type Failure struct {
	// Index is the message's index in the call, from 0.
	Index   int
	Message *handler.Message
	Err     error
}

// shown is the number of failures that an error's text names.
const shown = 3

// Error names the queue, how many messages failed, and the first failures.
func (e *SendError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "queue %q: send: %d of %d messages not sent: ", e.Queue, len(e.Failed), len(e.Failed)+e.Sent)
	for i, f := range e.Failed {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-shown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "message %d: %v", f.Index, f.Err)
	}
	return b.String()
}

// Unwrap returns the failures' errors.
func (e *SendError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}
