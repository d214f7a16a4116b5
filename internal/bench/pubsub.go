package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"gocloud.dev/pubsub/gcppubsub"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/internal/bench/fastpubsub"
)

// rpcs counts requests: each message that is sent, so that those of a stream
// count too. Sluice's own connection has no place for it: there the fake counts.
type rpcs struct {
	counts  *counter
	acked   atomic.Int64 // messages in the acknowledgements that were sent
	waiting waiting      // with the round trips of pulls
}

type rpcKey struct{}

// TagRPC implements [stats.Handler].
func (r *rpcs) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, rpcKey{}, action(i.FullMethodName))
}

// HandleRPC implements [stats.Handler].
func (r *rpcs) HandleRPC(ctx context.Context, s stats.RPCStats) {
	name, _ := ctx.Value(rpcKey{}).(string)
	if end, ok := s.(*stats.End); ok && end.Error == nil && name == "Pull" {
		r.waiting.trips.add(end.EndTime.Sub(end.BeginTime))
	}
	p, ok := s.(*stats.OutPayload)
	if !ok {
		return
	}
	if name != "" {
		r.counts.add(name)
	}
	if a, ok := p.Payload.(*pubsubpb.AcknowledgeRequest); ok {
		r.acked.Add(int64(len(a.AckIds)))
	}
}

// TagConn implements [stats.Handler].
func (r *rpcs) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (r *rpcs) HandleConn(context.Context, stats.ConnStats) {}

// A subscription is the one of the fake, and clients of it whose requests are
// counted.
type subscription struct {
	addr    string
	conn    *grpc.ClientConn
	clients pubsub.Clients
	counts  *counter
	rpcs    *rpcs
}

func (s *subscription) options() []option.ClientOption {
	return []option.ClientOption{option.WithGRPCConn(s.conn), option.WithoutAuthentication(), option.WithTelemetryDisabled()}
}

// newSubscription connects to the fake and drops what a run before has left.
func newSubscription(ctx context.Context, e *env) (*subscription, error) {
	s := &subscription{addr: e.pubsub, counts: &counter{}}
	s.rpcs = &rpcs{counts: s.counts}
	var err error
	s.conn, err = grpc.NewClient("passthrough:///"+e.pubsub, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(s.rpcs), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	if s.clients.Subscriptions, err = apiv1.NewSubscriptionAdminClient(ctx, s.options()...); err != nil {
		return nil, err
	}
	if s.clients.Topics, err = apiv1.NewTopicAdminClient(ctx, s.options()...); err != nil {
		return nil, err
	}
	_, err = s.clients.Subscriptions.Seek(ctx, &pubsubpb.SeekRequest{Subscription: fastpubsub.Subscription})
	return s, err
}

// publishRaw publishes in calls of so many messages.
func (s *subscription) publishRaw(ctx context.Context, goroutines, n, call int) error {
	body := bytes.Repeat([]byte("x"), bodySize)
	return split(goroutines, n, func(n int) error {
		for n > 0 {
			r := &pubsubpb.PublishRequest{Topic: fastpubsub.Topic, Messages: make([]*pubsubpb.PubsubMessage, min(n, call))}
			for i := range r.Messages {
				r.Messages[i] = &pubsubpb.PubsubMessage{Data: body}
			}
			if _, err := s.clients.Topics.Publish(ctx, r); err != nil {
				return err
			}
			n -= len(r.Messages)
		}
		return nil
	})
}

// pubsubConsumer consumes n messages; done ends it, after the measuring.
type pubsubConsumer func(ctx context.Context, s *subscription, n int) (done func() error, err error)

// The names of peers that targets name.
const (
	observed = sluice + ", observed" // what the runtime measures costs nothing elsewhere
	rawPull  = "raw unary Pull"
	gcpHigh  = "pubsub/v2 Subscriber"
	gcpCloud = "gocloud gcppubsub"
)

func pubsubCases() []experiment {
	var xs []experiment
	for _, c := range []int{1, 32, 1000, 4000} { // the raw loop holds 4,000
		share := 5 // of the messages of a run over a network: the fake is fast
		if c == 1 {
			share = 1
		}
		xs = append(xs, experiment{
			id: fmt.Sprint("pubsub-consume/", c), title: fmt.Sprintf("Pub/Sub consume, no-op, concurrency %d, on a fast fake", c), open: startPubSub,
			peers: []peer{
				{sluice, consumePubSub(consumeSluiceURL(c), share, true)},
				{observed, consumePubSub(consumeSluiceClients(c), share, false)},
				{rawPull, consumePubSub(consumePull(c), share, false)},
				{gcpHigh, consumePubSub(consumeSubscriber(c), share, false)},
				{gcpCloud, consumePubSub(consumeGCP(c), share, false)},
			},
		})
	}
	return append(xs, experiment{
		id: "pubsub-publish/32", title: "Pub/Sub publish, 32 goroutines that wait, on a fast fake", open: startPubSub,
		peers: []peer{
			{sluice, publishPubSub(publishSluice)},
			{"raw Publish, 1 a call", publishPubSub(func(ctx context.Context, s *subscription, n int) error {
				return s.publishRaw(ctx, senders, n, 1)
			})},
			{"pubsub/v2 Publisher", publishPubSub(publishPublisher)},
			{gcpCloud, publishPubSub(publishGCP)},
		},
	})
}

// consumePubSub measures a consumer. If its connection counts no requests, fakeCounts is
// true.
func consumePubSub(consume pubsubConsumer, share int, fakeCounts bool) func(context.Context, *env) (sample, error) {
	return func(ctx context.Context, e *env) (sample, error) {
		s, err := newSubscription(ctx, e)
		if err != nil {
			return nil, err
		}
		n := share * e.sizes.messages
		// More than are consumed: a peer that meets the end of the queue waits
		// there for a Pull that brings nothing, and would be measured waiting.
		if err := s.publishRaw(ctx, 4, 2*n, 500); err != nil {
			return nil, err
		}
		served, err := s.served(ctx)
		if err != nil {
			return nil, err
		}
		m, err := begin(s.counts)
		if err != nil {
			return nil, err
		}
		done, err := consume(ctx, s, n)
		if err != nil {
			return nil, err
		}
		r, err := m.end(n)
		if err == nil && fakeCounts {
			err = s.countServed(ctx, r, served, n)
		}
		if done != nil {
			err = errors.Join(err, done())
		}
		if err == nil && s.rpcs.waiting.handled.quantile(1) > 0 {
			s.rpcs.waiting.addTo(r)
		}
		return r, errors.Join(err, s.conn.Close())
	}
}

// consumeSluiceURL opens the queue by its URL, as a configuration does.
func consumeSluiceURL(concurrency int) pubsubConsumer {
	return func(ctx context.Context, s *subscription, n int) (func() error, error) {
		src, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		return runSluice(ctx, src, n, concurrency, 0)
	}
}

// open opens the fake's subscription by its URL.
func (s *subscription) open(ctx context.Context) (drivers.Source, error) {
	const host = "PUBSUB_EMULATOR_HOST"
	if err := os.Setenv(host, s.addr); err != nil {
		return nil, err
	}
	defer os.Unsetenv(host) // the other peers have connections of their own
	return drivers.NewMux(&pubsub.Opener{}).OpenSource(ctx, "gcppubsub://"+fastpubsub.Subscription, nil)
}

// served returns how many requests the fake has had, by action.
func (s *subscription) served(ctx context.Context) (map[string]int64, error) {
	t, err := s.clients.Topics.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: fastpubsub.Topic})
	if err != nil {
		return nil, err
	}
	calls := make(map[string]int64, len(t.Labels))
	for action, text := range t.Labels {
		if calls[action], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// countServed sets the metrics of the requests that the fake has had since before.
func (s *subscription) countServed(ctx context.Context, r sample, before map[string]int64, n int) error {
	counts, err := s.served(ctx)
	if err != nil {
		return err
	}
	for action := range counts {
		if counts[action] -= before[action]; action == "GetTopic" || counts[action] == 0 {
			delete(counts, action)
		}
	}
	r.requests(counts, n)
	return nil
}

// consumeSluiceClients hands over clients, which time the round trips.
func consumeSluiceClients(concurrency int) pubsubConsumer {
	return func(ctx context.Context, s *subscription, n int) (func() error, error) {
		src, err := pubsub.NewSource(ctx, s.clients, fastpubsub.Subscription, nil)
		if err != nil {
			return nil, err
		}
		return runSluice(ctx, src, n, concurrency, 0, &s.rpcs.waiting)
	}
}

// consumePull is what one writes on the API itself: each poller pulls a
// thousand, handles them one by one, and acknowledges them.
func consumePull(concurrency int) pubsubConsumer {
	return func(ctx context.Context, s *subscription, n int) (func() error, error) {
		return nil, pull(ctx, s, n, min(concurrency, pollers))
	}
}

func pull(ctx context.Context, s *subscription, n, goroutines int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var handled atomic.Int64
	return split(goroutines, n, func(int) error {
		for handled.Load() < int64(n) {
			r, err := s.clients.Subscriptions.Pull(ctx, &pubsubpb.PullRequest{Subscription: fastpubsub.Subscription, MaxMessages: 1000})
			if handled.Load() >= int64(n) {
				return nil
			}
			if err != nil {
				return err
			}
			ids := make([]string, len(r.ReceivedMessages))
			for i, m := range r.ReceivedMessages {
				ids[i] = m.AckId
			}
			if len(ids) == 0 {
				continue
			}
			err = s.clients.Subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: fastpubsub.Subscription, AckIds: ids})
			if handled.Load() >= int64(n) {
				return nil // another poller has ended it, and so this request
			}
			if err != nil {
				return err
			}
			if handled.Add(int64(len(ids))) >= int64(n) {
				cancel()
			}
		}
		return nil
	})
}

// consumeSubscriber bounds the callbacks in progress in the way that the client has.
func consumeSubscriber(concurrency int) pubsubConsumer {
	return func(ctx context.Context, s *subscription, n int) (func() error, error) {
		c, err := gcp.NewClient(ctx, fastpubsub.Project, s.options()...)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var handled atomic.Int64
		sub := c.Subscriber(fastpubsub.Subscription)
		sub.ReceiveSettings.MaxOutstandingMessages = concurrency
		err = sub.Receive(ctx, func(_ context.Context, m *gcp.Message) {
			m.Ack()
			if handled.Add(1) == int64(n) {
				cancel() // Receive then sends the acks that are left
			}
		})
		return nil, err
	}
}

func consumeGCP(concurrency int) pubsubConsumer {
	return func(ctx context.Context, s *subscription, n int) (func() error, error) {
		c, err := gcppubsub.SubscriberClient(ctx, s.conn)
		if err != nil {
			return nil, err
		}
		sub, err := gcppubsub.OpenSubscriptionByPath(c, fastpubsub.Subscription, nil)
		if err != nil {
			return nil, err
		}
		if err := receiveGocloud(ctx, sub, n, concurrency, 0); err != nil {
			return nil, err
		}
		// Shutdown waits for a Pull that no message will end: it is not measured.
		err = until(ctx, func() bool { return s.rpcs.acked.Load() >= int64(n) })
		return func() error { return sub.Shutdown(ctx) }, err
	}
}

func publishPubSub(publish func(ctx context.Context, s *subscription, n int) error) func(context.Context, *env) (sample, error) {
	return func(ctx context.Context, e *env) (sample, error) {
		s, err := newSubscription(ctx, e)
		if err != nil {
			return nil, err
		}
		m, err := begin(s.counts)
		if err != nil {
			return nil, err
		}
		if err := publish(ctx, s, e.sizes.messages); err != nil {
			return nil, err
		}
		r, err := m.end(e.sizes.messages)
		return r, errors.Join(err, s.conn.Close())
	}
}

func publishSluice(ctx context.Context, s *subscription, n int) error {
	sink, err := pubsub.NewSink(ctx, s.clients, fastpubsub.Topic)
	if err != nil {
		return err
	}
	return sendSluice(ctx, sink, senders, n, 1)
}

func publishPublisher(ctx context.Context, s *subscription, n int) error {
	c, err := gcp.NewClient(ctx, fastpubsub.Project, s.options()...)
	if err != nil {
		return err
	}
	p := c.Publisher(fastpubsub.Topic)
	p.PublishSettings.DelayThreshold = 5 * time.Millisecond // as long as Sluice waits
	defer p.Stop()
	body := bytes.Repeat([]byte("x"), bodySize)
	return split(senders, n, func(n int) error {
		for range n {
			if _, err := p.Publish(ctx, &gcp.Message{Data: body}).Get(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func publishGCP(ctx context.Context, s *subscription, n int) error {
	c, err := gcppubsub.PublisherClient(ctx, s.conn)
	if err != nil {
		return err
	}
	topic, err := gcppubsub.OpenTopicByPath(c, fastpubsub.Topic, nil)
	if err != nil {
		return err
	}
	return errors.Join(sendGocloud(ctx, topic, n, senders), topic.Shutdown(ctx))
}
