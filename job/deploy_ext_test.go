package job_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/job"
)

// The two versions of a kind.
type (
	orderV1 struct{ N int }
	orderV2 struct {
		N        int
		Currency string
	}
)

func (orderV1) Kind() string { return "order.v1" }
func (orderV2) Kind() string { return "order.v2" }

// A place opens one queue, with a limit of attempts.
type place struct {
	source func() (drivers.Source, error)
	sink   func() (drivers.Sink, error)
}

// ctx outlives a test's, which has ended when its cleanup runs.
var ctx = context.Background()

// onMem has a queue that takes two attempts only: there, to be given back costs none.
func onMem(*testing.T) place {
	queues, config := &mem.Opener{}, &mem.Config{MaxAttempts: 2}
	return place{
		func() (drivers.Source, error) { return queues.Source(ctx, "orders", config) },
		func() (drivers.Sink, error) { return queues.Sink(ctx, "orders", config) },
	}
}

func onSQLite(t *testing.T) place {
	queues, config, file := &sqlite.Opener{}, &sqlite.Config{MaxAttempts: 2}, filepath.Join(t.TempDir(), "queue.db")
	return place{
		func() (drivers.Source, error) { return queues.Source(ctx, file, "orders", config) },
		func() (drivers.Sink, error) { return queues.Sink(ctx, file, "orders", config) },
	}
}

// onSQS has a queue that takes six attempts, since SQS counts each receive: a worker that
// stops gives back what it could not handle.
func onSQS(t *testing.T) place {
	server, err := sqstest.New(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: server.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""), Retryer: aws.NopRetryer{},
	})
	// SQS refuses a redrive policy whose dead-letter queue does not exist yet.
	_, err = client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("orders-dlq")})
	require.NoError(t, err)
	_, err = client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("orders"), Attributes: map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":6}`, server.QueueARN("orders-dlq")),
	}})
	require.NoError(t, err)
	return place{
		func() (drivers.Source, error) { return sqs.NewSource(ctx, client, server.QueueURL("orders"), nil) },
		func() (drivers.Sink, error) { return sqs.NewSink(ctx, client, server.QueueURL("orders")) },
	}
}

// fleet is the workers of a rolling deploy on one queue, and what they have done.
type fleet struct {
	t *testing.T
	place

	mu   sync.Mutex
	done map[string]int
}

func (f *fleet) note(kind string, n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[fmt.Sprint(kind, " ", n)]++
	return nil
}

// worker runs until the function that it returns is called. Only a new one knows the new
// kind.
func (f *fleet) worker(isNew bool) (stop func() handler.Counts) {
	f.t.Helper()
	r, err := route.New(nil)
	require.NoError(f.t, err)
	require.NoError(f.t, job.Add(r, func(_ context.Context, j orderV1) error { return f.note(j.Kind(), j.N) }))
	if isNew {
		require.NoError(f.t, job.Add(r, func(_ context.Context, j orderV2) error { return f.note(j.Kind(), j.N) }))
	}
	source, err := f.source()
	require.NoError(f.t, err)
	c, err := consumer.New(source, r, &consumer.Config{Concurrency: 4})
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() handler.Counts {
		cancel()
		require.NoError(f.t, <-ended)
		return c.Stats().Counts
	}
}

// While programs that send v1 and v2 and workers that know v1, or both, run side by side,
// each job is done once, and none is dead-lettered. The producers are deployed first, which
// is the worse order.
func TestARollingDeployLosesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) place{"mem": onMem, "sqlite": onSQLite, "SQS": onSQS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { deploy(t, open(t)) })
		})
	}
}

func deploy(t *testing.T, p place) {
	f := &fleet{t: t, place: p, done: map[string]int{}}
	sink, err := f.sink()
	require.NoError(t, err)
	client := clientOf(t, sink, nil)
	sent := 0
	enqueue := func(n int) {
		for range n {
			_, err := client.Enqueue(ctx, orderV1{N: sent}, nil)
			require.NoError(t, err)
			_, err = client.Enqueue(ctx, orderV2{N: sent, Currency: "EUR"}, nil)
			require.NoError(t, err)
			sent++
		}
	}
	pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }

	old := []func() handler.Counts{f.worker(false), f.worker(false), f.worker(false)}
	enqueue(20)
	pass(time.Minute)
	require.Len(t, f.done, 20, "v1 is done, v2 waits")
	var fresh []func() handler.Counts
	var postponed uint64
	for _, stop := range old { // one after the other, as a deployment does
		fresh = append(fresh, f.worker(true))
		enqueue(20)
		pass(time.Minute)
		n := stop()
		postponed += n.Postponed
		require.Zero(t, n.DeadLettered)
		require.Zero(t, n.Dropped)
		pass(time.Minute)
	}
	for end := time.Now().Add(9 * time.Minute); len(f.done) < 2*sent && time.Now().Before(end); {
		pass(10 * time.Second)
	}
	for _, stop := range fresh {
		n := stop()
		require.Zero(t, n.DeadLettered)
		require.Zero(t, n.Dropped)
	}
	require.Positive(t, postponed, "old workers have met the new kind")
	require.Len(t, f.done, 2*sent)
	for kind, times := range f.done {
		require.Equal(t, 1, times, kind)
	}
	source, err := f.source()
	require.NoError(t, err)
	inspector, ok := source.(drivers.Inspector)
	require.True(t, ok)
	depth, err := inspector.Depth(ctx)
	require.NoError(t, err)
	require.Zero(t, depth.Visible+depth.InFlight+depth.Delayed+depth.DeadLetters, "%+v", depth)
	require.NoError(t, source.Close())
}
