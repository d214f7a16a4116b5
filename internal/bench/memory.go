package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// memoryCases are what the libraries cost by themselves: queues in memory, that
// were filled before, and handlers that do nothing.
func memoryCases() []experiment {
	return []experiment{{
		id: "memory/32", title: "In memory, consume, no-op, concurrency 32",
		peers: []peer{
			{sluice, consumeMem},
			{"gocloud mempubsub", func(ctx context.Context, e *env) (sample, error) {
				return consumeMempubsub(ctx, e.sizes.local/4, 32, 0) // it is that much slower
			}},
			{"watermill gochannel", consumeGochannel},
			{"watermill gochannel, router", consumeGochannelRouter},
		},
	}, {
		id: "runtime/32", title: "The runtime alone, on a source that costs nothing",
		peers: []peer{
			{sluice, func(ctx context.Context, e *env) (sample, error) {
				return consumeTap(ctx, e.sizes.local, 32, 0)
			}},
			{"watermill router", consumeRouter},
		},
	}}
}

// fillSink sends n messages in batches as large as the sink takes.
func fillSink(ctx context.Context, sink drivers.Sink, n int) error {
	body := make([]byte, bodySize)
	size := min(max(sink.Capabilities().MaxSend, 1), 1000)
	for n > 0 {
		ms := make([]*handler.Message, min(size, n))
		for i := range ms {
			ms[i] = &handler.Message{Body: body}
		}
		if err := errors.Join(sink.Send(ctx, ms)...); err != nil {
			return err
		}
		n -= len(ms)
	}
	return nil
}

func consumeMem(ctx context.Context, e *env) (sample, error) {
	queues := new(mem.Opener)
	sink, err := queues.Sink(ctx, "bench", nil)
	if err != nil {
		return nil, err
	}
	n := e.sizes.local
	if err := fillSink(ctx, sink, n); err != nil {
		return nil, err
	}
	source, err := queues.Source(ctx, "bench", nil)
	if err != nil {
		return nil, err
	}
	s, err := measureSluice(ctx, source, nil, n, 32, 0)
	return s, errors.Join(err, queues.Close())
}

// measureSluice measures the consuming of n messages.
func measureSluice(ctx context.Context, source drivers.Source, counts *counter, n, concurrency int, w time.Duration) (sample, error) {
	m, err := begin(counts)
	if err != nil {
		return nil, err
	}
	done, err := runSluice(ctx, source, n, concurrency, w)
	if err != nil {
		return nil, err
	}
	s, err := m.end(n)
	return s, errors.Join(err, done())
}

func consumeMempubsub(ctx context.Context, n, concurrency int, w time.Duration) (sample, error) {
	topic := mempubsub.NewTopic()
	sub := mempubsub.NewSubscription(topic, time.Minute)
	body := make([]byte, bodySize)
	for range n {
		if err := topic.Send(ctx, &pubsub.Message{Body: body}); err != nil {
			return nil, err
		}
	}
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	if err := receiveGocloud(ctx, sub, n, concurrency, w); err != nil {
		return nil, err
	}
	if err := sub.Shutdown(ctx); err != nil { // sends the acks that are left
		return nil, err
	}
	s, err := m.end(n)
	return s, errors.Join(err, topic.Shutdown(ctx))
}

// filledGochannel is a gochannel with n messages that the first subscriber gets.
func filledGochannel(n int) (*gochannel.GoChannel, error) {
	g := gochannel.NewGoChannel(gochannel.Config{Persistent: true, OutputChannelBuffer: 32}, watermill.NopLogger{})
	body := make([]byte, bodySize)
	for range n {
		if err := g.Publish("bench", message.NewMessage("id", body)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func consumeGochannel(ctx context.Context, e *env) (sample, error) {
	n := e.sizes.local / 4
	g, err := filledGochannel(n)
	if err != nil {
		return nil, err
	}
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	ms, err := g.Subscribe(ctx, "bench")
	if err != nil {
		return nil, err
	}
	for range n {
		(<-ms).Ack()
	}
	s, err := m.end(n)
	return s, errors.Join(err, g.Close())
}

func consumeGochannelRouter(ctx context.Context, e *env) (sample, error) {
	n := e.sizes.local / 4
	g, err := filledGochannel(n)
	if err != nil {
		return nil, err
	}
	return measureRouter(ctx, g, n)
}

// consumeRouter is the router on a subscriber that costs nothing.
func consumeRouter(ctx context.Context, e *env) (sample, error) {
	n := e.sizes.local / 4
	s := &ready{out: make(chan *message.Message, 32)}
	s.produce.Go(func() {
		for range n {
			s.out <- message.NewMessage("id", nil)
		}
	})
	return measureRouter(ctx, s, n)
}

func measureRouter(ctx context.Context, sub message.Subscriber, n int) (sample, error) {
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	var handled atomic.Int64
	all := make(chan struct{})
	router.AddConsumerHandler("bench", "bench", sub, func(*message.Message) error {
		if handled.Add(1) == int64(n) {
			close(all)
		}
		return nil
	})
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	select {
	case <-all:
	case err := <-ended:
		return nil, errors.Join(errors.New("the router ended"), err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := m.end(n)
	return s, errors.Join(err, router.Close(), <-ended)
}

// ready is a subscriber whose messages are ready.
type ready struct {
	out     chan *message.Message
	produce sync.WaitGroup
	once    sync.Once
}

// Subscribe implements message.Subscriber.
func (r *ready) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return r.out, nil
}

// Close implements message.Subscriber.
func (r *ready) Close() error {
	r.once.Do(func() {
		r.produce.Wait()
		close(r.out)
	})
	return nil
}
