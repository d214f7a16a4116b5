// Package invoke calls user code: handlers, hooks, observers, gates, loggers,
// codecs, key functions, and the methods of the errors that they return. None
// of it can be trusted not to panic, and a typed nil in an error interface does
// so in Error, Unwrap, Is or As. Each call into user code goes through this
// package, and is never made under a lock.
package invoke

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/sluice-go/sluice/handler"
)

// ErrGoexit is the verdict of a handler that ended its goroutine, which no
// caller on that goroutine lives to see: whoever may be on it gives the verdict
// in a deferred function. It is a failure like any other, so a retry.
var ErrGoexit = errors.New("the handler ended its goroutine (runtime.Goexit, or a testing FailNow)")

// Call has h handle m on the caller's goroutine. A panic does not pass: p is
// what it was, nil if there was none, and err is p then. Since p hides a
// verdict that h may have panicked with, a panic is always a retry.
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
// was none. If f ends its goroutine (runtime.Goexit), so does Do: whoever must
// not be ended by f uses [DoApart].
func Do(f func()) (p *handler.PanicError) {
	defer func() {
		if v := recover(); v != nil {
			p = &handler.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// DoApart calls f on a goroutine of its own and waits for its end. It returns
// nil, the panic of f as a [*handler.PanicError], or [ErrGoexit].
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
	v := handler.Verdict{Err: err}
	if DoApart(func() { v = handler.VerdictOf(err) }) != nil {
		return handler.Verdict{Err: err}
	}
	return v
}

// Text returns the text of err, "" if it is nil. If its Error method panics or
// ends its goroutine, the text says so and names the type, which of a verdict is
// that of its cause.
func Text(err error) string {
	text, ok := textOf(err)
	if !ok {
		return fmt.Sprintf("an error of type %T whose Error method panicked", handler.Cause(err))
	}
	return text
}

// textOf returns the text of err, and false if it cannot be had.
func textOf(err error) (text string, ok bool) {
	if err == nil {
		return "", true
	}
	failed := DoApart(func() { text = err.Error() })
	return text, failed == nil
}

// Is is errors.Is, but reports false if a method of err panics or ends its
// goroutine before target was found, and comes back from an error that unwraps to
// itself.
func Is(err, target error) (is bool) {
	if err == nil || target == nil {
		return err == target //nolint:errorlint // one of them is nil
	}
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
// or ends its goroutine before a T was found, and comes back from an error that
// unwraps to itself.
func As[T error](err error) (found T, ok bool) {
	if err == nil {
		return found, false
	}
	if found, ok = err.(T); ok { //nolint:errorlint // what wraps it is looked at below
		return found, true
	}
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

// Ends reports whether the tree of err ends and can be walked: whether other
// packages' code that looks into it comes back.
func Ends(err error) (ends bool) {
	return DoApart(func() { ends = walk(err, func(error) bool { return false }) }) == nil && ends
}

// maxErrors is how many errors of a tree are looked at. errors.Is and errors.As go
// on for ever at an error that unwraps to itself, and use up the stack if it does
// so by Unwrap() []error, which nothing can recover from.
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

// Safe returns err if its text can be had, and otherwise an error that has a text
// in its place, which is what logs and spans can be given. Safe of nil is nil.
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
