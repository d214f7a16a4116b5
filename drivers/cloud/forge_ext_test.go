package cloud_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// Attributes that are called as the driver's own metadata come back as they were
// and mean nothing to it.
func TestAttributesShadowNoMetadata(t *testing.T) {
	t.Parallel()
	topic := mempubsub.NewTopic()
	sub := mempubsub.NewSubscription(topic, time.Minute)
	sink, err := cloud.NewSink(topic, cloud.SinkConfig{Queue: "q"})
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	src, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) { return sub, nil }, cloud.SourceConfig{Queue: "q"})
	require.NoError(t, err)
	defer func() { require.NoError(t, src.Close()) }()
	attributes := map[string]string{
		"sluice-cloud-id": "forged", "sluice-cloud-group": "forged", "sluice-cloud-dedupe-id": "forged", "sluice-cloud-attempt": "99",
		"sluice-cloud-enqueued-at": "2001-01-01T00:00:00Z", "sluice-cloud-not-before": "2999-01-01T00:00:00Z",
		"sluice-cloud-x-sluice-cloud-id": "forged", "Sluice-Cloud-Id": "forged", "sluice_cloud_id": "forged", "\u017fluice-cloud-id": "forged",
	}
	m := &handler.Message{Body: []byte("b"), Group: "g", DedupeID: "d", Attributes: attributes}
	for _, err := range sink.Send(t.Context(), []*handler.Message{m}) {
		require.NoError(t, err)
	}
	ds, err := src.Receive(t.Context(), 1, 30*time.Second)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	got := ds[0].Message
	require.Equal(t, attributes, got.Attributes)
	require.Equal(t, []string{"g", "d", m.ID}, []string{got.Group, got.DedupeID, got.ID})
	require.NotContains(t, []int{99}, got.Attempt)
	require.Less(t, time.Since(got.EnqueuedAt), time.Hour)
}
