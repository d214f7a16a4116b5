package invoke

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func TestCall(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		h        handler.HandlerFunc
		action   handler.Action
		panicked bool
	}{
		{"ack", func(context.Context, *handler.Message) error { return nil }, handler.Ack, false},
		{"reject", func(context.Context, *handler.Message) error { return handler.Reject(boom) }, handler.DeadLetter, false},
		{"panic", func(context.Context, *handler.Message) error { panic("boom") }, handler.Retry, true},
		{"panic with a verdict", func(context.Context, *handler.Message) error { panic(handler.Discard(boom)) }, handler.Retry, true},
		{"a panic that a middleware returned", func(context.Context, *handler.Message) error { return &handler.PanicError{} }, handler.Retry, false},
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

type typedNil struct{ err error }

func (e *typedNil) Error() string { return e.err.Error() }
func (e *typedNil) Unwrap() error { return e.err }

func TestErrorsWhoseMethodsPanic(t *testing.T) {
	bad := fmt.Errorf("around: %w", error((*typedNil)(nil)))
	require.Contains(t, Text((*typedNil)(nil)), "*invoke.typedNil")
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
	require.EqualError(t, Safe((*typedNil)(nil)), Text((*typedNil)(nil)))
	require.Equal(t, context.Canceled, Safe(context.Canceled))
	require.Equal(t, handler.Retry, handler.VerdictOf(bad).Action)
	require.Equal(t, handler.Retry, handler.VerdictOf((*typedNil)(nil)).Action)
	require.Equal(t, handler.DeadLetter, handler.VerdictOf(handler.Reject((*typedNil)(nil))).Action)
}

func TestDo(t *testing.T) {
	require.Nil(t, Do(func() {}))
	require.Equal(t, "boom", Do(func() { panic("boom") }).Value)
	require.NoError(t, DoApart(func() {}))
	require.ErrorContains(t, DoApart(func() { panic("boom") }), "boom")
	require.ErrorIs(t, DoApart(runtime.Goexit), ErrGoexit)
}
