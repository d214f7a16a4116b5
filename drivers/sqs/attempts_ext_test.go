package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// ordered is an ordered queue that dead-letters after three attempts.
type ordered struct {
	open    func(t *testing.T) drivers.Source
	send    func(t *testing.T, body string)
	letters func(t *testing.T) []string
}

func orderedQueues(t *testing.T) map[string]ordered {
	t.Helper()
	return map[string]ordered{
		"mem":    embeddedQueue(t, &mem.Opener{}, "mem://orders?max_attempts=3"),
		"sqlite": embeddedQueue(t, &sqlite.Opener{}, "sqlite://"+t.TempDir()+"/q.db?queue=orders&max_attempts=3"),
		"sqs":    fifoQueue(t),
	}
}

func embeddedQueue(t *testing.T, o drivers.Opener, address string) ordered {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	open := func(t *testing.T) drivers.Source {
		t.Helper()
		s, err := o.OpenSource(context.Background(), u, nil)
		require.NoError(t, err)
		return s
	}
	sink, err := o.OpenSink(t.Context(), u, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	watch := open(t)
	t.Cleanup(func() { _ = watch.Close() })
	return ordered{
		open: open,
		send: func(t *testing.T, body string) {
			t.Helper()
			for _, err := range sink.Send(t.Context(), []*handler.Message{{Body: []byte(body), Group: "g"}}) {
				require.NoError(t, err)
			}
		},
		letters: func(t *testing.T) (bodies []string) {
			t.Helper()
			ms, err := watch.(drivers.Inspector).Peek(t.Context(), 100, true)
			require.NoError(t, err)
			for _, m := range ms {
				bodies = append(bodies, string(m.Body))
			}
			return bodies
		},
	}
}

func fifoQueue(t *testing.T) ordered {
	t.Helper()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	testserver.Credentials(t)
	client := client(t, server.URL())
	create := func(name string, attributes map[string]string) string {
		attributes["FifoQueue"] = "true"
		out, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		require.NoError(t, err)
		return *out.QueueUrl
	}
	dead := create("dead.fifo", map[string]string{})
	attributes, err := client.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"},
	})
	require.NoError(t, err)
	queue := create("orders.fifo", map[string]string{
		"VisibilityTimeout": "30", "ContentBasedDeduplication": "true",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, attributes.Attributes["QueueArn"]),
	})
	return ordered{
		open: func(t *testing.T) drivers.Source {
			t.Helper()
			s, err := sqs.NewSource(context.Background(), client, queue, nil)
			require.NoError(t, err)
			return s
		},
		send: func(t *testing.T, body string) {
			t.Helper()
			_, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{
				QueueUrl: &queue, MessageBody: &body, MessageGroupId: aws.String("g"),
			})
			require.NoError(t, err)
		},
		letters: func(t *testing.T) (bodies []string) {
			t.Helper()
			for {
				r, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &dead, MaxNumberOfMessages: 10})
				require.NoError(t, err)
				if len(r.Messages) == 0 {
					return bodies
				}
				for _, m := range r.Messages {
					bodies = append(bodies, *m.Body)
				}
			}
		},
	}
}

// tally counts what is handled.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
	good int
	done chan struct{} // closed when as many as are wanted are done
	want int
}

func newTally(want int) *tally {
	return &tally{runs: map[string]int{}, done: make(chan struct{}), want: want}
}

func (c *tally) add(body string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[body]++
	if err == nil {
		if c.good++; c.good == c.want {
			close(c.done)
		}
	}
	return err
}

// One message of a group is poison; nine that come behind it are good.
func TestOnlyThePoisonMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	for name, q := range orderedQueues(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := map[string]int{}
			for i := range 10 {
				q.send(t, fmt.Sprint(i))
				want[fmt.Sprint(i)] = 1
			}
			want["0"] = 3
			seen := newTally(9)
			c, err := consumer.New(q.open(t), handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				if string(m.Body) == "0" {
					return seen.add("0", handler.RetryAfter(50*time.Millisecond, errors.New("poison")))
				}
				return seen.add(string(m.Body), nil)
			}), nil)
			require.NoError(t, err)
			runFor(t, c, seen.done)
			require.Equal(t, []string{"0"}, q.letters(t))
			require.Equal(t, want, seen.runs, "the good ones once each")
		})
	}
}

// Six restarts while a group is worked off: nothing fails, and nothing is
// dead-lettered.
func TestRestartsDeadLetterNothing(t *testing.T) {
	t.Parallel()
	for name, q := range orderedQueues(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 30
			for i := range n {
				q.send(t, fmt.Sprint(i))
			}
			seen := newTally(n)
			for range 6 {
				began := make(chan struct{})
				var once sync.Once
				c, err := consumer.New(q.open(t), handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
					once.Do(func() { close(began) })
					<-time.After(2 * time.Millisecond)
					return seen.add(string(m.Body), nil)
				}), &consumer.Config{ReceiveWait: time.Second, Concurrency: 2})
				require.NoError(t, err)
				select {
				case <-seen.done:
				default:
					runFor(t, c, began)
				}
			}
			c, err := consumer.New(q.open(t), handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				return seen.add(string(m.Body), nil)
			}), nil)
			require.NoError(t, err)
			runFor(t, c, seen.done)
			require.Empty(t, q.letters(t))
			for body, runs := range seen.runs {
				require.Equal(t, 1, runs, body)
			}
			require.Len(t, seen.runs, n)
		})
	}
}

// runFor runs a consumer until done is closed.
func runFor(t *testing.T, c *consumer.Consumer, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case <-done:
	case err := <-ended:
		t.Fatalf("Run ended early: %v", err)
	}
	cancel()
	require.NoError(t, <-ended)
}

// The same with handlers of which a drain has time for one: what would wait for its
// group is not received.
func TestRestartsOfSlowHandlersDeadLetterNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		dead := v.create("dead.fifo", map[string]string{"FifoQueue": "true"})
		queue := v.create("orders.fifo", map[string]string{
			"FifoQueue": "true", "VisibilityTimeout": "30",
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, v.server.QueueARN("dead.fifo")),
		})
		for i := range 10 {
			_, err := v.client.SendMessage(t.Context(), &awssqs.SendMessageInput{
				QueueUrl: &queue, MessageBody: aws.String(fmt.Sprint(i)), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String(fmt.Sprint(i)),
			})
			require.NoError(t, err)
		}
		var runs []string
		for range 10 {
			source, err := sqs.NewSource(t.Context(), v.client, queue, nil)
			require.NoError(t, err)
			c, err := consumer.New(source, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				runs = append(runs, string(m.Body)) // one at a time: it is one group
				<-time.After(20 * time.Second)
				return nil
			}), nil)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.NoError(t, c.Run(ctx))
			cancel()
		}
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, runs)
		require.Zero(t, v.depth(dead))
		require.Zero(t, v.depth(queue))
	})
}
