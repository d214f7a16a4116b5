package pubsub_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A letter goes back over the topic, which has a second subscription: that one
// must not see it again.
func TestARedrivenLetterReachesItsSubscriptionOnly(t *testing.T) {
	t.Parallel()
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 100, Ordered: true})
	second := "projects/" + project + "/subscriptions/second-" + q.ID
	_, err := fake.Fake().GServer.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: second, Topic: q.Topic()})
	require.NoError(t, err)
	bystander, err := mux().OpenSource(t.Context(), url(second), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, bystander.Close()) }()

	s := openSource(t, q, "")
	send(t, openSink(t, q), &handler.Message{Body: []byte("x"), Group: "g", DedupeID: "d", Attributes: map[string]string{"own": "kept"}})
	settle(t, bystander, act(receive(t, bystander, 1)[0], handler.ActionAck))
	settle(t, s, rejection(receive(t, s, 1)[0], "poison"))

	dead, err := s.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	back, err := s.OpenRedrive(t.Context())
	require.NoError(t, err)
	require.True(t, back.Capabilities().Ordered)
	letter := receive(t, dead, 1)[0]
	again := &handler.Message{Body: letter.Message.Body, Group: letter.Message.Group, DedupeID: letter.Message.DedupeID,
		Attributes: drivers.WithoutFailure(letter.Message.Attributes)}
	send(t, back, again)
	settle(t, dead, act(letter, handler.ActionAck))

	d := receive(t, s, 1)[0]
	require.Equal(t, "x", string(d.Message.Body))
	require.Equal(t, "g", d.Message.Group)
	require.Equal(t, "d", d.Message.DedupeID)
	require.Equal(t, "kept", d.Message.Attributes["own"])
	require.NotContains(t, d.Message.Attributes, "sluice-redrive-target")
	ds, err := bystander.Receive(t.Context(), 10, time.Second)
	require.NoError(t, err)
	require.Empty(t, ds, "the other subscription has handled this message long ago")

	// It fails again, is forwarded, and must be a letter to who reads letters.
	require.NoError(t, s.Close(), "what was opened from a source outlives it")
	require.NoError(t, back.Close())
	aimed := "projects/" + project + "/subscriptions/" + q.ID
	_, err = fake.Fake().GServer.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.DeadLetter().Topic(), Messages: []*pubsubpb.PubsubMessage{{
		Data: []byte("forwarded"), Attributes: map[string]string{"sluice-redrive-target": aimed, "sluice-redrive-topic": q.Topic()},
	}}})
	require.NoError(t, err)
	require.Equal(t, "forwarded", string(receive(t, dead, 1)[0].Message.Body))
	require.NoError(t, dead.Close())
}

func TestReplaySeeksBack(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s := openSource(t, q, "")
	want := time.Now().Add(-time.Hour)
	err := s.Replay(t.Context(), want)
	require.ErrorIs(t, err, drivers.ErrUnsupported)
	require.ErrorContains(t, err, "retain_acked: true")
	change(t, q, &pubsubpb.Subscription{RetainAckedMessages: true, MessageRetentionDuration: durationpb.New(2 * time.Hour)},
		"retain_acked_messages", "message_retention_duration")
	err = s.Replay(t.Context(), time.Now().Add(-3*time.Hour))
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "retained for 2h0m0s")
	var got *pubsubpb.SeekRequest
	withFault(t, func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		if r, ok := req.(*pubsubpb.SeekRequest); ok {
			got = r
			return &pubsubpb.SeekResponse{}, nil
		}
		return next()
	})
	require.NoError(t, s.Replay(t.Context(), want))
	require.Equal(t, q.Subscription(), got.Subscription)
	require.True(t, want.Equal(got.GetTime().AsTime()))

	fake.SetFault(nil)
	err = s.Replay(t.Context(), want)
	require.ErrorIs(t, err, drivers.ErrUnsupported)
	require.ErrorContains(t, err, "cannot seek back", "the fake does not keep what was acknowledged")
}
