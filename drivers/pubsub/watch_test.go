package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// follow runs a consumer whose handler rejects everything.
func follow(t *testing.T, s drivers.Source) *consumer.Consumer {
	t.Helper()
	c, err := consumer.New(s, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		return handler.Reject(errors.New("bad"))
	}), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return c
}

const changeTime = time.Minute

// A topic that is deleted and made again is another: nothing of it comes to the
// old one's subscription, and the consumer must not look well.
func TestADeletedTopicIsAnOutage(t *testing.T) {
	t.Parallel()
	q := newQueue(t, pubsubtest.Queue{})
	s := openSource(t, q, "")
	c := follow(t, s)
	// Before its first success a receive that finds no subscription, as between deletion and
	// creation below, ends the consumer.
	send(t, openSink(t, q), text("poison"))
	require.Eventually(t, func() bool { return c.Stats().Received > 0 }, changeTime, 10*time.Millisecond)
	require.Equal(t, consumer.HealthOK, c.Health().Status)
	require.NoError(t, s.Current().Fault)

	admin := administer(t)
	_, err := admin.pub.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: q.Topic()})
	require.NoError(t, err)
	_, err = admin.pub.CreateTopic(t.Context(), &pubsubpb.Topic{Name: q.Topic()})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Health().Status == consumer.HealthOutage }, changeTime, 10*time.Millisecond,
		"a consumer to which nothing can come looks well")
	require.False(t, c.Health().Ready())
	require.Contains(t, c.Health().Queues[0].Error, "topic was deleted")
	require.ErrorIs(t, s.Current().Fault, drivers.ErrNotFound)

	_, err = admin.sub.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: q.Subscription()})
	require.NoError(t, err)
	_, err = admin.sub.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: q.Subscription(), Topic: q.Topic(), AckDeadlineSeconds: 10})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Health().Ready() }, changeTime, 10*time.Millisecond, "it is not noticed that all is well again")
}

// The dead-letter policy and the ack deadline are changed under a consumer, which
// follows.
func TestAChangedSubscriptionIsFollowed(t *testing.T) {
	t.Parallel()
	q, first, second := newQueue(t, pubsubtest.Queue{AckDeadlineSeconds: 40}), newQueue(t, pubsubtest.Queue{}), newQueue(t, pubsubtest.Queue{})
	s := openSource(t, q, "")
	require.False(t, s.Capabilities().DeadLetter)
	follow(t, s)
	for n, to := range []pubsubtest.Queue{first, second} {
		change(t, q, &pubsubpb.Subscription{
			AckDeadlineSeconds: int32(20 + n),
			DeadLetterPolicy:   &pubsubpb.DeadLetterPolicy{DeadLetterTopic: to.Topic(), MaxDeliveryAttempts: int32(6 + n)},
		}, "ack_deadline_seconds", "dead_letter_policy")
		require.Eventually(t, func() bool {
			return s.Current() == drivers.Current{DeadLetterQueue: to.ID, MaxAttempts: 6 + n}
		}, changeTime, 10*time.Millisecond)
		send(t, openSink(t, q), text("poison"))
		require.Eventually(t, func() bool { return depth(t, to).Visible == 1 }, changeTime, 10*time.Millisecond, "the letter is not where the policy says")
	}
}

// A source that receives nothing, as that of a console, counts, opens and purges the letters
// of the topic that the policy names now.
func TestASourceThatOnlyCountsFollowsThePolicy(t *testing.T) {
	t.Parallel()
	q, first, second := newQueue(t, pubsubtest.Queue{}), newQueue(t, pubsubtest.Queue{}), newQueue(t, pubsubtest.Queue{})
	policy := func(to pubsubtest.Queue) {
		change(t, q, &pubsubpb.Subscription{
			DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: to.Topic(), MaxDeliveryAttempts: 5},
		}, "dead_letter_policy")
	}
	policy(first)
	s := openSource(t, q, "")
	send(t, openSink(t, first), text("old"))
	send(t, openSink(t, second), text("new"), text("newer"))
	letters := func(n int64) {
		t.Helper()
		require.Eventually(t, func() bool {
			d, err := s.Depth(t.Context())
			return err == nil && d.DeadLetters == n
		}, changeTime, 10*time.Millisecond)
	}
	letters(1)
	policy(second)
	letters(2)
	require.NoError(t, s.Purge(t.Context(), true))
	letters(0)
	require.EqualValues(t, 1, depth(t, first).Visible, "the letters of the topic before are not this queue's")
}
