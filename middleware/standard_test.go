package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/bulkhead"
	"github.com/sluice-go/sluice/middleware/expiry"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/log"
	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/timeout"
)

var errDown = errors.New("connection refused")

// spy stands for a middleware in the stack: it notes what it saw.
type spy struct {
	entered int
	last    error
	panics  int
}

func (s *spy) middleware(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		s.entered++
		defer func() {
			if v := recover(); v != nil {
				s.panics++
				panic(v)
			}
		}()
		s.last = next.Handle(ctx, m)
		return s.last
	})
}

// stack is a whole one, with spies where otel and idempotency stand.
type stack struct {
	*middleware.Stack
	otel, idempotency *spy
	breaker           *breaker.Breaker
	limit             *ratelimit.Limiter
	log               *bytes.Buffer
}

func newStack(t *testing.T, change func(*middleware.Config)) *stack {
	t.Helper()
	s := &stack{otel: &spy{}, idempotency: &spy{}, log: &bytes.Buffer{}}
	var err error
	s.breaker, err = breaker.New(&breaker.Config{MinCount: 2})
	require.NoError(t, err)
	s.limit, err = ratelimit.New(100, time.Second, &ratelimit.Config{MaxWait: -1})
	require.NoError(t, err)
	c := &middleware.Config{
		Logger:      slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Telemetry:   s.otel.middleware,
		Breakers:    []*breaker.Breaker{nil, s.breaker},
		RateLimits:  []*ratelimit.Limiter{s.limit, nil},
		Idempotency: s.idempotency.middleware,
		Backoff:     &backoff.Config{Min: time.Second, Jitter: backoff.NoJitter, MaxAttempts: 3},
		Timeout:     time.Minute,
	}
	if change != nil {
		change(c)
	}
	s.Stack, err = middleware.Standard(c)
	require.NoError(t, err)
	return s
}

func returning(err error) handler.Handler {
	return handler.HandlerFunc(func(context.Context, *handler.Message) error { return err })
}

func TestTheZeroStackWorks(t *testing.T) {
	s, err := middleware.Standard(nil)
	require.NoError(t, err)
	require.Empty(t, s.Gates())
	require.NoError(t, s.Handler(returning(nil)).Handle(t.Context(), &handler.Message{}))
	v := handler.VerdictOf(s.Handler(returning(errDown)).Handle(t.Context(), &handler.Message{Attempt: 1}))
	require.True(t, v.Delayed, "with backoff")
}

func TestAnExpiredMessageSpendsNothing(t *testing.T) {
	s := newStack(t, nil)
	m := &handler.Message{Attempt: 1}
	m.SetExpires(time.Now().Add(-time.Second))
	err := s.Handler(returning(nil)).Handle(t.Context(), m)
	require.ErrorIs(t, err, expiry.ErrExpired)
	require.Equal(t, handler.ActionDrop, handler.VerdictOf(err).Action)
	require.Zero(t, s.idempotency.entered)
	require.Equal(t, 1, s.otel.entered)
	require.Contains(t, s.log.String(), "the message has expired")
}

func TestTheGatesAreThoseOfBreakersAndLimits(t *testing.T) {
	s := newStack(t, nil)
	require.Equal(t, []handler.Gate{s.breaker, s.limit}, s.Gates())
}

func TestThePartsReportAllTheirFaults(t *testing.T) {
	_, err := middleware.Standard(&middleware.Config{
		Backoff: &backoff.Config{MaxAttempts: -1}, Timeout: -1, Heartbeat: &heartbeat.Config{Max: -1},
	})
	for _, want := range []string{"MaxAttempts", "timeout", "heartbeat"} {
		require.ErrorContains(t, err, want)
	}
}

func TestAPanicIsAFailureWithADelay(t *testing.T) {
	s := newStack(t, nil)
	h := s.Handler(handler.HandlerFunc(func(context.Context, *handler.Message) error { panic("boom") }))
	err := h.Handle(t.Context(), &handler.Message{Attempt: 2})
	require.Equal(t, 2*time.Second, handler.VerdictOf(err).Delay, "backoff delays it")
	for _, seen := range []*spy{s.otel, s.idempotency} {
		var p *handler.PanicError
		require.ErrorAs(t, seen.last, &p)
		require.Zero(t, seen.panics)
	}
	require.Equal(t, 1, strings.Count(s.log.String(), "handler panicked"))
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(h.Handle(t.Context(), &handler.Message{Attempt: 3})).Action,
		"and in the end it is dead-lettered, with its reason")
}

func TestAPanicOfAMiddlewareDoesNotGetOut(t *testing.T) {
	s := newStack(t, func(c *middleware.Config) {
		c.Idempotency = func(handler.Handler) handler.Handler {
			return handler.HandlerFunc(func(context.Context, *handler.Message) error { panic("store") })
		}
	})
	err := s.Handler(returning(nil)).Handle(t.Context(), &handler.Message{Attempt: 1})
	require.ErrorContains(t, err, "panic: store")
	require.Equal(t, 1, s.otel.panics)
	require.Equal(t, breaker.Closed, s.breaker.State())
}

func TestATimeoutIsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t, nil)
		err := s.Handler(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			return ctx.Err()
		})).Handle(t.Context(), &handler.Message{Attempt: 1})
		require.ErrorIs(t, err, timeout.ErrTimeout)
		require.Equal(t, time.Second, handler.VerdictOf(err).Delay)
	})
}

func TestTheLeaseIsKeptWhileTheHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t, nil)
		lease := handlertest.NewLease(10*time.Second, nil)
		m := &handler.Message{Attempt: 1}
		m.Bind(nil, lease)
		ctx := lease.Context(t.Context())
		require.NoError(t, s.Handler(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			<-time.After(45 * time.Second)
			return ctx.Err()
		})).Handle(ctx, m))
		_, kept := lease.Kept()
		require.False(t, kept, "stopped before the verdict goes on")
		require.True(t, lease.End())
	})
}

func TestAnOpenBreakerSpendsNothing(t *testing.T) {
	s := newStack(t, nil)
	h := s.Handler(returning(errDown))
	require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{Attempt: 1}), errDown)
	err := h.Handle(t.Context(), &handler.Message{Attempt: 3})
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action, "its last attempt is not spent on the outage")
	require.Equal(t, 2, s.idempotency.entered)

	require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{Attempt: 1}), handler.ErrPostponed)
	require.Equal(t, 2, s.idempotency.entered, "nothing is claimed")
	n, _ := s.limit.Admit(1000)
	require.Equal(t, 98, n, "no token is taken")
	require.Equal(t, 3, s.otel.entered)
	require.Contains(t, s.log.String(), "postponed=true")
}

func TestALimitClaimsNothing(t *testing.T) {
	s := newStack(t, func(c *middleware.Config) {
		l, err := ratelimit.New(1, time.Hour, &ratelimit.Config{MaxWait: -1})
		require.NoError(t, err)
		c.RateLimits = []*ratelimit.Limiter{l}
		c.Bulkhead, err = bulkhead.New(1, func(m *handler.Message) string { return m.Group }, nil)
		require.NoError(t, err)
	})
	h := s.Handler(returning(nil))
	require.NoError(t, h.Handle(t.Context(), &handler.Message{Group: "g"}))
	require.ErrorIs(t, h.Handle(t.Context(), &handler.Message{Group: "g"}), ratelimit.ErrLimited)
	require.Equal(t, 1, s.idempotency.entered)
	require.Equal(t, breaker.Closed, s.breaker.State())
}

func TestTheLogHasTheVerdictThatIsCarriedOut(t *testing.T) {
	s := newStack(t, func(c *middleware.Config) { c.Log = &log.Config{SampleAcks: 2} })
	_ = s.Handler(returning(errDown)).Handle(t.Context(), &handler.Message{ID: "m1", Attempt: 2})
	require.Contains(t, s.log.String(), "message_id=m1 attempt=2")
	require.Contains(t, s.log.String(), "retry_delay=2s")
}

// With the real idempotency middleware: what is done is not run again, what
// failed is, and what panicked has left no claim behind.
func TestWithIdempotency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw, err := idempotency.New(idempotency.NewMemory(), nil)
		require.NoError(t, err)
		s := newStack(t, func(c *middleware.Config) { c.Idempotency = mw })
		runs := 0
		q, err := handlertest.New(s.Handler(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			switch runs++; runs {
			case 1:
				return errDown
			case 2:
				panic("boom")
			default:
				return nil
			}
		})), &handlertest.Config{Gates: s.Gates()})
		require.NoError(t, err)
		q.Send(&handler.Message{DedupeID: "d"})
		_, err = q.Drain(t.Context())
		require.NoError(t, err)
		q.Send(&handler.Message{DedupeID: "d"})
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Equal(t, handlertest.Acked, ds[0].Outcome)
		require.Equal(t, 3, runs)
		require.Empty(t, q.DeadLetters())
	})
}
