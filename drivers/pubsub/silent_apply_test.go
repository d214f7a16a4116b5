package pubsub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A service that falls silent must not keep apply waiting for ever.
func TestEveryRequestOfApplyHasADeadline(t *testing.T) {
	q, s := unmade(t), wanted()
	var mu sync.Mutex
	unbound := make(map[string]bool)
	withFault(t, func(ctx context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			mu.Lock()
			unbound[method] = true
			mu.Unlock()
		}
		return next()
	})
	apply(t, q, s)
	s.Retention, s.Tags["team"] = 5*24*time.Hour, "shop"
	apply(t, q, s)
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, unbound)
}
