package sqs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

// size19 is a size that is sent as a number.
var size19 = regexp.MustCompile(`^[0-9]{1,19}$`)

// carried is what SQS would deliver of an entry. It fails unless SQS would take
// the entry.
func carried(t require.TestingT, q *queue, e *entry) *types.Message {
	m := &types.Message{Body: e.MessageBody, MessageAttributes: e.MessageAttributes, Attributes: map[string]string{}}
	size := len(*e.MessageBody)
	require.True(t, sendable(*e.MessageBody), "body %q", *e.MessageBody)
	require.LessOrEqual(t, len(e.MessageAttributes), 10)
	for name, v := range e.MessageAttributes {
		require.True(t, nameable(name), "name %q", name)
		require.True(t, sendable(*v.StringValue), "value of %q: %q", name, *v.StringValue)
		kind := "String"
		if name == "ExtendedPayloadSize" && size19.MatchString(*v.StringValue) {
			kind = "Number"
		}
		require.Equal(t, kind, *v.DataType, name)
		size += len(name) + len(*v.DataType) + len(*v.StringValue)
	}
	require.Equal(t, size, e.size)
	for name, v := range e.MessageSystemAttributes {
		require.Equal(t, "AWSTraceHeader", name)
		require.True(t, sendable(*v.StringValue))
		m.Attributes[name] = *v.StringValue
	}
	for name, v := range map[string]*string{sysGroup: e.MessageGroupId, sysDedupe: e.MessageDeduplicationId} {
		if v != nil {
			require.Regexp(t, `^[!-~]{1,128}$`, *v)
			m.Attributes[name] = *v
		}
	}
	if q.fifo {
		require.NotNil(t, e.MessageGroupId)
		require.Zero(t, e.DelaySeconds)
		require.True(t, q.contentDedupe || e.MessageDeduplicationId != nil)
	} else {
		require.Nil(t, e.MessageDeduplicationId, "SQS refuses it on a standard queue")
	}
	return m
}

// names are attributes' names that are likely to be trouble.
var names = []string{
	"plain", "AWSTraceHeader", "awstraceheader", "AWS.x", "amazon.x", "a..b", ".a", "a.", "", "ключ", "\x00", "\xff", "\ufffe", "traceparent",
	"sluice-body", "sluice-dedupe-id", "sluice-group", "sluice-more", "ExtendedPayloadSize", strings.Repeat("n", 257),
}

var values = []string{
	"", "x", "300000", "0", strings.Repeat("9", 39), "base64", "empty", "-", `{"text":{"a":"b"}}`, `{"raw":{"!":"x"}}`, "{}", "null", "\x00", "\xff", "\uffff", "<&>", "значение",
}

func drawString(t *rapid.T, label string, likely []string) string {
	return rapid.OneOf(rapid.SampledFrom(likely), rapid.String(), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
	})).Draw(t, label)
}

func TestAnyMessageIsCarriedAndComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &queue{name: "q", fifo: rapid.Bool().Draw(t, "fifo"), contentDedupe: rapid.Bool().Draw(t, "content-based")}
		m := &handler.Message{
			Body:     []byte(drawString(t, "body", values)),
			Group:    drawString(t, "group", append([]string{"g"}, values...)),
			DedupeID: drawString(t, "dedupe ID", append([]string{strings.Repeat("d", 200)}, values...)),
		}
		for range rapid.IntRange(0, 14).Draw(t, "attributes") {
			m.SetAttribute(drawString(t, "name", names), drawString(t, "value", values))
		}
		if q.fifo && m.Group == "" {
			m.Group = "g"
		}
		e, err := encoder{q}.encode(m, "")
		require.NoError(t, err)
		var got handler.Message
		decoder{q}.decode(carried(t, q, e), &got)
		require.Equal(t, string(m.Body), string(got.Body))
		require.Equal(t, m.Group, got.Group)
		if m.DedupeID == "" {
			require.True(t, identity.Made(got.DedupeID), "a message without a dedupe ID has an identity: %q", got.DedupeID)
		} else {
			require.Equal(t, m.DedupeID, got.DedupeID)
		}
		require.Equal(t, m.Attributes, got.Attributes)
	})
}

func TestTextIsSentAsItIs(t *testing.T) {
	q := &queue{name: "q"}
	m := &handler.Message{Body: []byte(`{"id":"é"}`), Attributes: map[string]string{"a.b-c_1": "v", "tenant": "t"}, DedupeID: "d", Group: "tenant-1"}
	e, err := encoder{q}.encode(m, "")
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"é"}`, *e.MessageBody)
	require.Equal(t, "tenant-1", *e.MessageGroupId)
	require.Len(t, e.MessageAttributes, 3)
	require.Equal(t, "v", *e.MessageAttributes["a.b-c_1"].StringValue)
	require.Equal(t, "d", *e.MessageAttributes[attributeDedupe].StringValue)
}

func TestOverflowKeepsTracingReadable(t *testing.T) {
	q := &queue{name: "q"}
	m := &handler.Message{Body: []byte("x"), DedupeID: "d"}
	for _, c := range "abcdefghijkl" {
		m.SetAttribute(string(c), "v")
	}
	m.SetAttribute("traceparent", "tp")
	m.SetAttribute("sluice-dead-letter-reason", "r")
	e, err := encoder{q}.encode(m, "")
	require.NoError(t, err)
	require.Len(t, e.MessageAttributes, 10)
	require.Contains(t, e.MessageAttributes, "traceparent")
	require.Contains(t, e.MessageAttributes, "a")
	require.NotContains(t, e.MessageAttributes, "sluice-dead-letter-reason")
	require.JSONEq(t, `{"text":{"i":"v","j":"v","k":"v","l":"v","sluice-dead-letter-reason":"r"},"own":{"sluice-dedupe-id":"d"}}`, *e.MessageAttributes[attributeMore].StringValue)
}

// Sluice's own attributes, and tracing, make room for the user's: a client that
// knows nothing of Sluice reads as many as if Sluice added none.
func TestUsersAttributesComeFirst(t *testing.T) {
	for _, c := range []struct {
		name     string
		user     int
		sluice   []string
		body     string
		group    string
		readable []string // beside the user's
	}{
		{"room for all", 8, []string{"traceparent"}, "x", "", []string{"traceparent", "sluice-dedupe-id"}},
		{"one too many", 9, []string{"traceparent"}, "x", "", []string{"sluice-more"}},
		{"two of tracing", 8, []string{"traceparent", "tracestate"}, "x", "", []string{"traceparent", "sluice-more"}},
		{"a letter", 5, []string{
			"sluice-dead-letter-attempt", "sluice-dead-letter-consumer", "sluice-dead-letter-first-failed", "sluice-dead-letter-last-failed", "sluice-dead-letter-queue",
		}, "x", "", []string{
			"sluice-dead-letter-attempt", "sluice-dead-letter-consumer", "sluice-dead-letter-first-failed", "sluice-dead-letter-last-failed", "sluice-more",
		}},
		{"all of the driver's own", 9, nil, "\x00", "group \x00", []string{"sluice-more"}},
		{"only an identity too many", 10, nil, "x", "", []string{"sluice-more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, q := range []*queue{{name: "q"}, {name: "q.fifo", fifo: true}} {
				m := &handler.Message{Body: []byte(c.body), Group: c.group}
				if q.fifo && m.Group == "" {
					m.Group = "g"
				}
				for i := range c.user {
					m.SetAttribute("user-"+string(rune('a'+i)), "v")
				}
				for _, name := range c.sluice {
					m.SetAttribute(name, "v")
				}
				e, err := encoder{q}.encode(m, "")
				require.NoError(t, err)
				got := carried(t, q, e)
				var others []string
				users := 0
				for name := range got.MessageAttributes {
					if strings.HasPrefix(name, "user-") {
						users++
					} else {
						others = append(others, name)
					}
				}
				require.Equal(t, min(c.user, 9), users)
				require.ElementsMatch(t, c.readable, others)
				var back handler.Message
				decoder{q}.decode(got, &back)
				require.Equal(t, m.Attributes, back.Attributes)
				require.Equal(t, m.Body, back.Body)
				require.Equal(t, m.Group, back.Group)
				require.True(t, identity.Made(back.DedupeID), back.DedupeID)
			}
		})
	}
}

// A message that is just small enough is sent, if need be without an identity.
func TestAnIdentityMakesNoMessageTooLarge(t *testing.T) {
	for _, c := range []struct {
		name   string
		fifo   bool
		dedupe string
		want   string
		fits   bool
	}{
		{"made, standard", false, "", "", true},
		{"made, FIFO", true, "", "made", true},
		{"sender's, FIFO", true, "order-1", "order-1", true},
		{"sender's, standard", false, "order-1", "order-1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &queue{name: "q", fifo: c.fifo, maxBytes: 1000}
			m := &handler.Message{Body: []byte(strings.Repeat("x", 1000)), Group: "g", DedupeID: c.dedupe}
			e, err := encoder{q}.encode(m, "")
			require.NoError(t, err)
			require.Equal(t, c.fits, e.size <= q.maxBytes)
			var got handler.Message
			decoder{q}.decode(carried(t, q, e), &got)
			if c.want == "made" {
				require.True(t, identity.Made(got.DedupeID))
			} else {
				require.Equal(t, c.want, got.DedupeID)
			}
		})
	}
}

// The Amazon SQS Extended Client finds a body by this attribute, of this type.
func TestAClaimChecksSizeIsANumberThatIsNeverPacked(t *testing.T) {
	as := map[string]string{"ExtendedPayloadSize": "300000", "traceparent": "t", "tracestate": "s"}
	for i := range 20 {
		as["A"+strings.Repeat("a", i)] = "v"
	}
	e, err := encoder{&queue{}}.encode(&handler.Message{Body: []byte("x"), Attributes: as}, "")
	require.NoError(t, err)
	v := e.MessageAttributes["ExtendedPayloadSize"]
	require.Equal(t, "Number", aws.ToString(v.DataType))
	require.Equal(t, "300000", aws.ToString(v.StringValue))
	require.Len(t, e.MessageAttributes, 10)
	require.Contains(t, e.MessageAttributes, "traceparent")

	e, err = encoder{&queue{}}.encode(&handler.Message{Body: []byte("x"), Attributes: map[string]string{"SQSLargePayloadSize": "many"}}, "")
	require.NoError(t, err)
	require.Equal(t, "String", *e.MessageAttributes["SQSLargePayloadSize"].DataType, "SQS would refuse it as a number")
}

func TestForeignMessagesAreReadAsTheyAre(t *testing.T) {
	q := &queue{name: "q"}
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	var m handler.Message
	decoder{q}.decode(&types.Message{
		MessageId: aws.String("id"), Body: aws.String("not base64!"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"number":      {DataType: aws.String("Number.int"), StringValue: aws.String("42")},
			"binary":      {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 255}},
			"sluice-body": text("base64"), "sluice-more": text("no JSON"), "sluice-dead-letter": text("no JSON"),
		},
		Attributes: map[string]string{"ApproximateReceiveCount": "many", "SentTimestamp": "yesterday"},
	}, &m)
	require.Equal(t, "not base64!", string(m.Body))
	require.Equal(t, map[string]string{
		"number": "42", "binary": "AP8=", "sluice-body": "base64", "sluice-more": "no JSON", "sluice-dead-letter": "no JSON",
	}, m.Attributes)
	require.Zero(t, m.Attempt)
	require.True(t, m.EnqueuedAt.IsZero())

	var bare handler.Message
	decoder{q}.decode(&types.Message{}, &bare)
	require.Empty(t, bare.Body)
	require.Nil(t, bare.Attributes)
}

// A queue that makes deduplication IDs of bodies must not have the idempotency
// middleware take two messages with the same body for one.
func TestDeduplicationIDsThatNoSenderGaveAreNotShown(t *testing.T) {
	q := &queue{name: "q.fifo", fifo: true, contentDedupe: true}
	decode := func(id string) string {
		var m handler.Message
		decoder{q}.decode(&types.Message{Body: aws.String("hello"), Attributes: map[string]string{sysDedupe: id}}, &m)
		return m.DedupeID
	}
	require.Empty(t, decode("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), "the hash of the body")
	require.Empty(t, decode(ownDedupe+"X"))
	require.Equal(t, "order-1", decode("order-1"))
	var letter handler.Message
	decoder{q}.decode(&types.Message{MessageId: aws.String("m-1"), Body: aws.String("x"), Attributes: map[string]string{sysDedupe: "m-1"}}, &letter)
	require.Empty(t, letter.DedupeID, "the message ID, which SQS gives to what it dead-letters")
}

// A FIFO queue deduplicates by the sender's ID. Without one it deduplicates by the
// body if it is set to, and otherwise by the message's identity.
func TestWhatAFIFOQueueDeduplicatesBy(t *testing.T) {
	made := identity.New()
	for _, c := range []struct {
		name, dedupe, given string
		content             bool
		want                string // "" means none, "made" any identity
	}{
		{"sender's", "order-1", "", false, "order-1"},
		{"sender's, content-based", "order-1", "", true, "order-1"},
		{"none", "", "", false, "made"},
		{"none, content-based", "", "", true, ""},
		{"made by the producer", made, "", false, made},
		{"made by the producer, content-based", made, "", true, ""},
		{"a letter", "order-1", "sluice-letter-1", true, "sluice-letter-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &queue{name: "q.fifo", fifo: true, contentDedupe: c.content}
			e, err := encoder{q}.encode(&handler.Message{Body: []byte("hello"), Group: "g", DedupeID: c.dedupe}, c.given)
			require.NoError(t, err)
			got := aws.ToString(e.MessageDeduplicationId)
			if c.want == "made" {
				require.True(t, identity.Made(got), got)
			} else {
				require.Equal(t, c.want, got)
			}
			// The identity is an attribute beside it: SQS replaces the ID when it
			// dead-letters the message.
			carried := *e.MessageAttributes[attributeDedupe].StringValue
			if c.dedupe == "" {
				require.True(t, identity.Made(carried))
				require.True(t, got == "" || got == carried)
			} else {
				require.Equal(t, c.dedupe, carried)
			}
		})
	}
}

func TestDeadLettersTellTheirOrigin(t *testing.T) {
	q := &queue{name: "orders-dlq", arn: "arn:aws:sqs:us-east-1:1:orders-dlq"}
	origin := func(sent, origin string) string {
		m := types.Message{Attributes: map[string]string{sysOrigin: origin}}
		if sent != "" {
			m.MessageAttributes = map[string]types.MessageAttributeValue{
				"sluice-dead-letter-queue": {DataType: aws.String("String"), StringValue: &sent},
			}
		}
		var got handler.Message
		decoder{q}.decode(&m, &got)
		return got.Attributes["sluice-dead-letter-queue"]
	}
	require.Equal(t, "orders", origin("", "arn:aws:sqs:us-east-1:1:orders"))
	require.Equal(t, "orders", origin("said", "arn:aws:sqs:us-east-1:1:orders"), "SQS says it, not the sender")
	require.Equal(t, "said", origin("said", ""))
	require.Empty(t, origin("", q.arn))
	require.Empty(t, origin("", "nonsense"))
}

func BenchmarkEncode(b *testing.B) {
	q := &queue{name: "q"}
	m := &handler.Message{Body: []byte(strings.Repeat("x", 256)), Attributes: map[string]string{"traceparent": "00-a-b-01", "tenant": "t"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (encoder{q}).encode(m, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	q := &queue{name: "q"}
	from := &types.Message{
		MessageId: aws.String("id"), Body: aws.String(strings.Repeat("x", 256)),
		MessageAttributes: map[string]types.MessageAttributeValue{"tenant": {DataType: aws.String("String"), StringValue: aws.String("t")}},
		Attributes:        map[string]string{sysReceives: "1", sysSent: "1795492055285"},
	}
	b.ReportAllocs()
	for b.Loop() {
		var m handler.Message
		decoder{q}.decode(from, &m)
	}
}
