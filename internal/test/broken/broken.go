// Package broken has user code that fails, for the tests of those who call it.
package broken

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/sluice-go/sluice/handler"
)

// Ways returns the ways in which a function fails, by name.
func Ways() map[string]func() {
	return map[string]func(){
		"value":     func() { panic("boom") },
		"error":     func() { panic(errors.New("boom")) },
		"typed nil": func() { panic((*TypedNil)(nil)) },
		"goexit":    runtime.Goexit,
	}
}

// A TypedNil is an error whose methods panic if it is nil.
type TypedNil struct{ Err error }

func (e *TypedNil) Error() string { return e.Err.Error() }
func (e *TypedNil) Unwrap() error { return e.Err }

// Is panics if e is nil.
func (e *TypedNil) Is(target error) bool { return errors.Is(e.Err, target) }

// As panics if e is nil.
func (e *TypedNil) As(target any) bool { return errors.As(e.Err, target) }

// OwnCause is an error that is its own cause.
type OwnCause struct{}

func (OwnCause) Error() string   { return "its own cause" }
func (e OwnCause) Unwrap() error { return e }

// OwnCauses is an error that is two of its causes.
type OwnCauses struct{}

func (OwnCauses) Error() string     { return "its own causes" }
func (e OwnCauses) Unwrap() []error { return []error{e, e} }

// An Error is an error whose methods all fail.
type Error struct{ Fail func() }

func (e Error) Error() string { e.Fail(); return "" }
func (e Error) Unwrap() error { e.Fail(); return nil }

// Is fails.
func (e Error) Is(error) bool { e.Fail(); return false }

// As fails.
func (e Error) As(any) bool { e.Fail(); return false }

// A Hook fails as an observer, as the handler of a logger and as a transport.
type Hook struct{ Fail func() }

// Observe implements [handler.Observer].
func (h Hook) Observe(handler.Event) { h.Fail() }

// Enabled implements [slog.Handler].
func (h Hook) Enabled(context.Context, slog.Level) bool { h.Fail(); return true }

// Handle implements [slog.Handler].
func (h Hook) Handle(context.Context, slog.Record) error { h.Fail(); return nil }

// WithAttrs implements [slog.Handler].
func (h Hook) WithAttrs([]slog.Attr) slog.Handler { h.Fail(); return h }

// WithGroup implements [slog.Handler].
func (h Hook) WithGroup(string) slog.Handler { h.Fail(); return h }

// RoundTrip implements [http.RoundTripper].
func (h Hook) RoundTrip(*http.Request) (*http.Response, error) {
	h.Fail()
	return nil, errors.New("down")
}
