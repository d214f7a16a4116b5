package timeout_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/timeout"
)

var errBoom = errors.New("boom")

func newTimeout(t testing.TB, d time.Duration, c *timeout.Config) handler.Middleware {
	t.Helper()
	mw, err := timeout.New(d, c)
	require.NoError(t, err)
	return mw
}

func TestTheContextEndsWithTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		h := newTimeout(t, time.Minute, nil)(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), timeout.ErrTimeout)
			return fmt.Errorf("charge: %w", ctx.Err())
		}))
		err := h.Handle(t.Context(), &handler.Message{})
		require.Equal(t, time.Minute, time.Since(start))
		require.ErrorIs(t, err, timeout.ErrTimeout)
		require.EqualError(t, err, "the handler's time is up after 1m0s: charge: context deadline exceeded")
	})
}

func TestOnlyAnErrorOfTheTimeoutIsExplained(t *testing.T) {
	for _, tc := range []struct {
		name    string
		err     error
		timeout bool
	}{
		{"done, however late", nil, false},
		{"another error", errBoom, false},
		{"the context's error", context.DeadlineExceeded, true},
		{"the context's cause", timeout.ErrTimeout, true},
		{"a verdict around it", handler.RetryAfter(time.Hour, context.DeadlineExceeded), true},
		{"a rejection around it", handler.Reject(context.DeadlineExceeded), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTimeout(t, time.Second, nil)(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
					<-ctx.Done()
					return tc.err
				}))
				err := h.Handle(t.Context(), &handler.Message{})
				require.Equal(t, tc.timeout, errors.Is(err, timeout.ErrTimeout))
				require.ErrorIs(t, err, tc.err)
				got, want := handler.VerdictOf(err), handler.VerdictOf(tc.err)
				got.Err, want.Err = nil, nil
				require.Equal(t, want, got)
			})
		})
	}
}

func TestAnotherEndOfTheContextIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, handler.ErrStopped)
		defer cancel()
		h := newTimeout(t, time.Minute, nil)(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		require.NotErrorIs(t, h.Handle(ctx, &handler.Message{}), timeout.ErrTimeout)
	})
}

func TestAMessageCanHaveItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &timeout.Config{For: func(m *handler.Message) time.Duration {
			d, err := time.ParseDuration(m.Attribute("limit"))
			require.NoError(t, err)
			return d
		}}
		h := newTimeout(t, time.Minute, c)(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			deadline, limited := ctx.Deadline()
			want, unlimited := map[string]time.Duration{"0s": time.Minute, "5s": 5 * time.Second}[m.Attribute("limit")], m.Attribute("limit") == "-1s"
			require.Equal(t, unlimited, !limited)
			if limited {
				require.Equal(t, time.Now().Add(want), deadline)
			}
			return nil
		}))
		for _, limit := range []string{"0s", "5s", "-1s"} {
			require.NoError(t, h.Handle(t.Context(), &handler.Message{Attributes: map[string]string{"limit": limit}}))
		}
	})
}

func TestErrTimeoutIsATransientNetworkLikeError(t *testing.T) {
	require.ErrorIs(t, timeout.ErrTimeout, context.DeadlineExceeded)
	require.Equal(t, backoff.Transient, backoff.Classify(timeout.ErrTimeout))
	require.Implements(t, (*interface{ Timeout() bool })(nil), timeout.ErrTimeout)
	require.NotErrorIs(t, timeout.ErrTimeout, net.ErrClosed)
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, d := range []time.Duration{0, -1} {
		_, err := timeout.New(d, nil)
		require.ErrorContains(t, err, "must be positive")
	}
}

func BenchmarkTimeout(b *testing.B) {
	h := newTimeout(b, time.Minute, nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	m := &handler.Message{}
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Handle(ctx, m)
	}
}
