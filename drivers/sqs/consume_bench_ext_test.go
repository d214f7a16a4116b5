package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

const (
	benchMessages    = 10_000
	benchConcurrency = 32
)

// BenchmarkConsume consumes 10,000 messages of 256 bytes from ElasticMQ, by the
// runtime with 32 handlers and by a loop of four pollers that is written by hand
// on the SDK, and reports messages a second and requests a message:
//
//	go test -run x -bench Consume -benchtime 3x ./drivers/sqs
func BenchmarkConsume(b *testing.B) {
	endpoint := testserver.ElasticMQ(b).URL
	counter := &counting{next: sqs.HTTPClient().Transport}
	cfg, err := config.LoadDefaultConfig(b.Context())
	require.NoError(b, err)
	api := awssqs.NewFromConfig(cfg, func(o *awssqs.Options) {
		o.BaseEndpoint = &endpoint
		o.HTTPClient = &http.Client{Transport: counter}
	})
	for _, work := range []time.Duration{0, 5 * time.Millisecond} {
		for _, c := range []struct {
			name    string
			consume func(testing.TB, *awssqs.Client, string, time.Duration)
		}{{"raw", consumeRaw}, {"sluice", consumeSluice}} {
			b.Run(fmt.Sprintf("%s/work=%v", c.name, work), func(b *testing.B) {
				var took time.Duration
				var requests int64
				b.ReportAllocs()
				for range b.N {
					b.StopTimer()
					// A queue of its own: what a receive that was canceled still asks
					// for must not take messages from the next one.
					name := testserver.Name(b)
					created, err := api.CreateQueue(b.Context(), &awssqs.CreateQueueInput{QueueName: &name})
					require.NoError(b, err)
					fill(b, api, *created.QueueUrl, benchMessages)
					before := counter.n.Load()
					b.StartTimer()
					begin := time.Now()
					c.consume(b, api, *created.QueueUrl, work)
					took += time.Since(begin)
					requests += counter.n.Load() - before
				}
				n := float64(b.N * benchMessages)
				b.ReportMetric(n/took.Seconds(), "msgs/s")
				b.ReportMetric(float64(requests)/n, "requests/msg")
				b.ReportMetric(float64(took.Nanoseconds())/n, "ns/msg")
			})
		}
	}
}

// counting counts requests.
type counting struct {
	next http.RoundTripper
	n    atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

func fill(b testing.TB, api *awssqs.Client, queueURL string, n int) {
	b.Helper()
	sink, err := sqs.NewSink(b.Context(), api, queueURL)
	require.NoError(b, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 40 {
				ms := make([]*handler.Message, 10)
				for i := range ms {
					ms[i] = &handler.Message{Body: bytes.Repeat([]byte("x"), 256)}
				}
				if errs := sink.Send(b.Context(), ms); errs != nil {
					b.Error(errs)
				}
			}
		})
	}
	wg.Wait()
}

func consumeSluice(b testing.TB, api *awssqs.Client, queueURL string, work time.Duration) {
	src, err := sqs.NewSource(b.Context(), api, queueURL, nil)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var handled atomic.Int64
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error {
		if work > 0 {
			<-time.After(work)
		}
		if handled.Add(1) == benchMessages {
			cancel()
		}
		return nil
	})
	c, err := consumer.New(src, h, &consumer.Config{Concurrency: benchConcurrency})
	require.NoError(b, err)
	require.NoError(b, c.Run(ctx))
	require.EqualValues(b, benchMessages, handled.Load())
}

// consumeRaw is what one writes without a library: each poller receives ten,
// handles them at the same time and deletes them.
func consumeRaw(b testing.TB, api *awssqs.Client, queueURL string, work time.Duration) {
	var handled atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for handled.Load() < benchMessages {
				out, err := api.ReceiveMessage(b.Context(), &awssqs.ReceiveMessageInput{
					QueueUrl: &queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
					MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp"},
				})
				if err != nil {
					b.Error(err)
					return
				}
				if len(out.Messages) == 0 {
					continue
				}
				var batch sync.WaitGroup
				entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
				for i, m := range out.Messages {
					id := fmt.Sprint(i)
					entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle}
					if work > 0 {
						batch.Go(func() { <-time.After(work) })
					}
				}
				batch.Wait()
				if _, err := api.DeleteMessageBatch(b.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &queueURL, Entries: entries}); err != nil {
					b.Error(err)
					return
				}
				handled.Add(int64(len(entries)))
			}
		})
	}
	wg.Wait()
}
