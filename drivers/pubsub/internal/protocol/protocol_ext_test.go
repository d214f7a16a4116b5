package protocol_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/drivers/pubsub/internal/protocol"
)

// decode decodes an answer with a Codec. The result has its messages, by whichever way
// they came; byHand reports whether the Codec decoded them itself.
func decode(wire ...[]byte) (got *pubsubpb.PullResponse, byHand bool, err error) {
	var added []*pubsubpb.ReceivedMessage
	expected := -1
	c := &protocol.Codec{
		Start: func(n int) { added, expected = nil, n },
		Add: func(m *protocol.Message) {
			rm := &pubsubpb.ReceivedMessage{AckId: string(m.AckID), DeliveryAttempt: m.Attempt, Message: &pubsubpb.PubsubMessage{
				MessageId: string(m.ID), Data: bytes.Clone(m.Data), OrderingKey: string(m.Group),
			}}
			if m.Timed {
				rm.Message.PublishTime = &timestamppb.Timestamp{Seconds: m.Seconds, Nanos: m.Nanos}
			}
			for _, a := range m.Attributes {
				if rm.Message.Attributes == nil {
					rm.Message.Attributes = map[string]string{}
				}
				rm.Message.Attributes[string(a.Name)] = string(a.Value)
			}
			added = append(added, rm)
		},
	}
	var data mem.BufferSlice
	for _, part := range wire {
		data = append(data, mem.SliceBuffer(part))
	}
	got = &pubsubpb.PullResponse{}
	err = c.Unmarshal(data, got)
	if len(added) > 0 {
		if len(got.ReceivedMessages) > 0 || len(added) != expected {
			return nil, false, fmt.Errorf("%d messages were added, %d announced, and the answer has %d", len(added), expected, len(got.ReceivedMessages))
		}
		got.ReceivedMessages = added
		return got, true, err
	}
	return got, false, err
}

// same fails the test unless the Codec and the generated code decode wire to the same. If
// the Codec has decoded it itself, a message without a PubsubMessage may be one with an
// empty one, which no caller distinguishes.
func same(t require.TestingT, wire []byte) (byHand bool) {
	want := &pubsubpb.PullResponse{}
	wantErr := proto.Unmarshal(wire, want)
	got, byHand, err := decode(wire)
	if wantErr != nil {
		require.ErrorContains(t, err, wantErr.Error())
		require.False(t, byHand)
		return false
	}
	require.NoError(t, err)
	if byHand {
		for _, rm := range want.ReceivedMessages {
			if rm.Message == nil {
				rm.Message = &pubsubpb.PubsubMessage{}
			}
		}
	}
	require.True(t, proto.Equal(want, got), "want %v\ngot %v", want, got)
	return byHand
}

func field(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func full() *pubsubpb.PullResponse {
	r := &pubsubpb.PullResponse{}
	for i := range 30 {
		r.ReceivedMessages = append(r.ReceivedMessages, &pubsubpb.ReceivedMessage{
			AckId: strings.Repeat("a", 150+i), DeliveryAttempt: int32(i),
			Message: &pubsubpb.PubsubMessage{
				Data: bytes.Repeat([]byte{byte(i)}, 20*i), MessageId: fmt.Sprint(i), OrderingKey: strings.Repeat("k", i%3),
				PublishTime: &timestamppb.Timestamp{Seconds: int64(i) - 5, Nanos: int32(i) * 1e7},
				Attributes:  map[string]string{"sluice-dedupe-id": fmt.Sprint("id-", i), "ключ": "значение", "": ""},
			},
		})
	}
	return r
}

func marshal(t testing.TB, m proto.Message) []byte {
	wire, err := proto.Marshal(m)
	require.NoError(t, err)
	return wire
}

// TestDecodesItself fails if the registered codec decodes what the service and its
// emulators send.
func TestDecodesItself(t *testing.T) {
	received := func(m *pubsubpb.PubsubMessage) []byte {
		return marshal(t, &pubsubpb.PullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{{AckId: "a", Message: m}}})
	}
	for name, wire := range map[string][]byte{
		"full":                                 marshal(t, full()),
		"empty message":                        received(&pubsubpb.PubsubMessage{}),
		"no message":                           marshal(t, &pubsubpb.PullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{{AckId: "a"}}}),
		"nothing":                              field(1, nil),
		"empty time":                           received(&pubsubpb.PubsubMessage{PublishTime: &timestamppb.Timestamp{}}),
		"negative time":                        received(&pubsubpb.PubsubMessage{PublishTime: &timestamppb.Timestamp{Seconds: -1, Nanos: -1}}),
		"10 MB":                                received(&pubsubpb.PubsubMessage{Data: make([]byte, 10_000_000)}),
		"empty data":                           field(1, field(2, field(1, nil))),
		"an attempt of 64 bits":                field(1, number(3, 1<<40+7)),
		"negative attempt":                     marshal(t, &pubsubpb.PullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{{DeliveryAttempt: -3}}}),
		"an attribute without a value":         field(1, field(2, field(2, field(1, []byte("name"))))),
		"an attribute without a name":          field(1, field(2, field(2, field(2, []byte("value"))))),
		"a value before its name":              field(1, field(2, field(2, join(field(2, []byte("value")), field(1, []byte("name")))))),
		"an attribute twice":                   field(1, field(2, join(field(2, join(field(1, []byte("n")), field(2, []byte("1")))), field(2, join(field(1, []byte("n")), field(2, []byte("2"))))))),
		"fields in another order":              field(1, join(number(3, 1), field(2, join(field(5, []byte("k")), field(1, []byte("d")))), field(1, []byte("a")))),
		"a length that is longer than need be": join([]byte{0x0a, 0x83, 0x00, 0x0a, 0x01, 'a'}),
	} {
		require.True(t, same(t, wire), name)
	}
}

// TestAnswersInParts decodes an answer that arrives in many frames, as large ones do.
func TestAnswersInParts(t *testing.T) {
	want := full()
	got, byHand, err := decode(slices.Collect(slices.Chunk(marshal(t, want), 100))...)
	require.NoError(t, err)
	require.True(t, byHand)
	require.True(t, proto.Equal(want, got))
}

// TestLeavesTheRestToTheSDK has what the Codec must not decode.
func TestLeavesTheRestToTheSDK(t *testing.T) {
	before := field(1, field(1, []byte("before"))) // is dropped
	message := func(parts ...[]byte) []byte { return join(before, field(1, field(2, join(parts...)))) }
	group := func(num protowire.Number) []byte {
		return protowire.AppendTag(protowire.AppendTag(nil, num, protowire.StartGroupType), num, protowire.EndGroupType)
	}
	fixed := protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), 1)
	for name, wire := range map[string][]byte{
		"unknown field of the answer":          join(before, field(2, nil)),
		"unknown field of a received message":  join(before, field(1, field(4, nil))),
		"unknown field of a message":           message(field(6, []byte("x"))),
		"unknown field of a time":              message(field(4, number(3, 1))),
		"unknown field of an attribute":        message(field(2, field(3, nil))),
		"field number 16":                      message(field(16, nil)),
		"field number 17, whose tag ends as 1": message(number(17, 1)),
		"wrong type in the answer":             join(before, number(1, 1)),
		"wrong type of an ack ID":              join(before, field(1, number(1, 1))),
		"wrong type of an attempt":             join(before, field(1, field(3, nil))),
		"wrong type of data":                   message(number(1, 1)),
		"fixed type of data":                   message(fixed),
		"wrong type of seconds":                message(field(4, field(1, nil))),
		"wrong type of a value":                message(field(2, number(2, 1))),
		"group in the answer":                  join(before, group(1)),
		"group in a received message":          join(before, field(1, group(2))),
		"group in a message":                   message(group(1)),
		"end of a group that is not open":      message(protowire.AppendTag(nil, 1, protowire.EndGroupType)),
		"ack ID twice":                         join(before, field(1, join(field(1, []byte("a")), field(1, []byte("b"))))),
		"attempt twice":                        join(before, field(1, join(number(3, 1), number(3, 2)))),
		"a message in two parts":               join(before, field(1, join(field(2, field(1, []byte("data"))), field(2, field(3, []byte("id")))))),
		"data twice":                           message(field(1, []byte("a")), field(1, nil)),
		"ID twice":                             message(field(3, []byte("a")), field(3, []byte("b"))),
		"a time in two parts":                  message(field(4, number(1, 5)), field(4, number(2, 6))),
		"seconds twice":                        message(field(4, join(number(1, 5), number(1, 6)))),
		"key of an attribute twice":            message(field(2, join(field(1, []byte("a")), field(1, []byte("b"))))),
		"ordering key twice":                   message(field(5, []byte("a")), field(5, []byte("b"))),
		"ack ID not UTF-8":                     join(before, field(1, field(1, []byte("\xff")))),
		"ID not UTF-8":                         message(field(3, []byte("\xff"))),
		"ordering key not UTF-8":               message(field(5, []byte("\xed\xa0\x80"))),
		"name not UTF-8":                       message(field(2, field(1, []byte("\xc3(")))),
		"value not UTF-8":                      message(field(2, field(2, []byte("\xff")))),
		"a long form of a tag":                 message([]byte{0x8a, 0x00, 0x01, 'x'}),
		"field number 0":                       message([]byte{0x02, 0x00}),
		"cut in a tag":                         join(before, []byte{0x8a}),
		"cut in a length":                      join(before, []byte{0x0a, 0x80}),
		"cut in a value":                       join(before, []byte{0x0a, 5, 1}),
		"a length of more than 64 bits":        join(before, []byte{0x0a}, bytes.Repeat([]byte{0xff}, 10), []byte{0x7f}),
		"a negative length":                    join(before, protowire.AppendVarint([]byte{0x0a}, 1<<64-1)),
		"cut in an attempt":                    join(before, field(1, []byte{3 << 3, 0x80})),
		"inner length beyond the outer":        join(before, field(1, []byte{0x0a, 2, 'a'}), []byte("b")),
	} {
		require.False(t, same(t, wire), name)
	}
}

// TestEmptyAnswer is an idle Pull.
func TestEmptyAnswer(t *testing.T) {
	got, _, err := decode()
	require.NoError(t, err)
	require.Empty(t, got.ReceivedMessages)
}

// TestOtherCalls leaves other messages to the registered codec.
func TestOtherCalls(t *testing.T) {
	c := &protocol.Codec{}
	want := &pubsubpb.PullRequest{Subscription: "s", MaxMessages: 5}
	data, err := c.Marshal(want)
	require.NoError(t, err)
	got := &pubsubpb.PullRequest{}
	require.NoError(t, c.Unmarshal(data, got))
	require.True(t, proto.Equal(want, got))
	require.Empty(t, c.Name(), "a name would change the content type of the request")
}

// small returns an answer with each field.
func small() *pubsubpb.PullResponse {
	return &pubsubpb.PullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{
		{AckId: "ack", DeliveryAttempt: 2, Message: &pubsubpb.PubsubMessage{
			Data: []byte("data"), MessageId: "é", OrderingKey: "k", Attributes: map[string]string{"n": "v"},
			PublishTime: &timestamppb.Timestamp{Seconds: 300, Nanos: 1},
		}},
		{AckId: "b", Message: &pubsubpb.PubsubMessage{Data: []byte("x")}},
	}}
}

// TestChangedAnswers decodes answers that differ in a few bytes from what is valid.
func TestChangedAnswers(t *testing.T) {
	valid := marshal(t, small())
	rapid.Check(t, func(t *rapid.T) {
		wire := bytes.Clone(valid)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(wire)-1).Draw(t, "at")
			b := rapid.OneOf(rapid.Byte(), rapid.SampledFrom(valid)).Draw(t, "byte")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0, 1:
				wire[at] = b
			case 2:
				wire = slices.Insert(wire, at, b)
			case 3:
				wire = slices.Delete(wire, at, at+1)
			}
		}
		same(t, wire)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(marshal(f, small()))
	f.Add(field(1, join(number(3, 1), field(2, join(field(5, []byte("k")), field(1, []byte("d")))), field(1, []byte("a")))))
	f.Add(field(1, field(2, join(field(4, number(1, 5)), field(4, number(2, 6))))))
	f.Fuzz(func(t *testing.T, wire []byte) { same(t, wire) })
}

// TestFields fails if an update of the SDK adds a field to an answer or changes one. The
// codec then leaves answers with the field to the SDK, until it learns it.
func TestFields(t *testing.T) {
	for _, c := range []struct {
		of   proto.Message
		want []string
	}{
		{&pubsubpb.PullResponse{}, []string{"1 repeated message received_messages"}},
		{&pubsubpb.ReceivedMessage{}, []string{"1 optional string ack_id", "2 optional message message", "3 optional int32 delivery_attempt"}},
		{&pubsubpb.PubsubMessage{}, []string{
			"1 optional bytes data", "2 repeated message attributes", "3 optional string message_id",
			"4 optional message publish_time", "5 optional string ordering_key",
		}},
		{&timestamppb.Timestamp{}, []string{"1 optional int64 seconds", "2 optional int32 nanos"}},
	} {
		d := c.of.ProtoReflect().Descriptor()
		require.Equal(t, c.want, describe(d), "%s: teach the parser, then this test", d.FullName())
	}
	entry := (&pubsubpb.PubsubMessage{}).ProtoReflect().Descriptor().Fields().ByName("attributes")
	require.True(t, entry.IsMap())
	require.Equal(t, []string{"1 optional string key", "2 optional string value"}, describe(entry.Message()))
}

func describe(d protoreflect.MessageDescriptor) (fields []string) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		fields = append(fields, fmt.Sprint(f.Number(), " ", f.Cardinality(), " ", f.Kind(), " ", f.Name()))
	}
	return fields
}

// Most messages have no group: an empty string must not keep others in memory.
func TestAnEmptyTextHoldsNoBlock(t *testing.T) {
	var texts protocol.Texts
	first := texts.Copy([]byte("first"), 100)
	require.NotSame(t, unsafe.StringData(first), unsafe.StringData(texts.Copy(nil, 100)))
}

// Strings outlive the answer, and an allocation has few of them.
func TestTexts(t *testing.T) {
	var texts protocol.Texts
	var got []string
	b := make([]byte, 100)
	for i := range 50 {
		for j := range b {
			b[j] = byte('a' + i%26)
		}
		got = append(got, texts.Copy(b, 50-i))
	}
	long := bytes.Repeat([]byte("L"), 5000)
	got = append(got, texts.Copy(long, 1), texts.Copy(nil, 1))
	clear(b)
	clear(long)
	for i := range 50 {
		require.Equal(t, strings.Repeat(string(rune('a'+i%26)), 100), got[i])
	}
	require.Equal(t, strings.Repeat("L", 5000), got[50])
	require.Empty(t, got[51])
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		var texts protocol.Texts
		for i := range 20 {
			texts.Copy(b, 20-i)
		}
	}), 1.0)
}
