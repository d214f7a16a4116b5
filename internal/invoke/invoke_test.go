package invoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

func TestCall(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		h        handler.HandlerFunc
		action   handler.Action
		panicked bool
	}{
		{"ack", func(context.Context, *handler.Message) error { return nil }, handler.ActionAck, false},
		{"reject", func(context.Context, *handler.Message) error { return handler.Reject(boom) }, handler.ActionDeadLetter, false},
		{"panic", func(context.Context, *handler.Message) error { panic("boom") }, handler.ActionRetry, true},
		{"panic with a verdict", func(context.Context, *handler.Message) error { panic(handler.Drop(boom)) }, handler.ActionRetry, true},
		{"a panic that a middleware returned", func(context.Context, *handler.Message) error { return &handler.PanicError{} }, handler.ActionRetry, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Call(t.Context(), c.h, &handler.Message{})
			require.Equal(t, c.action, handler.VerdictOf(err).Action)
			require.Equal(t, c.panicked, p != nil)
			if p != nil {
				require.Same(t, p, err)
				require.Contains(t, string(p.Stack), "TestCall", "the stack does not show where the panic was")
			}
		})
	}
}

func TestErrorsWhoseMethodsPanic(t *testing.T) {
	bad := fmt.Errorf("around: %w", error((*broken.TypedNil)(nil)))
	require.Contains(t, Text((*broken.TypedNil)(nil)), "*broken.TypedNil")
	require.Empty(t, Text(nil))
	require.Equal(t, "x", Text(errors.New("x")))
	require.False(t, Is(bad, context.Canceled))
	require.True(t, Is(fmt.Errorf("x: %w", context.Canceled), context.Canceled))
	_, ok := As[*handler.PanicError](bad)
	require.False(t, ok)
	p, ok := As[*handler.PanicError](fmt.Errorf("x: %w", &handler.PanicError{Value: 1}))
	require.True(t, ok)
	require.Equal(t, 1, p.Value)
	require.NoError(t, Safe(nil))
	require.EqualError(t, Safe((*broken.TypedNil)(nil)), Text((*broken.TypedNil)(nil)))
	require.Equal(t, context.Canceled, Safe(context.Canceled))
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(bad).Action)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf((*broken.TypedNil)(nil)).Action)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(handler.Reject((*broken.TypedNil)(nil))).Action)
}

func TestDo(t *testing.T) {
	require.Nil(t, Do(func() {}))
	require.Equal(t, "boom", Do(func() { panic("boom") }).Value)
	require.NoError(t, DoApart(func() {}))
	require.ErrorContains(t, DoApart(func() { panic("boom") }), "boom")
	require.ErrorIs(t, DoApart(runtime.Goexit), ErrGoexit)
}

func TestErrorsWhoseMethodsEndTheGoroutine(t *testing.T) {
	require.Contains(t, Text(broken.Error{Fail: runtime.Goexit}), "broken.Error")
	require.False(t, Is(broken.Error{Fail: runtime.Goexit}, context.Canceled))
	_, ok := As[*handler.PanicError](broken.Error{Fail: runtime.Goexit})
	require.False(t, ok)
	require.EqualError(t, Safe(broken.Error{Fail: runtime.Goexit}), Text(broken.Error{Fail: runtime.Goexit}))
}

type observerFunc func(handler.Event)

func (f observerFunc) Observe(e handler.Event) { f(e) }

// Each hook fails in each way. The caller goes on, and whoever else is called
// still is.
func TestHooksThatFail(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic with a value":     func() { panic("boom") },
		"panic with an error":    func() { panic(errors.New("boom")) },
		"panic with a typed nil": func() { panic((*broken.TypedNil)(nil)) },
		"panic with nil":         func() { panic(any(nil)) }, //nolint:govet // the runtime makes an error of it
		"goexit":                 runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			log := Logger(slog.New(slog.NewTextHandler(&text, nil)))
			require.Same(t, log, Logger(log))
			var got []handler.Event
			o := NewObservers([]handler.Observer{
				broken.Hook{Fail: fail},
				observerFunc(func(e handler.Event) { got = append(got, e) }),
			}, log)
			o.Observe(handler.Event{Kind: handler.EventStarted, Err: (*broken.TypedNil)(nil)})
			o.Observe(handler.Event{Kind: handler.EventHandled})
			require.Len(t, got, 2)
			require.Contains(t, got[0].Err.Error(), "TypedNil")
			require.Equal(t, 1, strings.Count(text.String(), "an observer failed"), text.String())

			bad := Logger(slog.New(broken.Hook{Fail: fail}))
			bad.With("a", 1).WithGroup("g").Error("this goes to standard error", "b", (*broken.TypedNil)(nil))
		})
	}
	var none *Observers
	none.Observe(handler.Event{})
	require.NotNil(t, Logger(nil))
}

func TestErrorsWithoutAnEnd(t *testing.T) {
	for _, bad := range []error{broken.OwnCause{}, broken.OwnCauses{}, fmt.Errorf("around: %w", broken.OwnCauses{})} {
		require.False(t, Is(bad, context.Canceled))
		_, ok := As[*handler.PanicError](bad)
		require.False(t, ok)
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(bad).Action)
		require.Equal(t, handler.ActionRetry, VerdictOf(bad).Action)
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(handler.Reject(bad)).Action)
	}
}

// An error on the outside is found whatever is within.
func TestWhatIsOutsideOfABadErrorIsFound(t *testing.T) {
	for _, bad := range []error{broken.OwnCause{}, broken.OwnCauses{}, (*broken.TypedNil)(nil), broken.Error{Fail: runtime.Goexit}} {
		err := &around{context.Canceled, bad}
		require.True(t, Is(err, context.Canceled), "%T", bad)
		found, ok := As[*around](&around{nil, err})
		require.True(t, ok)
		require.NoError(t, found.first)
		_, ok = As[*handler.PanicError](&around{&handler.PanicError{}, bad})
		require.True(t, ok, "%T", bad)
		require.False(t, Ends(&around{nil, bad}), "%T", bad)
	}
	require.True(t, Ends(nil))
	require.True(t, Ends(errors.Join(context.Canceled, errors.New("x"))))
	require.False(t, Is(list{"x"}, list{"x"}), "they cannot be compared")
}

type around struct{ first, second error }

func (*around) Error() string     { return "around" }
func (a *around) Unwrap() []error { return []error{a.first, a.second} }

type list []string

func (list) Error() string { return "a list" }
