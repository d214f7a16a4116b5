package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// --max-attempts rejects what failed, and nothing that was cut short or put off.
func TestMaxAttempts(t *testing.T) {
	boom := errors.New("boom")
	ended := func(why error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		return ctx
	}
	for _, tc := range []struct {
		name    string
		ctx     context.Context
		attempt int
		err     error
		want    handler.Action
	}{
		{"handled", t.Context(), 3, nil, handler.ActionAck},
		{"an early failure", t.Context(), 2, boom, handler.ActionRetry},
		{"the last failure", t.Context(), 3, boom, handler.ActionDeadLetter},
		{"a delay of the handler's", t.Context(), 3, handler.RetryAfter(1, boom), handler.ActionDeadLetter},
		{"dropped", t.Context(), 3, handler.Drop(boom), handler.ActionDrop},
		{"put off", t.Context(), 3, handler.Postpone(1, boom), handler.ActionRetry},
		{"stopping", ended(handler.ErrStopped), 3, boom, handler.ActionRetry},
		{"the lease is lost", ended(handler.ErrLeaseLost), 3, boom, handler.ActionRetry},
		{"the handler says that it was stopped", t.Context(), 3, fmt.Errorf("x: %w", handler.ErrStopped), handler.ActionRetry},
		{"the handler says that the lease is lost", t.Context(), 3, fmt.Errorf("x: %w", handler.ErrLeaseLost), handler.ActionRetry},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := maxAttempts(3)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return tc.err }))
			err := h.Handle(tc.ctx, &handler.Message{Attempt: tc.attempt})
			require.Equal(t, tc.want.String(), handler.VerdictOf(err).Action.String())
		})
	}
}
