package idempotency

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// ErrNoKey is the reason with which a message without a key is rejected.
var ErrNoKey = errors.New("idempotency: the message has no key")

// New returns the middleware over a store. A nil config is the zero [Config]. It
// returns an error where store is nil or the config has a negative duration.
func New(store Store, c *Config) (handler.Middleware, error) {
	if store == nil {
		return nil, errors.New("idempotency: the store is nil")
	}
	cfg, err := c.WithDefaults()
	if err != nil {
		return nil, err
	}
	return func(next handler.Handler) handler.Handler {
		return &guard{next: next, store: store, cfg: cfg, owner: rand.Text()}
	}, nil
}

const (
	// minClaim keeps a claim from ending before the handler has begun, where a
	// message arrives with its lease nearly over.
	minClaim = time.Second
	// margin is how much longer than the lease a claim lasts: what a handler
	// needs to notice that its context has ended.
	margin = 200 * time.Millisecond
	// shortWait is how long a message waits here for another's claim to end,
	// rather than spend a delivery attempt on it: what the margin makes it wait
	// that comes again at the very end of a dead worker's lease.
	shortWait = 2 * margin
	// settleTime bounds what is left to do after the handler: the mark, or the
	// release. It must be done even though the handler's context has ended.
	settleTime = 10 * time.Second
	// unsureTime bounds the release of a claim that was perhaps never made.
	unsureTime = time.Second
	// renewPause is between two attempts to renew a claim.
	renewPause = 100 * time.Millisecond
)

type guard struct {
	next  handler.Handler
	store Store
	cfg   Config
	// A token is the owner, which is random, and a number.
	owner string
	count atomic.Uint64
}

// Handle implements handler.Handler.
func (g *guard) Handle(ctx context.Context, m *handler.Message) error {
	key, err := g.cfg.StoreKey(m)
	switch {
	case err != nil:
		return handler.Reject(err)
	case key == "":
		return g.next.Handle(ctx, m)
	}
	r := &run{guard: g, m: m, key: key, token: g.owner + "-" + strconv.FormatUint(g.count.Add(1), 36)}
	r.ends = r.claimEnd(ctx)

	claim, err := g.store.Claim(ctx, r.key, r.token, time.Until(r.ends))
	if err == nil && claim.State == InProgress && claim.Remaining <= shortWait {
		pause(ctx, claim.Remaining)
		claim, err = g.store.Claim(ctx, r.key, r.token, time.Until(r.ends))
	}
	if err != nil {
		g.cfg.Logger.WarnContext(ctx, "idempotency store cannot be asked; the message is retried",
			slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID), slog.Any("error", err))
		// The claim may have been made though the answer was lost.
		r.release(ctx, unsureTime)
		return g.cfg.Retry(fmt.Errorf("idempotency: claim: %w", err))
	}
	switch claim.State {
	case Claimed:
		return r.handle(ctx)
	case InProgress:
		// A little later than the claim's end, and not all at the same moment.
		wait := claim.Remaining + mathrand.N(claim.Remaining/10+100*time.Millisecond)
		return handler.Postpone(wait, errors.New("idempotency: a duplicate is being handled"))
	case Done:
		return g.cfg.Duplicate(ctx, m, claim.Result)
	default:
		return g.cfg.Retry(fmt.Errorf("idempotency: the store answered with state %d", claim.State))
	}
}

// run is one message that is being handled under a claim.
type run struct {
	*guard
	m          *handler.Message
	key, token string
	// ends is when the claim ends by this machine's clock. Once the handler
	// runs, only the renewing goroutine changes it.
	ends time.Time
}

func (r *run) claimEnd(ctx context.Context) time.Time {
	now := time.Now()
	end := r.m.Lease().Deadline()
	if end.IsZero() {
		end = now.Add(r.cfg.ClaimTTL)
		if d, ok := ctx.Deadline(); ok && d.Before(end) {
			end = d
		}
	}
	return latest(end, now)
}

// latest is when a claim ends on a lease that ends at deadline.
func latest(deadline, now time.Time) time.Time {
	end := deadline.Add(margin)
	if least := now.Add(minClaim); end.Before(least) {
		return least
	}
	return end
}

func (r *run) handle(ctx context.Context) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	box := &resultBox{}
	work = context.WithValue(work, resultKey{}, box)

	r.m.Lease().OnExtend(func(deadline time.Time) { r.renew(work, deadline, cancel) })

	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit: the handler has failed
			r.release(ctx, settleTime)
		}
	}()
	err := r.next.Handle(work, r.m)
	returned = true
	cancel(nil) // before the claim is settled, so that no renewal finds it gone and complains

	switch handler.VerdictOf(err).Action {
	case handler.Ack, handler.Drop:
		if markErr := r.complete(ctx, box.get()); markErr != nil {
			return r.unmarked(ctx, markErr)
		}
	case handler.Retry, handler.DeadLetter:
		// A letter that is redriven must find its key free.
		r.release(ctx, settleTime)
	}
	return err
}

// renew moves the claim's end to the lease's, trying until the claim has ended.
// A claim that could not be renewed is no protection any more, so the handler
// is cancelled rather than left to run beside another.
func (r *run) renew(ctx context.Context, deadline time.Time, cancel context.CancelCauseFunc) {
	for {
		end := latest(deadline, time.Now())
		err := r.store.Renew(ctx, r.key, r.token, time.Until(end))
		if err == nil {
			r.ends = end
			return
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrClaimLost) || time.Now().Add(renewPause).After(r.ends) {
			r.cfg.Logger.WarnContext(ctx, "idempotency claim lost; the handler is cancelled",
				slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
			cancel(fmt.Errorf("%w: %w", ErrClaimLost, err))
			return
		}
		pause(ctx, renewPause)
	}
}

// complete sets the mark, trying for as long as the message is ours.
func (r *run) complete(ctx context.Context, result []byte) error {
	until := time.Now().Add(settleTime)
	if d := r.m.Lease().Deadline(); !d.IsZero() && d.Before(until) {
		until = d
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	for {
		err := r.store.Complete(ctx, r.key, r.token, result, r.cfg.DoneTTL)
		if err == nil || errors.Is(err, ErrClaimLost) || ctx.Err() != nil {
			return err
		}
		pause(ctx, renewPause)
	}
}

// unmarked says what becomes of a message that was handled and could not be
// marked. It must not be acked: where the claim was lost, another worker has the
// message and decides; where the store is down, the claim is left to end, so
// that until then nobody handles the message again.
func (r *run) unmarked(ctx context.Context, err error) error {
	r.cfg.Logger.ErrorContext(ctx, "handled, but not marked as done; the message is looked at again",
		slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
	return r.cfg.Retry(fmt.Errorf("idempotency: handled, but not marked: %w", err))
}

func (r *run) release(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := r.store.Release(ctx, r.key, r.token); err != nil {
		r.cfg.Logger.WarnContext(ctx, "idempotency claim not released; it ends by itself",
			slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
