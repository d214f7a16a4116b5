package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/lookonly"
)

const (
	// peekWait is how long a peek waits for the first message.
	peekWait = 2 * time.Second
	// giveBackTimeout bounds giving messages back, even after the caller's context
	// has ended.
	giveBackTimeout = 10 * time.Second
	// maxCount is the largest number of messages that are pulled from an emulator to
	// count them.
	maxCount = 10_000
)

// An inspector counts, shows, purges and replays messages of a subscription and of
// its dead letters.
type inspector struct{ puller }

// depth implements [Source.Depth].
func (i inspector) depth(ctx context.Context) (drivers.Depth, error) {
	i.watch.reread(ctx) // of a source that only counts nobody else does
	b, err := i.backlog(ctx, i.sub)
	if err != nil {
		return drivers.Depth{}, err
	}
	d := drivers.Depth{Visible: b.visible, InFlight: b.inFlight, DeadLetters: drivers.Unknown, OldestAge: b.oldest, Lag: b.lag}
	if i.watch.current().dead.zero() {
		return d, nil
	}
	sub, err := i.watch.letterSubscription(ctx, "depth")
	switch {
	case errors.Is(err, drivers.ErrNotFound) || errors.Is(err, drivers.ErrInvalid) || errors.Is(err, drivers.ErrDenied):
		return d, nil // Peek reports the error
	case err != nil:
		return drivers.Depth{}, err
	}
	if b, err = i.backlog(ctx, sub); err != nil {
		return drivers.Depth{}, err
	}
	d.DeadLetters = b.visible
	if b.inFlight > 0 {
		d.DeadLetters += b.inFlight // a letter in flight is still a letter
	}
	d.LetterAge = max(b.oldest, 0)
	d.LetterRetention = i.watch.letterRetention(ctx, sub)
	return d, nil
}

func (i inspector) backlog(ctx context.Context, sub name) (backlog, error) {
	b, err := monitor{i.c}.monitored(ctx, sub)
	if !errors.Is(err, errNoMetrics) {
		return b, err
	}
	if lookonly.Asked(ctx) {
		return backlog{visible: drivers.Unknown, inFlight: drivers.Unknown, oldest: drivers.Unknown}, nil
	}
	rms, err := i.take(ctx, "depth", sub, maxCount, 0)
	b = backlog{visible: int64(len(rms)), inFlight: drivers.Unknown, oldest: drivers.Unknown}
	for _, rm := range rms {
		b.oldest = max(b.oldest, time.Since(rm.GetMessage().GetPublishTime().AsTime()))
	}
	return b, err
}

// peek implements [Source.Peek].
func (i inspector) peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	sub, err := i.which(ctx, "peek", dead)
	if err != nil {
		return nil, err
	}
	rms, err := i.take(ctx, "peek", sub, most, peekWait)
	if err != nil {
		return nil, err
	}
	var ms []*handler.Message
	for _, rm := range rms {
		if sub == i.sub && i.aim(rm.GetMessage().GetAttributes()) == aimedElsewhere {
			continue
		}
		m := decode(rm)
		if dead || i.dead {
			forwarded(m)
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// purge implements [Source.Purge].
func (i inspector) purge(ctx context.Context, dead bool) error {
	sub, err := i.which(ctx, "purge", dead)
	if err != nil {
		return err
	}
	err = i.seek(ctx, "purge", sub, time.Now())
	if !errors.Is(err, drivers.ErrUnsupported) {
		return err
	}
	return i.drain(ctx, sub) // an emulator that cannot seek
}

// replay implements [Source.Replay].
func (i inspector) replay(ctx context.Context, t time.Time) error {
	sub, err := i.c.subscriptions.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: i.sub.String()}, once)
	if err != nil {
		return wrap(ctx, i.sub, "replay", err)
	}
	kept := sub.GetTopicMessageRetentionDuration().AsDuration()
	if sub.RetainAckedMessages {
		kept = max(kept, retentionOf(sub))
	}
	switch age := time.Since(t); {
	case kept == 0:
		return &drivers.Error{Code: drivers.Unsupported, Queue: i.sub.String(), Op: "replay",
			Err:    errors.New("the subscription does not retain acknowledged messages"),
			Remedy: "apply a configuration with retain_acked: true; messages acknowledged from then on can be replayed"}
	case age > kept:
		return &drivers.Error{Code: drivers.Invalid, Queue: i.sub.String(), Op: "replay",
			Err: fmt.Errorf("acknowledged messages are retained for %v, but %s is %v ago", kept, t.Format(time.RFC3339), age.Round(time.Second))}
	}
	return i.seek(ctx, "replay", i.sub, t)
}

func (i inspector) seek(ctx context.Context, op string, sub name, t time.Time) error {
	_, err := i.c.subscriptions.Seek(ctx, &pubsubpb.SeekRequest{
		Subscription: sub.String(), Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(t)},
	}, once)
	return wrap(ctx, sub, op, err)
}

// which returns the subscription of the queue, or that of its dead letters.
func (i inspector) which(ctx context.Context, op string, dead bool) (name, error) {
	if dead {
		i.watch.refresh(ctx)
		return i.watch.letterSubscription(ctx, op)
	}
	return i.sub, nil
}

// take receives up to most messages, waiting only for the first of them, and gives
// them back.
func (i inspector) take(ctx context.Context, op string, sub name, most int, wait time.Duration) ([]*pubsubpb.ReceivedMessage, error) {
	var got []*pubsubpb.ReceivedMessage
	var err error
	for len(got) < most {
		var resp *pubsubpb.PullResponse
		resp, _, err = i.pull(ctx, op, sub, most-len(got), wait)
		rms := resp.GetReceivedMessages()
		if err != nil || len(rms) == 0 {
			break
		}
		got = append(got, rms...)
		wait = 0
	}
	if back := i.giveBack(ctx, op, sub, got); err == nil {
		err = back
	}
	return got, err
}

// giveBack makes messages visible again, even if ctx has ended.
func (i inspector) giveBack(ctx context.Context, op string, sub name, rms []*pubsubpb.ReceivedMessage) error {
	ctx = context.WithoutCancel(ctx)
	rctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	for ids := range slices.Chunk(ackIDs(rms), maxAckIDs) {
		err := i.c.subscriptions.ModifyAckDeadline(rctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: sub.String(), AckIds: ids}, once)
		if err != nil {
			return i.wrap(ctx, sub, op, err)
		}
	}
	return nil
}

// drain acknowledges messages until none is left to receive.
func (i inspector) drain(ctx context.Context, sub name) error {
	for {
		resp, _, err := i.pull(ctx, "purge", sub, maxPull, 0)
		rms := resp.GetReceivedMessages()
		if err != nil || len(rms) == 0 {
			return err
		}
		err = i.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: sub.String(), AckIds: ackIDs(rms)}, once)
		if err != nil {
			return i.wrap(ctx, sub, "purge", err)
		}
	}
}
