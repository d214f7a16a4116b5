// Package verdict turns a handler's error into a verdict, by the rule of the last
// attempt, and into the failure that goes with a dead letter. The consumer, the Lambda function and the push endpoint share it, so
// that letters of all three read the same.
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

// Of returns the verdict in err, as handler.VerdictOf does, and applies the rule of
// the last attempt: on a queue with a dead-letter queue, a failure of attempt max
// or later is a rejection with the failure as its reason. The queue itself would
// dead-letter the message without a reason. A postponement is not a failure. A
// handler that ends because the lease was lost or the consumer stops has not failed
// either: the message is retried, and the queue decides.
//
// An attempt of 0 is unknown, and a max of 0 means no limit.
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

// Failure returns the failure for a dead letter of m, which consumer rejected at the
// time now because of err.
func Failure(err error, m *handler.Message, now time.Time, consumer string) *drivers.Failure {
	f := &drivers.Failure{Reason: Reason(err), Last: now, Consumer: consumer}
	if m.Attempt == 1 {
		f.First = now // unknown for later attempts
	}
	return f
}
