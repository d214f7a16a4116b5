package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers/sqs"
)

// A queue is a queue on ElasticMQ, and a client of its own whose requests are
// counted.
type queue struct {
	api    *awssqs.Client
	name   string
	url    string
	config aws.Config
	counts *counter
	http   *http.Client
	// waiting is measured by the observed runs of Sluice.
	waiting waiting
}

// close deletes the queue: ElasticMQ keeps what was sent in memory, and slows down before it
// has none left.
func (q *queue) close(ctx context.Context) error {
	_, err := q.api.DeleteQueue(context.WithoutCancel(ctx), &awssqs.DeleteQueueInput{QueueUrl: &q.url})
	q.http.CloseIdleConnections()
	return err
}

// counting counts an HTTP client's requests by action.
type counting struct {
	next   http.RoundTripper
	counts *counter
	trips  *spread // of receives
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	does := action(r.Header.Get("X-Amz-Target"))
	c.counts.add(does)
	began := time.Now()
	out, err := c.next.RoundTrip(r)
	// The empty one at the end, which waits, is one of a thousand.
	if err == nil && does == "ReceiveMessage" {
		c.trips.add(time.Since(began))
	}
	return out, err
}

// CloseIdleConnections is what http.Client looks for.
func (c *counting) CloseIdleConnections() {
	if n, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		n.CloseIdleConnections()
	}
}

// newQueue makes a queue. Every peer has the same HTTP client, with room for
// enough idle connections: the SDK's own keeps ten, and the peers would be
// measured making connections.
func newQueue(ctx context.Context, e *env) (*queue, error) {
	q := &queue{counts: &counter{}}
	q.http = &http.Client{Transport: &counting{next: sqs.HTTPClient().Transport, counts: q.counts, trips: &q.waiting.trips}}
	q.config = aws.Config{
		Region: "us-east-1", BaseEndpoint: &e.elasticMQ, HTTPClient: q.http,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
	q.api = awssqs.NewFromConfig(q.config)
	q.name = e.name("bench")
	out, err := q.api.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &q.name})
	if err != nil {
		return nil, err
	}
	q.url = *out.QueueUrl
	return q, nil
}

// opener opens the queue as a user of Sluice does.
func (q *queue) opener() *sqs.Opener { return &sqs.Opener{AWS: &q.config} }

func (q *queue) address() *url.URL {
	return &url.URL{Scheme: "awssqs", Path: "/" + q.name, RawQuery: "region=us-east-1"}
}

// fill sends n messages.
func (q *queue) fill(ctx context.Context, n int) error {
	body := strings.Repeat("x", bodySize)
	return split(4, n, func(n int) error {
		for n > 0 {
			es := make([]types.SendMessageBatchRequestEntry, min(n, 10))
			for i := range es {
				es[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
			}
			out, err := q.api.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: es})
			if err != nil {
				return err
			}
			if len(out.Failed) > 0 {
				return fmt.Errorf("%d messages were not sent: %s", len(out.Failed), aws.ToString(out.Failed[0].Message))
			}
			n -= len(es)
		}
		return nil
	})
}

// receive is one receive of a loop that is written by hand. It asks for what a
// handler needs: all attributes, the attempt and the enqueue time.
func (q *queue) receive(ctx context.Context, wait time.Duration) ([]types.Message, error) {
	out, err := q.api.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(wait / time.Second),
		MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp,
		},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// remove deletes up to ten messages.
func (q *queue) remove(ctx context.Context, receipts []*string) error {
	es := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i, r := range receipts {
		es[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: r}
	}
	out, err := q.api.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: es})
	if err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("%d messages were not deleted: %s", len(out.Failed), aws.ToString(out.Failed[0].Message))
	}
	return nil
}

// split runs f with shares of n in several goroutines, and returns the first
// error.
func split(goroutines, n int, f func(n int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, goroutines)
	for i := range goroutines {
		share := n / goroutines
		if i < n%goroutines {
			share++
		}
		wg.Go(func() {
			if err := f(share); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}
