// Package invoke calls user code: handlers, hooks, observers, gates, loggers,
// codecs, key functions, and the methods of the errors that they return. Any of
// it may panic; a typed nil in an error interface panics in Error, Unwrap, Is
// or As. Each call into user code goes through this package, and is never made
// under a lock.
package invoke

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/sluice-go/sluice/handler"
)

// ErrGoexit is the verdict of a handler that ended its goroutine. A caller on
// that goroutine must report it in a deferred function. It is a failure like
// any other, so a retry.
var ErrGoexit = errors.New("the handler ended its goroutine (runtime.Goexit, or a testing FailNow)")

// Call has h handle m on the caller's goroutine. It recovers a panic: p is the
// panic, or nil if there was none, and err is then p. Since p hides a verdict
// that h may have panicked with, a panic is always a retry.
func Call(ctx context.Context, h handler.Handler, m *handler.Message) (p *handler.PanicError, err error) {
	defer func() {
		if v := recover(); v != nil {
			p = &handler.PanicError{Value: v, Stack: debug.Stack()}
			err = p
		}
	}()
	return nil, h.Handle(ctx, m)
}

// Do calls f on the caller's goroutine. It returns the panic of f, nil if there
// was none. If f ends its goroutine (runtime.Goexit), so does Do. A caller that
// must survive this uses [DoApart].
func Do(f func()) (p *handler.PanicError) {
	defer func() {
		if v := recover(); v != nil {
			p = &handler.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// DoApart calls f on a new goroutine and waits for its end. It returns nil, the
// panic of f as a [*handler.PanicError], or [ErrGoexit].
func DoApart(f func()) error {
	done := make(chan error, 1)
	go func() {
		err := ErrGoexit
		defer func() { done <- err }()
		if p := Do(f); p != nil {
			err = p
		} else {
			err = nil
		}
	}()
	return <-done
}

// VerdictOf is [handler.VerdictOf], but a method of err that ends its goroutine
// does not end the caller's.
func VerdictOf(err error) handler.Verdict {
	if err == nil {
		return handler.Verdict{Action: handler.ActionAck}
	}
	return verdictOf(err)
}

// verdictOf is VerdictOf for an error. Variables that a closure shares are on the heap
// from the start of their function, so this part, and those below, are functions of
// their own.
func verdictOf(err error) handler.Verdict {
	v := handler.Verdict{Err: err}
	if DoApart(func() { v = handler.VerdictOf(err) }) != nil {
		return handler.Verdict{Err: err}
	}
	return v
}

// Text returns the text of err, "" if it is nil. If its Error method panics or
// ends its goroutine, the text reports that and names the type, or for a verdict
// the type of its cause.
func Text(err error) string {
	text, ok := textOf(err)
	if !ok {
		return fmt.Sprintf("an error of type %T whose Error method panicked", handler.Cause(err))
	}
	return text
}

// textOf returns the text of err, and false if its Error method fails.
func textOf(err error) (text string, ok bool) {
	if err == nil {
		return "", true
	}
	return callError(err)
}

func callError(err error) (text string, ok bool) {
	failed := DoApart(func() { text = err.Error() })
	return text, failed == nil
}

// Is is errors.Is, but reports false if a method of err panics or ends its
// goroutine before target was found, and terminates on an error that unwraps to
// itself.
func Is(err, target error) bool {
	if err == nil || target == nil {
		return err == target //nolint:errorlint // one of them is nil
	}
	return find(err, target)
}

// find is Is for two errors.
func find(err, target error) (is bool) {
	comparable := reflect.TypeOf(target).Comparable()
	failed := DoApart(func() {
		walk(err, func(e error) bool {
			if comparable && e == target { //nolint:errorlint // this is the walk
				is = true
			} else if x, ok := e.(interface{ Is(error) bool }); ok {
				is = x.Is(target)
			}
			return is
		})
	})
	return is && failed == nil
}

// As is errors.AsType for a type T, but reports false if a method of err panics
// or ends its goroutine before a T was found, and terminates on an error that
// unwraps to itself.
func As[T error](err error) (found T, ok bool) {
	if err == nil {
		return found, false
	}
	if found, ok = err.(T); ok { //nolint:errorlint // what wraps it is looked at below
		return found, true
	}
	return findAs[T](err)
}

// findAs is As for an error that is not a T itself.
func findAs[T error](err error) (found T, ok bool) {
	failed := DoApart(func() {
		walk(err, func(e error) bool {
			if found, ok = e.(T); ok { //nolint:errorlint // this is the walk
				return true
			}
			if x, is := e.(interface{ As(any) bool }); is {
				ok = x.As(&found)
			}
			return ok
		})
	})
	if failed != nil || !ok {
		var none T
		return none, false
	}
	return found, true
}

// Walk calls stop with the errors of the tree from the outside in, as errors.As
// does, until it returns true, a method of one panics, or a thousand were looked
// at.
func Walk(err error, stop func(error) bool) {
	_ = DoApart(func() { walk(err, stop) })
}

// Ends reports whether the tree of err is finite and can be walked, so that
// other packages' code that inspects it returns.
func Ends(err error) (ends bool) {
	return DoApart(func() { ends = walk(err, func(error) bool { return false }) }) == nil && ends
}

// maxErrors is how many errors of a tree are examined. errors.Is and errors.As do
// not terminate on an error that unwraps to itself, and overflow the stack, which
// is fatal, if it does so by Unwrap() []error.
const maxErrors = 1000

// walk calls stop with the errors of the tree from the outside in, as errors.As
// does, until it returns true. It reports false if there are more than maxErrors.
func walk(err error, stop func(error) bool) (ends bool) {
	left := maxErrors
	var down func(err error) (stopped bool)
	down = func(err error) bool {
		for err != nil {
			if left--; left < 0 || stop(err) {
				return true
			}
			if many, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range many.Unwrap() {
					if down(e) {
						return true
					}
				}
				return false
			}
			err = errors.Unwrap(err)
		}
		return false
	}
	down(err)
	return left >= 0
}

// Safe returns err if its Error method works, and otherwise an error with a
// replacement text, so that logs and spans can use the result. Safe of nil is
// nil.
func Safe(err error) error {
	if _, ok := textOf(err); !ok {
		return errors.New(Text(err))
	}
	return err
}

// Show returns the text that fmt gives v, and if a method of v panics or ends
// its goroutine, one that names the type.
func Show(v any) (text string) {
	if DoApart(func() { text = fmt.Sprint(v) }) != nil {
		return fmt.Sprintf("a value of type %T that cannot be printed", v)
	}
	return text
}
