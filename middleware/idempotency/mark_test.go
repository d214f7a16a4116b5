package idempotency_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// A message that was handled while the store could not take its mark is marked when
// it comes again, and not handled again, even if its claim has ended meanwhile.
func TestWhatWasHandledIsMarkedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		s := failing("complete", 1<<20)
		h := guard(t, s, nil, func(context.Context, *handler.Message) error { runs++; return nil })
		v := handler.VerdictOf(h.Handle(t.Context(), leased("a", time.Minute)))
		require.True(t, v.Postponed, "it has spent an attempt")
		time.Sleep(10 * time.Minute) //nolint:forbidigo // the claim ends
		s.fail["complete"].Store(0)
		require.NoError(t, h.Handle(t.Context(), leased("a", time.Minute)))
		require.Equal(t, 1, runs)
		require.NoError(t, h.Handle(t.Context(), leased("a", time.Minute)), "it is marked")
		require.Equal(t, 1, runs)
	})
}

// strict is a store across a network: it fails with its context.
type strict struct{ idempotency.Store }

func (s strict) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Store.Complete(ctx, key, token, result, ttl)
}

// A handler that overran its lease and succeeded is marked if nobody has taken its
// claim over.
func TestALateSuccessIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		h := guard(t, strict{new(idempotency.Memory)}, nil, func(context.Context, *handler.Message) error {
			if runs++; runs == 1 {
				time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // longer than the lease
			}
			return nil
		})
		_ = h.Handle(t.Context(), leased("a", time.Second))
		require.NoError(t, h.Handle(t.Context(), leased("a", time.Second)))
		require.Equal(t, 1, runs)
	})
}

// A handler that was cancelled because its claim was lost has not failed.
func TestALostClaimIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(idempotency.Memory)
		h := guard(t, s, nil, func(ctx context.Context, m *handler.Message) error {
			time.Sleep(time.Minute)                                   //nolint:forbidigo // outlives its claim
			require.NoError(t, m.Lease().Extend(ctx, 30*time.Second)) // too late
			<-ctx.Done()
			return handler.Reject(context.Cause(ctx))
		})
		m := leased("a", 30*time.Second)
		done := make(chan error, 1)
		go func() { done <- h.Handle(t.Context(), m) }()
		time.Sleep(32 * time.Second) //nolint:forbidigo // moves the bubble's clock
		_, err := s.Claim(t.Context(), idempotency.StoreKey(m.Origin().Queue, "a"), "other", time.Hour)
		require.NoError(t, err)
		got := <-done
		require.ErrorIs(t, got, idempotency.ErrClaimLost)
		require.True(t, handler.VerdictOf(got).Postponed)
	})
}

// slow answers a claim after the lease was extended.
type slow struct {
	idempotency.Store
	m *handler.Message
}

func (s *slow) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	c, err := s.Store.Claim(ctx, key, token, ttl)
	return c, errors.Join(err, s.m.Lease().Extend(ctx, time.Hour))
}

// A lease that is extended while the claim is made takes the claim along.
func TestAnExtensionDuringTheClaimRenewsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := leased("a", 10*time.Second)
		store := new(idempotency.Memory)
		h := guard(t, &slow{store, m}, nil, func(ctx context.Context, m *handler.Message) error {
			time.Sleep(time.Minute) //nolint:forbidigo // moves the bubble's clock
			c, err := store.Claim(ctx, idempotency.StoreKey(m.Origin().Queue, "a"), "other", time.Nanosecond)
			require.NoError(t, err)
			require.Equal(t, idempotency.InProgress, c.State)
			return nil
		})
		require.NoError(t, h.Handle(t.Context(), m))
	})
}

// holder says that another claim holds every key.
type holder struct {
	idempotency.Memory
	remaining time.Duration
}

func (h *holder) Claim(context.Context, string, string, time.Duration) (idempotency.Claim, error) {
	return idempotency.Claim{State: idempotency.InProgress, Remaining: h.remaining}, nil
}

func TestAClaimOfAnyLength(t *testing.T) {
	for remaining, least := range map[time.Duration]time.Duration{
		math.MaxInt64: math.MaxInt64, math.MaxInt64 - time.Second: math.MaxInt64 - time.Second, time.Hour: time.Hour, 0: 0, -time.Hour: 0,
	} {
		h, err := idempotency.New(&holder{remaining: remaining}, nil)
		require.NoError(t, err)
		v := handler.VerdictOf(h(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			t.Error("handled, though another worker has it")
			return nil
		})).Handle(t.Context(), leased("a", time.Minute)))
		require.True(t, v.Postponed)
		require.GreaterOrEqual(t, v.Delay, least, remaining)
	}
}

// quitter is an error whose Unwrap ends the goroutine.
type quitter struct{}

func (quitter) Error() string { return "quit" }
func (quitter) Unwrap() error { runtime.Goexit(); return nil }

// Methods of an error that end the goroutine leave no claim behind, and an
// observer that does so does not undo what is done.
func TestUserCodeThatEndsTheGoroutine(t *testing.T) {
	var s idempotency.Memory
	observer := observerFunc(func(handler.Event) { runtime.Goexit() })
	m, err := idempotency.New(&s, &idempotency.Config{Observer: observer, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	handle := func(verdict error) (err error) {
		err = errors.New("the goroutine has ended")
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = m(handler.HandlerFunc(func(context.Context, *handler.Message) error { return verdict })).Handle(t.Context(), leased("a", time.Minute))
		}()
		<-done
		return err
	}
	require.Equal(t, quitter{}, handle(quitter{}))
	require.Zero(t, s.Len(), "its claim was left behind")
	require.NoError(t, handle(nil))
	require.NoError(t, handle(nil), "a duplicate")
}

type observerFunc func(handler.Event)

func (f observerFunc) Observe(e handler.Event) { f(e) }
