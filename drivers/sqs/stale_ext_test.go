package sqs_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// losesAnswers is a transport whose requests of one operation are carried out, and
// whose answers are lost when told.
type losesAnswers struct {
	http.RoundTripper
	operation string
	asked     atomic.Int64
	lost      chan struct{} // closed when the first answer is lost
	tell      chan struct{}
}

func (l *losesAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), l.operation) {
		return answer, err
	}
	if l.asked.Add(1) == 1 {
		_ = answer.Body.Close()
		close(l.lost)
		<-l.tell
		return nil, errors.New("connection reset by peer")
	}
	return answer, nil
}

// receivesOne receives once, so that a worker does not receive what it gave back.
type receivesOne struct {
	*sqs.Source
	done atomic.Bool
}

func (o *receivesOne) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	if o.done.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ds, err := o.Source.Receive(ctx, most, wait)
	if len(ds) > 0 {
		o.done.Store(true)
	}
	return ds, err
}

// AWS obeys a stale receipt on a standard queue. A message that was given back is
// another worker's by the time that a lost answer is noticed.
func TestAReleaseWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, verdict := range map[string]error{
		"retry":       handler.RetryAfter(0, errors.New("later")),
		"in a second": handler.RetryAfter(time.Second, errors.New("later")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newStale(t)
			require.False(t, q.source.Capabilities().StaleReceiptHarmless)
			c, ended := q.run(t, verdict)
			<-q.loses.lost
			require.Eventually(t, func() bool { return q.receive(t, 1) }, 30*time.Second, time.Millisecond, "B receives what A has given back")
			close(q.loses.tell)
			require.NoError(t, <-ended)
			require.EqualValues(t, 1, q.loses.asked.Load(), "neither the SDK nor the runtime asks again")
			require.False(t, q.receive(t, 2), "C receives the message while B holds it")
			st := c.Stats()
			require.EqualValues(t, 1, st.Unsettled+st.Late, "%+v", st)
		})
	}
}

// While its delay lasts nobody else can have the message, and a retry is repeated.
func TestADelayedRetryWhoseAnswerWasLostIsRepeated(t *testing.T) {
	t.Parallel()
	q := newStale(t)
	close(q.loses.tell)
	c, ended := q.run(t, handler.RetryAfter(time.Hour, errors.New("later")))
	require.NoError(t, <-ended)
	require.EqualValues(t, 2, q.loses.asked.Load())
	require.EqualValues(t, 1, c.Stats().Retried)
}

// stale is a standard queue with a message, and a worker's source of it whose first
// answer to a change of visibility is lost.
type stale struct {
	raw    *awssqs.Client
	url    string
	loses  *losesAnswers
	source *sqs.Source
}

func newStale(t *testing.T) *stale {
	t.Helper()
	s, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	q := &stale{loses: &losesAnswers{
		RoundTripper: http.DefaultTransport, operation: "ChangeMessageVisibilityBatch",
		lost: make(chan struct{}), tell: make(chan struct{}),
	}}
	with := func(rt http.RoundTripper) *awssqs.Client {
		return awssqs.New(awssqs.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(s.URL()), HTTPClient: &http.Client{Transport: rt},
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		})
	}
	q.raw = with(http.DefaultTransport)
	made, err := q.raw.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders"), Attributes: map[string]string{"VisibilityTimeout": "300"}})
	require.NoError(t, err)
	q.url = *made.QueueUrl
	_, err = q.raw.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String("job")})
	require.NoError(t, err)
	q.source, err = sqs.NewSource(t.Context(), with(q.loses), q.url, nil)
	require.NoError(t, err)
	return q
}

// run starts a worker that gives its only message the verdict.
func (q *stale) run(t *testing.T, verdict error) (*consumer.Consumer, <-chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c, err := consumer.New(&receivesOne{Source: q.source}, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		stop() // it takes no more
		return verdict
	}), &consumer.Config{Logger: slog.New(slog.DiscardHandler), ReceiveWait: time.Second, Concurrency: 1,
		StopTimeout: time.Minute}) // B receives meanwhile
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- c.Run(ctx)
	}()
	return c, done
}

// receive reports whether there is a message for another worker, which holds it.
func (q *stale) receive(t *testing.T, wait int32) bool {
	t.Helper()
	got, err := q.raw.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &q.url, VisibilityTimeout: 300, WaitTimeSeconds: wait})
	require.NoError(t, err)
	return len(got.Messages) > 0
}
