package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// SourceOptions are the options of a [Source] and of a [PushSubscription]. With the
// zero value everything comes from the subscription.
type SourceOptions struct {
	// AckDeadline is the lease given to each received message, in whole seconds
	// from 1 s to 600 s, at the cost of one more request a receive. Zero means the
	// subscription's own ack deadline, at no cost.
	AckDeadline time.Duration
	// DeadLetter is the topic to which rejected messages are sent: a full name, or
	// an ID in the subscription's project. Empty means the topic of the
	// subscription's dead-letter policy.
	DeadLetter string
	// DeadLetterSubscription is the subscription through which dead letters are
	// counted and read. Empty means the only one of the dead-letter topic, or,
	// if it has several, the one with the topic's ID.
	DeadLetterSubscription string
	// Logger receives warnings about the subscription, and changes of it. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// A Source receives from a subscription. It is a [drivers.Source], a
// [drivers.Inspector], a [drivers.Purger], a [deadletter.Opener], a
// [deadletter.Replayer] and a [drivers.Watcher]. Its methods may be called
// concurrently.
type Source struct {
	*subscription
	receiver  receiver
	settler   settler
	inspector inspector
}

var (
	_ drivers.Source      = (*Source)(nil)
	_ drivers.Inspector   = (*Source)(nil)
	_ drivers.Purger      = (*Source)(nil)
	_ deadletter.Opener   = (*Source)(nil)
	_ deadletter.Writer   = (*Source)(nil)
	_ drivers.Locator     = (*Source)(nil)
	_ deadletter.Replayer = (*Source)(nil)
	_ drivers.Watcher     = (*Source)(nil)
)

// NewSource returns a source that receives from a subscription, given by its full
// name, with the caller's own clients, which must outlive it. It reads the
// subscription, and returns an error if it does not exist, may not be read or
// cannot be pulled from. Nil options are the zero ones.
func NewSource(ctx context.Context, c Clients, subscription string, o *SourceOptions) (*Source, error) {
	sub, err := parseName(subscription)
	if err == nil && sub.kind != kindSubscription {
		err = fmt.Errorf("%q is a topic; a source needs a subscription", subscription)
	}
	if err == nil && (c.Subscriptions == nil || c.Topics == nil) {
		err = errors.New("a source needs the clients for subscriptions and for topics")
	}
	if err != nil {
		return nil, invalid(sub, "open", err)
	}
	return newSource(ctx, c.borrow(), sub, o)
}

// newSource returns a source that owns one use of c, which it releases if it fails.
func newSource(ctx context.Context, c *clients, sub name, o *SourceOptions) (*Source, error) {
	open, err := openSubscription(ctx, &subscription{c: c, sub: sub}, o)
	if err != nil {
		return nil, err
	}
	return sourceOf(open), nil
}

// sourceOf returns a source on an open subscription.
func sourceOf(s *subscription) *Source {
	return &Source{
		subscription: s, receiver: receiver{puller: puller{s}},
		settler: settler{subscription: s}, inspector: inspector{puller: puller{s}},
	}
}

// Capabilities implements [drivers.Source].
func (s *Source) Capabilities() drivers.Capabilities { return s.caps }

// Close implements [drivers.Source]. Waiting receives return immediately.
func (s *Source) Close() error { return s.close() }

// Receive implements [drivers.Source]. The service answers a Pull early, with few
// messages or with none, so Receive pulls until a message arrives or the wait is
// over.
func (s *Source) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	if s.ended.Load() {
		return nil, closed(s.sub, "receive")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.receiver.receive(ctx, most, wait)
}

// Settle implements [drivers.Source]. A batch becomes one Acknowledge, one
// ModifyAckDeadline for each distinct delay, and for the rejected messages a
// Publish followed by an Acknowledge, all at the same time. A request with more
// ack IDs than the service accepts is split.
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	if s.ended.Load() {
		return all(len(ss), closed(s.sub, "settle"))
	}
	return s.settler.settle(ctx, ss)
}

// Extend implements [drivers.Source].
func (s *Source) Extend(ctx context.Context, es []drivers.Extension) []error {
	if s.ended.Load() {
		return all(len(es), closed(s.sub, "extend"))
	}
	return s.settler.extend(ctx, es)
}

// Current implements [drivers.Watcher].
func (s *Source) Current() drivers.Current {
	c := s.watch.current()
	return drivers.Current{DeadLetterQueue: c.dead.id, MaxAttempts: c.attempts, Fault: c.fault}
}

// Depth implements [drivers.Inspector], as the package comment describes under
// "Depth". Visible includes messages in flight if InFlight is unknown, as it is on
// the service itself. DeadLetters is unknown if the dead-letter topic has no
// subscription, or several and none is configured.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	if s.ended.Load() {
		return drivers.Depth{}, closed(s.sub, "depth")
	}
	return s.inspector.depth(ctx)
}

// Peek implements [drivers.Inspector]. It receives the messages and gives them
// back, which counts as a delivery attempt, and delays them if the subscription has
// a retry policy.
func (s *Source) Peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	if s.ended.Load() {
		return nil, closed(s.sub, "peek")
	}
	return s.inspector.peek(ctx, most, dead)
}

// Purge implements [drivers.Purger]. It seeks to the present moment, which
// acknowledges all messages published before it, including those in flight.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	if s.ended.Load() {
		return closed(s.sub, "purge")
	}
	return s.inspector.purge(ctx, dead)
}

// Replay implements [deadletter.Replayer], by seeking back in time. It returns an
// error if neither the subscription nor its topic retains acknowledged messages
// from t on: the seek would silently bring back fewer.
func (s *Source) Replay(ctx context.Context, t time.Time) error {
	if s.ended.Load() {
		return closed(s.sub, "replay")
	}
	return s.inspector.replay(ctx, t)
}

// OpenDeadLetters implements [deadletter.Opener]. The source that it returns is
// on the dead-letter topic's subscription.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	const op = "open dead letters"
	if s.ended.Load() {
		return nil, closed(s.sub, op)
	}
	s.watch.refresh(ctx)
	sub, err := s.watch.letterSubscription(ctx, op)
	if err != nil {
		return nil, err
	}
	dead, err := newSource(ctx, s.c.share(), sub, nil)
	if err != nil {
		return nil, err
	}
	dead.dead = true
	return dead, nil
}

// OpenRedrive implements [deadletter.Opener]. The sink publishes to the topic,
// which delivers to each of its subscriptions; the messages name the one for which
// they are meant (see sluice-redrive-target).
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	const op = "open redrive"
	if s.ended.Load() {
		return nil, closed(s.sub, op)
	}
	s.watch.refresh(ctx)
	topic := s.watch.current().topic
	if topic.zero() {
		return nil, &drivers.Error{Code: drivers.NotFound, Queue: s.sub.String(), Op: op, Err: errTopicGone}
	}
	return newSink(s.c.share(), topic, s.sub, s.caps.Ordered), nil
}

// OpenDeadLetterSink implements [deadletter.Writer]. The sink publishes to the dead-letter
// topic, and a topic delivers to each of its subscriptions. It fails if there is no
// subscription that could be read, since the letters would be lost.
func (s *Source) OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error) {
	const op = "open dead letters"
	if s.ended.Load() {
		return nil, closed(s.sub, op)
	}
	s.watch.refresh(ctx)
	if _, err := s.watch.letterSubscription(ctx, op); err != nil {
		return nil, err
	}
	return newSink(s.c.share(), s.watch.current().dead, name{}, s.caps.Ordered), nil
}

// Location implements [drivers.Locator]. The account is the project.
func (s *Source) Location() drivers.Location {
	return drivers.Location{Account: s.sub.project, Endpoint: s.c.address()}
}
