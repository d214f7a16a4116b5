package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"testing"
	"time"

	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// minLease leaves the rules that act within a lease room for a busy machine. The
// fakes would give a second, the service ten.
const minLease = 3 * time.Second

// parallel is how many rules run at the same time: they wait for leases and compute little.
const parallel = 32

// conformanceQueue is a queue as a rule wants it.
func conformanceQueue(o drivertest.QueueOptions) (pubsubtest.Queue, error) {
	if o.Dedupe {
		return pubsubtest.Queue{}, &drivers.Error{Code: drivers.Unsupported, Op: "create", Err: errors.New("Pub/Sub does not deduplicate what is sent")}
	}
	q := pubsubtest.Queue{
		Project: project, ID: fmt.Sprintf("conformance-%d", queues.Add(1)),
		AckDeadlineSeconds: int32(o.Lease / time.Second), Ordered: o.Ordered,
	}
	if o.DeadLetter {
		q.MaxAttempts = 100
		if o.MaxAttempts > 0 {
			q.MaxAttempts = int32(o.MaxAttempts)
		}
	}
	return q, nil
}

// onFake makes a queue on the fake that the tests share.
func onFake(ctx context.Context, o drivertest.QueueOptions, exactlyOnce bool) (*drivertest.Queue, error) {
	q, err := conformanceQueue(o)
	if err != nil {
		return nil, err
	}
	q.ExactlyOnce = exactlyOnce
	if err := fake.Create(ctx, q); err != nil {
		return nil, err
	}
	letters := ""
	if q.MaxAttempts > 0 {
		letters = url(q.DeadLetter().Subscription())
	}
	dq := drivertest.ByURL(mux(), url(q.Subscription()), url(q.Topic()), letters)
	dq.Remove = func(ctx context.Context) error { return fake.Delete(ctx, q) }
	dq.Close = func() error { return fake.Delete(context.Background(), q) }
	return dq, nil
}

func missing(context.Context) (*drivertest.Queue, error) {
	none := pubsubtest.Queue{Project: project, ID: "there-is-none"}
	return drivertest.ByURL(mux(), url(none.Subscription()), url(none.Topic()), ""), nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, &drivertest.Harness{
		Server:   "pubsub on pstest",
		MinLease: minLease,
		Parallel: parallel,
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			return onFake(ctx, o, false)
		},
		Missing: missing,
		Unmade: func(context.Context) (drivers.Opener, *neturl.URL, error) {
			q := pubsubtest.Queue{Project: project, ID: fmt.Sprintf("conformance-%d", queues.Add(1))}
			u, err := neturl.Parse(url(q.Subscription()))
			return &pubsub.Opener{}, u, err
		},
	})
}

func TestConformanceExactlyOnce(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	drivertest.Run(t, &drivertest.Harness{
		Server:   "pubsub on pstest, exactly once",
		MinLease: minLease,
		Parallel: parallel,
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			return onFake(ctx, o, true)
		},
		Missing: missing,
	})
}

// TestConformanceBarePstest runs the driver against pstest without our front, by
// clients that the caller owns. Each queue has a server of its own: a purge makes
// pstest bring back, without their content, all messages that are published to
// any of its topics meanwhile, and it falls over them.
func TestConformanceBarePstest(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	drivertest.Run(t, &drivertest.Harness{
		Server:   "pubsub on bare pstest",
		MinLease: minLease,
		Parallel: parallel,
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			q, err := conformanceQueue(o)
			if err != nil {
				return nil, err
			}
			b, err := startBare()
			if err != nil {
				return nil, err
			}
			return b.on(q), pubsubtest.Create(ctx, &b.server.GServer, q)
		},
		Missing: func(context.Context) (*drivertest.Queue, error) {
			b, err := startBare()
			if err != nil {
				return nil, err
			}
			return b.on(pubsubtest.Queue{Project: project, ID: "there-is-none"}), nil
		},
		Exceptions: map[string]drivertest.Exception{
			"SEND-11": {Reason: "pstest's server takes requests of at most 4 MiB, gRPC's default, and not of 10 MB"},
		},
	})
}

// bare is a pstest server and the SDK's clients of it.
type bare struct {
	server  *pstest.Server
	conn    *grpc.ClientConn
	clients pubsub.Clients
}

func startBare() (*bare, error) {
	b := &bare{server: pstest.NewServerWithAddress("127.0.0.1:0")}
	var err error
	if b.conn, err = grpc.NewClient(b.server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if b.clients.Subscriptions, err = apiv1.NewSubscriptionAdminClient(ctx, option.WithGRPCConn(b.conn)); err != nil {
		return nil, err
	}
	b.clients.Topics, err = apiv1.NewTopicAdminClient(ctx, option.WithGRPCConn(b.conn))
	return b, err
}

func (b *bare) on(q pubsubtest.Queue) *drivertest.Queue {
	open := func(q pubsubtest.Queue) func(context.Context) (drivers.Source, error) {
		return func(ctx context.Context) (drivers.Source, error) {
			return pubsub.NewSource(ctx, b.clients, q.Subscription(), nil)
		}
	}
	return &drivertest.Queue{
		OpenSource:      open(q),
		OpenSink:        func(ctx context.Context) (drivers.Sink, error) { return pubsub.NewSink(ctx, b.clients, q.Topic()) },
		OpenDeadLetters: open(q.DeadLetter()),
		Close:           func() error { return errors.Join(b.conn.Close(), b.server.Close()) },
	}
}
