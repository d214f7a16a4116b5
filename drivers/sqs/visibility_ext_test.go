package sqs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

func one() *awssqs.ReceiveMessageOutput {
	return &awssqs.ReceiveMessageOutput{Messages: []types.Message{{MessageId: aws.String("m"), ReceiptHandle: aws.String("r"), Body: aws.String("x")}}}
}

// Every receive names its lease, and a delivery's is the one that was asked for.
func TestEveryReceiveAsksForItsLease(t *testing.T) {
	for _, c := range []struct {
		name       string
		queues     string
		configured time.Duration
		want       time.Duration
	}{
		{"the queue's own", "45", 0, 45 * time.Second},
		{"configured", "45", 90 * time.Second, 90 * time.Second},
		{"the queue's is 0", "0", 0, 30 * time.Second},
		{"the queue's is 0, configured", "0", time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub()
			s.attributes[queueURL]["VisibilityTimeout"] = c.queues
			s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) { return one(), nil }
			var text strings.Builder
			src := openSource(t, s, &sqs.Config{VisibilityTimeout: c.configured, Logger: slog.New(slog.NewTextHandler(&text, nil))})
			require.Equal(t, c.want, src.Capabilities().Lease)
			ds, err := src.Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			require.EqualValues(t, c.want/time.Second, s.receives[0].VisibilityTimeout)
			require.Equal(t, c.want, ds[0].Lease)
			require.WithinDuration(t, time.Now().Add(c.want), ds[0].Deadline, 10*time.Second)
			require.Equal(t, c.queues == "0" && c.configured == 0, strings.Contains(text.String(), "visibility timeout is 0"))
		})
	}
}

// A change of the queue's visibility timeout is noticed, and followed by the next
// receives. A read that fails changes nothing.
func TestAChangedVisibilityTimeoutIsFollowed(t *testing.T) {
	lost := func() *awssqs.ChangeMessageVisibilityBatchOutput {
		return &awssqs.ChangeMessageVisibilityBatchOutput{Failed: []types.BatchResultErrorEntry{{
			Id: aws.String("0"), Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true,
		}}}
	}
	for _, c := range []struct {
		name       string
		to         string // "" is an error
		configured time.Duration
		lost       bool
		after      time.Duration
		want       time.Duration
		asks       int
	}{
		{"shortened, not noticed yet", "2", 0, false, 59 * time.Second, time.Minute, 0},
		{"shortened", "2", 0, false, 61 * time.Second, 2 * time.Second, 1},
		{"lengthened", "600", 0, false, 61 * time.Second, 10 * time.Minute, 1},
		{"set to 0", "0", 0, false, 61 * time.Second, 30 * time.Second, 1},
		{"it can't be read", "", 0, false, 61 * time.Second, time.Minute, 1},
		{"nonsense", "soon", 0, false, 61 * time.Second, time.Minute, 1},
		{"configured", "2", 90 * time.Second, false, time.Hour, 90 * time.Second, 0},
		{"a lease was lost", "2", 0, true, 6 * time.Second, 2 * time.Second, 1},
		{"a lease was lost just now", "2", 0, true, time.Second, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStub()
				s.attributes[queueURL]["VisibilityTimeout"] = "60"
				s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) { return one(), nil }
				src := openSource(t, s, &sqs.Config{VisibilityTimeout: c.configured})
				if c.lost {
					s.change = func(*awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
						return lost(), nil
					}
					require.ErrorIs(t, src.Extend(t.Context(), []drivers.Extension{{Receipt: "r", By: time.Minute}})[0], drivers.ErrLeaseLost)
				}
				s.attributes[queueURL]["VisibilityTimeout"] = c.to
				if c.to == "" {
					delete(s.attributes, queueURL)
				}
				<-time.After(c.after)
				s.requests()
				for range 3 {
					ds, err := src.Receive(t.Context(), 1, time.Second)
					require.NoError(t, err)
					require.Equal(t, c.want, ds[0].Lease)
				}
				require.EqualValues(t, c.want/time.Second, s.receives[0].VisibilityTimeout)
				asks := 0
				for _, r := range s.requests() {
					if r == "GetQueueAttributes" {
						asks++
					}
				}
				require.Equal(t, c.asks, asks, "it is asked for once a minute at most")
			})
		})
	}
}

// Workers that run while the visibility timeout is changed have no lease that is
// shorter than they believe: no message runs twice at a time.
func TestAVisibilityTimeoutThatChangesOverlapsNothing(t *testing.T) {
	for _, change := range []struct{ from, to string }{{"60", "2"}, {"2", "60"}, {"60", "0"}} {
		t.Run(change.from+" to "+change.to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newVirtual(t)
				q := r.create("orders", map[string]string{"VisibilityTimeout": change.from})
				src, err := sqs.NewSource(t.Context(), r.client, q, nil)
				require.NoError(t, err)
				var running, over, lost, calls atomic.Int64
				h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
					calls.Add(1)
					if running.Add(1) > 1 {
						over.Add(1)
					}
					defer running.Add(-1)
					stop, err := m.Lease().Keep(handler.KeepOptions{})
					if err != nil {
						return err
					}
					defer stop()
					select {
					case <-time.After(100 * time.Second):
					case <-ctx.Done():
						lost.Add(1)
						return ctx.Err()
					}
					return nil
				})
				c, err := consumer.New(src, h, nil)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				r.send(q, "before")
				<-time.After(time.Second)
				_, err = r.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &q, Attributes: map[string]string{"VisibilityTimeout": change.to}})
				require.NoError(t, err)
				<-time.After(150 * time.Second)
				r.send(q, "after")
				<-time.After(150 * time.Second)
				cancel()
				require.NoError(t, <-ended)
				require.EqualValues(t, 2, calls.Load())
				require.Zero(t, over.Load(), "runs at the same time")
				require.Zero(t, lost.Load(), "leases lost")
				require.Zero(t, r.depth(q))
			})
		})
	}
}

// A queue whose visibility timeout is 0 delivers a message once, not thousands of
// times a second.
func TestAVisibilityTimeoutOfZeroDeliversOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVirtual(t)
		q := r.create("zero", map[string]string{"VisibilityTimeout": "0"})
		src, err := sqs.NewSource(t.Context(), r.client, q, nil)
		require.NoError(t, err)
		r.send(q, "x")
		var ran atomic.Int64
		c, err := consumer.New(src, handler.HandlerFunc(func(context.Context, *handler.Message) error { ran.Add(1); return nil }), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, c.Run(ctx))
		require.EqualValues(t, 1, ran.Load())
		require.Less(t, r.server.Count("ReceiveMessage"), 10)
		require.Zero(t, r.depth(q))
	})
}

// After the caller's deadline no request goes out, however many a call has left.
func TestNothingGoesOutAfterTheDeadline(t *testing.T) {
	receipts := func(n int) []drivers.Settlement {
		ss := make([]drivers.Settlement, n)
		for i := range ss {
			ss[i] = drivers.Settlement{Receipt: "r", Action: handler.ActionAck}
		}
		return ss
	}
	for _, c := range []struct {
		name string
		call func(ctx context.Context, src *sqs.Source) []error
		want []string
	}{
		{"deletes", func(ctx context.Context, src *sqs.Source) []error { return src.Settle(ctx, receipts(25)) }, []string{"DeleteMessageBatch"}},
		{"extensions", func(ctx context.Context, src *sqs.Source) []error {
			return src.Extend(ctx, make([]drivers.Extension, 25))
		}, []string{"ChangeMessageVisibilityBatch"}},
		{"a rejection", func(ctx context.Context, src *sqs.Source) []error {
			return src.Settle(ctx, []drivers.Settlement{{Receipt: "r", Action: handler.ActionDeadLetter, Message: &handler.Message{ID: "m", Body: []byte("x")}}})
		}, []string{"SendMessageBatch"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub()
			src := openSource(t, s, nil)
			ctx, cancel := context.WithCancel(t.Context())
			s.delete = func(*awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
				cancel()
				return &awssqs.DeleteMessageBatchOutput{}, nil
			}
			s.change = func(*awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
				cancel()
				return &awssqs.ChangeMessageVisibilityBatchOutput{}, nil
			}
			s.send = func(in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
				cancel()
				return taken(in), nil
			}
			errs := c.call(ctx, src)
			require.Equal(t, c.want, s.requests())
			require.ErrorIs(t, errors.Join(errs...), context.Canceled)
		})
	}
}
