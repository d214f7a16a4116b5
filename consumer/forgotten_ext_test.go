package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A driver that states no more than its lease gets the cautious thing: no request
// that it may not understand, and nothing worked on beyond its lease.
func TestCapabilitiesThatADriverForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		lost := false
		q.caps = drivers.Capabilities{Queue: "orders", Lease: 30 * time.Second}
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			require.ErrorIs(t, m.Lease().Extend(ctx, time.Minute), handler.ErrNoLease)
			_, err := m.Lease().Keep(handler.KeepOptions{})
			require.ErrorIs(t, err, handler.ErrNoLease)
			select {
			case <-ctx.Done():
				lost = lost || errors.Is(context.Cause(ctx), handler.ErrLeaseLost)
			case <-time.After(time.Hour):
				t.Error("the handler outlived its lease")
			}
			return handler.RetryAfter(time.Minute, errors.New("later"))
		}, consumer.Config{Concurrency: 1})
		pass(time.Minute)
		require.Positive(t, w.c.Stats().LeasesLost)
		require.True(t, lost)
		_, _, extends := q.requests()
		require.Zero(t, extends)
		_ = w.stop()
	})
}
