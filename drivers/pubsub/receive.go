package pubsub

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// quickPull is how soon an empty answer is too soon to ask again at once.
	quickPull = 200 * time.Millisecond
	// lastMoments is the part of a wait for which no Pull waits any more: where
	// the server's deadline comes too soon after its answer, the answer may not
	// get out, and its messages are in flight with nobody. It is asked every
	// lastGap then.
	lastMoments = 750 * time.Millisecond
	lastGap     = 100 * time.Millisecond
	// askTimeout bounds a Pull that does not wait.
	askTimeout = 10 * time.Second
	// wayBack is how long after its deadline an answer to a Pull is still waited
	// for. A Pull without one by then has failed: an outage must not look like an
	// idle queue.
	wayBack = 5 * time.Second
	// idlePull is how long a Pull must have waited at an emulator to count as idle
	// if the emulator then ends it with an error of its own.
	idlePull = time.Second
	// emulatorSlack is how much longer than it is to wait an emulator is given to
	// answer. It shares a machine with the test that it serves, is late when that
	// is busy, and would lease messages in an answer that comes too late.
	emulatorSlack = time.Second
	// skipTimeout bounds the acknowledgement of skipped messages.
	skipTimeout = 5 * time.Second
)

// Receive implements [drivers.Source]. The service answers a Pull early, with few
// messages or with none, so Receive asks until something came or the wait is
// over.
func (s *Source) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	if s.ended.Load() {
		return nil, closed(s.sub, "receive")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.reread(ctx)
	if wait > lastMoments {
		defer s.patrol(ctx)()
	}
	end := time.Now().Add(wait)
	for {
		began := time.Now()
		left, gap := end.Sub(began), quickPull
		if left < lastMoments {
			left, gap = 0, lastGap
		}
		ds, some, err := s.receiveOnce(ctx, most, left)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		if wait <= 0 || time.Until(end) < wait/20 {
			return nil, nil
		}
		if !some {
			// Where the server did not wait, wait in its stead.
			if err := pause(ctx, s.life, min(time.Until(began.Add(gap)), time.Until(end))); err != nil {
				return nil, s.wrap(ctx, s.sub, "receive", err)
			}
		}
	}
}

// receiveOnce pulls once. It is true for some messages having come, though all of
// them may have been skipped.
func (s *Source) receiveOnce(ctx context.Context, most int, wait time.Duration) (ds []drivers.Delivery, some bool, err error) {
	rms, from, err := s.pull(ctx, "receive", s.sub, most, wait)
	if err != nil || len(rms) == 0 {
		return nil, false, err
	}
	rms = s.skip(ctx, rms)
	if len(rms) == 0 {
		return nil, true, nil
	}
	native := s.current().native
	deadline, lease := from.Add(native), native
	if s.lease > 0 {
		deadline, lease = s.give(ctx, rms, from)
	}
	ds = make([]drivers.Delivery, len(rms))
	var ms []handler.Message
	for i, rm := range rms {
		if len(ms) == 0 {
			ms = make([]handler.Message, min(slab, len(rms)-i))
		}
		decodeTo(&ms[0], rm)
		ds[i] = drivers.Delivery{Message: &ms[0], Receipt: rm.GetAckId(), Deadline: deadline, Lease: lease}
		ms = ms[1:]
	}
	return ds, true, nil
}

// pull makes one Pull that lasts up to wait, and returns with the messages the
// moment from which their leases are counted.
func (s *Source) pull(ctx context.Context, op string, sub name, most int, wait time.Duration) ([]*pubsubpb.ReceivedMessage, time.Time, error) {
	req := &pubsubpb.PullRequest{Subscription: sub.String(), MaxMessages: int32(min(most, maxPull))}
	began := time.Now()
	limit := wait + wayBack
	if wait <= 0 {
		// Deprecated, since in a loop it makes for many requests that find
		// nothing; for asking once there is no other way.
		req.ReturnImmediately = true //nolint:staticcheck // see above
		limit = askTimeout
	}
	pctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(s.life, cancel)
	defer stop()
	end := began.Add(wait)
	if s.c.emulated {
		end = end.Add(emulatorSlack)
	}
	if wait > 0 && soonest(ctx, end) {
		pctx = serverDeadline{Context: pctx, end: end}
	}
	resp, err := s.c.subscriptions.Pull(pctx, req, once)
	switch code := status.Code(err); {
	case err == nil:
	case ctx.Err() == nil && s.life.Err() == nil && s.idle(code, wait, time.Since(began)):
		return nil, began, nil
	case ctx.Err() != nil || s.life.Err() != nil || code != codes.DeadlineExceeded:
		return nil, began, s.wrap(ctx, sub, op, err)
	case pctx.Err() == nil:
		return nil, began, nil // the service says that it has found nothing
	case wait <= 0:
		return nil, began, s.wrap(ctx, sub, op, err)
	default:
		return nil, began, s.unanswered(time.Since(began))
	}
	// See "Delivery" in the package's comment.
	from := began
	if latest := time.Now().Add(-s.current().native / 4); latest.After(from) {
		from = latest
	}
	return resp.GetReceivedMessages(), from, nil
}

// A serverDeadline is a context that tells the server to answer by a time, and
// that ends later itself. A Pull that is given up at its deadline races with a
// message that the service leases to it in the last moment: it would be in flight
// with nobody until that lease ends.
type serverDeadline struct {
	context.Context
	end time.Time
}

// Deadline is what gRPC tells the server.
func (d serverDeadline) Deadline() (time.Time, bool) { return d.end, true }

// soonest is true where ctx does not end before the given time by itself.
func soonest(ctx context.Context, end time.Time) bool {
	at, ok := ctx.Deadline()
	return !ok || end.Before(at)
}

// idle reports whether a Pull that ended with an error after some time did so
// because there was nothing to return. The service answers DeadlineExceeded.
// Emulators have their own ways: a response without a status, Unknown, Canceled,
// or the end of the stream.
func (s *Source) idle(code codes.Code, wait, took time.Duration) bool {
	switch code {
	case codes.Unknown, codes.Canceled, codes.Internal, codes.Aborted:
	default:
		return false
	}
	if wait <= 0 {
		return false
	}
	return s.c.emulated && took >= min(idlePull, wait/2) || took >= wait
}

// unanswered is the error of a Pull to which no answer came, not even that there
// is nothing.
func (s *Source) unanswered(after time.Duration) error {
	what := "no answer from " + s.caps.Server + " within " + after.Round(time.Second).String()
	if s.c.conn != nil { // otherwise it is the caller's, and there may be several
		switch s.c.conn.GetState() {
		case connectivity.Connecting, connectivity.TransientFailure:
			what = "no connection to " + s.caps.Server
		}
	}
	return &drivers.Error{Code: drivers.Transient, Queue: s.sub.String(), Op: "receive",
		Err: errors.New(what), Remedy: remedy(drivers.Transient, s.sub, "receive")}
}

// give gives the messages this source's own lease. Where that fails they have the
// subscription's, which is shorter or was to be cut: from is good either way.
func (s *Source) give(ctx context.Context, rms []*pubsubpb.ReceivedMessage, from time.Time) (deadline time.Time, lease time.Duration) {
	now := time.Now()
	err := s.c.subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: s.sub.String(), AckIds: ackIDs(rms), AckDeadlineSeconds: seconds(s.lease),
	}, once)
	if err != nil {
		lease = min(s.lease, s.current().native)
		return from.Add(lease), lease
	}
	return now.Add(s.lease), s.lease
}

// skip acknowledges the messages that a redrive aimed at another subscription and
// returns the others. Of those that are aimed at this one, it takes the aim off.
func (s *Source) skip(ctx context.Context, rms []*pubsubpb.ReceivedMessage) []*pubsubpb.ReceivedMessage {
	var foreign []string
	own := rms[:0]
	for _, rm := range rms {
		switch s.aim(rm.GetMessage().GetAttributes()) {
		case aimedElsewhere:
			foreign = append(foreign, rm.GetAckId())
			continue
		case aimedHere:
			delete(rm.Message.Attributes, AttributeRedriveTarget)
			delete(rm.Message.Attributes, AttributeRedriveTopic)
		}
		own = append(own, rm)
	}
	if len(foreign) > 0 {
		ctx, cancel := context.WithTimeout(ctx, skipTimeout)
		defer cancel()
		// One that cannot be acknowledged comes again and is skipped again.
		_ = s.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: s.sub.String(), AckIds: foreign}, once)
	}
	return own
}

type aim uint8

const (
	notAimed aim = iota
	aimedHere
	aimedElsewhere
)

// aim tells for which subscription a message was redriven.
func (s *Source) aim(attrs map[string]string) aim {
	target, ok := attrs[AttributeRedriveTarget]
	switch {
	case !ok:
		return notAimed
	case target == s.sub.String():
		return aimedHere
	}
	// A redriven message that failed again and was forwarded to a dead-letter
	// topic is a letter like any other to who reads that topic.
	if topic, ok := attrs[AttributeRedriveTopic]; ok {
		if topic != s.current().topic.String() {
			return notAimed
		}
	} else if _, ok := attrs[nativeSubscription]; ok {
		return notAimed
	}
	return aimedElsewhere
}

// pause waits for d, if that is more than nothing.
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
