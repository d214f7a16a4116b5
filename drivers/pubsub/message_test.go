package pubsub

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/handler"
)

// carry is what a message looks like after it went over the wire.
func carry(t require.TestingT, m *handler.Message) *handler.Message {
	pm, err := encode(m)
	require.NoError(t, err)
	require.False(t, len(pm.Data) == 0 && len(pm.Attributes) == 0, "Pub/Sub refuses a message with nothing in it")
	for k := range pm.Attributes {
		require.NotEmpty(t, k)
		require.False(t, strings.HasPrefix(strings.ToLower(k), "goog") && !strings.HasPrefix(k, "googclient_"), k)
	}
	wire, err := proto.Marshal(&pubsubpb.ReceivedMessage{Message: pm, AckId: "a"})
	require.NoError(t, err)
	rm := &pubsubpb.ReceivedMessage{}
	require.NoError(t, proto.Unmarshal(wire, rm))
	return decode(rm)
}

func TestWhatIsSentIsReceived(t *testing.T) {
	for _, m := range []*handler.Message{
		{},
		{Body: []byte("body")},
		{Body: []byte{0, 0xff, 0xfe}},
		{DedupeID: "id"},
		{Group: "group", Body: []byte("x")},
		{Attributes: map[string]string{"": "empty name"}},
		{Attributes: map[string]string{"empty value": ""}},
		{Attributes: map[string]string{"google": "a", "goog": "b", "googclient_traceparent": "c"}},
		{Attributes: map[string]string{"Google": "a", "GOOG": "b", "gOOg-x": "c", "GoogClient_traceparent": "d", "goo": "e"}},
		{Attributes: map[string]string{escapePrefix: "a", escapePrefix + "x": "b", escapePrefix + escapePrefix + "x": "c", "x": "d"}},
		{Attributes: map[string]string{attributeDedupeID: "mine", attributeEmpty: "mine"}, DedupeID: "id"},
		{Attributes: map[string]string{attributeEmpty: "mine"}},
		{Attributes: map[string]string{"NUL\x00": "\x00", "ключ": "значение", "\U0001F600": "\u2028"}},
	} {
		before := fmt.Sprint(m.Attributes)
		got := carry(t, m)
		require.Equal(t, string(m.Body), string(got.Body))
		require.Equal(t, m.Group, got.Group)
		require.Equal(t, m.DedupeID, got.DedupeID)
		if len(m.Attributes) == 0 {
			require.Nil(t, got.Attributes)
		} else {
			require.Equal(t, m.Attributes, got.Attributes)
		}
		require.Equal(t, before, fmt.Sprint(m.Attributes), "the caller's map was changed")
	}
}

func TestAnyAttributesAreCarried(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringN(-1, 20, 60), rapid.SampledFrom([]string{"", "goog", "google", "Goog", "GOOGLE", escapePrefix, attributeDedupeID, attributeEmpty, "googclient_x"}))
		m := &handler.Message{
			Body:       rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "body"),
			Attributes: rapid.MapOfN(name, rapid.StringN(-1, 50, 200), 0, 10).Draw(t, "attributes"),
			DedupeID:   rapid.StringN(-1, 20, 80).Draw(t, "dedupe"),
			Group:      rapid.StringN(-1, 20, 80).Draw(t, "group"),
		}
		got := carry(t, m)
		require.Equal(t, string(m.Body), string(got.Body))
		require.Equal(t, m.Group, got.Group)
		require.Equal(t, m.DedupeID, got.DedupeID)
		require.Len(t, got.Attributes, len(m.Attributes))
		for k, v := range m.Attributes {
			require.Equal(t, v, got.Attributes[k])
		}
	})
}

func TestTooMuchIsRefusedNamingTheLimit(t *testing.T) {
	attrs := func(n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprintf("k%d", i)] = "v"
		}
		return out
	}
	for _, c := range []struct {
		name, want string
		m          handler.Message
	}{
		{"101 attributes", "the limit of Pub/Sub is 100", handler.Message{Attributes: attrs(101)}},
		{"100 and a dedupe ID", "the limit of Pub/Sub is 100", handler.Message{Attributes: attrs(100), DedupeID: "id"}},
		{"name", "the limit of Pub/Sub is 256", handler.Message{Attributes: map[string]string{strings.Repeat("k", 257): ""}}},
		{"name once it is escaped", "the limit of Pub/Sub is 256", handler.Message{Attributes: map[string]string{"goog" + strings.Repeat("k", 250): ""}}},
		{"value", "the limit of Pub/Sub is 1024", handler.Message{Attributes: map[string]string{"k": strings.Repeat("v", 1025)}}},
		{"value that is not UTF-8", "not UTF-8", handler.Message{Attributes: map[string]string{"k": "\xff"}}},
		{"name that is not UTF-8", "not UTF-8", handler.Message{Attributes: map[string]string{"\xff": "v"}}},
		{"group", "at most 1024", handler.Message{Group: strings.Repeat("g", 1025)}},
		{"group that is not UTF-8", "UTF-8", handler.Message{Group: "\xff"}},
		{"dedupe ID", "at most 1024", handler.Message{DedupeID: strings.Repeat("d", 1025)}},
		{"body", fmt.Sprint(maxMessageBytes), handler.Message{Body: make([]byte, maxMessageBytes+1)}},
		{"body and attributes", fmt.Sprint(maxMessageBytes), handler.Message{Body: make([]byte, maxMessageBytes-1), Attributes: map[string]string{"k": "v"}}},
	} {
		_, err := encode(&c.m)
		require.ErrorContains(t, err, c.want, c.name)
	}
	_, err := encode(&handler.Message{Attributes: attrs(99), DedupeID: "id", Group: strings.Repeat("g", 1024)})
	require.NoError(t, err)
}

// The largest message that is let through must fit into a request.
func TestTheLargestMessageFits(t *testing.T) {
	attrs := map[string]string{}
	size := 0
	for i := range maxAttributes {
		k := fmt.Sprintf("%0256d", i)
		attrs[k] = strings.Repeat("v", 1024)
		size += len(k) + 1024
	}
	pm, err := encode(&handler.Message{Group: strings.Repeat("g", 1024), Attributes: attrs, Body: make([]byte, maxMessageBytes-size-1024)})
	require.NoError(t, err)
	n := proto.Size(&pubsubpb.PublishRequest{Topic: "projects/p/topics/" + strings.Repeat("t", 255), Messages: []*pubsubpb.PubsubMessage{pm}})
	require.LessOrEqual(t, n, maxRequestBytes)
}

func TestForeignMessagesAreRead(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := decode(&pubsubpb.ReceivedMessage{AckId: "a", DeliveryAttempt: 3, Message: &pubsubpb.PubsubMessage{
		MessageId: "id", Data: []byte("x"), OrderingKey: "k", PublishTime: timestamppb.New(at),
		Attributes: map[string]string{"googclient_schemaencoding": "JSON", "a": "b"},
	}})
	require.Equal(t, &handler.Message{ID: "id", Body: []byte("x"), Group: "k", Attempt: 3, EnqueuedAt: at,
		Attributes: map[string]string{"googclient_schemaencoding": "JSON", "a": "b"}}, m)
	require.Equal(t, &handler.Message{}, decode(&pubsubpb.ReceivedMessage{}))
}

func FuzzDecode(f *testing.F) {
	f.Add("k", "v", "x", []byte("body"))
	f.Add(escapePrefix, attributeDedupeID, attributeEmpty, []byte(nil))
	f.Add("sluice-dead-letter", `{"reason":"r"}`, "", []byte{0})
	f.Fuzz(func(t *testing.T, k, v, k2 string, body []byte) {
		attrs := map[string]string{k: v, k2: v}
		m := decode(&pubsubpb.ReceivedMessage{Message: &pubsubpb.PubsubMessage{Data: body, Attributes: attrs}})
		if !utf8.ValidString(k) || !utf8.ValidString(v) || !utf8.ValidString(k2) || check(m) != nil {
			return // such a message cannot have been received
		}
		again := carry(t, m)
		require.Equal(t, m.DedupeID, again.DedupeID)
		require.Equal(t, m.Attributes, again.Attributes)
	})
}

func TestNames(t *testing.T) {
	for s, want := range map[string]name{
		"projects/p/topics/t":                    {"p", kindTopic, "t"},
		"projects/example.com:p/subscriptions/s": {"example.com:p", kindSubscription, "s"},
	} {
		got, err := parseName(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, s, got.String())
	}
	for _, s := range []string{"", "t", "projects/p/topics/", "projects//topics/t", "projects/p/queues/q", "projects/p/topics/t/x", "project/p/topics/t"} {
		_, err := parseName(s)
		require.Error(t, err, s)
	}
	n, err := parseNameIn("p", kindTopic, "short")
	require.NoError(t, err)
	require.Equal(t, "projects/p/topics/short", n.String())
	_, err = parseNameIn("p", kindTopic, "projects/p/subscriptions/s")
	require.ErrorContains(t, err, "topics is needed")
}

func TestLettersAreForgottenAtLast(t *testing.T) {
	var l letters
	require.False(t, l.has("a"))
	l.add("a")
	require.True(t, l.has("a"))
	l.forget("a")
	require.False(t, l.has("a"))

	old := time.Now().Add(-letterLife - time.Second)
	for i := range maxAckIDs + 1 {
		l.add(fmt.Sprint(i))
		l.sent[fmt.Sprint(i)] = old
	}
	l.add("new")
	require.True(t, l.has("new"))
	require.Len(t, l.sent, 1)
}
