package fastpubsub_test

import (
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/bench/fastpubsub"
)

// A pulled message comes once, unless it is given back.
func TestPullAndGiveBack(t *testing.T) {
	s := fastpubsub.New()
	_, err := s.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: fastpubsub.Topic,
		Messages: []*pubsubpb.PubsubMessage{{Data: []byte("a")}, {Data: []byte("b")}}})
	require.NoError(t, err)
	pull := func(n int32) []*pubsubpb.ReceivedMessage {
		r, err := s.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: fastpubsub.Subscription, MaxMessages: n})
		require.NoError(t, err)
		return r.ReceivedMessages
	}
	first := pull(1)
	require.Len(t, first, 1)
	require.Equal(t, "a", string(first[0].Message.Data))
	_, err = s.ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{AckIds: []string{first[0].AckId}})
	require.NoError(t, err)
	both := pull(10)
	require.Len(t, both, 2)
	_, err = s.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{AckIds: []string{both[0].AckId, both[1].AckId}})
	require.NoError(t, err)
	// An acked one does not come back.
	_, err = s.ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{AckIds: []string{both[0].AckId}})
	require.NoError(t, err)
	_, err = s.Publish(t.Context(), &pubsubpb.PublishRequest{Messages: []*pubsubpb.PubsubMessage{{Data: []byte("c")}}})
	require.NoError(t, err)
	last := pull(10)
	require.Len(t, last, 1)
	require.Equal(t, "c", string(last[0].Message.Data))
}
