package watermill_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/bridge/watermill"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// settlements records what a source is asked to settle.
type settlements struct {
	drivers.Source
	got chan drivers.Settlement
}

func (s settlements) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	errs := s.Source.Settle(ctx, ss)
	for _, x := range ss {
		s.got <- x
	}
	return errs
}

// A nack carries NackDelay if the queue can keep it: of gocloud's, one whose retries
// are republished can. Another gets a nack without a delay, rather than refuse it.
func TestANacksDelayIsLeftOutWhereThereCanBeNone(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	for _, republish := range []bool{false, true} {
		topic := mempubsub.NewTopic()
		config := cloud.SourceConfig{Queue: "orders"}
		if republish {
			var err error
			config.Republish, err = cloud.NewSink(topic, cloud.SinkConfig{Queue: "orders"})
			require.NoError(t, err)
		}
		got := make(chan drivers.Settlement, 2)
		s, err := watermill.NewSubscriber(func(ctx context.Context, _ string) (drivers.Source, error) {
			source, err := cloud.NewSource(ctx, func(context.Context) (*pubsub.Subscription, error) {
				return mempubsub.NewSubscription(topic, time.Minute), nil
			}, config)
			return settlements{source, got}, err
		}, &watermill.SubscriberConfig{NackDelay: func(int) time.Duration { return delay }})
		require.NoError(t, err)
		out, err := s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("a")}))

		m := <-out
		nacked := time.Now()
		require.True(t, m.Nack())
		x := <-got
		require.Equal(t, handler.ActionRetry, x.Action)
		require.Equal(t, republish, x.Delayed)
		m = <-out
		require.Equal(t, "a", string(m.Payload), "the queue delivers it again")
		if republish {
			require.Equal(t, delay, x.Delay)
			require.GreaterOrEqual(t, time.Since(nacked), delay)
		}
		require.True(t, m.Ack())
		require.Equal(t, handler.ActionAck, (<-got).Action)
		require.NoError(t, s.Close())
	}
}
