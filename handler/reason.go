package handler

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrPostponed is in the error of a retry that is no failure: the message
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

// Postpone has the message delivered again after d because of reason, as
// [RetryAfter] does, and marks that with [ErrPostponed] as no failure. It is
// what a middleware returns that did not let the message through. A nil reason
// gives none.
//
// On SQS and on a Pub/Sub subscription with a dead-letter policy the provider
// counts a postponed delivery as an attempt like any other.
func Postpone(d time.Duration, reason error) error {
	if reason == nil {
		return RetryAfter(d, ErrPostponed)
	}
	return RetryAfter(d, fmt.Errorf("%w: %w", ErrPostponed, reason))
}
