package handler

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrPostponed marks a retry that is not a failure: the message was postponed
	// before a handler saw it, because a limit was reached, a dependency is down,
	// or another worker has the message. Find it with errors.Is. Middleware that
	// counts or logs failures leaves such retries out.
	ErrPostponed = errors.New("postponed")

	// ErrExhausted is in the error of a rejection whose only ground is that the
	// attempts are used up: the error under it was one that another attempt might
	// have mended. Test for it with errors.Is, and check the verdict too: a
	// breaker may have turned the rejection into a retry.
	ErrExhausted = errors.New("attempts used up")
)

// Exhausted returns the reason of a rejection whose only ground is that the
// attempts are used up: attempt is the one that failed with err, limit how many
// there are. Its text is "attempts used up: attempt 3 of 3: " and err's, without
// the verdicts around it. It wraps [ErrExhausted] and err. An err that already
// wraps ErrExhausted is returned unchanged.
func Exhausted(attempt, limit int, err error) error {
	if isExhausted(err) {
		return err
	}
	return &exhausted{attempt, limit, err}
}

// isExhausted is errors.Is, but false if a method of err panics, and without the
// Is methods. It terminates on an error that unwraps to itself.
func isExhausted(err error) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	left := maxErrors
	walk(err, &left, func(e error) bool {
		is = e == ErrExhausted //nolint:errorlint // this is the walk
		return is
	})
	return is
}

type exhausted struct {
	attempt, limit int
	err            error
}

func (e *exhausted) Error() string {
	text := fmt.Sprintf("%v: attempt %d of %d", ErrExhausted, e.attempt, e.limit)
	if e.err == nil {
		return text
	}
	return text + ": " + textOf(Cause(e.err))
}

// Attempts returns the attempt that failed and how many there are. A middleware finds
// it with errors.As.
func (e *exhausted) Attempts() (attempt, limit int) { return e.attempt, e.limit }

func (e *exhausted) Unwrap() []error {
	if e.err == nil {
		return []error{ErrExhausted}
	}
	return []error{ErrExhausted, e.err}
}

// Postpone returns an error that puts the message off for d, because of reason,
// and marks that with [ErrPostponed] as no failure: no one has worked on the
// message. A middleware returns it if it did not let the message through. A nil
// reason gives none. A d below zero counts as zero.
//
// The runtime holds a postponed message without a handler slot, keeps its lease
// extended, and runs it again after d. Nothing is spent: Message.Attempt is the
// same the next time. Beyond the runtime's limits (number and bytes of held
// messages, the provider's longest lease), and when it stops, the message is
// released. The embedded queue does not count that as an attempt; SQS counts
// every receive, and so does a Pub/Sub subscription with a dead-letter policy.
// A delivery without a lease (AWS Lambda, an HTTP push) is returned as by
// [RetryAfter].
func Postpone(d time.Duration, reason error) error {
	err := ErrPostponed
	if reason != nil {
		err = fmt.Errorf("%w: %w", ErrPostponed, reason)
	}
	return &verdictError{Verdict{Action: ActionRetry, Delay: max(d, 0), Delayed: true, Postponed: true, Err: err}}
}
