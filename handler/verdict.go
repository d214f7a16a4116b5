package handler

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Action is the action of a verdict on a message. The zero Action is [ActionRetry], so
// that a forgotten case never loses a message.
type Action uint8

// The actions.
const (
	// ActionRetry makes the message visible again, after a delay.
	ActionRetry Action = iota
	// ActionAck removes the message: it was handled.
	ActionAck
	// ActionDeadLetter moves the message to the dead-letter queue.
	ActionDeadLetter
	// ActionDrop removes the message though it was not handled.
	ActionDrop
)

var actionNames = [...]string{ActionRetry: "retry", ActionAck: "ack", ActionDeadLetter: "dead_letter", ActionDrop: "drop"}

// String returns "retry", "ack", "dead_letter" or "drop".
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// A Verdict is what a handler decided about a message. The zero Verdict is a
// retry by the queue's own policy.
type Verdict struct {
	// Action is the action to take.
	Action Action
	// Delay is how long a retried message stays invisible. It counts only where
	// Delayed is true; otherwise the queue's own policy decides.
	Delay   time.Duration
	Delayed bool
	// Postponed is true on a retry that is not a failure of the message, because
	// no one has worked on it; see [Postpone]. It never counts as an attempt
	// if the runtime or the queue can help it.
	Postponed bool
	// Err is the handler's error, nil on an ack.
	Err error
}

// VerdictOf reads the verdict out of a handler's error. A nil error is an ack.
// The outermost verdict in the chain of wrapped errors wins; of errors joined
// with errors.Join the first that has one. An error with no verdict in it is a
// retry by the queue's own policy.
//
// A *backoff.PermanentError (github.com/cenkalti/backoff, any major version)
// counts as a rejection. It is recognised by its type's name, so that this
// package depends on nothing.
//
// VerdictOf does not panic even if a method of err does: an error whose Unwrap
// panics, such as a nil pointer in an error interface, is a retry by the
// queue's own policy.
func VerdictOf(err error) (v Verdict) {
	if err == nil {
		return Verdict{Action: ActionAck}
	}
	defer func() {
		if recover() != nil {
			v = Verdict{Err: err}
		}
	}()
	v = Verdict{Err: err}
	if found := findVerdict(err); found != nil {
		v.Action, v.Delay, v.Delayed, v.Postponed = found.Action, found.Delay, found.Delayed, found.Postponed
	}
	return v
}

// RetryAfter has the message delivered again after d, because of err, which may
// be nil. A d below zero counts as zero; one above the provider's limit is cut
// to it by the runtime (SQS: 12 hours from the receive).
func RetryAfter(d time.Duration, err error) error {
	return &verdictError{Verdict{Action: ActionRetry, Delay: max(d, 0), Delayed: true, Err: err}}
}

// Reject has the message moved to the dead-letter queue immediately, with err as
// the reason. If the queue has no dead-letter queue the message is retried
// instead, and that is reported: it is never dropped.
func Reject(err error) error {
	return &verdictError{Verdict{Action: ActionDeadLetter, Err: err}}
}

// Drop has the message removed though it was not handled, because of err.
func Drop(err error) error {
	return &verdictError{Verdict{Action: ActionDrop, Err: err}}
}

// Cause returns the error that a verdict was given for: err without the verdicts
// ([RetryAfter], [Reject], [Drop]) on its outside. It is err itself if
// there is none, or if the innermost was given for no error.
func Cause(err error) error {
	for {
		v, ok := err.(*verdictError) //nolint:errorlint // only what is outermost
		if !ok || v.Err == nil {
			return err
		}
		err = v.Err
	}
}

// verdictError carries a verdict through any wrapping.
type verdictError struct{ Verdict }

func (e *verdictError) Error() string {
	cause := "no cause given"
	if e.Err != nil {
		cause = textOf(e.Err)
	}
	_, last := e.Err.(*exhausted) //nolint:errorlint // what it was given
	switch {
	case e.Action == ActionDeadLetter && last:
		return cause // the same, whoever noticed that it was the last attempt
	case e.Action == ActionDeadLetter:
		return "rejected: " + cause
	case e.Action == ActionDrop:
		return "dropped: " + cause
	default:
		return fmt.Sprintf("retry after %v: %s", e.Delay, cause)
	}
}

func (e *verdictError) Unwrap() error { return e.Err }

// textOf returns the text of err, or a replacement if its Error method panics,
// as for a nil pointer in an error interface.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T whose Error method panicked", err)
		}
	}()
	return err.Error()
}

// maxErrors is how many errors of a tree are looked at. A tree with more is a
// mistake of the program that made it.
const maxErrors = 1000

var rejection = &Verdict{Action: ActionDeadLetter}

// findVerdict looks for either kind of verdict at each error of the tree: two
// passes of errors.As would let an inner verdict win over an outer one of the
// other kind.
func findVerdict(err error) (found *Verdict) {
	left := maxErrors
	walk(err, &left, func(e error) bool {
		if v, ok := e.(*verdictError); ok { //nolint:errorlint // this is the walk
			found = &v.Verdict
		} else if isPermanent(e) {
			found = rejection
		}
		return found != nil
	})
	return found
}

// walk calls stop with the errors of the tree from the outside in, as errors.As
// does, until it returns true. left is how many it may still look at: an error
// that unwraps to itself has no end.
func walk(err error, left *int, stop func(error) bool) (stopped bool) {
	for err != nil && *left > 0 {
		*left--
		if stop(err) {
			return true
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				if walk(e, left, stop) {
					return true
				}
			}
			return false
		}
		err = errors.Unwrap(err)
	}
	return false
}

func isPermanent(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() != reflect.Pointer || t.Elem().Name() != "PermanentError" {
		return false
	}
	// Up to v2 the module's path has no version in it.
	path := t.Elem().PkgPath()
	return path == "github.com/cenkalti/backoff" || strings.HasPrefix(path, "github.com/cenkalti/backoff/")
}
