package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// maxPull is the most messages that one Pull returns.
	maxPull = 1000
	// maxAckIDs is how many ack IDs go into one request. With IDs of about 180
	// bytes, 2,500 stay below maxAckBytes.
	maxAckIDs = 2500
	// maxAckBytes bounds the ack IDs of one request: the service takes 512 KiB.
	maxAckBytes = 500 << 10
	// maxDeadline is the longest ack deadline that a message can be given.
	maxDeadline = 600 * time.Second
	// defaultDeadline is the ack deadline of a subscription that states none.
	defaultDeadline = 10 * time.Second
	// defaultMaxAttempts is that of a dead-letter policy that states none.
	defaultMaxAttempts = 5
)

// SourceOptions are what a source may be given beyond the subscription. The zero
// value takes everything from the subscription.
type SourceOptions struct {
	// AckDeadline is the lease that each received message is given, in whole
	// seconds from 1 s to 600 s, by one more request a receive. Zero means the
	// subscription's own ack deadline, which costs nothing.
	AckDeadline time.Duration
	// DeadLetter is the topic that rejected messages are sent to: a full name, or
	// an ID in the subscription's project. Empty means the topic of the
	// subscription's dead-letter policy.
	DeadLetter string
	// DeadLetterSubscription is the subscription by which dead letters are
	// counted and read. Empty means the only one of the dead-letter topic, or
	// of several the one with the topic's ID.
	DeadLetterSubscription string
	// Logger gets what is odd about the subscription. Nil means slog.Default().
	Logger *slog.Logger
}

// A Source receives from a subscription. It is a [drivers.Source], and a
// [drivers.Inspector], a [drivers.Purger], a [drivers.DeadLetters] and a
// [drivers.Replayer] besides.
type Source struct {
	c    *clients
	sub  name
	caps drivers.Capabilities
	// lease is that which this source gives, zero if it gives none.
	lease time.Duration
	watch watch
	// pushed is true where the service pushes: nothing is received here.
	pushed bool

	deadSub name // by which dead letters are read; zero until it is known
	deadMu  sync.Mutex
	letters letters

	life  context.Context // ends with Close, to end the Pulls that wait
	end   context.CancelFunc
	ended atomic.Bool
}

var (
	_ drivers.Source      = (*Source)(nil)
	_ drivers.Inspector   = (*Source)(nil)
	_ drivers.Purger      = (*Source)(nil)
	_ drivers.DeadLetters = (*Source)(nil)
	_ drivers.Replayer    = (*Source)(nil)
	_ drivers.Watcher     = (*Source)(nil)
)

// NewSource returns a source that receives from a subscription, given by its full
// name, with the caller's own clients, which must outlive it. It reads the
// subscription, and returns an error where that is not there, may not be read, or
// is one that cannot be pulled from. Nil options are the zero ones.
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

// newSource returns a source that owns one use of c, which it releases when it
// fails.
func newSource(ctx context.Context, c *clients, sub name, o *SourceOptions) (*Source, error) {
	return begin(ctx, &Source{c: c, sub: sub}, o)
}

// begin opens a source that is not open yet.
func begin(ctx context.Context, s *Source, o *SourceOptions) (*Source, error) {
	if o == nil {
		o = &SourceOptions{}
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.open(ctx, o); err != nil {
		s.end()
		_ = s.c.release() // the error to tell is the other one
		return nil, err
	}
	return s, nil
}

// open reads the subscription and makes the source's capabilities of it.
func (s *Source) open(ctx context.Context, o *SourceOptions) error {
	if o.AckDeadline < 0 || o.AckDeadline > maxDeadline || o.AckDeadline%time.Second != 0 {
		return invalid(s.sub, "open", fmt.Errorf("an ack deadline is in whole seconds, from 1s to %v, and not %v", maxDeadline, o.AckDeadline))
	}
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	p, err := s.c.subscriptions.GetSubscription(tctx, &pubsubpb.GetSubscriptionRequest{Subscription: s.sub.String()}, once)
	if err != nil {
		return wrap(ctx, s.sub, "open", err)
	}
	check := pullable
	if s.pushed {
		check = delivers
	}
	if err := check(p); err != nil {
		return invalid(s.sub, "open", err)
	}
	s.watch.options = *o
	now, err := s.read(p)
	if err != nil {
		return err
	}
	if err := s.openDeadLetter(ctx, p.GetDeadLetterPolicy(), now.dead); err != nil {
		return err
	}
	s.lease = o.AckDeadline
	s.watch.begin(now, s.c.emulated)
	s.caps = drivers.Capabilities{
		Queue: s.sub.id, System: System, Server: s.c.server(),
		MaxReceive: maxPull, MaxSettle: maxAckIDs, MaxExtend: maxAckIDs, MaxSend: maxPublish,
		MaxMessageBytes: maxMessageBytes, MaxBatchBytes: maxMessageBytes, MaxAttributes: maxAttributes,
		Lease: cmp.Or(s.lease, now.native), MaxDelay: maxDeadline, MaxSendDelay: -1, MaxExtension: maxDeadline,
		Ordered: p.EnableMessageOrdering, ExactlyOnce: p.EnableExactlyOnceDelivery,
		StaleReceiptFails: p.EnableExactlyOnceDelivery,
		AttemptKnown:      p.GetDeadLetterPolicy() != nil,
		DeadLetter:        !now.dead.zero(), DeadLetterQueue: now.dead.id, MaxAttempts: now.attempts,
	}
	return nil
}

// pullable returns why a subscription cannot be pulled from.
func pullable(p *pubsubpb.Subscription) error {
	if p.GetPushConfig().GetPushEndpoint() != "" {
		return fmt.Errorf("the subscription pushes to %s; make one without a push endpoint to receive from", p.PushConfig.PushEndpoint)
	}
	return delivers(p)
}

// delivers returns why a subscription neither pushes nor can be pulled from.
func delivers(p *pubsubpb.Subscription) error {
	switch {
	case p.GetBigqueryConfig().GetTable() != "" || p.GetCloudStorageConfig().GetBucket() != "":
		return errors.New("the subscription exports to BigQuery or Cloud Storage; make another to receive from")
	case p.GetDetached():
		return errors.New("the subscription is detached from its topic and gets no more messages; make another")
	}
	return nil
}

// findDeadLetter returns the topic for rejected messages: the one that is named,
// or that of the subscription's policy.
func (s *Source) findDeadLetter(policy *pubsubpb.DeadLetterPolicy) (name, error) {
	topic := s.watch.options.DeadLetter
	if topic == "" {
		topic = policy.GetDeadLetterTopic()
	}
	if topic == "" || topic == deletedTopic {
		return name{}, nil
	}
	dead, err := parseNameIn(s.sub.project, kindTopic, topic)
	if err != nil {
		return name{}, invalid(s.sub, "open", fmt.Errorf("dead-letter topic: %w", err))
	}
	return dead, nil
}

// openDeadLetter checks what is known of the dead-letter topic, dead, as the source
// is opened.
func (s *Source) openDeadLetter(ctx context.Context, policy *pubsubpb.DeadLetterPolicy, dead name) (err error) {
	o := &s.watch.options
	if policy.GetDeadLetterTopic() == deletedTopic {
		invoke.Logger(o.Logger).WarnContext(ctx, "the dead-letter topic of the subscription was deleted: messages that fail too often are lost to it",
			"queue", s.sub.String())
	}
	if dead.zero() {
		if o.DeadLetterSubscription != "" {
			return invalid(s.sub, "open", errors.New("a dead-letter subscription is named, but the subscription has no dead-letter topic"))
		}
		return nil
	}
	if o.DeadLetterSubscription != "" {
		if s.deadSub, err = parseNameIn(s.sub.project, kindSubscription, o.DeadLetterSubscription); err != nil {
			return invalid(s.sub, "open", fmt.Errorf("dead-letter subscription: %w", err))
		}
	}
	if dead.String() == policy.GetDeadLetterTopic() {
		return nil // the service has seen to it that it exists
	}
	// A publisher need not have the right to look at the topic.
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	_, err = s.c.topics.GetTopic(tctx, &pubsubpb.GetTopicRequest{Topic: dead.String()}, once)
	if status.Code(err) == codes.PermissionDenied {
		return nil
	}
	return wrap(ctx, dead, "open", err)
}

// Capabilities implements [drivers.Source].
func (s *Source) Capabilities() drivers.Capabilities { return s.caps }

// Close implements [drivers.Source]. Receives that wait return at once.
func (s *Source) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	s.end()
	return s.c.release()
}

// wrap gives an error its code. After Close, whatever fails fails for that.
func (s *Source) wrap(ctx context.Context, on name, op string, err error) error {
	if err != nil && s.ended.Load() && ctx.Err() == nil {
		return closed(on, op)
	}
	return wrap(ctx, on, op, err)
}
