package pubsub

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
)

const (
	// quickPull is the shortest time between two Pulls if the first is answered
	// early with nothing.
	quickPull = 200 * time.Millisecond
	// lastMoments is the last part of a wait, in which Pulls do not wait: if the
	// server's deadline comes too soon after its answer, the answer may be lost,
	// and its messages are in flight with nobody. The Pulls are lastGap apart.
	lastMoments = 750 * time.Millisecond
	lastGap     = 100 * time.Millisecond
	// skipTimeout bounds the acknowledgement of skipped messages.
	skipTimeout = 5 * time.Second
)

// A receiver receives messages from a subscription.
type receiver struct{ puller }

// receive implements [Source.Receive].
func (r receiver) receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	r.watch.reread(ctx)
	if wait > lastMoments {
		defer r.watch.patrol(ctx)()
	}
	end := time.Now().Add(wait)
	for {
		began := time.Now()
		left, gap := end.Sub(began), quickPull
		if left < lastMoments {
			left, gap = 0, lastGap
		}
		ds, some, err := r.receiveOnce(ctx, most, left)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		if wait <= 0 || time.Until(end) < wait/20 {
			return nil, nil
		}
		if !some {
			// If the server did not wait, wait in its place.
			if err := pause(ctx, r.life, min(time.Until(began.Add(gap)), time.Until(end))); err != nil {
				return nil, r.wrap(ctx, r.sub, "receive", err)
			}
		}
	}
}

// receiveOnce pulls once. It reports whether messages arrived, even if all of them
// were skipped.
func (r receiver) receiveOnce(ctx context.Context, most int, wait time.Duration) (ds []drivers.Delivery, some bool, err error) {
	in := intake{receiver: r}
	resp, from, err := r.pull(ctx, "receive", r.sub, most, wait, in.options()...)
	if err != nil || resp == nil {
		return nil, false, err
	}
	if rms := resp.GetReceivedMessages(); len(rms) > 0 {
		in.addAll(rms)
	}
	r.skip(ctx, in.foreign)
	if len(in.ds) == 0 {
		return nil, len(in.foreign) > 0, nil
	}
	native := r.watch.current().native
	deadline, lease := from.Add(native), native
	if r.lease > 0 {
		deadline, lease = r.extend(ctx, in.ds, from)
	}
	for i := range in.ds {
		in.ds[i].Deadline, in.ds[i].Lease = deadline, lease
	}
	return in.ds, true, nil
}

// extend gives the messages this source's own lease. If that fails they may have the
// subscription's, or the new one: the shorter of the two, counted from their
// arrival, has not ended in either case.
func (r receiver) extend(ctx context.Context, ds []drivers.Delivery, from time.Time) (deadline time.Time, lease time.Duration) {
	now := time.Now()
	ids := make([]string, len(ds))
	for i := range ds {
		ids[i] = ds[i].Receipt
	}
	err := r.c.subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: r.sub.String(), AckIds: ids, AckDeadlineSeconds: seconds(r.lease),
	}, once)
	if err != nil {
		lease = min(r.lease, r.watch.current().native)
		return from.Add(lease), lease
	}
	return now.Add(r.lease), r.lease
}

// skip acknowledges the messages that a redrive aimed at another subscription.
func (r receiver) skip(ctx context.Context, foreign []string) {
	if len(foreign) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, skipTimeout)
	defer cancel()
	// A message that cannot be acknowledged is redelivered and skipped again.
	_ = r.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.sub.String(), AckIds: foreign}, once)
}

// pause waits for d, unless ctx or life ends first.
func pause(ctx, life context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-life.Done():
		return life.Err()
	}
}
