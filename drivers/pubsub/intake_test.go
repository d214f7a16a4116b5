package pubsub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/internal/protocol"
)

// newIntake returns an intake of the subscription projects/p/subscriptions/s.
func newIntake(dead bool) *intake {
	s := &subscription{c: &clients{private: true}, sub: name{"p", kindSubscription, "s"}, dead: dead}
	s.watch.now.Store(&config{topic: name{"p", kindTopic, "t"}})
	return &intake{receiver: receiver{puller{s}}}
}

// decodeAnswer decodes an answer as a Pull does on a connection of the driver's own.
func decodeAnswer(t testing.TB, dead bool, wire []byte) *intake {
	in := newIntake(dead)
	c := &protocol.Codec{Start: in.start, Add: in.add}
	resp := &pubsubpb.PullResponse{}
	require.NoError(t, c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, resp))
	if rms := resp.GetReceivedMessages(); len(rms) > 0 {
		require.Empty(t, in.ds)
		in.addAll(rms)
	}
	return in
}

// sameIntake fails the test unless both ways of decoding have the same result.
func sameIntake(t testing.TB, rms ...*pubsubpb.ReceivedMessage) {
	wire, err := proto.Marshal(&pubsubpb.PullResponse{ReceivedMessages: rms})
	require.NoError(t, err)
	for _, dead := range []bool{false, true} {
		got := decodeAnswer(t, dead, wire)
		resp := &pubsubpb.PullResponse{}
		require.NoError(t, proto.Unmarshal(wire, resp))
		want := newIntake(dead)
		want.addAll(resp.ReceivedMessages)
		clear(wire[:len(wire):len(wire)]) // gRPC uses the bytes again
		require.Equal(t, want.ds, got.ds)
		require.Equal(t, want.foreign, got.foreign)
		for _, d := range got.ds {
			require.Equal(t, d.Message.Body == nil, len(d.Message.Body) == 0)
		}
		wire, err = proto.Marshal(&pubsubpb.PullResponse{ReceivedMessages: rms})
		require.NoError(t, err)
	}
}

func TestBothWaysOfDecodingAgree(t *testing.T) {
	const here, elsewhere, topic = "projects/p/subscriptions/s", "projects/p/subscriptions/other", "projects/p/topics/t"
	var all []*pubsubpb.ReceivedMessage
	for i, attributes := range []map[string]string{
		nil,
		{attributeDedupeID: "id"},
		{attributeDedupeID: ""},
		{attributeDedupeID: "id", "traceparent": "00-x"},
		{attributeEmpty: "1"},
		{attributeEmpty: "1", attributeDedupeID: "id"},
		{escapePrefix + "google": "a", escapePrefix + attributeDedupeID: "mine", "x": ""},
		{attributeRedriveTarget: here, attributeRedriveTopic: topic, "own": "kept"},
		{attributeRedriveTarget: elsewhere},
		{attributeRedriveTarget: elsewhere, attributeRedriveTopic: topic, attributeDedupeID: "id"},
		{attributeRedriveTarget: elsewhere, attributeRedriveTopic: "projects/p/topics/other"},
		{attributeRedriveTarget: elsewhere, nativeSubscription: "other"},
		{nativeSubscription: "s", nativeCount: "5", "a": "b"},
		{nativeSubscription: "s", drivers.AttributeDeadLetterQueue: "forged", drivers.AttributeDeadLetterReason: "forged"},
		{drivers.AttributeDeadLetter: `{"reason":"r","attributes":{"a":"b"}}`},
		{drivers.AttributeDeadLetter: `not JSON`},
		{"long": strings.Repeat("v", 1024), strings.Repeat("k", 256): "v"},
	} {
		for _, body := range []string{"", "body"} {
			all = append(all, &pubsubpb.ReceivedMessage{AckId: fmt.Sprint("ack-", i, body), DeliveryAttempt: int32(i), Message: &pubsubpb.PubsubMessage{
				Data: []byte(body), Attributes: attributes, MessageId: fmt.Sprint(i), OrderingKey: strings.Repeat("k", i%3),
				PublishTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC)),
			}})
		}
	}
	all = append(all, &pubsubpb.ReceivedMessage{}, &pubsubpb.ReceivedMessage{AckId: "a"},
		&pubsubpb.ReceivedMessage{AckId: "a", Message: &pubsubpb.PubsubMessage{PublishTime: &timestamppb.Timestamp{}}})
	sameIntake(t, all...)
	for _, rm := range all {
		sameIntake(t, rm)
	}
	wire, err := proto.Marshal(&pubsubpb.PullResponse{ReceivedMessages: all})
	require.NoError(t, err)
	in := decodeAnswer(t, false, wire)
	require.Len(t, in.foreign, 4)
	require.Len(t, in.ds, len(all)-4)
}

// An answer that the codec does not know is decoded by the SDK, and none of it twice.
func TestAnAnswerWithAnUnknownField(t *testing.T) {
	known := &pubsubpb.ReceivedMessage{AckId: "a", Message: &pubsubpb.PubsubMessage{Data: []byte("first")}}
	unknown := proto.CloneOf(known)
	unknown.Message.ProtoReflect().SetUnknown([]byte{99 << 3 & 0x7f, 0})
	sameIntake(t, known, known, unknown)
}

// The bodies and texts of an answer are copies.
func TestMessagesOutliveTheAnswer(t *testing.T) {
	text := strings.Repeat("x", 20)
	wire, err := proto.Marshal(&pubsubpb.PullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{{AckId: text, Message: &pubsubpb.PubsubMessage{
		Data: []byte(text), MessageId: text, OrderingKey: text, Attributes: map[string]string{text: text, attributeDedupeID: text},
	}}}})
	require.NoError(t, err)
	in := decodeAnswer(t, false, wire)
	clear(wire)
	d := in.ds[0]
	require.Equal(t, text, d.Receipt)
	require.Equal(t, text, string(d.Message.Body))
	require.Equal(t, []string{text, text, text, text}, []string{d.Message.ID, d.Message.Group, d.Message.DedupeID, d.Message.Attribute(text)})
}

// A message whose only attribute is its dedupe ID, as most are, takes its part of few
// allocations beside its body.
func TestAMessageTakesFewAllocations(t *testing.T) {
	r := &pubsubpb.PullResponse{}
	for i := range 1000 {
		r.ReceivedMessages = append(r.ReceivedMessages, &pubsubpb.ReceivedMessage{AckId: fmt.Sprintf("%0180d", i), Message: &pubsubpb.PubsubMessage{
			Data: []byte("body"), MessageId: fmt.Sprintf("%016d", i), Attributes: map[string]string{attributeDedupeID: fmt.Sprintf("%036d", i)},
		}})
	}
	wire, err := proto.Marshal(r)
	require.NoError(t, err)
	n := testing.AllocsPerRun(10, func() { decodeAnswer(t, false, wire) })
	require.Less(t, n, 1500.0)
}

// Only a connection that no interceptor can be on is decoded by hand.
func TestPrivateConnections(t *testing.T) {
	on := name{"p", kindSubscription, "s"}
	private := func(opts ...option.ClientOption) bool {
		c, err := dial(t.Context(), on, "127.0.0.1:1", opts)
		require.NoError(t, err)
		defer func() { require.NoError(t, c.release()) }()
		in := intake{receiver: receiver{puller{&subscription{c: c}}}}
		require.Equal(t, c.private, len(in.options()) > 0)
		return c.private
	}
	credentials := filepath.Join(t.TempDir(), "credentials.json")
	require.NoError(t, os.WriteFile(credentials, []byte(`{"type":"authorized_user","client_id":"x","client_secret":"x","refresh_token":"x"}`), 0o600))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	require.True(t, private())
	require.False(t, private(option.WithoutAuthentication()), "options may have interceptors")
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
	require.True(t, private())
	require.True(t, private(option.WithoutAuthentication()), "options are not used for an emulator")
	t.Setenv(logAnswers, "debug")
	require.False(t, private(), "the SDK logs answers")
	require.False(t, Clients{}.borrow().private)
}

func FuzzIntake(f *testing.F) {
	f.Add("ack", "id", "key", "k", "v", "k2", []byte("body"), int32(1), int64(5), int32(6))
	f.Add("ack", "id", "", attributeDedupeID, "v", attributeEmpty, []byte{}, int32(-1), int64(-5), int32(-6))
	f.Add("ack", "id", "", attributeRedriveTarget, "projects/p/subscriptions/s", nativeSubscription, []byte("x"), int32(0), int64(0), int32(0))
	f.Add("ack", "id", "", drivers.AttributeDeadLetter, `{"reason":"r"}`, escapePrefix, []byte("x"), int32(0), int64(0), int32(0))
	f.Fuzz(func(t *testing.T, ack, id, key, k, v, k2 string, body []byte, attempt int32, seconds int64, nanos int32) {
		rm := &pubsubpb.ReceivedMessage{AckId: ack, DeliveryAttempt: attempt, Message: &pubsubpb.PubsubMessage{
			Data: body, MessageId: id, OrderingKey: key, Attributes: map[string]string{k: v, k2: v},
			PublishTime: &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos},
		}}
		if _, err := proto.Marshal(rm); err != nil {
			return // it is not UTF-8
		}
		alone := proto.CloneOf(rm)
		delete(alone.Message.Attributes, k2)
		sameIntake(t, rm, alone)
	})
}
