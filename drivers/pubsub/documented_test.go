package pubsub_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// The rules of messages as the service documents them. The driver and the fake
// both state them in code; here the documents decide for each of the two.
const (
	quotas  = "https://cloud.google.com/pubsub/quotas#resource_limits"
	publish = "https://cloud.google.com/pubsub/docs/publish-message-overview"
	api     = "https://cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage"
)

func TestDocumentedRulesOfMessages(t *testing.T) {
	named := func(name string) *pubsubpb.PubsubMessage {
		return &pubsubpb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{name: "v"}}
	}
	many := func(n int) *pubsubpb.PubsubMessage {
		m := &pubsubpb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{}}
		for i := range n {
			m.Attributes[fmt.Sprint("a", i)] = "v"
		}
		return m
	}
	for _, c := range []struct {
		rule, source string
		m            *pubsubpb.PubsubMessage
		taken        bool // by the service
		encoded      bool // by the driver, since the service doesn't take it
	}{
		{"a name may not begin with goog", publish, named("goog"), false, true},
		{"a name may not begin with goog", publish, named("google-id"), false, true},
		{"a name may not begin with goog, in any case", publish, named("Google-Id"), false, true},
		{"a name may not begin with goog, in any case", publish, named("GOOG_X"), false, true},
		{"a name may not begin with goog, in any case", publish, named("gOoGx"), false, true},
		{"the client libraries' own names are taken", publish, named("googclient_traceparent"), true, false},
		{"goog elsewhere in a name is nothing special", publish, named("x-goog"), true, false},
		{"goo is nothing special", publish, named("goo"), true, false},
		{"attribute key size: 256 bytes", quotas, named(strings.Repeat("k", 256)), true, false},
		{"attribute key size: 256 bytes", quotas, named(strings.Repeat("k", 257)), false, false},
		{"attribute key size counts bytes", quotas, named(strings.Repeat("é", 128)), true, false},
		{"attribute key size counts bytes", quotas, named(strings.Repeat("é", 129)), false, false},
		{"attribute value size: 1024 bytes", quotas, &pubsubpb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1024)}}, true, false},
		{"attribute value size: 1024 bytes", quotas, &pubsubpb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1025)}}, false, false},
		{"attributes per message: 100", quotas, many(99), true, false},
		{"attributes per message: 100", quotas, many(100), true, false},
		{"attributes per message: 100", quotas, many(101), false, false},
		{"ordering key: 1 KB", quotas, &pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: strings.Repeat("k", 1024)}, true, false},
		{"ordering key: 1 KB", quotas, &pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: strings.Repeat("k", 1025)}, false, false},
		{"a message has data or an attribute", api, &pubsubpb.PubsubMessage{}, false, true},
		{"message size: 10 MB", quotas, &pubsubpb.PubsubMessage{Data: make([]byte, 9_990_000)}, true, false},
		{"message size: 10 MB", quotas, &pubsubpb.PubsubMessage{Data: make([]byte, 10_000_001)}, false, false},
	} {
		q := newQueue(t, pubsubtest.Queue{})
		about := fmt.Sprintf("%s (%s): %.40q, %d attributes", c.rule, c.source, fmt.Sprint(c.m.Attributes), len(c.m.Attributes))
		_, err := administer(t).pub.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{c.m}})
		require.Equal(t, c.taken, err == nil, "the fake: %s: %v", about, err)

		// The driver sends what the service takes as it is. Of the rest it sends
		// what it can encode, and refuses the others itself.
		own := newQueue(t, pubsubtest.Queue{})
		errs := openSink(t, own).Send(t.Context(), []*handler.Message{{Body: c.m.Data, Attributes: maps.Clone(c.m.Attributes), Group: c.m.OrderingKey}})
		if errs != nil && errs[0] != nil {
			require.ErrorIs(t, errs[0], drivers.ErrInvalid, about)
			require.False(t, c.taken || c.encoded, "the driver refuses what it can send: %s: %v", about, errs[0])
			continue
		}
		require.True(t, c.taken || c.encoded, "the driver sends what the service refuses: "+about)
		sent := raw(t, own)
		for name, value := range c.m.Attributes {
			if c.taken {
				require.Equal(t, value, sent.Attributes[name], "the driver: "+about)
			} else {
				require.NotContains(t, sent.Attributes, name, "the driver: "+about)
			}
		}
	}
}
