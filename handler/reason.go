package handler

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrPostponed is in the error of a retry that is not a failure: the message
	// was put off before anyone worked on it, because a limit was reached, a
	// dependency is down, or another worker has it. Find it with errors.Is.
	// Middleware that counts or logs failures leaves such retries out.
	ErrPostponed = errors.New("postponed")

	// ErrExhausted is in the error of a rejection whose only ground is that the
	// attempts are used up: the error under it was one that another attempt
	// might have mended. Find it with errors.Is, and look at the verdict too: a
	// breaker may have made a retry of it.
	ErrExhausted = errors.New("attempts used up")
)

// Exhausted returns the reason of a rejection whose only ground is that the
// attempts are used up: attempt is the one that failed with err, limit how many
// there are. Its text is "attempts used up: attempt 3 of 3: " and err's, without
// the verdicts around it. It wraps [ErrExhausted] and err; an err that has
// ErrExhausted in it already is returned as it is.
func Exhausted(attempt, limit int, err error) error {
	if isExhausted(err) {
		return err
	}
	return &exhausted{attempt, limit, err}
}

// isExhausted is errors.Is, but false if a method of err panics, and without the
// Is methods. It comes back from an error that unwraps to itself.
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
// The runtime keeps a postponed message in hand, off its handler slot and with
// its lease kept, and runs it again after d. Nothing is spent: Message.Attempt
// is the same the next time. Beyond the runtime's bounds (how many messages it
// holds, how many bytes, the provider's longest lease), and when it stops, the
// message is given back. The embedded queue does not count that as an attempt;
// SQS counts every receive, and so does a Pub/Sub subscription with a
// dead-letter policy. A delivery without a lease (AWS Lambda, an HTTP push) is
// given back as [RetryAfter] gives it back.
func Postpone(d time.Duration, reason error) error {
	err := ErrPostponed
	if reason != nil {
		err = fmt.Errorf("%w: %w", ErrPostponed, reason)
	}
	return &verdictError{Verdict{Action: ActionRetry, Delay: max(d, 0), Delayed: true, Postponed: true, Err: err}}
}
