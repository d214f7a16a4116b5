package idempotency

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

// New returns the middleware over a store. A nil config is the zero [Config]. It
// returns an error where store is nil or the config has a negative duration.
func New(store Store, c *Config) (handler.Middleware, error) {
	if store == nil {
		return nil, errors.New("idempotency: the store is nil")
	}
	cfg, err := policy.Complete((*policy.Policy)(c))
	if err != nil {
		return nil, err
	}
	g := &guard{store: store, cfg: cfg, owner: rand.Text(), unmarked: newUnmarked(cfg.DoneTTL)}
	g.gate = cfg.NewGate(store, g.probe)
	return func(next handler.Handler) handler.Handler {
		return &guarded{guard: g, next: next}
	}, nil
}

const (
	// minClaim keeps a claim from ending before the handler has begun, if a
	// message arrives with its lease nearly over.
	minClaim = time.Second
	// margin is how much longer than the lease a claim lasts: what a handler
	// needs to notice that its context has ended.
	margin = 200 * time.Millisecond
	// shortWait is the longest time a message waits here for another worker's
	// claim to expire instead of being postponed, which could cost a delivery
	// attempt. It covers the margin by which a claim outlasts the lease of a dead
	// worker.
	shortWait = 2 * margin
	// settleTime limits the time after the handler for the mark or the release. It
	// must be done even though the handler's context has ended.
	settleTime = 10 * time.Second
	// unsureTime bounds the release of a claim that was perhaps never made.
	unsureTime = time.Second
	// resultTries is how often a mark is tried with the handler's result before it
	// is tried without.
	resultTries = 3
	// renewPause is between two attempts to renew a claim.
	renewPause = 100 * time.Millisecond
)

// guard is what all handlers of one middleware share.
type guard struct {
	store    Store
	cfg      policy.Policy
	gate     *storegate.Gate
	unmarked *unmarked
	// A token is the owner, which is random, and a number.
	owner string
	count atomic.Uint64
}

// guarded is a handler behind a guard.
type guarded struct {
	*guard
	next handler.Handler
}

// Gate returns the gate that is closed while the store does not answer;
// handler.GatesOf finds it.
func (g *guard) Gate() handler.Gate { return g.gate }

// Handle implements handler.Handler.
func (g *guarded) Handle(ctx context.Context, m *handler.Message) error {
	key, err := g.cfg.StoreKey(m)
	switch {
	case err != nil:
		return handler.Reject(err)
	case key == "":
		return g.next.Handle(ctx, m)
	}
	if wait, entered := g.gate.Enter(ctx); !entered {
		return handler.Postpone(wait, g.gate.Err())
	}
	r := &run{guard: g.guard, m: m, key: key, token: g.token()}
	r.deadline, r.ends = r.claimEnd(ctx)

	claim, err := r.claim(ctx)
	if err == nil && claim.State == InProgress && claim.Remaining <= shortWait {
		_ = sleep.For(ctx, claim.Remaining)
		claim, err = r.claim(ctx)
	}
	if err != nil {
		return r.unclaimed(ctx, err)
	}
	g.gate.Fine(key)
	switch claim.State {
	case Claimed:
		if h, ok := g.unmarked.get(key); ok {
			unhandled.Note(ctx)
			return r.mark(ctx, h)
		}
		return r.handle(ctx, g.next)
	case InProgress:
		return handler.Postpone(afterClaim(claim.Remaining), errors.New("idempotency: a duplicate is being handled"))
	case Done:
		g.unmarked.remove(key)
		return g.cfg.Duplicate(ctx, m, claim.Result)
	default:
		return g.cfg.Retry(fmt.Errorf("idempotency: the store returned the unknown state %d", claim.State))
	}
}

// afterClaim is in how long a message is looked at whose key another claim holds
// for that long: a little later than its end, and not all at the same moment.
func afterClaim(remaining time.Duration) time.Duration {
	remaining = max(remaining, 0)
	later := mathrand.N(min(remaining, time.Minute)/10 + 100*time.Millisecond)
	return remaining + min(later, math.MaxInt64-remaining)
}

func (g *guard) token() string { return g.owner + "-" + strconv.FormatUint(g.count.Add(1), 36) }

// call bounds a call of the store. A memory answers without waiting.
func call[T any](ctx context.Context, g *guard, limit time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	if _, ok := g.store.(*memory); ok {
		return f(ctx)
	}
	return storegate.Call(ctx, min(limit, g.cfg.StoreTimeout), f)
}

// probe claims a separate key, as a message does, and releases it: a store that
// can be read may not be writable.
func (g *guard) probe(ctx context.Context) error {
	key, token := policy.StoreKey("sluice", "probe"), g.token()
	if _, err := g.store.Claim(ctx, key, token, minClaim); err != nil {
		return err
	}
	_ = g.store.Release(ctx, key, token) // it ends by itself
	return nil
}

// run is one message that is being handled under a claim.
type run struct {
	*guard
	m          *handler.Message
	key, token string
	// deadline is the lease's when the claim was asked for, ends the claim's end
	// by this machine's clock. One goroutine at a time changes ends.
	deadline, ends time.Time
}

func (r *run) claimEnd(ctx context.Context) (deadline, end time.Time) {
	now := time.Now()
	deadline = r.m.Lease().Deadline()
	end = deadline
	if end.IsZero() {
		end = now.Add(r.cfg.ClaimTTL)
		if d, ok := ctx.Deadline(); ok && d.Before(end) {
			end = d
		}
	}
	return deadline, latest(end, now)
}

func (r *run) claim(ctx context.Context) (Claim, error) {
	return call(ctx, r.guard, r.cfg.StoreTimeout, func(ctx context.Context) (Claim, error) {
		return r.store.Claim(ctx, r.key, r.token, time.Until(r.ends))
	})
}

// unclaimed is the verdict on a message whose claim was not answered. No handler
// has seen the message, so it spends no attempt, unless the store fails for this
// message only.
func (r *run) unclaimed(ctx context.Context, err error) error {
	// The claim may have been made though the answer was lost.
	r.release(ctx, unsureTime)
	if ctx.Err() != nil {
		return handler.Postpone(0, context.Cause(ctx))
	}
	err = fmt.Errorf("idempotency: claim: %w", err)
	wait, own := r.gate.Suspect(r.key, err)
	if !own {
		return handler.Postpone(wait, err)
	}
	r.cfg.Logger.WarnContext(ctx, "the idempotency store failed for this message but answers for others",
		slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
	return r.cfg.Retry(err)
}

// latest is when a claim ends on a lease that ends at deadline.
func latest(deadline, now time.Time) time.Time {
	end := deadline.Add(margin)
	if least := now.Add(minClaim); end.Before(least) {
		return least
	}
	return end
}

func (r *run) handle(ctx context.Context, next handler.Handler) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	box := &resultBox{}
	work = context.WithValue(work, resultKey{}, box)

	ready := make(chan struct{})
	r.m.Lease().OnExtend(func(deadline time.Time) {
		<-ready // one renewal at a time
		r.renew(work, deadline, cancel)
	})
	// The lease may have been extended while the claim was being made, or the store may
	// have taken as long as the claim lasts, or so long that keep would come too late.
	if now := r.m.Lease().Deadline(); now.After(r.deadline) {
		r.renew(work, now, cancel)
	} else if time.Until(r.ends) < 2*renewPause {
		_, end := r.claimEnd(ctx)
		r.renew(work, end, cancel)
	}
	close(ready)
	if cause := context.Cause(work); cause != nil {
		// The lease or the claim is lost, or the consumer stopped. A handler that does not
		// look at its context would begin what another worker begins too.
		r.release(ctx, settleTime)
		return handler.Postpone(0, fmt.Errorf("idempotency: not handled: %w", cause))
	}
	if r.deadline.IsZero() {
		go r.keep(work, cancel)
	}

	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit: the handler has failed
			r.release(ctx, settleTime)
		}
	}()
	err := next.Handle(work, r.m)
	returned = true
	lost := invoke.Is(context.Cause(work), ErrClaimLost)
	cancel(nil) // before the claim is settled, so that no renewal finds it gone and complains

	switch invoke.VerdictOf(err).Action {
	case handler.ActionAck, handler.ActionDrop:
		return r.mark(ctx, handled{result: box.get(), verdict: err})
	case handler.ActionRetry, handler.ActionDeadLetter:
		if lost {
			// Another worker has the message. That its handler was canceled
			// here is not a failure of the message.
			return handler.Postpone(r.again(), fmt.Errorf("%w: %w", ErrClaimLost, err))
		}
		// A letter that is redriven must find its key free.
		r.release(ctx, settleTime)
	}
	return err
}

// again is in how long a message is looked at that another worker has.
func (r *run) again() time.Duration { return minClaim + mathrand.N(minClaim) }

// keep renews the claim of a delivery without a lease until ctx, which is the
// handler's, has ended. If the worker dies, the claim ends soon after it. A pause takes
// half of what is left of the claim at most, because a slow store may have left little.
func (r *run) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		half := max(time.Until(r.ends)/2, renewPause)
		_ = sleep.For(ctx, min(max(r.cfg.ClaimTTL, minClaim)/3, half))
		if ctx.Err() != nil {
			return
		}
		end := time.Now().Add(r.cfg.ClaimTTL)
		if d, ok := ctx.Deadline(); ok && d.Before(end) {
			end = d
		}
		r.renew(ctx, end, cancel)
	}
}

// renew moves the claim's end to the lease's, trying until the claim has ended.
// A claim that could not be renewed is not a protection any more, so the handler
// is canceled rather than left to run beside another. A call of a store that hangs is
// not waited for beyond that end.
func (r *run) renew(ctx context.Context, deadline time.Time, cancel context.CancelCauseFunc) {
	for {
		end := latest(deadline, time.Now())
		_, err := call(ctx, r.guard, max(time.Until(r.ends), renewPause), func(ctx context.Context) (struct{}, error) {
			return struct{}{}, r.store.Renew(ctx, r.key, r.token, time.Until(end))
		})
		if err == nil {
			r.ends = end
			return
		}
		if ctx.Err() != nil {
			return
		}
		if invoke.Is(err, ErrClaimLost) || time.Now().Add(renewPause).After(r.ends) {
			r.cfg.Logger.WarnContext(ctx, "idempotency claim lost; the handler is canceled",
				slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
			cancel(fmt.Errorf("%w: %w", ErrClaimLost, err))
			return
		}
		_ = sleep.For(ctx, renewPause)
	}
}

// mark sets the mark and returns the verdict. A message that was handled and
// could not be marked must not be acked. If the claim was lost, another worker has
// the message and decides; if the store is down, the guard remembers that the
// message was handled here, so that it is marked, not handled, the next time.
func (r *run) mark(ctx context.Context, h handled) error {
	err := r.complete(ctx, h.result)
	if err == nil {
		r.unmarked.remove(r.key)
		r.gate.Fine(r.key)
		return h.verdict
	}
	r.cfg.Logger.ErrorContext(ctx, "handled, but not marked as done; the mark is tried again",
		slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
	if invoke.Is(err, ErrClaimLost) {
		r.unmarked.remove(r.key)
		return handler.Postpone(r.again(), fmt.Errorf("idempotency: handled, but not marked: %w", err))
	}
	r.unmarked.add(r.key, h)
	wait, own := r.gate.Suspect(r.key, err)
	err = fmt.Errorf("idempotency: handled, but not marked: %w", err)
	if own {
		return r.cfg.Retry(err)
	}
	return handler.Postpone(wait, err)
}

// complete sets the mark, trying for as long as the message is ours. It tries once
// even if the lease has ended meanwhile: the token says whether the key still is. A
// store that refuses the result, which may be too large for it, would refuse it
// until the lease ends, and the work would be done again: after a few tries the mark
// is set without the result, if the store takes that.
func (r *run) complete(ctx context.Context, result []byte) error {
	ctx = context.WithoutCancel(ctx)
	until := time.Now().Add(settleTime)
	if d := r.m.Lease().Deadline(); !d.IsZero() && d.Before(until) {
		until = d
	}
	for try := 1; ; try++ {
		err := r.completeOnce(ctx, result)
		if err == nil || invoke.Is(err, ErrClaimLost) {
			return err
		}
		last := time.Until(until) <= renewPause
		if len(result) > 0 && (last || try >= resultTries) {
			switch bare := r.completeOnce(ctx, nil); {
			case bare == nil:
				r.cfg.Logger.WarnContext(ctx, "the store refused the handler's result: the message is marked as done without it",
					slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID),
					slog.Int("bytes", len(result)), slog.Any("error", err))
				return nil
			case invoke.Is(bare, ErrClaimLost):
				return bare
			}
		}
		if last {
			return err
		}
		_ = sleep.For(ctx, renewPause)
	}
}

func (r *run) completeOnce(ctx context.Context, result []byte) error {
	_, err := call(ctx, r.guard, settleTime, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.store.Complete(ctx, r.key, r.token, result, r.cfg.DoneTTL)
	})
	return err
}

func (r *run) release(ctx context.Context, limit time.Duration) {
	_, err := call(context.WithoutCancel(ctx), r.guard, limit, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.store.Release(ctx, r.key, r.token)
	})
	if err != nil && r.gate.Open() {
		r.cfg.Logger.WarnContext(ctx, "idempotency claim not released; it expires by itself",
			slog.String("queue", r.m.Origin().Queue), slog.String("message_id", r.m.ID), slog.Any("error", err))
	}
}
