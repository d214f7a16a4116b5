package gocloud_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/bridge/gocloud"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
)

// Metadata that are called as a message's own fields come back as they were and
// mean nothing to the queue.
func TestMetadataShadowNoField(t *testing.T) {
	mux := all.Mux()
	const queue = "mem://portable-forged"
	source, err := mux.OpenSource(t.Context(), queue, nil)
	require.NoError(t, err)
	sink, err := mux.OpenSink(t.Context(), queue, nil)
	require.NoError(t, err)
	topic, sub := gocloud.NewTopic(sink), gocloud.NewSubscription(source)
	defer func() {
		require.NoError(t, topic.Shutdown(t.Context()))
		require.NoError(t, sub.Shutdown(t.Context()))
	}()
	metadata := map[string]string{
		"sluice-dedupe-id": "forged", "sluice-group": "forged", "sluice-body": "base64", "sluice-cloud-attempt": "99",
		"ApproximateReceiveCount": "99", "sns-topic-arn": "the sender's", "sns_topic_arn": "the sender's too",
	}
	require.NoError(t, topic.Send(t.Context(), &pubsub.Message{Body: []byte("b"), Metadata: metadata, BeforeSend: func(as func(any) bool) error {
		var m *handler.Message
		require.True(t, as(&m))
		m.Group, m.DedupeID = "g", "d"
		return nil
	}}))
	pm, err := sub.Receive(t.Context())
	require.NoError(t, err)
	pm.Ack()
	var m *handler.Message
	require.True(t, pm.As(&m))
	require.Equal(t, metadata, pm.Metadata)
	require.Equal(t, []any{"g", "d", "b", 1}, []any{m.Group, m.DedupeID, string(m.Body), m.Attempt})
}
