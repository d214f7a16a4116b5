package sqs

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/sluice-go/sluice/drivers"
)

// throttledAttempts is the number of times that a request about a queue is tried as long as the
// service throttles it. The delays double from a second on, and end within answerTime.
// CloudWatch takes nine requests a second for alarms from an account and region.
const throttledAttempts = 5

// patient is the retryer of requests that plan, make, and examine queues: many queues
// may be in progress, and nobody else repeats their requests. It repeats throttled
// requests more often than others.
type patient struct{ *retry.Standard }

func newPatient() patient {
	return patient{retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts = throttledAttempts
		so.RateLimiter = ratelimit.None
	})}
}

// RetryDelay returns how long to wait before a request is repeated, or err if it must
// not be.
func (p patient) RetryDelay(attempt int, err error) (time.Duration, error) {
	if attempt >= attempts {
		if code, _ := classifyError(err); code != drivers.Throttled {
			return 0, err
		}
	}
	return p.Standard.RetryDelay(attempt, err)
}
