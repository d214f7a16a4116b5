package pubsub

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
)

const (
	// askTimeout bounds a Pull that does not wait.
	askTimeout = 10 * time.Second
	// wayBack is the time after its deadline for which a Pull still waits for an
	// answer. A Pull without one by then has failed: an outage must not look like
	// an idle queue.
	wayBack = 5 * time.Second
	// idlePull is the shortest time after which a Pull that an emulator ends with
	// its own error counts as idle.
	idlePull = time.Second
	// emulatorSlack is added to the deadline of a Pull at an emulator, which may
	// be late because it shares a machine with the test, and would lease messages
	// in an answer that comes too late.
	emulatorSlack = time.Second
)

// A puller makes Pulls.
type puller struct{ *subscription }

// pull makes one Pull of the subscription sub that waits for up to wait. It returns
// the answer, which is nil if there was none, and the time from which the leases of its
// messages are counted.
func (p puller) pull(ctx context.Context, op string, sub name, most int, wait time.Duration, more ...gax.CallOption) (*pubsubpb.PullResponse, time.Time, error) {
	req := &pubsubpb.PullRequest{Subscription: sub.String(), MaxMessages: int32(min(most, maxPull))}
	began := time.Now()
	limit := wait + wayBack
	if wait <= 0 {
		// It is deprecated because in a loop it makes many requests that find
		// nothing. To ask once there is no other way.
		req.ReturnImmediately = true //nolint:staticcheck // see above
		limit = askTimeout
	}
	pctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(p.life, cancel)
	defer stop()
	end := began.Add(wait)
	if p.c.emulated {
		end = end.Add(emulatorSlack)
	}
	if wait > 0 && soonest(ctx, end) {
		pctx = serverDeadline{Context: pctx, end: end}
	}
	resp, err := p.c.subscriptions.Pull(pctx, req, append(more, once)...)
	switch code := status.Code(err); {
	case err == nil:
	case ctx.Err() == nil && p.life.Err() == nil && p.idle(code, wait, time.Since(began)):
		return nil, began, nil
	case ctx.Err() != nil || p.life.Err() != nil || code != codes.DeadlineExceeded:
		return nil, began, p.wrap(ctx, sub, op, err)
	case pctx.Err() == nil:
		return nil, began, nil // the service reports that it has found nothing
	case wait <= 0:
		return nil, began, p.wrap(ctx, sub, op, err)
	default:
		return nil, began, p.unanswered(time.Since(began))
	}
	// See "Delivery" in the package comment.
	from := began
	if latest := time.Now().Add(-p.watch.current().native / 4); latest.After(from) {
		from = latest
	}
	return resp, from, nil
}

// idle reports whether a Pull that ended with an error after some time did so
// because there was nothing to return. The service answers DeadlineExceeded.
// Emulators have their own ways: a response without a status, Unknown, Canceled,
// or the end of the stream.
func (p puller) idle(code codes.Code, wait, took time.Duration) bool {
	switch code {
	case codes.Unknown, codes.Canceled, codes.Internal, codes.Aborted:
	default:
		return false
	}
	if wait <= 0 {
		return false
	}
	return p.c.emulated && took >= min(idlePull, wait/2) || took >= wait
}

// unanswered returns the error of a Pull to which no answer came.
func (p puller) unanswered(after time.Duration) error {
	text := "no answer from " + p.caps.Server + " within " + after.Round(time.Second).String()
	if p.c.conn != nil { // otherwise it is the caller's, and there may be several
		switch p.c.conn.GetState() {
		case connectivity.Connecting, connectivity.TransientFailure:
			text = "no connection to " + p.caps.Server
		}
	}
	return &drivers.Error{Code: drivers.Transient, Queue: p.sub.String(), Op: "receive",
		Err: errors.New(text), Remedy: remedy(drivers.Transient, p.sub, "receive")}
}

// A serverDeadline is a context that sends the server a deadline that is earlier
// than its own. A Pull that the client gives up at its deadline races with a message
// that the service leases to it in the last moment: the message would be in flight
// with nobody until that lease ends.
type serverDeadline struct {
	context.Context
	end time.Time
}

// Deadline returns the deadline that gRPC sends to the server.
func (d serverDeadline) Deadline() (time.Time, bool) { return d.end, true }

// soonest reports whether end comes before ctx's own deadline.
func soonest(ctx context.Context, end time.Time) bool {
	at, ok := ctx.Deadline()
	return !ok || end.Before(at)
}
