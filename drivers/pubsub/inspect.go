package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// peekWait is how long a look at messages waits for the first of them.
	peekWait = 2 * time.Second
	// giveBackTimeout bounds giving messages back, also when the caller has gone.
	giveBackTimeout = 10 * time.Second
	// maxCount is the most messages that an emulator is asked for to count them.
	maxCount = 10_000
)

const remedyNoDeadLetter = "give the subscription a dead-letter policy with sluice apply, or name a topic with dead_letter"

// Depth implements [drivers.Inspector], as the package's comment says under
// "Depth". Visible counts messages in flight as well where InFlight is unknown,
// which it is on the service itself. DeadLetters is unknown where the dead-letter
// topic has no subscription, or several of which none is named.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	if s.ended.Load() {
		return drivers.Depth{}, closed(s.sub, "depth")
	}
	b, err := s.backlog(ctx, s.sub)
	if err != nil {
		return drivers.Depth{}, err
	}
	d := drivers.Depth{Visible: b.visible, InFlight: b.inFlight, DeadLetters: drivers.Unknown, OldestAge: b.oldest}
	if s.current().dead.zero() {
		return d, nil
	}
	sub, err := s.letterSubscription(ctx, "depth")
	switch {
	case errors.Is(err, drivers.ErrNotFound) || errors.Is(err, drivers.ErrInvalid) || errors.Is(err, drivers.ErrDenied):
		return d, nil // Peek says why
	case err != nil:
		return drivers.Depth{}, err
	}
	if b, err = s.backlog(ctx, sub); err != nil {
		return drivers.Depth{}, err
	}
	d.DeadLetters = b.visible
	if b.inFlight > 0 {
		d.DeadLetters += b.inFlight // being looked at, and a letter still
	}
	return d, nil
}

func (s *Source) backlog(ctx context.Context, sub name) (backlog, error) {
	b, err := s.c.monitored(ctx, sub)
	if !errors.Is(err, errNoMetrics) {
		return b, err
	}
	rms, err := s.take(ctx, "depth", sub, maxCount, 0)
	b = backlog{visible: int64(len(rms)), inFlight: drivers.Unknown, oldest: drivers.Unknown}
	for _, rm := range rms {
		b.oldest = max(b.oldest, time.Since(rm.GetMessage().GetPublishTime().AsTime()))
	}
	return b, err
}

// Peek implements [drivers.Inspector]. It receives the messages and gives them
// back, which counts as a delivery attempt, and delays them where the
// subscription has a retry policy.
func (s *Source) Peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	sub, err := s.which(ctx, "peek", dead)
	if err != nil {
		return nil, err
	}
	rms, err := s.take(ctx, "peek", sub, most, peekWait)
	if err != nil {
		return nil, err
	}
	var ms []*handler.Message
	for _, rm := range rms {
		if sub == s.sub && s.aim(rm.GetMessage().GetAttributes()) == aimedElsewhere {
			continue
		}
		ms = append(ms, decode(rm))
	}
	return ms, nil
}

// Purge implements [drivers.Purger]. It seeks to the present moment, which
// acknowledges everything that was published before it; also in flight.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	sub, err := s.which(ctx, "purge", dead)
	if err != nil {
		return err
	}
	err = s.seek(ctx, "purge", sub, time.Now())
	if !errors.Is(err, drivers.ErrUnsupported) {
		return err
	}
	return s.drain(ctx, sub) // an emulator that cannot seek
}

// Replay implements [drivers.Replayer], by seeking back in time. It returns an
// error where neither the subscription nor its topic retains what was
// acknowledged until then: the seek would bring back less than is asked for, and
// would not say so.
func (s *Source) Replay(ctx context.Context, t time.Time) error {
	if s.ended.Load() {
		return closed(s.sub, "replay")
	}
	sub, err := s.c.subscriptions.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: s.sub.String()}, once)
	if err != nil {
		return wrap(ctx, s.sub, "replay", err)
	}
	kept := sub.GetTopicMessageRetentionDuration().AsDuration()
	if sub.RetainAckedMessages {
		kept = max(kept, retentionOf(sub))
	}
	switch age := time.Since(t); {
	case kept == 0:
		return &drivers.Error{Code: drivers.Unsupported, Queue: s.sub.String(), Op: "replay",
			Err:    errors.New("the subscription does not retain acknowledged messages"),
			Remedy: "set retain_acked: true in the configuration and run sluice apply: what is acknowledged from then on can be replayed"}
	case age > kept:
		return &drivers.Error{Code: drivers.Invalid, Queue: s.sub.String(), Op: "replay",
			Err: fmt.Errorf("acknowledged messages are retained for %v, and %s is %v ago", kept, t.Format(time.RFC3339), age.Round(time.Second))}
	}
	return s.seek(ctx, "replay", s.sub, t)
}

func (s *Source) seek(ctx context.Context, op string, sub name, t time.Time) error {
	_, err := s.c.subscriptions.Seek(ctx, &pubsubpb.SeekRequest{
		Subscription: sub.String(), Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(t)},
	}, once)
	return wrap(ctx, sub, op, err)
}

// which is the subscription of the queue, or of its dead letters.
func (s *Source) which(ctx context.Context, op string, dead bool) (name, error) {
	switch {
	case s.ended.Load():
		return name{}, closed(s.sub, op)
	case dead:
		return s.letterSubscription(ctx, op)
	}
	return s.sub, nil
}

// letterSubscription finds the subscription by which dead letters can be read.
func (s *Source) letterSubscription(ctx context.Context, op string) (name, error) {
	dead := s.current().dead
	if dead.zero() {
		return name{}, &drivers.Error{Code: drivers.Unsupported, Queue: s.sub.String(), Op: op,
			Err: errors.New("the subscription has no dead-letter topic"), Remedy: remedyNoDeadLetter}
	}
	s.deadMu.Lock()
	defer s.deadMu.Unlock()
	if !s.deadSub.zero() {
		return s.deadSub, nil
	}
	var subs []string
	it := s.c.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: dead.String()}, once)
	for {
		sub, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return name{}, wrap(ctx, dead, op, err)
		}
		subs = append(subs, sub)
	}
	sub, err := chooseLetters(dead, subs)
	if err != nil {
		code := drivers.Invalid
		remedy := "name the one to read by with dead_letter_subscription"
		if len(subs) == 0 {
			code = drivers.NotFound
			remedy = fmt.Sprintf("run sluice apply, or: gcloud pubsub subscriptions create %s --topic=%s", dead.id, dead)
		}
		return name{}, &drivers.Error{Code: code, Queue: dead.String(), Op: op, Err: err, Remedy: remedy}
	}
	s.deadSub = sub
	return sub, nil
}

// chooseLetters chooses among the subscriptions of a dead-letter topic.
func chooseLetters(topic name, subs []string) (name, error) {
	if len(subs) == 0 {
		return name{}, errors.New("the dead-letter topic has no subscription, so that its letters are lost")
	}
	for _, sub := range subs {
		n, err := parseName(sub)
		if err == nil && (len(subs) == 1 || n.id == topic.id) {
			return n, nil
		}
	}
	return name{}, fmt.Errorf("the dead-letter topic has %d subscriptions: %s", len(subs), strings.Join(subs, ", "))
}

// take receives up to most messages, waiting for the first of them only, and gives
// them back.
func (s *Source) take(ctx context.Context, op string, sub name, most int, wait time.Duration) ([]*pubsubpb.ReceivedMessage, error) {
	var got []*pubsubpb.ReceivedMessage
	var err error
	for len(got) < most {
		var rms []*pubsubpb.ReceivedMessage
		rms, _, err = s.pull(ctx, op, sub, most-len(got), wait)
		if err != nil || len(rms) == 0 {
			break
		}
		got = append(got, rms...)
		wait = 0
	}
	if back := s.giveBack(ctx, op, sub, got); err == nil {
		err = back
	}
	return got, err
}

// giveBack makes messages visible again, even where the caller has gone.
func (s *Source) giveBack(ctx context.Context, op string, sub name, rms []*pubsubpb.ReceivedMessage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	for ids := range slices.Chunk(ackIDs(rms), maxAckIDs) {
		err := s.c.subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: sub.String(), AckIds: ids}, once)
		if err != nil {
			return s.wrap(ctx, sub, op, err)
		}
	}
	return nil
}

// drain acknowledges messages until none is left to receive.
func (s *Source) drain(ctx context.Context, sub name) error {
	for {
		rms, _, err := s.pull(ctx, "purge", sub, maxPull, 0)
		if err != nil || len(rms) == 0 {
			return err
		}
		err = s.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: sub.String(), AckIds: ackIDs(rms)}, once)
		if err != nil {
			return s.wrap(ctx, sub, "purge", err)
		}
	}
}

func ackIDs(rms []*pubsubpb.ReceivedMessage) []string {
	ids := make([]string, len(rms))
	for i, rm := range rms {
		ids[i] = rm.GetAckId()
	}
	return ids
}
