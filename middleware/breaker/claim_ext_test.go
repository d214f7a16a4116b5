package breaker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// A claim that another worker took over says nothing about the dependency.
func TestALostClaimIsNoFailureOfTheDependency(t *testing.T) {
	b, err := breaker.New(&breaker.Config{MinCount: 3})
	require.NoError(t, err)
	for i := range 60 {
		ctx, lose := context.WithCancelCause(t.Context())
		h := b.Middleware(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			if i%2 == 0 {
				return fmt.Errorf("renew: %w", idempotency.ErrClaimLost)
			}
			lose(fmt.Errorf("%w: x", idempotency.ErrClaimLost))
			return fmt.Errorf("query: %w", ctx.Err())
		}))
		_ = h.Handle(ctx, &handler.Message{ID: fmt.Sprint(i), Attempt: 1})
		lose(nil)
	}
	require.Equal(t, breaker.Closed, b.State())
}
