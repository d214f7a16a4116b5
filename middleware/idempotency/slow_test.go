package idempotency_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// sluggish is a store whose answers take their time, whatever the context says.
type sluggish struct {
	idempotency.Store
	claim, renew time.Duration
}

func (s *sluggish) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	c, err := s.Store.Claim(ctx, key, token, ttl)
	<-time.After(s.claim)
	return c, err
}

func (s *sluggish) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	<-time.After(s.renew)
	return s.Store.Renew(ctx, key, token, ttl)
}

// A message that is lost while its claim is made is not handled, and its key is free.
func TestAClaimThatComesTooLateStartsNoHandler(t *testing.T) {
	for _, c := range []struct {
		name  string
		claim time.Duration
		// other has another worker take the key while the claim is made.
		other bool
		lease time.Duration
		want  error
	}{
		{name: "the lease ends", claim: 1050 * time.Millisecond, lease: time.Second, want: handler.ErrLeaseLost},
		{name: "the claim ends, and another worker has the key", claim: 2 * time.Second, other: true, want: idempotency.ErrClaimLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sluggish{Store: idempotency.NewMemory(), claim: c.claim}
				runs := 0
				h := guard(t, s, &idempotency.Config{ClaimTTL: time.Second}, func(context.Context, *handler.Message) error { runs++; return nil })
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				m := &handler.Message{ID: "a", DedupeID: "a"}
				if c.lease > 0 {
					m = leased("a", c.lease)
					time.AfterFunc(c.lease, func() { cancel(handler.ErrLeaseLost) }) // as the runtime does
				}
				done := make(chan error, 1)
				go func() { done <- h.Handle(ctx, m) }()
				second := guard(t, s.Store, nil, func(context.Context, *handler.Message) error { return nil })
				if c.other {
					<-time.After(1500 * time.Millisecond)
					require.NoError(t, second.Handle(t.Context(), &handler.Message{ID: "a", DedupeID: "a"}))
				}
				err := <-done
				require.ErrorIs(t, err, c.want)
				require.True(t, handler.VerdictOf(err).Postponed, "it spent an attempt")
				require.Zero(t, runs)
				require.NoError(t, second.Handle(t.Context(), leased("a", time.Minute)), "the key is free, or done")
			})
		})
	}
}

// A claim that ended while it was made, and that nobody has taken over, is renewed.
func TestAClaimThatEndedMeanwhileIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sluggish{Store: idempotency.NewMemory(), claim: 2 * time.Second}
		second := guard(t, s.Store, nil, func(context.Context, *handler.Message) error { return nil })
		h := guard(t, s, &idempotency.Config{ClaimTTL: time.Second}, func(context.Context, *handler.Message) error {
			err := second.Handle(t.Context(), &handler.Message{ID: "a", DedupeID: "a"})
			require.True(t, handler.VerdictOf(err).Postponed, "two handle it: %v", err)
			return nil
		})
		require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "a", DedupeID: "a"}))
	})
}

// A claim of which the store's answer has left little is renewed before it ends.
func TestAClaimThatHasNearlyEndedIsRenewedInTime(t *testing.T) {
	const ttl = 3 * time.Second
	for _, late := range []time.Duration{2600 * time.Millisecond, ttl, 3100 * time.Millisecond, 3150 * time.Millisecond, 3199 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &counted{Store: idempotency.NewMemory()}
				second := guard(t, s.Store, nil, func(context.Context, *handler.Message) error {
					t.Error("two handle it")
					return nil
				})
				h := guard(t, &sluggish{Store: s, claim: late}, &idempotency.Config{ClaimTTL: ttl}, func(ctx context.Context, m *handler.Message) error {
					for range 200 {
						<-time.After(25 * time.Millisecond)
						err := second.Handle(t.Context(), m)
						require.True(t, handler.VerdictOf(err).Postponed, "%v", err)
						require.NoError(t, context.Cause(ctx))
					}
					return nil
				})
				require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "a", DedupeID: "a"}))
				require.LessOrEqual(t, s.renewals.Load(), int32(10), "it is renewed all the time")
			})
		})
	}
}

// A handler does not go on while a renewal of its claim hangs beyond the claim's end.
func TestAHungRenewalEndsTheHandlerWithItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sluggish{Store: idempotency.NewMemory(), renew: time.Hour}
		h := guard(t, s, nil, func(ctx context.Context, m *handler.Message) error {
			go func() {
				<-time.After(28 * time.Second)
				_ = m.Lease().Extend(ctx, time.Minute)
			}()
			<-ctx.Done()
			return context.Cause(ctx)
		})
		begin := time.Now()
		err := h.Handle(t.Context(), leased("a", 30*time.Second))
		require.ErrorIs(t, err, idempotency.ErrClaimLost)
		require.Less(t, time.Since(begin), 31*time.Second)
		require.True(t, handler.VerdictOf(err).Postponed)
		<-time.After(time.Hour) // the store's calls return
	})
}

// counted counts renewals.
type counted struct {
	idempotency.Store
	renewals atomic.Int32
}

func (c *counted) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	c.renewals.Add(1)
	return c.Store.Renew(ctx, key, token, ttl)
}

// A claim lasts a second at least. It is not renewed as often as if it were shorter.
func TestAShortClaimIsNotRenewedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{Store: idempotency.NewMemory()}
		h := guard(t, s, &idempotency.Config{ClaimTTL: time.Millisecond}, func(context.Context, *handler.Message) error {
			<-time.After(10 * time.Second)
			return nil
		})
		require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "a"}))
		require.LessOrEqual(t, s.renewals.Load(), int32(30))
		require.GreaterOrEqual(t, s.renewals.Load(), int32(20))
	})
}
