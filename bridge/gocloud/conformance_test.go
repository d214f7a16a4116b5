package gocloud

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/driver"
	"gocloud.dev/pubsub/drivertest"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// harness runs gocloud's own conformance tests over the queues of a mux. A queue
// is one subscription: a topic with several sends to as many queues.
type harness struct {
	mux    *drivers.Mux
	make   func(ctx context.Context, queue string) error // nil: opening makes it
	url    func(queue string) string
	topics map[driver.Topic]*fanOut
}

// fanOut is the sink of a topic: one queue from the start, for what is sent before
// there is a subscription, and one more for each subscription after the first.
type fanOut struct {
	drivers.Sink

	more       []drivers.Sink
	queue      string
	subscribed bool
}

func (f *fanOut) Send(ctx context.Context, ms []*handler.Message) []error {
	errs := f.Sink.Send(ctx, ms)
	for _, s := range f.more {
		copies := make([]*handler.Message, len(ms))
		for i, m := range ms {
			c := *m
			copies[i] = &c
		}
		for i, err := range s.Send(ctx, copies) {
			if err != nil {
				if errs == nil {
					errs = make([]error, len(ms))
				}
				errs[i] = errors.Join(errs[i], err)
			}
		}
	}
	return errs
}

func (f *fanOut) Close() error {
	err := f.Sink.Close()
	for _, s := range f.more {
		err = errors.Join(err, s.Close())
	}
	return err
}

func (h *harness) newQueue(ctx context.Context) (string, drivers.Sink, error) {
	name := "t-" + rand.Text()
	if h.make != nil {
		if err := h.make(ctx, name); err != nil {
			return "", nil, err
		}
	}
	sink, err := h.mux.OpenSink(ctx, h.url(name), nil)
	return name, sink, err
}

func (h *harness) CreateTopic(ctx context.Context, _ string) (driver.Topic, func(), error) {
	name, sink, err := h.newQueue(ctx)
	if err != nil {
		return nil, nil, err
	}
	f := &fanOut{Sink: sink, queue: name}
	dt := newTopic(f)
	h.topics[dt] = f
	return dt, func() {}, nil
}

func (h *harness) CreateSubscription(ctx context.Context, dt driver.Topic, _ string) (driver.Subscription, func(), error) {
	f := h.topics[dt]
	queue := f.queue
	if f.subscribed {
		name, sink, err := h.newQueue(ctx)
		if err != nil {
			return nil, nil, err
		}
		queue, f.more = name, append(f.more, sink)
	}
	f.subscribed = true
	source, err := h.mux.OpenSource(ctx, h.url(queue), nil)
	if err != nil {
		return nil, nil, err
	}
	return newSubscription(source), func() {}, nil
}

// gone stands for a queue that does not exist: the embedded ones are made when
// they are opened.
type (
	goneSource struct{}
	goneSink   struct{}
)

var errGone = &drivers.Error{Code: drivers.NotFound, Queue: "gone", Op: "use", Err: errors.New("there is no such queue")}

func (goneSource) Receive(context.Context, int, time.Duration) ([]drivers.Delivery, error) {
	return nil, errGone
}
func (goneSource) Settle(context.Context, []drivers.Settlement) []error { return []error{errGone} }
func (goneSource) Extend(context.Context, []drivers.Extension) []error  { return []error{errGone} }
func (goneSource) Capabilities() drivers.Capabilities                   { return drivers.Capabilities{} }
func (goneSource) Close() error                                         { return nil }

func (goneSink) Send(_ context.Context, ms []*handler.Message) []error {
	errs := make([]error, len(ms))
	for i := range errs {
		errs[i] = errGone
	}
	return errs
}
func (goneSink) Capabilities() drivers.Capabilities { return drivers.Capabilities{} }
func (goneSink) Close() error                       { return nil }

func (h *harness) MakeNonexistentTopic(context.Context) (driver.Topic, error) {
	return newTopic(goneSink{}), nil
}

func (h *harness) MakeNonexistentSubscription(context.Context) (driver.Subscription, func(), error) {
	return newSubscription(goneSource{}), func() {}, nil
}

func (*harness) Close()                              {}
func (*harness) MaxBatchSizes() (int, int)           { return 0, 0 }
func (*harness) SupportsMultipleSubscriptions() bool { return true }

type asTest struct{}

func (asTest) Name() string { return "messages, sources and sinks" }

func (asTest) TopicCheck(t *pubsub.Topic) error {
	var s drivers.Sink
	return must(t.As(&s) && s != nil, "Topic.As")
}

func (asTest) SubscriptionCheck(s *pubsub.Subscription) error {
	var src drivers.Source
	return must(s.As(&src) && src != nil, "Subscription.As")
}

func (asTest) TopicErrorCheck(t *pubsub.Topic, err error) error {
	var e *drivers.Error
	return must(t.ErrorAs(err, &e) && e.Code == drivers.NotFound, "Topic.ErrorAs")
}

func (asTest) SubscriptionErrorCheck(s *pubsub.Subscription, err error) error {
	var e *drivers.Error
	return must(s.ErrorAs(err, &e) && e.Code == drivers.NotFound, "Subscription.ErrorAs")
}

func (asTest) MessageCheck(pm *pubsub.Message) error {
	var m *handler.Message
	return must(pm.As(&m) && m.Attempt == 1 && m.Group == "g", "Message.As")
}

func (asTest) BeforeSend(as func(any) bool) error {
	var m *handler.Message
	if err := must(as(&m), "BeforeSend"); err != nil {
		return err
	}
	m.Group = "g"
	return nil
}

func (asTest) AfterSend(as func(any) bool) error {
	var m *handler.Message
	return must(as(&m) && m.ID != "", "AfterSend")
}

func must(ok bool, what string) error {
	if !ok {
		return fmt.Errorf("%s does not give what it should", what)
	}
	return nil
}

func TestGocloudConformance(t *testing.T) {
	for name, url := range map[string]func(dir, queue string) string{
		"mem":    func(_, q string) string { return "mem://" + q },
		"sqlite": func(dir, q string) string { return "sqlite://" + filepath.ToSlash(dir) + "/queues.db?queue=" + q },
	} {
		t.Run(name, func(t *testing.T) {
			dir, mux := t.TempDir(), all.Mux()
			drivertest.RunConformanceTests(t, func(context.Context, *testing.T) (drivertest.Harness, error) {
				return &harness{mux: mux, topics: map[driver.Topic]*fanOut{}, url: func(q string) string { return url(dir, q) }}, nil
			}, []drivertest.AsTest{asTest{}})
		})
	}
}

// SQS is a queue over the network, with batches and leases of its own.
func TestGocloudConformanceOnSQS(t *testing.T) {
	srv, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	for _, v := range srv.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := awssqs.NewFromConfig(cfg)
	drivertest.RunConformanceTests(t, func(context.Context, *testing.T) (drivertest.Harness, error) {
		return &harness{
			mux: drivers.NewMux(&sqs.Opener{}), topics: map[driver.Topic]*fanOut{},
			url: func(q string) string { return "awssqs:///" + q + "?region=us-east-1" },
			make: func(ctx context.Context, q string) error {
				_, err := client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(q)})
				return err
			},
		}, nil
	}, []drivertest.AsTest{asTest{}})
}
