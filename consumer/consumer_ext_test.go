package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

func TestRunUntilEmptyHandlesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1000)
		q.latency = time.Millisecond
		var n atomic.Int64
		c, err := consumer.New(q, handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			n.Add(1)
			return lasting(5*time.Millisecond)(ctx, m)
		}), &consumer.Config{Concurrency: 32, UntilEmpty: true})
		require.NoError(t, err)
		require.NoError(t, c.Run(t.Context()))
		require.EqualValues(t, 1000, n.Load())
	})
}
