package cloud_test

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
	"github.com/sluice-go/sluice/internal/test/broken"
)

// TestHooksThatFail has each hook fail in each way. The failure is an error of the
// operation, or has no consequence; the source goes on and can be closed.
func TestHooksThatFail(t *testing.T) {
	t.Parallel()
	for how, fail := range broken.Ways() {
		t.Run("sink/"+how, func(t *testing.T) {
			for name, config := range map[string]cloud.SinkConfig{
				"Flush":   {Queue: "q", Provider: cloud.Provider{Flush: func(context.Context, *pubsub.Topic) error { fail(); return nil }}},
				"Prepare": {Queue: "q", Provider: cloud.Provider{Prepare: func(func(any) bool) error { fail(); return nil }}},
			} {
				sink, err := cloud.NewSink(mempubsub.NewTopic(), config)
				require.NoError(t, err)
				errs := sink.Send(t.Context(), []*handler.Message{{Body: []byte("1")}, {Body: []byte("2")}})
				require.Len(t, errs, 2, name)
				require.Error(t, errs[0], name)
				require.Error(t, errs[1], name)
				require.NoError(t, sink.Close(), name)
			}
		})
		t.Run("open/"+how, func(t *testing.T) {
			_, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) { fail(); return nil, nil }, cloud.SourceConfig{Queue: "q"})
			require.Error(t, err)
		})
		t.Run("source/"+how, func(t *testing.T) {
			t.Parallel()
			topic := mempubsub.NewTopic()
			republish, err := cloud.NewSink(topic, cloud.SinkConfig{Queue: "q"})
			require.NoError(t, err)
			s, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
				return mempubsub.NewSubscription(topic, time.Minute), nil
			}, cloud.SourceConfig{
				Queue: "q", Republish: republish,
				Provider: cloud.Provider{
					Stop:    func(*pubsub.Subscription) error { fail(); return nil },
					Release: func(*pubsub.Subscription) error { fail(); return nil },
					Lost:    func(*pubsub.Message) bool { fail(); return false },
				},
			})
			require.NoError(t, err)
			require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("1")}))
			var ds []drivers.Delivery
			for end := time.Now().Add(time.Minute); len(ds) == 0 && time.Now().Before(end); {
				ds, err = s.Receive(t.Context(), 10, time.Second)
				require.NoError(t, err)
			}
			require.Len(t, ds, 1)
			later := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
			require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("2"), Metadata: map[string]string{"sluice-cloud-not-before": later}}))
			require.ErrorIs(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}})[0], drivers.ErrLeaseLost)
			ds, err = s.Receive(t.Context(), 10, 3*time.Second) // the second is held, due, and asked about
			require.NoError(t, err)
			require.Empty(t, ds)
			require.Error(t, s.Close())
		})
	}
}

// A release does not count as an attempt if retries are copies: nothing counts receives.
// A retry is one.
func TestAReleaseKeepsItsAttempt(t *testing.T) {
	t.Parallel()
	topic := mempubsub.NewTopic()
	republish, err := cloud.NewSink(topic, cloud.SinkConfig{Queue: "q"})
	require.NoError(t, err)
	s, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
		return mempubsub.NewSubscription(topic, time.Minute), nil
	}, cloud.SourceConfig{Queue: "q", Republish: republish})
	require.NoError(t, err)
	defer s.Close()
	require.True(t, s.Capabilities().FreeRelease)
	require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("1")}))
	for i, c := range []struct {
		released bool
		delay    time.Duration
		attempt  int
	}{{true, 0, 1}, {true, 20 * time.Millisecond, 1}, {false, 0, 1}, {true, 0, 2}, {false, 20 * time.Millisecond, 2}, {true, 0, 3}} {
		var ds []drivers.Delivery
		for end := time.Now().Add(10 * time.Second); len(ds) == 0 && time.Now().Before(end); {
			ds, err = s.Receive(t.Context(), 10, time.Second)
			require.NoError(t, err)
		}
		require.Len(t, ds, 1)
		require.Equal(t, c.attempt, ds[0].Message.Attempt, "receive %d", i)
		require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message,
			Released: c.released, Delayed: c.delay > 0, Delay: c.delay}}))
	}
}
