package invoke

import (
	"context"
	"errors"
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
