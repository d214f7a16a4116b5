package watermill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bridge/watermill"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// TestWatermillsOwnSuite runs Watermill's tests of publishers and subscribers: on
// queues in memory without order, on queues in memory with all messages of a topic in
// one group, and on SQS.
func TestWatermillsOwnSuite(t *testing.T) {
	t.Parallel()
	t.Run("unordered", func(t *testing.T) { ownSuite(t, inMemory(), "", 16, false) })
	t.Run("ordered", func(t *testing.T) { ownSuite(t, inMemory(), "all", 4, false) })
	t.Run("sqs", func(t *testing.T) { ownSuite(t, onSQS(t), "", 16, true) })
}

// A queues opens the queues of topics, and creates them.
type queues struct {
	source func(ctx context.Context, topic string) (drivers.Source, error)
	sink   func(ctx context.Context, topic string) (drivers.Sink, error)
}

func inMemory() queues {
	mux := drivers.NewMux(&mem.Opener{})
	address := func(topic string) string { return "mem://" + topic + "?max_attempts=1000" }
	return queues{
		func(ctx context.Context, topic string) (drivers.Source, error) {
			return mux.OpenSource(ctx, address(topic), nil)
		},
		func(ctx context.Context, topic string) (drivers.Sink, error) {
			return mux.OpenSink(ctx, address(topic), nil)
		},
	}
}

func onSQS(t *testing.T) queues {
	t.Helper()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}
	client, mux := awssqs.NewFromConfig(cfg), drivers.NewMux(&sqs.Opener{AWS: &cfg})
	address := func(ctx context.Context, topic string) (string, error) {
		_, err := client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &topic}) // a second time it does nothing
		return "awssqs:///" + topic + "?region=us-east-1", err
	}
	return queues{
		func(ctx context.Context, topic string) (drivers.Source, error) {
			u, err := address(ctx, topic)
			if err != nil {
				return nil, err
			}
			return mux.OpenSource(ctx, u, nil)
		},
		func(ctx context.Context, topic string) (drivers.Sink, error) {
			u, err := address(ctx, topic)
			if err != nil {
				return nil, err
			}
			return mux.OpenSink(ctx, u, nil)
		},
	}
}

func ownSuite(t *testing.T, q queues, group string, concurrency int, short bool) {
	t.Parallel()
	pubSub := func(t *testing.T) (message.Publisher, message.Subscriber) {
		p, err := watermill.NewPublisher(q.sink, &watermill.PublisherConfig{Prepare: func(_ string, _ *message.Message, to *handler.Message) error {
			to.Group = group
			return nil
		}})
		require.NoError(t, err)
		s, err := watermill.NewSubscriber(q.source, &watermill.SubscriberConfig{
			Concurrency: concurrency, NackDelay: func(int) time.Duration { return 0 }, CloseTimeout: 100 * time.Millisecond,
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		require.NoError(t, err)
		return p, s
	}
	// TestPubSub would also run those that skip themselves: they are about consumer
	// groups, a broker that is restarted, and messages that were consumed before.
	all := map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribe":               tests.TestConcurrentSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"ContinueAfterSubscribeClose":       tests.TestContinueAfterSubscribeClose,
		"ConcurrentClose":                   tests.TestConcurrentClose,
		"ContinueAfterErrors":               tests.TestContinueAfterErrors,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
		"SubscribeCtx":                      tests.TestSubscribeCtx,
	}
	if group != "" {
		all["NoAck"], all["PublishSubscribeInOrder"] = tests.TestNoAck, tests.TestPublishSubscribeInOrder
	}
	features := tests.Features{Persistent: true, GuaranteedOrder: group != "", ForceShort: short || testing.Short()}
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, pubSub)
		})
	}
}

// A rig is a queue in memory with a subscriber, for use in a synctest bubble.
type rig struct {
	t    *testing.T
	mux  *drivers.Mux
	url  string
	sub  message.Subscriber
	logs bytes.Buffer
	wrap func(drivers.Source) drivers.Source
}

func newRig(t *testing.T, query string, cfg watermill.SubscriberConfig) *rig {
	t.Helper()
	opener := &mem.Opener{}
	r := &rig{t: t, mux: drivers.NewMux(opener), url: "mem://orders" + query}
	cfg.Logger = slog.New(slog.NewTextHandler(&r.logs, nil))
	s, err := watermill.NewSubscriber(func(ctx context.Context, _ string) (drivers.Source, error) {
		source, err := r.mux.OpenSource(ctx, r.url, nil)
		if err == nil && r.wrap != nil {
			source = r.wrap(source)
		}
		return source, err
	}, &cfg)
	require.NoError(t, err)
	r.sub = s
	t.Cleanup(func() { require.NoError(t, opener.Close()) })
	return r
}

func (r *rig) send(bodies ...string) {
	r.t.Helper()
	sink, err := r.mux.OpenSink(r.t.Context(), r.url, nil)
	require.NoError(r.t, err)
	for _, b := range bodies {
		require.Empty(r.t, sink.Send(r.t.Context(), []*handler.Message{{Body: []byte(b), Group: "g"}}))
	}
	require.NoError(r.t, sink.Close())
}

// left is how many messages the queue has that nobody holds, after a receive.
func (r *rig) left() int {
	r.t.Helper()
	source, err := r.mux.OpenSource(r.t.Context(), r.url, nil)
	require.NoError(r.t, err)
	depth, err := source.(drivers.Inspector).Depth(r.t.Context())
	require.NoError(r.t, err)
	require.NoError(r.t, source.Close())
	return int(depth.Visible)
}

func TestALeaseIsKeptWhileTheMessageIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "?visibility_timeout=10s", watermill.SubscriberConfig{})
		r.send("a", "b")
		out, err := r.sub.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock: nobody takes it from the channel
		m := <-out
		require.Equal(t, "a", string(m.Payload))
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the bubble's clock: its handler takes long
		require.NoError(t, m.Context().Err())
		require.True(t, m.Ack())
		<-m.Context().Done()
		m = <-out
		require.Equal(t, "b", string(m.Payload), "the next comes after the ack, and the first does not come again")
		require.True(t, m.Nack())
		again := <-out
		require.Equal(t, "b", string(again.Payload))
		require.True(t, again.Ack())
		require.NoError(t, r.sub.Close())
		require.Zero(t, r.left())
		require.Empty(t, r.logs.String())
	})
}

// refusing is a source that refuses to extend leases.
type refusing struct {
	drivers.Source
	code drivers.Code
}

func (s refusing) Extend(_ context.Context, es []drivers.Extension) []error {
	return []error{&drivers.Error{Code: s.code, Op: "extend", Err: errors.New("no")}}
}

func TestALostLeaseEndsTheMessagesContext(t *testing.T) {
	for _, code := range []drivers.Code{drivers.LeaseLost, drivers.Transient} {
		t.Run(code.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "?visibility_timeout=10s", watermill.SubscriberConfig{Concurrency: 2})
				r.wrap = func(s drivers.Source) drivers.Source { return refusing{s, code} }
				r.send("a")
				out, err := r.sub.Subscribe(t.Context(), "orders")
				require.NoError(t, err)
				began := time.Now()
				m := <-out
				<-m.Context().Done()
				require.ErrorIs(t, context.Cause(m.Context()), handler.ErrLeaseLost)
				if code == drivers.Transient {
					require.Equal(t, 10*time.Second, time.Since(began), "failures are repeated until the lease ends")
				}
				again := <-out
				require.Equal(t, "a", string(again.Payload), "the queue delivers it again while the first is still out")
				require.True(t, again.Ack())
				require.True(t, m.Ack(), "a late ack does nothing")
				require.NoError(t, r.sub.Close())
				require.Contains(t, r.logs.String(), "lease lost")
			})
		})
	}
}

// The messages behind a nacked one of their group are given back and arrive after it.
// The nack can come while the receive that brought them is still being taken in: one
// run in some hundreds shows a message that misses it.
func TestANackKeepsTheOrderOfItsGroup(t *testing.T) {
	for range 1000 {
		nackAndAckInTurn(t)
	}
}

func nackAndAckInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", watermill.SubscriberConfig{Concurrency: 10, NackDelay: func(int) time.Duration { return time.Second }})
		r.send("a", "b", "c", "d")
		out, err := r.sub.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		var order string
		for len(order) < 8 {
			m := <-out
			order += string(m.Payload)
			if n := len(order); n%2 == 1 {
				m.Nack()
			} else {
				m.Ack()
			}
			synctest.Wait()
		}
		require.Equal(t, "aabbccdd", order)
		require.NoError(t, r.sub.Close())
	})
}

func TestCloseWaitsForAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "?ordered=false", watermill.SubscriberConfig{Concurrency: 3, CloseTimeout: time.Minute})
		r.send("a", "b", "c")
		out, err := r.sub.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		acked, stuck := <-out, <-out
		synctest.Wait()
		began, closed := time.Now(), make(chan error, 1)
		go func() { closed <- r.sub.Close() }()
		synctest.Wait()
		_, open := <-out
		require.False(t, open, "the channel is closed before the messages are settled")
		synctest.Wait()
		require.Equal(t, 1, r.left(), "the message that nobody took is given back immediately")
		require.NoError(t, acked.Context().Err(), "a handler has time to finish")
		acked.Ack()
		_, err = r.sub.Subscribe(t.Context(), "orders")
		require.ErrorIs(t, err, watermill.ErrClosed)
		<-stuck.Context().Done()
		require.Equal(t, time.Minute, time.Since(began))
		require.NoError(t, <-closed)
		require.NoError(t, r.sub.Close())
		require.Contains(t, r.logs.String(), "neither acked nor nacked")
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock: the lease of the stuck one ends
		require.Equal(t, 2, r.left())
	})
}

// faulty is a source whose requests fail a few times each.
type faulty struct {
	drivers.Source
	mu      *sync.Mutex
	receive *int
	settle  *int
}

func (s faulty) Receive(ctx context.Context, n int, d time.Duration) ([]drivers.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *s.receive--; *s.receive >= 0 {
		return nil, &drivers.Error{Code: drivers.Transient, Op: "receive", Err: errors.New("no")}
	}
	return s.Source.Receive(ctx, n, d)
}

func (s faulty) Settle(ctx context.Context, xs []drivers.Settlement) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *s.settle--; *s.settle >= 0 {
		return []error{&drivers.Error{Code: drivers.Throttled, Op: "settle", Err: errors.New("no")}}
	}
	return s.Source.Settle(ctx, xs)
}

func TestFailedRequestsAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receive, settle := 5, 5
		r := newRig(t, "", watermill.SubscriberConfig{NackDelay: func(int) time.Duration { runtime.Goexit(); return 0 }})
		r.wrap = func(s drivers.Source) drivers.Source { return faulty{s, &sync.Mutex{}, &receive, &settle} }
		r.send("a")
		out, err := r.sub.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		(<-out).Nack()
		m := <-out
		m.Ack()
		require.NoError(t, r.sub.Close())
		require.Negative(t, settle)
		require.Zero(t, r.left())
		require.Equal(t, 1, bytes.Count(r.logs.Bytes(), []byte("receiving failed")))
		require.Equal(t, 1, bytes.Count(r.logs.Bytes(), []byte("receiving works again")))
		require.Contains(t, r.logs.String(), "NackDelay failed")
	})
}

func TestASubscriptionEndsWithItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", watermill.SubscriberConfig{})
		var source drivers.Source
		r.wrap = func(s drivers.Source) drivers.Source { source = s; return s }
		out, err := r.sub.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, source.Close())
		_, open := <-out
		require.False(t, open)
		require.NoError(t, r.sub.Close())
		require.Contains(t, r.logs.String(), "the source was closed")
	})
}

func TestSubscribersAreChecked(t *testing.T) {
	_, err := watermill.NewSubscriber(nil, &watermill.SubscriberConfig{Concurrency: -1, CloseTimeout: -1})
	for _, says := range []string{"opens a topic's source is nil", "Concurrency", "CloseTimeout"} {
		require.ErrorContains(t, err, says)
	}
	boom := errors.New("boom")
	s, err := watermill.NewSubscriber(func(context.Context, string) (drivers.Source, error) { return nil, boom }, nil)
	require.NoError(t, err)
	_, err = s.Subscribe(t.Context(), "orders")
	require.ErrorIs(t, err, boom)
	require.NoError(t, s.Close())
}

// A source that opens after Close is closed again.
func TestASourceThatOpensAfterCloseIsClosed(t *testing.T) {
	mux := drivers.NewMux(&mem.Opener{})
	begun, end := make(chan struct{}), make(chan struct{})
	var source drivers.Source
	s, err := watermill.NewSubscriber(func(ctx context.Context, topic string) (drivers.Source, error) {
		close(begun)
		<-end
		var err error
		source, err = mux.OpenSource(ctx, "mem://"+topic, nil)
		return source, err
	}, nil)
	require.NoError(t, err)
	subscribed := make(chan error, 1)
	go func() {
		_, err := s.Subscribe(t.Context(), "slow")
		subscribed <- err
	}()
	<-begun
	require.NoError(t, s.Close())
	close(end)
	require.ErrorIs(t, <-subscribed, watermill.ErrClosed)
	_, err = source.Receive(t.Context(), 1, 0)
	require.ErrorIs(t, err, drivers.ErrClosed)
}

// Watermill's router receives from one of Sluice's queues and publishes to another.
func ExampleNewSubscriber() {
	mux := drivers.NewMux(&mem.Opener{})
	publisher, err := watermill.NewPublisher(func(ctx context.Context, topic string) (drivers.Sink, error) {
		return mux.OpenSink(ctx, "mem://"+topic, nil)
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	subscriber, err := watermill.NewSubscriber(func(ctx context.Context, topic string) (drivers.Source, error) {
		return mux.OpenSource(ctx, "mem://"+topic, nil)
	}, &watermill.SubscriberConfig{Concurrency: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	router, err := message.NewRouter(message.RouterConfig{}, wm.NopLogger{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router.AddHandler("pay", "orders", subscriber, "receipts", publisher, func(m *message.Message) ([]*message.Message, error) {
		return message.Messages{message.NewMessage("receipt-1", append([]byte("paid: "), m.Payload...))}, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	router.AddConsumerHandler("print", "receipts", subscriber, func(m *message.Message) error {
		fmt.Println(string(m.Payload))
		stop()
		return nil
	})
	if err := publisher.Publish("orders", message.NewMessage("order-1", []byte("coffee"))); err != nil {
		fmt.Println(err)
		return
	}
	if err := router.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: paid: coffee
}
