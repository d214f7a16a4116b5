//go:build steppedclock

package wallclock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// A retry that a source of drivers/cloud holds comes after its delay, whatever becomes of
// the wall clock meanwhile.
func TestHeldRetries(t *testing.T) {
	for name, step := range map[string]time.Duration{"back": -time.Hour, "forward": time.Hour} {
		t.Run(name, func(t *testing.T) {
			topic := mempubsub.NewTopic()
			sink, err := cloud.NewSink(topic, cloud.SinkConfig{Queue: "q"})
			require.NoError(t, err)
			source, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
				return mempubsub.NewSubscription(topic, time.Minute), nil
			}, cloud.SourceConfig{Queue: "q", Republish: sink})
			require.NoError(t, err)
			require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte("x")}}))
			receive := func(wait time.Duration) []drivers.Delivery {
				ds, err := source.Receive(t.Context(), 1, wait)
				require.NoError(t, err)
				return ds
			}
			ds := receive(10 * time.Second)
			require.Len(t, ds, 1)
			began := time.Now()
			require.Nil(t, source.Settle(t.Context(), []drivers.Settlement{{
				Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionRetry, Delay: 3 * time.Second, Delayed: true,
			}}))
			require.Empty(t, receive(time.Second)) // it is held
			time.StepWallClock(step)
			defer time.StepWallClock(-step)
			require.Len(t, receive(10*time.Second), 1)
			require.GreaterOrEqual(t, time.Since(began), 2900*time.Millisecond)
			require.NoError(t, source.Close())
		})
	}
}
