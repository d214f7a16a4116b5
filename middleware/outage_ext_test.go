package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

const nativeLimit = 3

// place is a queue with a native limit of [nativeLimit] attempts.
type place struct {
	source drivers.Source
	sink   drivers.Sink
}

func onMem(t *testing.T) place {
	t.Helper()
	o := &mem.Opener{}
	source, err := o.Source(t.Context(), "orders", &mem.Config{VisibilityTimeout: 30 * time.Second, MaxAttempts: nativeLimit})
	require.NoError(t, err)
	sink, err := o.Sink(t.Context(), "orders", nil)
	require.NoError(t, err)
	return place{source, sink}
}

func onSQS(t *testing.T) place {
	t.Helper()
	server, err := sqstest.New(nil)
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: server.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""), Retryer: aws.NopRetryer{},
	})
	for _, q := range []struct {
		name       string
		attributes map[string]string
	}{
		{"orders-dlq", nil},
		{"orders", map[string]string{"VisibilityTimeout": "30",
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, server.QueueARN("orders-dlq"), nativeLimit)}},
	} {
		_, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &q.name, Attributes: q.attributes})
		require.NoError(t, err)
	}
	source, err := sqs.NewSource(t.Context(), client, server.QueueURL("orders"), nil)
	require.NoError(t, err)
	sink, err := sqs.NewSink(t.Context(), client, server.QueueURL("orders"))
	require.NoError(t, err)
	return place{source, sink}
}

func onBoth(t *testing.T, f func(t *testing.T, p place)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) place{"mem": onMem, "sqstest": onSQS} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, open(t)) }) })
	}
}

func (p place) send(t *testing.T, n int, group func(i int) string) {
	t.Helper()
	for i := range n {
		m := &handler.Message{Body: fmt.Append(nil, i), DedupeID: fmt.Sprint(i)}
		m.SetAttribute("tenant", group(i))
		for _, err := range p.sink.Send(t.Context(), []*handler.Message{m}) {
			require.NoError(t, err)
		}
	}
}

// letters counts the dead letters.
func (p place) letters(t *testing.T) int64 {
	t.Helper()
	d, err := p.source.(drivers.Inspector).Depth(t.Context())
	require.NoError(t, err)
	return d.DeadLetters
}

// outage is a store's, from the start until its end.
type outage struct{ until time.Time }

var errStoreDown = errors.New("connection refused")

func (o outage) err() error {
	if time.Now().Before(o.until) {
		return errStoreDown
	}
	return nil
}

type marks struct {
	idempotency.Store
	outage
}

func (s marks) String() string { return "redis://cache" }

func (s marks) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if err := s.err(); err != nil {
		return idempotency.Claim{}, err
	}
	return s.Store.Claim(ctx, key, token, ttl)
}

func (s marks) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	return errors.Join(s.err(), s.Store.Complete(ctx, key, token, result, ttl))
}

type windows struct {
	ratelimit.Store
	outage
}

func (s windows) Take(ctx context.Context, r ratelimit.Request) (ratelimit.Answer, error) {
	if err := s.err(); err != nil {
		return ratelimit.Answer{}, err
	}
	return s.Store.Take(ctx, r)
}

// seen keeps the events of stores.
type seen struct {
	mu     sync.Mutex
	events []handler.Event
}

func (s *seen) Observe(e handler.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// A store is down for two minutes, on queues that allow three attempts.
func TestAStoreThatIsDownCostsNoAttempt(t *testing.T) {
	const n, down = 200, 2 * time.Minute
	for name, build := range map[string]func(t *testing.T, c *middleware.Config, until time.Time, o handler.Observer, log *slog.Logger){
		"idempotency": func(t *testing.T, c *middleware.Config, until time.Time, o handler.Observer, log *slog.Logger) {
			var err error
			c.Idempotency, err = idempotency.New(marks{idempotency.NewMemory(), outage{until}}, &idempotency.Config{Observer: o, Logger: log})
			require.NoError(t, err)
		},
		"ratelimit": func(t *testing.T, c *middleware.Config, until time.Time, o handler.Observer, log *slog.Logger) {
			l, err := ratelimit.New(1000, time.Second, &ratelimit.Config{
				Name: "gateway", Store: windows{ratelimit.NewMemory(), outage{until}}, Observer: o, Logger: log})
			require.NoError(t, err)
			c.RateLimits = []*ratelimit.Limiter{l}
		},
		"ratelimit by key": func(t *testing.T, c *middleware.Config, until time.Time, o handler.Observer, log *slog.Logger) {
			l, err := ratelimit.New(1000, time.Second, &ratelimit.Config{
				Name: "gateway", Store: windows{ratelimit.NewMemory(), outage{until}}, Observer: o, Logger: log,
				Key: func(m *handler.Message) string { return m.Attribute("tenant") }})
			require.NoError(t, err)
			c.RateLimits = []*ratelimit.Limiter{l}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, p place) {
				p.send(t, n, func(i int) string { return fmt.Sprint(i % 7) })
				c, events, log := &middleware.Config{Logger: slog.New(slog.DiscardHandler)}, &seen{}, &strings.Builder{}
				build(t, c, time.Now().Add(down), events, slog.New(slog.NewTextHandler(log, nil)))
				stack, err := middleware.Standard(c)
				require.NoError(t, err)
				require.Len(t, stack.Gates(), 1)
				gate := stack.Gates()[0].(handler.GateReason)
				var mu sync.Mutex
				effects := map[string]int{}
				start := time.Now()
				first, attempts := time.Duration(0), 0
				received := &counting{Source: p.source}
				w, err := consumer.New(received, stack.Handler(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
					mu.Lock()
					defer mu.Unlock()
					if first == 0 {
						first = time.Since(start)
					}
					effects[string(m.Body)]++
					attempts = max(attempts, m.Attempt)
					return nil
				})), &consumer.Config{Gates: stack.Gates(), Logger: slog.New(slog.DiscardHandler)})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()

				time.Sleep(down / 2) //nolint:forbidigo // moves the bubble's clock
				synctest.Wait()
				require.Contains(t, gate.Reason(), "is down: connection refused")
				require.Contains(t, gate.Reason(), map[bool]string{true: "redis://cache", false: "gateway"}[name == "idempotency"])
				held := received.count()
				require.LessOrEqual(t, held, 50, "receiving goes on")
				require.Zero(t, p.letters(t))

				time.Sleep(down) //nolint:forbidigo // moves the bubble's clock
				cancel()
				require.NoError(t, <-done)
				require.Empty(t, gate.Reason())
				require.Len(t, effects, n)
				for body, times := range effects {
					require.Equal(t, 1, times, body)
				}
				require.Equal(t, 1, attempts, "the outage has cost an attempt")
				require.GreaterOrEqual(t, first, down)
				require.Less(t, first, down+40*time.Second)

				require.Equal(t, 2, strings.Count(log.String(), "\n"), "one record a change of state: %s", log)
				var kinds []handler.EventKind
				for _, e := range events.events {
					kinds = append(kinds, e.Kind)
				}
				require.Equal(t, []handler.EventKind{handler.EventStoreDown, handler.EventStoreUp}, kinds)
			})
		})
	}
}

// counting counts what a source brings.
type counting struct {
	drivers.Source
	mu sync.Mutex
	n  int
}

func (c *counting) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := c.Source.Receive(ctx, most, wait)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(ds)
	return ds, err
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
