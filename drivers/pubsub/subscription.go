package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// maxPull is the largest number of messages that one Pull returns.
	maxPull = 1000
	// maxAckIDs is the largest number of ack IDs in one request. With IDs of about
	// 180 bytes, 2,500 stay below maxAckBytes.
	maxAckIDs = 2500
	// maxAckBytes bounds the ack IDs of one request: the service accepts 512 KiB.
	maxAckBytes = 500 << 10
	// maxDeadline is the longest ack deadline of a message.
	maxDeadline = 600 * time.Second
	// defaultDeadline is the ack deadline of a subscription that states none.
	defaultDeadline = 10 * time.Second
	// defaultMaxAttempts is that of a dead-letter policy that states none.
	defaultMaxAttempts = 5
)

var (
	errTopicGone  = errors.New("the subscription's topic was deleted")
	errOwnLetters = errors.New("the queue's own topic cannot be its dead-letter topic")

	errOwnSubscription = errors.New("the queue's own subscription cannot be that of its dead letters")
)

// A subscription is an open subscription. A [Source] pulls from it; a
// [PushSubscription] reads what the service pushes from it.
type subscription struct {
	c      *clients
	sub    name
	caps   drivers.Capabilities
	lease  time.Duration // given to each message; zero leaves the subscription's own
	pushed bool          // the service pushes: nothing is pulled
	dead   bool          // it has the dead letters of another
	watch  watch

	life  context.Context // ends with close, to end waiting Pulls
	end   context.CancelFunc
	ended atomic.Bool
}

// openSubscription opens s, which has its clients, its name and pushed. If it fails
// it releases the clients.
func openSubscription(ctx context.Context, s *subscription, o *SourceOptions) (*subscription, error) {
	if o == nil {
		o = &SourceOptions{}
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.open(ctx, o); err != nil {
		s.end()
		_ = s.c.release() // the other error is the one to report
		return nil, err
	}
	return s, nil
}

// open reads the subscription and sets its capabilities.
func (s *subscription) open(ctx context.Context, o *SourceOptions) error {
	if o.AckDeadline < 0 || o.AckDeadline > maxDeadline || o.AckDeadline%time.Second != 0 {
		return invalid(s.sub, "open", fmt.Errorf("the ack deadline must be whole seconds from 1s to %v, not %v", maxDeadline, o.AckDeadline))
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
	now, err := configOf(s.sub, p, o)
	if err != nil {
		return err
	}
	if err := s.checkDeadLetter(ctx, p, now.dead); err != nil {
		return err
	}
	s.lease = o.AckDeadline
	s.caps = drivers.Capabilities{
		Queue: s.sub.id, System: system, Server: s.c.server(),
		MaxReceive: maxPull, MaxSettle: maxAckIDs, MaxExtend: maxAckIDs, MaxSend: maxPublish,
		MaxMessageBytes: maxMessageBytes, MaxBatchBytes: maxMessageBytes, MaxAttributes: maxAttributes,
		Lease: cmp.Or(s.lease, now.native), MaxDelay: maxDeadline, MaxExtension: maxDeadline, MaxLease: drivers.Unlimited,
		Ordered: p.EnableMessageOrdering, ExactlyOnce: p.EnableExactlyOnceDelivery,
		StaleReceiptFails: p.EnableExactlyOnceDelivery, StaleReceiptHarmless: true,
		AttemptKnown: p.GetDeadLetterPolicy() != nil,
		DeadLetter:   !now.dead.zero(), DeadLetterQueue: now.dead.id, MaxAttempts: now.attempts,
	}
	s.watch.begin(s.c, s.sub, s.caps.Ordered, now)
	return nil
}

// checkDeadLetter checks the dead-letter topic, dead, when the subscription is
// opened.
func (s *subscription) checkDeadLetter(ctx context.Context, p *pubsubpb.Subscription, dead name) (err error) {
	o, policy := &s.watch.options, p.GetDeadLetterPolicy()
	if policy.GetDeadLetterTopic() == deletedTopic {
		invoke.Logger(o.Logger).WarnContext(ctx, "the dead-letter topic of the subscription was deleted: messages that use up their attempts are lost",
			"queue", s.sub.String())
	}
	if policy.GetDeadLetterTopic() == p.Topic && p.Topic != deletedTopic && dead.zero() {
		invoke.Logger(o.Logger).WarnContext(ctx, "the dead-letter topic of the subscription is its own topic: messages cannot be rejected; set another dead-letter topic",
			"queue", s.sub.String())
	}
	if dead.zero() {
		if o.DeadLetterSubscription != "" {
			return invalid(s.sub, "open", errors.New("a dead-letter subscription is named, but the subscription has no dead-letter topic"))
		}
		return nil
	}
	if o.DeadLetterSubscription != "" {
		if s.watch.deadSub, err = parseNameIn(s.sub.project, kindSubscription, o.DeadLetterSubscription); err != nil {
			return invalid(s.sub, "open", fmt.Errorf("dead-letter subscription: %w", err))
		}
		if s.watch.deadSub == s.sub {
			return invalid(s.sub, "open", errOwnSubscription)
		}
	}
	if dead.String() == policy.GetDeadLetterTopic() {
		return nil // the service ensures that it exists
	}
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	_, err = s.c.topics.GetTopic(tctx, &pubsubpb.GetTopicRequest{Topic: dead.String()}, once)
	if status.Code(err) == codes.PermissionDenied {
		return nil // a publisher does not need the right to read the topic
	}
	return wrap(ctx, dead, "open", err)
}

// close ends waiting Pulls and releases the clients. Calls after the first do
// nothing.
func (s *subscription) close() error {
	if s.ended.Swap(true) {
		return nil
	}
	s.end()
	return s.c.release()
}

// wrap gives an error its code. After close it returns the error of a closed source,
// whatever err is.
func (s *subscription) wrap(ctx context.Context, on name, op string, err error) error {
	if err != nil && s.ended.Load() && ctx.Err() == nil {
		return closed(on, op)
	}
	return wrap(ctx, on, op, err)
}

// aim reports for which subscription a message was redriven.
func (s *subscription) aim(attrs map[string]string) aim {
	target, ok := attrs[attributeRedriveTarget]
	switch {
	case !ok:
		return notAimed
	case target == s.sub.String():
		return aimedHere
	}
	// A redriven message that failed again and was forwarded to a dead-letter topic
	// is a letter like any other for readers of that topic.
	if topic, ok := attrs[attributeRedriveTopic]; ok {
		if topic != s.watch.current().topic.String() {
			return notAimed
		}
	} else if _, ok := attrs[nativeSubscription]; ok {
		return notAimed
	}
	return aimedElsewhere
}

// elsewhere reports whether a redrive aimed a message at another subscription. It removes
// the aim from one that is aimed at this one.
func (s *subscription) elsewhere(attrs map[string]string) bool {
	switch s.aim(attrs) {
	case aimedElsewhere:
		return true
	case aimedHere:
		delete(attrs, attributeRedriveTarget)
		delete(attrs, attributeRedriveTopic)
	}
	return false
}

type aim uint8

const (
	notAimed aim = iota
	aimedHere
	aimedElsewhere
)

// pullable returns an error if a subscription cannot be pulled from.
func pullable(p *pubsubpb.Subscription) error {
	if p.GetPushConfig().GetPushEndpoint() != "" {
		return fmt.Errorf("the subscription pushes to %s; make one without a push endpoint to receive from", p.PushConfig.PushEndpoint)
	}
	return delivers(p)
}

// delivers returns an error if a subscription neither pushes nor can be pulled from.
func delivers(p *pubsubpb.Subscription) error {
	switch {
	case p.GetBigqueryConfig().GetTable() != "" || p.GetCloudStorageConfig().GetBucket() != "":
		return errors.New("the subscription exports to BigQuery or Cloud Storage; make another to receive from")
	case p.GetDetached():
		return errors.New("the subscription is detached from its topic and receives no more messages; make another")
	}
	return nil
}
