package sqs_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

const arnPrefix = "arn:aws:sqs:us-east-1:123456789012:"

// Attempts in a dead-letter queue are counted from the message's arrival there,
// though SQS goes on with its count.
func TestAttemptsInADeadLetterQueue(t *testing.T) {
	policy := func(target string, receives int) string {
		return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arnPrefix+target, receives)
	}
	type letter struct{ count, want int }
	for _, c := range []struct {
		name    string
		policy  string // of the source queue; "" is a queue that can't be read
		letters []letter
		asks    int
	}{
		{"as SQS counts", policy("orders-dlq", 5), []letter{{6, 1}, {7, 2}, {6, 1}, {8, 3}}, 1},
		{"at a maximum of 1", policy("orders-dlq", 1), []letter{{2, 1}, {3, 2}}, 1},
		{"a server that counts anew", policy("orders-dlq", 5), []letter{{1, 1}, {2, 2}, {6, 6}}, 1},
		{"the policy was lower", policy("orders-dlq", 10), []letter{{4, 1}, {5, 2}}, 1},
		{"the policy names another queue by now", policy("elsewhere", 5), []letter{{4, 1}, {5, 2}, {4, 1}}, 1},
		{"the queue can't be read", "", []letter{{6, 1}, {7, 2}, {9, 4}}, 1},
		{"it can't be read, and the first was seen before", "", []letter{{9, 1}, {6, 1}, {9, 4}}, 1},
		{"nonsense", "nonsense", []letter{{6, 1}, {7, 2}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub()
			s.attributes[queueURL]["RedrivePolicy"] = c.policy
			if c.policy == "" {
				delete(s.attributes, queueURL)
			}
			src, err := sqs.NewSource(t.Context(), s, queueURL+"-dlq", nil)
			require.NoError(t, err)
			s.requests()
			for i, l := range c.letters {
				s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
					out := one()
					out.Messages[0].Attributes = map[string]string{
						"ApproximateReceiveCount": fmt.Sprint(l.count), "DeadLetterQueueSourceArn": arnPrefix + "orders",
					}
					return out, nil
				}
				ds, err := src.Receive(t.Context(), 1, time.Second)
				require.NoError(t, err)
				require.Equal(t, l.want, ds[0].Message.Attempt, "letter %d", i)
			}
			asks := 0
			for _, r := range s.requests() {
				if r == "GetQueueAttributes" {
					asks++
				}
			}
			require.Equal(t, c.asks, asks, "each source queue is asked once")

			// Lambda's deliveries are counted alike.
			got := src.Deliveries(t.Context(), []types.Message{{MessageId: aws.String("m"), Attributes: map[string]string{
				"ApproximateReceiveCount": fmt.Sprint(c.letters[0].count), "DeadLetterQueueSourceArn": arnPrefix + "orders",
			}}}, time.Time{})
			last := c.letters[0]
			for _, l := range c.letters {
				if l.count == last.count {
					last = l // what is known by now
				}
			}
			require.Equal(t, last.want, got[0].Message.Attempt)
		})
	}
}

// A message that was redriven, or never dead-lettered, is counted by SQS alone.
func TestAttemptsElsewhereAreSQSs(t *testing.T) {
	for _, origin := range []string{"", arnPrefix + "orders"} {
		s := newStub()
		src := openSource(t, s, nil)
		s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
			out := one()
			out.Messages[0].Attributes = map[string]string{"ApproximateReceiveCount": "7", "DeadLetterQueueSourceArn": origin}
			return out, nil
		}
		ds, err := src.Receive(t.Context(), 1, time.Second)
		require.NoError(t, err)
		require.Equal(t, 7, ds[0].Message.Attempt)
		require.NotContains(t, s.requests(), "GetQueueAttributes")
	}
}

// A worker on a dead-letter queue has all its attempts.
func TestAWorkerOnADeadLetterQueueBeginsAtOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		dlq := v.create("orders-dlq", nil)
		q := v.create("orders", map[string]string{
			"VisibilityTimeout": "10", "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, v.server.QueueARN("orders-dlq")),
		})
		v.send(q, "poison")
		work := func(queueURL string, most int) (attempts []int) {
			src, err := sqs.NewSource(t.Context(), v.client, queueURL, nil)
			require.NoError(t, err)
			h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				attempts = append(attempts, m.Attempt)
				if len(attempts) == most {
					return nil
				}
				return fmt.Errorf("attempt %d failed", m.Attempt)
			})
			b, err := backoff.New(nil)
			require.NoError(t, err)
			c, err := consumer.New(src, b(h), nil)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			require.NoError(t, c.Run(ctx))
			return attempts
		}
		// Dead-lettered by SQS itself: nobody rejects it.
		for range 3 {
			out, err := v.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &q, WaitTimeSeconds: 20})
			require.NoError(t, err)
			require.Len(t, out.Messages, 1)
			<-time.After(11 * time.Second)
		}
		_, err := v.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &q})
		require.NoError(t, err)
		require.Equal(t, 1, v.depth(dlq))

		require.Equal(t, []int{1, 2, 3, 4, 5}, work(dlq, 5), "in the dead-letter queue")
		require.Zero(t, v.depth(dlq))
	})
}
