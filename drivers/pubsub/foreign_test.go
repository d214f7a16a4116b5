package pubsub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	hl "cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A program that knows Google's client and nothing of Sluice reads what Sluice
// writes, and the other way round.
func TestGooglesClientAndSluiceUnderstandEachOther(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	client, err := hl.NewClient(t.Context(), project)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()

	send(t, openSink(t, q), &handler.Message{
		Body: []byte{0, 1, 0xff}, Group: "group", DedupeID: "dedupe",
		Attributes: map[string]string{"ключ": "значение", "traceparent": "00-x", "googclient_traceparent": "00-y"},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	var got *hl.Message
	require.NoError(t, client.Subscriber(q.Subscription()).Receive(ctx, func(_ context.Context, m *hl.Message) {
		mu.Lock()
		defer mu.Unlock()
		got = m
		m.Ack()
		cancel()
	}))
	require.Equal(t, []byte{0, 1, 0xff}, got.Data)
	require.Equal(t, "group", got.OrderingKey)
	require.Equal(t, map[string]string{
		"ключ": "значение", "traceparent": "00-x", "googclient_traceparent": "00-y", "sluice-dedupe-id": "dedupe",
	}, got.Attributes)

	p := client.Publisher(q.Topic())
	defer p.Stop()
	id, err := p.Publish(t.Context(), &hl.Message{Data: []byte("theirs"), Attributes: map[string]string{"a": "b"}}).Get(t.Context())
	require.NoError(t, err)
	m := receive(t, openSource(t, q, ""), 1)[0].Message
	require.Equal(t, id, m.ID)
	require.Equal(t, "theirs", string(m.Body))
	require.Equal(t, map[string]string{"a": "b"}, m.Attributes)
}
