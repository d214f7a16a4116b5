package pubsubtest_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

func TestASubscriptionKeepsMessagesForAsLongAsOnTheService(t *testing.T) {
	const day = 24 * time.Hour
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	kept := func(name string) time.Duration {
		sub, err := r.sub.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: name})
		require.NoError(t, err)
		all, err := r.sub.ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/p"})
		require.NoError(t, err)
		for _, listed := range all.Subscriptions {
			if listed.Name == name {
				require.Equal(t, sub.MessageRetentionDuration.AsDuration(), listed.MessageRetentionDuration.AsDuration())
			}
		}
		return sub.MessageRetentionDuration.AsDuration()
	}
	update := func(d time.Duration) error {
		_, err := r.sub.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
			Subscription: &pubsubpb.Subscription{Name: q.Subscription(), MessageRetentionDuration: durationpb.New(d)},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"message_retention_duration"}}})
		return err
	}
	for _, d := range []time.Duration{31 * day, 8 * day, day} {
		require.NoError(t, update(d))
		require.Equal(t, d, kept(q.Subscription()))
	}
	for _, d := range []time.Duration{32 * day, time.Minute} {
		require.Equal(t, codes.InvalidArgument, status.Code(update(d)))
		require.Equal(t, day, kept(q.Subscription()))
	}
	name := "projects/p/subscriptions/long"
	for _, d := range []time.Duration{31 * day, day} {
		_, err := r.sub.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: name, Topic: q.Topic(), MessageRetentionDuration: durationpb.New(d)})
		require.NoError(t, err)
		require.Equal(t, d, kept(name), "nothing is left of one that was deleted")
		_, err = r.sub.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: name})
		require.NoError(t, err)
	}
}
