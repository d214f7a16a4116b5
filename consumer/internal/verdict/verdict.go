// Package verdict turns a handler's error into what a runtime carries out: the
// verdict, the rule of the last attempt, and the failure that goes with a dead
// letter. The consumer, the Lambda function and the push endpoint share it, so
// that a letter reads the same whichever of them made it.
package verdict

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// NoReason is the reason of a rejection that has none.
const NoReason = "rejected with no reason given"

// Of reads the verdict out of err, as handler.VerdictOf does, and applies the
// rule of the last attempt: a failure of attempt max or a later one of a queue
// that has a dead-letter queue is a rejection with that failure as its reason,
// since the queue would dead-letter the message without any. A postponement is
// no failure. Neither is what ended because the lease was lost or the consumer
// stops: then the message is retried, and the queue decides.
//
// attempt 0 means that it is not known, and max 0 that there is no limit.
func Of(err error, attempt, max int, deadLetter bool) handler.Verdict {
	v := invoke.VerdictOf(err)
	if v.Action != handler.ActionRetry || v.Postponed || !deadLetter || max <= 0 || attempt < max {
		return v
	}
	if invoke.Is(err, handler.ErrPostponed) || invoke.Is(err, handler.ErrLeaseLost) || invoke.Is(err, handler.ErrStopped) {
		return v
	}
	return handler.Verdict{Action: handler.ActionDeadLetter, Err: handler.Exhausted(attempt, max, v.Err)}
}

// Reason returns the text that a dead letter gets for a rejection with err.
func Reason(err error) string {
	if text := invoke.Text(err); text != "" {
		return text
	}
	return NoReason
}

// ProcessName names this process in the failure attributes of dead letters: its host
// name and process ID.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// Failure returns what a dead letter tells of m, which consumer rejected at the
// time now because of err.
func Failure(err error, m *handler.Message, now time.Time, consumer string) *drivers.Failure {
	f := &drivers.Failure{Reason: Reason(err), Last: now, Consumer: consumer}
	if m.Attempt == 1 {
		f.First = now // of later attempts it is not known
	}
	return f
}
