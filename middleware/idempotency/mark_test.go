package idempotency_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
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
		h := guard(t, strict{idempotency.NewMemory()}, nil, func(context.Context, *handler.Message) error {
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

// A handler that was canceled because its claim was lost has not failed.
func TestALostClaimIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := idempotency.NewMemory()
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
		_, err := s.Claim(t.Context(), policy.StoreKey(m.Origin().Queue, "a"), "other", time.Hour)
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
		store := idempotency.NewMemory()
		h := guard(t, &slow{store, m}, nil, func(ctx context.Context, m *handler.Message) error {
			time.Sleep(time.Minute) //nolint:forbidigo // moves the bubble's clock
			c, err := store.Claim(ctx, policy.StoreKey(m.Origin().Queue, "a"), "other", time.Nanosecond)
			require.NoError(t, err)
			require.Equal(t, idempotency.InProgress, c.State)
			return nil
		})
		require.NoError(t, h.Handle(t.Context(), m))
	})
}

// holder says that another claim holds every key.
type holder struct {
	idempotency.Store
	remaining time.Duration
}

func (h *holder) Claim(context.Context, string, string, time.Duration) (idempotency.Claim, error) {
	return idempotency.Claim{State: idempotency.InProgress, Remaining: h.remaining}, nil
}

func TestAClaimOfAnyLength(t *testing.T) {
	for remaining, least := range map[time.Duration]time.Duration{
		math.MaxInt64: math.MaxInt64, math.MaxInt64 - time.Second: math.MaxInt64 - time.Second, time.Hour: time.Hour, 0: 0, -time.Hour: 0,
	} {
		h, err := idempotency.New(&holder{Store: idempotency.NewMemory(), remaining: remaining}, nil)
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
	s := idempotency.NewMemory()
	observer := observerFunc(func(handler.Event) { runtime.Goexit() })
	m, err := idempotency.New(s, &idempotency.Config{Observer: observer, Logger: slog.New(slog.DiscardHandler)})
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
	c, err := s.Claim(t.Context(), policy.StoreKey("orders", "a"), "another", time.Nanosecond)
	require.NoError(t, err)
	require.Equal(t, idempotency.Claimed, c.State, "its claim was left behind")
	require.NoError(t, handle(nil))
	require.NoError(t, handle(nil), "a duplicate")
}

type observerFunc func(handler.Event)

func (f observerFunc) Observe(e handler.Event) { f(e) }

// narrow is a store that takes small results only, and is down for a while.
type narrow struct {
	idempotency.Store
	down  int // calls of Complete that fail
	calls int
}

func (s *narrow) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	s.calls++
	if s.down--; s.down >= 0 {
		return errDown
	}
	if len(result) > 10 {
		return errors.New("ValidationException: Item size has exceeded the maximum allowed size")
	}
	return s.Store.Complete(ctx, key, token, result, ttl)
}

// A result that the store can never take does not have the work done again.
func TestAResultThatTheStoreRefusesIsLeftOut(t *testing.T) {
	for name, tc := range map[string]struct {
		result string
		down   int
		lease  time.Duration // zero: none
		want   string
		calls  int // at most
	}{
		"too large":                        {"more than ten bytes", 0, time.Hour, "", 8},
		"too large, without a lease":       {"more than ten bytes", 0, 0, "", 8},
		"too large, the lease nearly over": {"more than ten bytes", 0, 50 * time.Millisecond, "", 2},
		"too large, and down for a while":  {"more than ten bytes", 20, time.Hour, "", 30},
		"small":                            {"small", 0, time.Hour, "small", 1},
		"small, and down for a while":      {"small", 2, time.Hour, "small", 3},
		"none":                             {"", 5, time.Hour, "", 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &narrow{Store: idempotency.NewMemory(), down: tc.down}
				runs, got := 0, "not asked"
				h := guard(t, s, &idempotency.Config{OnDuplicate: func(_ context.Context, _ *handler.Message, result []byte) error {
					got = string(result)
					return nil
				}}, func(ctx context.Context, _ *handler.Message) error {
					runs++
					require.True(t, idempotency.SetResult(ctx, []byte(tc.result)))
					return nil
				})
				m := &handler.Message{ID: "a"}
				m.Bind(&handler.Origin{Queue: "orders"}, nil)
				if tc.lease > 0 {
					m = leased("a", tc.lease)
				}
				start := time.Now()
				require.NoError(t, h.Handle(t.Context(), m))
				require.Less(t, time.Since(start), 5*time.Second)
				require.NoError(t, h.Handle(t.Context(), leased("a", time.Hour)))
				require.Equal(t, 1, runs)
				require.Equal(t, tc.want, got)
				require.LessOrEqual(t, s.calls, tc.calls)
			})
		})
	}
}

// cut is a store that one worker reaches no more: it has died, or is cut off.
type cut struct {
	idempotency.Store
	off atomic.Bool
}

func (s *cut) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	if s.off.Load() {
		return errDown
	}
	return s.Store.Renew(ctx, key, token, ttl)
}

// A claim on a delivery without a lease is kept for as long as its handler runs, and
// ends soon after its worker.
func TestAClaimWithoutALeaseEndsSoonAfterItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := idempotency.NewMemory()
		mine := &cut{Store: shared}
		leave := make(chan struct{})
		h := guard(t, mine, nil, func(context.Context, *handler.Message) error { <-leave; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour) // far away, as that of a function may be
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- h.Handle(ctx, &handler.Message{ID: "a"}) }()

		runs := 0
		other := guard(t, shared, nil, func(context.Context, *handler.Message) error { runs++; return nil })
		for range 60 { // an hour
			<-time.After(time.Minute)
			v := handler.VerdictOf(other.Handle(t.Context(), &handler.Message{ID: "a"}))
			require.True(t, v.Postponed)
			require.LessOrEqual(t, v.Delay, 2*time.Minute)
		}
		mine.off.Store(true)
		died := time.Now()
		for runs == 0 {
			require.Less(t, time.Since(died), 90*time.Second, "the dead worker still holds its claim")
			<-time.After(time.Second)
			_ = other.Handle(t.Context(), &handler.Message{ID: "a"})
		}
		close(leave)
		v := handler.VerdictOf(<-done)
		require.True(t, v.Postponed, "its late success is not acked on its own word")
		require.Equal(t, 1, runs)
	})
}
