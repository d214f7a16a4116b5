package seams

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// A rig is a queue that a program runs on, with its dead-letter queue.
type rig struct {
	source func(ctx context.Context) (drivers.Source, error)
	sink   func(ctx context.Context) (drivers.Sink, error)
	// empty is true when the queue has no message, in flight or not.
	empty func(ctx context.Context) (bool, error)
	// shrink changes the queue's own lease; nil where that is not a program's
	// business.
	shrink func(ctx context.Context, lease time.Duration) error
	// strike has a part of each batch fail at the queue itself; nil if it
	// cannot.
	strike func(action string, percent int) (end func())
	close  func() error
}

// outside is what a rig needs that cannot be made in a bubble.
type outside struct {
	dir  string
	fake *pubsubtest.Server
}

func (p *program) rig(ctx context.Context, o *outside) (*rig, error) {
	switch p.queue {
	case onMem:
		opener := new(mem.Opener)
		return byURL(ctx, drivers.NewMux(opener), fmt.Sprintf("mem://jobs?visibility_timeout=%v&max_attempts=%d&ordered=%t&dedupe_window=%v",
			p.lease, p.maxAttempts, p.ordered, p.window()), opener.Close)
	case onSQLite:
		return byURL(ctx, drivers.NewMux(new(sqlite.Opener)), fmt.Sprintf("sqlite://%s/queue.db?queue=jobs&visibility_timeout=%v&max_attempts=%d&ordered=%t&dedupe_window=%v",
			o.dir, p.lease, p.maxAttempts, p.ordered, p.window()), func() error { return nil })
	case onSQS, onSQSFIFO:
		return p.onFakeSQS(ctx)
	case onPubSub:
		return p.onFakePubSub(ctx, o.fake)
	default:
		return nil, fmt.Errorf("no such queue: %q", p.queue)
	}
}

func (p *program) window() time.Duration {
	if p.dedupe {
		return 5 * time.Minute
	}
	return 0
}

// byURL is the rig of a queue that a URL opens.
func byURL(ctx context.Context, mux *drivers.Mux, u string, end func() error) (*rig, error) {
	watch, err := mux.OpenSource(ctx, u, nil)
	if err != nil {
		return nil, err
	}
	return &rig{
		source: func(ctx context.Context) (drivers.Source, error) { return mux.OpenSource(ctx, u, nil) },
		sink:   func(ctx context.Context) (drivers.Sink, error) { return mux.OpenSink(ctx, u, nil) },
		empty: func(ctx context.Context) (bool, error) {
			d, err := watch.(drivers.Inspector).Depth(ctx)
			return d.Visible+d.InFlight+d.Delayed == 0, err
		},
		close: func() error { return errors.Join(watch.Close(), end()) },
	}, nil
}

func (p *program) onFakeSQS(ctx context.Context) (*rig, error) {
	s, err := sqstest.New(&sqstest.Config{Seed: p.seed})
	if err != nil {
		return nil, err
	}
	opener := &sqs.Opener{AWS: &aws.Config{
		HTTPClient: s.HTTPClient(), Region: sqstest.DefaultRegion, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}}
	name := "jobs"
	if p.queue == onSQSFIFO {
		name += ".fifo"
	}
	u := "awssqs:///" + name + "?endpoint=" + s.URL()
	mux := drivers.NewMux(opener)
	apply := func(ctx context.Context, lease time.Duration) error {
		_, err := admin.Apply(ctx, mux, admin.Target{URL: u, Spec: &provision.Spec{
			Name: "jobs", FIFO: p.queue == onSQSFIFO, VisibilityTimeout: lease, DeadLetter: &provision.DeadLetter{MaxAttempts: p.maxAttempts},
		}}, true)
		return err
	}
	if err := apply(ctx, p.lease); err != nil {
		return nil, err
	}
	r, err := byURL(ctx, mux, u, s.Close)
	if err != nil {
		return nil, err
	}
	r.shrink = apply
	r.strike = func(action string, percent int) func() {
		dice := dice{newRand(p.seed)}
		hit := func(string) bool { return dice.chance(percent) }
		return s.Inject(sqstest.Fault{Action: action, Entries: hit}).Remove
	}
	return r, nil
}

func (p *program) onFakePubSub(ctx context.Context, fake *pubsubtest.Server) (*rig, error) {
	l := bufconn.Listen(1 << 20)
	fake.Serve(l)
	q := pubsubtest.Queue{
		Project: "p", ID: "jobs", AckDeadlineSeconds: int32(p.lease / time.Second), MaxAttempts: int32(p.maxAttempts), Ordered: p.ordered,
	}
	if err := fake.Create(ctx, q); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		return nil, err
	}
	o := []option.ClientOption{option.WithGRPCConn(conn), option.WithoutAuthentication(), option.WithTelemetryDisabled()}
	subscriptions, err := apiv1.NewSubscriptionAdminClient(ctx, o...)
	if err != nil {
		return nil, err
	}
	topics, err := apiv1.NewTopicAdminClient(ctx, o...)
	if err != nil {
		return nil, err
	}
	c := pubsub.Clients{Subscriptions: subscriptions, Topics: topics}
	return &rig{
		source: func(ctx context.Context) (drivers.Source, error) {
			return pubsub.NewSource(ctx, c, q.Subscription(), nil)
		},
		sink: func(ctx context.Context) (drivers.Sink, error) { return pubsub.NewSink(ctx, c, q.Subscription()) },
		empty: func(context.Context) (bool, error) {
			d, err := fake.Depth(q.Subscription())
			return d.Visible+d.InFlight == 0, err
		},
		close: func() error { return errors.Join(conn.Close(), fake.Close()) },
	}, nil
}
