package cloud_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
)

// A function that hangs while it opens the subscription anew holds up neither a receive
// whose context ends nor Close. A subscription that comes after Close is shut down.
func TestAnOpeningThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := mempubsub.NewTopic()
		hang := make(chan struct{})
		n := 0
		var sub *pubsub.Subscription
		var stopped []*pubsub.Subscription
		src, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
			if n++; n > 1 {
				<-hang
			}
			sub = mempubsub.NewSubscription(topic, time.Minute)
			return sub, nil
		}, cloud.SourceConfig{Queue: "q", Provider: cloud.Provider{Stop: func(s *pubsub.Subscription) error { stopped = append(stopped, s); return nil }}})
		require.NoError(t, err)
		require.NoError(t, sub.Shutdown(t.Context()))
		_, err = src.Receive(t.Context(), 1, time.Second)
		require.Error(t, err)

		for range 2 { // who opens, and who waits for it
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			_, err = src.Receive(ctx, 1, time.Hour)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(began))
			cancel()
		}
		waits := make(chan error, 1)
		go func() { _, err := src.Receive(t.Context(), 1, time.Hour); waits <- err }()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, src.Close())
		require.Less(t, time.Since(began), 10*time.Second)
		require.ErrorIs(t, <-waits, drivers.ErrClosed)
		require.Len(t, stopped, 1, "the one that failed")
		close(hang)
		synctest.Wait()
		require.Equal(t, 2, n)
		require.Len(t, stopped, 2)
		require.Same(t, sub, stopped[1])
		_, err = sub.Receive(t.Context())
		require.Error(t, err, "the late subscription is not shut down")
		require.NoError(t, topic.Shutdown(t.Context()))
	})
}

// An opening whose receive has ended goes on, and the next receive has its subscription.
func TestAnOpeningOutlivesItsReceive(t *testing.T) {
	t.Parallel()
	topic := mempubsub.NewTopic()
	begun, end := make(chan struct{}), make(chan struct{})
	n := 0
	var sub *pubsub.Subscription
	src, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
		if n++; n > 1 {
			close(begun) // a third opening panics
			<-end
		}
		sub = mempubsub.NewSubscription(topic, time.Minute)
		return sub, nil
	}, cloud.SourceConfig{Queue: "q"})
	require.NoError(t, err)
	require.NoError(t, sub.Shutdown(t.Context()))
	_, err = src.Receive(t.Context(), 1, time.Second)
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err = src.Receive(ctx, 1, time.Second)
	require.ErrorIs(t, err, context.Canceled)
	close(end)
	_, err = src.Receive(t.Context(), 1, time.Millisecond)
	require.NoError(t, err)
	require.NoError(t, src.Close())
	require.NoError(t, topic.Shutdown(t.Context()))
}

// A hook that hangs does not make Close unbounded.
func TestAHookThatHangsDoesNotHoldUpClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := mempubsub.NewTopic()
		hang := make(chan struct{})
		src, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
			return mempubsub.NewSubscription(topic, time.Minute), nil
		}, cloud.SourceConfig{Queue: "q", Provider: cloud.Provider{Stop: func(*pubsub.Subscription) error { <-hang; return nil }}})
		require.NoError(t, err)
		began := time.Now()
		require.Error(t, src.Close())
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		close(hang)
		require.NoError(t, topic.Shutdown(t.Context()))
	})
}

// A clock that is an hour behind the sender's does not make a retry's delay an hour.
func TestADelayIsNoLongerThanWasAsked(t *testing.T) {
	t.Parallel()
	topic := mempubsub.NewTopic()
	src, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
		return mempubsub.NewSubscription(topic, time.Minute), nil
	}, cloud.SourceConfig{Queue: "q"})
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("x"), Metadata: map[string]string{
		"sluice-cloud-not-before": began.Add(time.Hour).UTC().Format(time.RFC3339Nano), "sluice-cloud-delay": "100ms",
	}}))
	ds, err := src.Receive(t.Context(), 1, time.Minute)
	require.NoError(t, err)
	require.Len(t, ds, 1, "it is held for an hour")
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	require.NoError(t, src.Close())
	require.NoError(t, topic.Shutdown(t.Context()))
}
