package sqstest_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue"
)

// env is a server and the real SDK's client of it. The client makes each request
// once, so that a test sees every error.
type env struct {
	*sqstest.Server
	*sqs.Client
	t testing.TB
}

// inProcess starts a server without a socket.
func inProcess(t testing.TB, cfg *sqstest.Config) *env {
	t.Helper()
	s, err := sqstest.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &env{s, client(s, func(o *sqs.Options) { o.HTTPClient = s.HTTPClient() }), t}
}

// overHTTP starts a server on a socket.
func overHTTP(t testing.TB, cfg *sqstest.Config) *env {
	t.Helper()
	s, err := sqstest.NewServer(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &env{s, client(s), t}
}

func client(s *sqstest.Server, fns ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(s.URL()),
		Region:       "us-east-1",
		Credentials:  key("AKIDTEST"),
		Retryer:      aws.NopRetryer{},
	}, fns...)
}

type key string

func (k key) Retrieve(ctx) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: string(k), SecretAccessKey: "secret"}, nil
}

// queue makes a queue; attributes are name, value, name, value …
func (e *env) queue(name string, attributes ...string) *string {
	e.t.Helper()
	out, err := e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attributes)})
	require.NoError(e.t, err)
	return out.QueueUrl
}

func pairs(kv []string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func (e *env) fifo(name string, attributes ...string) *string {
	e.t.Helper()
	return e.queue(name, append(attributes, "FifoQueue", "true")...)
}

func (e *env) send(url *string, body string) {
	e.t.Helper()
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body})
	require.NoError(e.t, err)
}

func (e *env) sendGroup(url *string, body, group, dedupe string) *sqs.SendMessageOutput {
	e.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body, MessageGroupId: &group}
	if dedupe != "" {
		in.MessageDeduplicationId = &dedupe
	}
	out, err := e.SendMessage(bg, in)
	require.NoError(e.t, err)
	return out
}

// receive receives up to ten messages without waiting, with everything.
func (e *env) receive(url *string) []types.Message {
	e.t.Helper()
	return e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url})
}

func (e *env) receiveWith(in *sqs.ReceiveMessageInput) []types.Message {
	e.t.Helper()
	if in.MaxNumberOfMessages == 0 {
		in.MaxNumberOfMessages = 10
	}
	if in.MessageSystemAttributeNames == nil {
		in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"All"}
	}
	if in.MessageAttributeNames == nil {
		in.MessageAttributeNames = []string{"All"}
	}
	out, err := e.ReceiveMessage(bg, in)
	require.NoError(e.t, err)
	return out.Messages
}

// one receives exactly one message.
func (e *env) one(url *string) types.Message {
	e.t.Helper()
	got := e.receive(url)
	require.Len(e.t, got, 1)
	return got[0]
}

func (e *env) delete(url *string, m types.Message) error {
	_, err := e.DeleteMessage(bg, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle})
	return err
}

func (e *env) extend(url *string, m types.Message, seconds int32) error {
	_, err := e.ChangeMessageVisibility(bg, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	})
	return err
}

func (e *env) attributes(url *string) map[string]string {
	e.t.Helper()
	out, err := e.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	})
	require.NoError(e.t, err)
	return out.Attributes
}

// counts returns how many messages are visible, in flight and delayed.
func (e *env) counts(url *string) [3]int {
	e.t.Helper()
	a := e.attributes(url)
	var n [3]int
	for i, name := range []string{"", "NotVisible", "Delayed"} {
		var err error
		n[i], err = strconv.Atoi(a["ApproximateNumberOfMessages"+name])
		require.NoError(e.t, err)
	}
	return n
}

func (e *env) redrive(dlq string, maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, e.QueueARN(dlq), maxReceives)
}

func bodies(ms []types.Message) []string {
	out := []string{}
	for _, m := range ms {
		out = append(out, *m.Body)
	}
	return out
}

// requireCode checks an error's code, as the SDK reports it; "" means no error.
func requireCode(t testing.TB, code string, err error) {
	t.Helper()
	if code == "" {
		require.NoError(t, err)
		return
	}
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode(), api.ErrorMessage())
}

func isType[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// start is where manual clocks begin.
func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func manual() *sqstest.ManualClock { return sqstest.NewManualClock(start()) }

// sharing starts a server on an engine that the test uses too.
func sharing(t testing.TB, engine queue.Engine) *env {
	t.Helper()
	return inProcess(t, &sqstest.Config{Store: engine})
}

func sendInput(url string) *sqs.SendMessageInput {
	return &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}
}

func (e *env) set(url *string, attributes ...string) {
	e.t.Helper()
	_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: pairs(attributes)})
	require.NoError(e.t, err)
}
