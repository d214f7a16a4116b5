package watermill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// SubscriberConfig configures [NewSubscriber]. The zero SubscriberConfig selects
// the defaults.
type SubscriberConfig struct {
	// Concurrency is the number of messages of one subscription that may be
	// delivered but neither acked nor nacked. The subscription holds at most that
	// many messages and receives them in requests of at most that many. Zero means
	// 1, which is Watermill's rule: the next message comes after the ack of the
	// one before. A router handles as many messages of a topic concurrently.
	Concurrency int
	// NackDelay returns the delay after which a nacked message is delivered
	// again, given the number of its delivery (1 is the first, 0 unknown). The
	// delay is cut to the queue's longest. A queue that has no delays, such as
	// gocloud's without retry=republish, gets the nack without one. Nil leaves it to
	// the queue's own policy: on SQS and the embedded queues the rest of the lease,
	// on Pub/Sub the subscription's retry policy. It may be called concurrently.
	NackDelay func(attempt int) time.Duration
	// CloseTimeout is how long a subscription that ends waits for messages to be
	// acked or nacked, before it ends their contexts. Zero means 20 seconds.
	CloseTimeout time.Duration
	// Logger receives failed requests and lost leases. Nil means slog.Default().
	Logger *slog.Logger
}

// A subscriber opens a subscription for each call of Subscribe.
type subscriber struct {
	open func(ctx context.Context, topic string) (drivers.Source, error)
	cfg  SubscriberConfig

	mu     sync.Mutex // never held while open, or a source, is called
	closed bool
	subs   map[*subscription]struct{}
}

// NewSubscriber returns a Watermill subscriber over Sluice's queues. It opens the
// source of a topic with open, once for each subscription, and closes it. A nil cfg
// selects the defaults. Its methods may be called concurrently.
//
// Subscribe opens the topic's source under its ctx and returns the channel of the
// messages, whose contexts derive from ctx. The subscription ends when ctx is done or
// the subscriber is closed. The channel is then closed, messages that nobody has
// taken from it are given back, and the source is closed once all others are settled.
//
// Close ends all subscriptions and waits until their messages are acked or nacked and
// their sources closed, for CloseTimeout at most. Messages that are neither by then
// are logged, and the queue delivers them again when their leases end. A second call
// waits as well. Subscribe returns [ErrClosed] from then on.
//
// A message's lease is extended for as long as the message is neither acked nor
// nacked. If the lease is lost nevertheless, the message's context ends with the
// cause [handler.ErrLeaseLost], a later ack has no effect, and the queue delivers
// the message again. An ack deletes the message from the queue; a nack returns it.
// Both end the message's context first. Requests that fail are repeated with
// backoff as long as the lease lasts, which is logged.
//
// Watermill has no rejection: a message that is always nacked reaches the
// dead-letter queue when the queue's own limit of attempts is exhausted.
//
// On an ordered queue the messages of one group arrive one at a time, whatever the
// Concurrency. After a nack, or a lost lease, those received behind the message
// are given back, and arrive after it.
func NewSubscriber(open func(ctx context.Context, topic string) (drivers.Source, error), cfg *SubscriberConfig) (message.Subscriber, error) {
	c := setting.Copy(cfg)
	err := errors.Join(
		setting.Refuse(open == nil, "the function that opens a topic's source is nil"),
		setting.Default("Concurrency", &c.Concurrency, 1),
		setting.Default("CloseTimeout", &c.CloseTimeout, 20*time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("watermill: %w", err)
	}
	c.Logger = invoke.Logger(c.Logger)
	return &subscriber{open: open, cfg: c, subs: map[*subscription]struct{}{}}, nil
}

// Subscribe implements message.Subscriber; see [NewSubscriber].
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	source, err := s.open(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("watermill: open %s: %w", topic, err)
	}
	sub := newSubscription(source, topic, &s.cfg)
	receiving, stop := context.WithCancel(ctx)
	sub.stop = stop
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		stop()
		return nil, errors.Join(ErrClosed, source.Close())
	}
	s.subs[sub] = struct{}{}
	s.mu.Unlock()
	go func() {
		sub.run(receiving, ctx)
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed { // Close reads the errors of those that it ends
			delete(s.subs, sub)
		}
	}()
	return sub.out, nil
}

// Close implements message.Subscriber; see [NewSubscriber].
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	subs := make([]*subscription, 0, len(s.subs))
	for sub := range s.subs {
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	for _, sub := range subs {
		sub.stop()
	}
	var errs []error
	for _, sub := range subs {
		<-sub.ended
		errs = append(errs, sub.err)
	}
	return errors.Join(errs...)
}
