package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/letter"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/producer"
)

// typed are attributes as another client sends them.
type typed map[string]types.MessageAttributeValue

func str(kind, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String(kind), StringValue: aws.String(value)}
}

func bin(kind string, value ...byte) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String(kind), BinaryValue: value}
}

// everyType has an attribute of every type.
func everyType() typed {
	return typed{
		"plain": str("String", "s"), "json": str("String.Json", "{}"), "num": str("Number", "42"), "int": str("Number.int", "007"),
		"bin": bin("Binary", 0, 255, 16), "proto": bin("Binary.Protobuf", 8, 1),
	}
}

// filled adds attributes until there are n.
func (a typed) filled(n int) typed {
	for i := len(a); i < n; i++ {
		a[fmt.Sprint("more-", i)] = str("Number", fmt.Sprint(i))
	}
	return a
}

// words are what a failed test prints of attributes.
func (a typed) words() map[string]string {
	out := make(map[string]string, len(a))
	for name, v := range a {
		out[name] = fmt.Sprintf("%s %q %q", *v.DataType, aws.ToString(v.StringValue), v.BinaryValue)
	}
	return out
}

// theirs are the attributes that are not Sluice's.
func theirs(as map[string]types.MessageAttributeValue) typed {
	out := maps.Clone(typed(as))
	maps.DeleteFunc(out, func(name string, _ types.MessageAttributeValue) bool { return strings.HasPrefix(name, "sluice-") })
	return out
}

// A field is a queue with a dead-letter queue on some server, as another client
// sees them.
type field struct {
	api       *awssqs.Client
	url, dead string
	src       *sqs.Source
}

func newField(t require.TestingT, api *awssqs.Client, name string, fifo bool) *field {
	suffix, as, dlq := "", map[string]string{"VisibilityTimeout": "30"}, map[string]string{}
	if fifo {
		suffix, as["FifoQueue"], dlq["FifoQueue"] = ".fifo", "true", "true"
	}
	f := &field{api: api}
	create := func(name string, as map[string]string) string {
		out, err := api.CreateQueue(context.Background(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: as})
		require.NoError(t, err)
		return *out.QueueUrl
	}
	f.dead = create(name+"-dlq"+suffix, dlq)
	out, err := api.GetQueueAttributes(context.Background(), &awssqs.GetQueueAttributesInput{QueueUrl: &f.dead, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	require.NoError(t, err)
	as["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, out.Attributes["QueueArn"])
	f.url = create(name+suffix, as)
	f.src, err = sqs.NewSource(context.Background(), api, f.url, nil)
	require.NoError(t, err)
	return f
}

func (f *field) send(t require.TestingT, as typed) {
	in := &awssqs.SendMessageInput{QueueUrl: &f.url, MessageBody: aws.String("b"), MessageAttributes: as}
	if strings.HasSuffix(f.url, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String(fmt.Sprint("d", time.Now().UnixNano()))
	}
	_, err := f.api.SendMessage(context.Background(), in)
	require.NoError(t, err)
}

// look receives the one message of a queue as another client does, and leaves it
// there for visible, or for good.
func (f *field) look(t require.TestingT, url string, visible int32) typed {
	for range 30 {
		out, err := f.api.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MessageAttributeNames: []string{"All"}, WaitTimeSeconds: 1, VisibilityTimeout: visible,
		})
		require.NoError(t, err)
		if len(out.Messages) > 0 {
			if visible > 0 {
				_, err = f.api.DeleteMessage(context.Background(), &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: out.Messages[0].ReceiptHandle})
				require.NoError(t, err)
			}
			return out.Messages[0].MessageAttributes
		}
	}
	require.FailNow(t, "nothing came from "+url)
	return nil
}

// take1 receives the message with Sluice.
func take1(t require.TestingT, src drivers.Source) drivers.Delivery {
	for range 30 {
		ds, err := src.Receive(context.Background(), 1, time.Second)
		require.NoError(t, err)
		if len(ds) > 0 {
			return ds[0]
		}
	}
	require.FailNow(t, "nothing came")
	return drivers.Delivery{}
}

// reject has Sluice dead-letter the message.
func (f *field) reject(t require.TestingT) {
	d := take1(t, f.src)
	require.Nil(t, f.src.Settle(context.Background(), []drivers.Settlement{{
		Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "bad", Last: time.Now()},
	}}))
}

// lose has SQS dead-letter the message: it is received once more than it may be.
func (f *field) lose(t require.TestingT) {
	for range 30 {
		_, err := f.api.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &f.url, WaitTimeSeconds: 2, VisibilityTimeout: 1})
		require.NoError(t, err)
		out, err := f.api.GetQueueAttributes(context.Background(), &awssqs.GetQueueAttributesInput{
			QueueUrl: &f.dead, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages"},
		})
		require.NoError(t, err)
		if out.Attributes["ApproximateNumberOfMessages"] == "1" {
			return
		}
	}
	require.FailNow(t, "the message is in no dead-letter queue")
}

// redrive brings the letter back, selectively.
func (f *field) redrive(t require.TestingT) {
	r, err := redrive.Run(context.Background(), f.src, &redrive.Options{Max: 1, MaxRedrives: -1})
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Moved)
}

// forward sends the message again as f does.
func (f *field) forward(t require.TestingT, send func(sink *sqs.Sink, m *handler.Message) error) {
	sink, err := sqs.NewSink(context.Background(), f.api, f.url)
	require.NoError(t, err)
	d := take1(t, f.src)
	require.NoError(t, send(sink, d.Message))
	require.Nil(t, f.src.Settle(context.Background(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}}))
}

// ways are those in which a message is sent again. Each leaves it in the queue.
var ways = []struct {
	name string
	via  func(f *field, t require.TestingT)
}{
	{"rejected, redriven", func(f *field, t require.TestingT) { f.reject(t); f.redrive(t) }},
	{"dead-lettered by SQS, redriven", func(f *field, t require.TestingT) { f.lose(t); f.redrive(t) }},
	{"rejected and redriven twice", func(f *field, t require.TestingT) {
		for range 2 {
			f.reject(t)
			f.redrive(t)
		}
	}},
	{"sent on by a handler", func(f *field, t require.TestingT) {
		f.forward(t, func(sink *sqs.Sink, m *handler.Message) error {
			p, err := producer.New(sink, nil)
			require.NoError(t, err)
			m.DedupeID = "" // a FIFO queue has seen it
			if err := p.Send(context.Background(), m); err != nil {
				return err
			}
			return p.Close()
		})
	}},
	{"a letter of another runtime", func(f *field, t require.TestingT) {
		f.forward(t, func(sink *sqs.Sink, m *handler.Message) error {
			m.DedupeID = ""
			return letter.Send(context.Background(), sink, m, &drivers.Failure{Reason: "bad"}, "elsewhere")
		})
	}},
}

// A message of another client comes back as it was, whoever sends it again.
func TestAttributesKeepTheirTypes(t *testing.T) {
	for _, way := range ways {
		for _, fifo := range []bool{false, true} {
			for _, n := range []int{6, 8, 9, 10} {
				t.Run(fmt.Sprintf("%s, fifo=%t, %d attributes", way.name, fifo, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := newField(t, newVirtual(t).client, "orders", fifo)
						want := everyType().filled(n)
						f.send(t, want)
						way.via(f, t)
						got := f.look(t, f.url, 30)
						require.Equal(t, want.words(), theirs(got).words())
						require.NotEqual(t, "[{}]", aws.ToString(got[deadletter.AttributeRedriveHistory].StringValue), "a history of nothing")
					})
				})
			}
		}
	}
}

func TestAttributesKeepTheirTypesOnOtherServers(t *testing.T) {
	t.Parallel()
	testserver.Credentials(t)
	for name, url := range map[string]string{"LocalStack": testserver.LocalStack(t).URL, "moto": testserver.DynamoDB(t).URL} {
		api := awssqs.New(awssqs.Options{
			BaseEndpoint: &url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
		})
		for _, way := range ways[:2] {
			for _, n := range []int{10} {
				t.Run(fmt.Sprintf("%s, %s, %d attributes", name, way.name, n), func(t *testing.T) {
					t.Parallel()
					f := newField(t, api, testserver.Name(t), false)
					want := everyType().filled(n)
					f.send(t, want)
					way.via(f, t)
					require.Equal(t, want.words(), theirs(f.look(t, f.url, 30)).words())
				})
			}
		}
	}
}

// A letter has room for why it is one, unless all ten attributes are another
// client's: then it goes as it came, since SQS's own redrive does not unpack.
func TestALetterKeepsWhatAnotherClientReads(t *testing.T) { synctest.Test(t, lettersOfOthers) }

func lettersOfOthers(t *testing.T) {
	v := newVirtual(t)
	for n := range 11 {
		f := newField(t, v.client, fmt.Sprint("orders-", n), false)
		want := typed{}.filled(n)
		f.send(t, want)
		f.reject(t)
		require.Equal(t, want.words(), theirs(f.look(t, f.dead, 0)).words(), n)
		dead, err := f.src.OpenDeadLetters(t.Context())
		require.NoError(t, err)
		m := take1(t, dead).Message
		why, ok := drivers.ParseFailure(m.Attributes)
		require.Equal(t, n < 10, ok, n)
		if ok {
			require.Equal(t, "bad", why.Reason, n)
		}
	}
}

// A value that somebody has changed is a text, as any that Sluice sends.
func TestChangedAttributesAreText(t *testing.T) { synctest.Test(t, changedAttributes) }

func changedAttributes(t *testing.T) {
	f := newField(t, newVirtual(t).client, "orders", false)
	f.send(t, everyType())
	f.forward(t, func(sink *sqs.Sink, m *handler.Message) error {
		copied := *m
		copied.Attributes = maps.Clone(m.Attributes)
		copied.Attributes["int"], copied.Attributes["bin"] = "8", "no base64"
		delete(copied.Attributes, "num")
		for i := range 8 {
			copied.Attributes[fmt.Sprint("a", i)] = "new"
		}
		return errors.Join(sink.Send(context.Background(), []*handler.Message{&copied})...)
	})
	// Its own attributes had to make room for new ones, and have their types again.
	f.forward(t, func(sink *sqs.Sink, m *handler.Message) error {
		for i := range 8 {
			delete(m.Attributes, fmt.Sprint("a", i))
		}
		return errors.Join(sink.Send(context.Background(), []*handler.Message{m})...)
	})
	want := everyType()
	want["int"], want["bin"] = str("String", "8"), str("String", "no base64")
	delete(want, "num")
	require.Equal(t, want.words(), theirs(f.look(t, f.url, 30)).words())
}

// A trip is what another client sends and how it is sent again.
type trip struct {
	fifo bool
	as   typed
	ways []int
}

var trips = rapid.Custom(func(t *rapid.T) trip {
	out := trip{fifo: rapid.Bool().Draw(t, "fifo"), as: typed{}}
	for range rapid.IntRange(0, 12).Draw(t, "attributes") {
		name := rapid.StringMatching(`[b-z_-][a-zA-Z0-9_-]{0,20}`).Draw(t, "name")
		label := rapid.SampledFrom([]string{"", ".Json", ".int", ".x.y", ".Protobuf"}).Draw(t, "label")
		if len(out.as) == 10 || strings.HasPrefix(name, "sluice-") {
			continue
		}
		switch rapid.IntRange(0, 2).Draw(t, "type") {
		case 0:
			out.as[name] = str("String"+label, rapid.StringMatching(`[ -~é]{1,30}`).Draw(t, "text"))
		case 1:
			out.as[name] = str("Number"+label, rapid.SampledFrom([]string{"0", "-1", "1e3", "00.50", "12345678901234567890"}).Draw(t, "number"))
		default:
			out.as[name] = bin("Binary"+label, rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "bytes")...)
		}
	}
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		out.ways = append(out.ways, rapid.IntRange(0, len(ways)-1).Draw(t, "way"))
	}
	return out
})

// Whatever another client sends comes back as it was.
func TestAnyAttributesComeBack(t *testing.T) {
	for seed := range 100 {
		x := trips.Example(seed)
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, newVirtual(t).client, "orders", x.fifo)
			f.send(t, x.as)
			for _, i := range x.ways {
				ways[i].via(f, t)
			}
			require.Equal(t, x.as.words(), theirs(f.look(t, f.url, 30)).words(), "seed %d: %v", seed, x.ways)
		})
	}
}
