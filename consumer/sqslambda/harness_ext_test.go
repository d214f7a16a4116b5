package sqslambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/lambdatest"
)

// visibility is the queues' visibility timeout.
const visibility = 90 * time.Second

// A rig is an SQS in this process with a queue. It works in a synctest bubble.
type rig struct {
	t      testing.TB
	server *sqstest.Server
	client *awssqs.Client
	name   string
	dlq    string // empty for none
	source *sqs.Source
}

type rigOptions struct{ fifo, noDLQ bool }

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	server, err := sqstest.New(&sqstest.Config{KeepRequests: 1000})
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	r := &rig{t: t, server: server, client: awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: server.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""), Retryer: aws.NopRetryer{},
	})}
	suffix := ""
	attributes := map[string]string{"VisibilityTimeout": strconv.Itoa(int(visibility / time.Second))}
	if o.fifo {
		suffix, attributes["FifoQueue"] = ".fifo", "true"
	}
	r.name = "orders" + suffix
	if !o.noDLQ {
		r.dlq = "orders-dlq" + suffix
		letters := map[string]string{}
		if o.fifo {
			letters["FifoQueue"] = "true"
		}
		r.create(r.dlq, letters)
		attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, server.QueueARN(r.dlq))
	}
	r.create(r.name, attributes)
	r.source, err = sqs.NewSource(t.Context(), r.client, server.QueueURL(r.name), nil)
	require.NoError(t, err)
	return r
}

func (r *rig) create(name string, attributes map[string]string) {
	_, err := r.client.CreateQueue(r.t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(r.t, err)
}

// send sends messages by the driver's sink, so that what it encodes is decoded.
func (r *rig) send(ms ...*handler.Message) {
	r.t.Helper()
	sink, err := sqs.NewSink(r.t.Context(), r.client, r.server.QueueURL(r.name))
	require.NoError(r.t, err)
	for ms := range slices.Chunk(ms, 10) {
		require.Empty(r.t, sink.Send(r.t.Context(), ms))
	}
}

func (r *rig) receive(queue string) []types.Message {
	r.t.Helper()
	out, err := r.client.ReceiveMessage(r.t.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: aws.String(r.server.QueueURL(queue)), MaxNumberOfMessages: 10,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	require.NoError(r.t, err)
	return out.Messages
}

// event receives messages as Lambda does and returns its event: the document,
// read as lambda.Start reads it.
func (r *rig) event() events.SQSEvent {
	r.t.Helper()
	document, err := lambdatest.Event(r.server.QueueARN(r.name), r.receive(r.name))
	require.NoError(r.t, err)
	var e events.SQSEvent
	require.NoError(r.t, json.Unmarshal(document, &e))
	return e
}

func (r *rig) function(h handler.HandlerFunc, c *sqslambda.Config) *sqslambda.Function {
	r.t.Helper()
	fn, err := sqslambda.New(r.source, h, c)
	require.NoError(r.t, err)
	return fn
}

// failed are the bodies of the messages that a response reports as failed. Every
// identifier must be of a message of the event.
func failed(t testing.TB, e events.SQSEvent, r events.SQSEventResponse) []string {
	t.Helper()
	bodies := map[string]string{}
	ids := make([]string, len(e.Records))
	for i, m := range e.Records {
		bodies[m.MessageId], ids[i] = m.Body, m.MessageId
	}
	document, err := json.Marshal(r)
	require.NoError(t, err)
	named, err := lambdatest.Failures(document, ids)
	require.NoError(t, err, "Lambda would retry the whole batch: %s", document)
	require.Len(t, r.BatchItemFailures, len(named), "a message is named twice")
	out := []string{}
	for id := range named {
		out = append(out, bodies[id])
	}
	slices.Sort(out)
	return out
}

// visible says after how long each of the queue's messages can be received,
// looking at whole seconds. It works in a bubble.
func (r *rig) visible(within time.Duration) map[string]time.Duration {
	r.t.Helper()
	out := map[string]time.Duration{}
	began := time.Now()
	for time.Since(began) <= within {
		for _, m := range r.receive(r.name) {
			if _, seen := out[*m.Body]; !seen {
				out[*m.Body] = time.Since(began).Round(time.Second)
			}
			// The later ones of its group are examined too.
			_, err := r.client.DeleteMessage(r.t.Context(), &awssqs.DeleteMessageInput{QueueUrl: aws.String(r.server.QueueURL(r.name)), ReceiptHandle: m.ReceiptHandle})
			require.NoError(r.t, err)
		}
		_ = sleep.For(r.t.Context(), time.Second)
	}
	return out
}

// history remembers observed events.
type history struct {
	mu     sync.Mutex
	events []handler.Event
	ids    []string
}

func (l *history) Observe(e handler.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := ""
	if e.Message != nil {
		id = e.Message.ID
	}
	l.events, l.ids = append(l.events, e), append(l.ids, id)
}

// kinds counts the events of each kind.
func (l *history) kinds() map[handler.EventKind]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[handler.EventKind]int{}
	for _, e := range l.events {
		out[e.Kind]++
	}
	return out
}

// of are the events of one kind.
func (l *history) of(k handler.EventKind) []handler.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []handler.Event
	for _, e := range l.events {
		if e.Kind == k {
			out = append(out, e)
		}
	}
	return out
}

func message(body, group string) *handler.Message {
	return &handler.Message{Body: []byte(body), Group: group}
}

func deleteMessage(ctx context.Context, r *rig, receipt string) error {
	_, err := r.client.DeleteMessage(ctx, &awssqs.DeleteMessageInput{QueueUrl: aws.String(r.server.QueueURL(r.name)), ReceiptHandle: &receipt})
	return err
}
