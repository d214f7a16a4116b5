package producer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

var (
	// ErrOverloaded is why a message was refused or shed: the queue is too deep
	// ([Config.Pressure]). An HTTP endpoint answers 429.
	ErrOverloaded = errors.New("the queue is overloaded: try again later")

	// ErrHeldBack is why a message was not sent that is in the same call of
	// Send as an earlier one of its group that failed: sending it would break
	// the group's order.
	ErrHeldBack = errors.New("an earlier message of its group failed in the same call")

	// ErrUnknown is why a message is reported whose request was on its way when
	// Send's context ended: it may have been sent.
	ErrUnknown = errors.New("it is not known whether the message was sent")
)

// A SendError tells which messages of one call of [Producer.Send] failed. The
// others were sent. errors.Is and errors.As look into every failure.
type SendError struct {
	// Queue is the queue's name.
	Queue string
	// Failed are the failures, in the order of the call's messages.
	Failed []Failure
	// Sent is how many messages of the call were sent.
	Sent int
}

// A Failure is one message that was not sent.
type Failure struct {
	// Index is the message's place in the call.
	Index   int
	Message *handler.Message
	Err     error
}

// shown is how many failures an error's text names.
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
