package breaker_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// errRefused is a failure that is known to be a dependency's.
var errRefused = &net.OpError{Op: "dial", Err: errDown}

// An error of unknown kind may be a mistake of the handler, so it takes more of them.
func TestErrorsOfUnknownKindTakeMore(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config breaker.Config
		err    error
		want   int
	}{
		{"known", breaker.Config{}, errRefused, 10},
		{"known, wrapped", breaker.Config{}, handler.RetryAfter(time.Second, fmt.Errorf("x: %w", errRefused)), 10},
		{"known, at the last attempt", breaker.Config{}, handler.Reject(handler.Exhausted(3, 3, errRefused)), 10},
		{"unknown", breaker.Config{}, errDown, 50},
		{"unknown, its own number", breaker.Config{MinUnknown: 17}, errDown, 17},
		{"unknown, few are enough", breaker.Config{MinCount: 3}, errDown, 3},
		{"unknown, named by the user", breaker.Config{Failure: func(error) bool { return true }}, errDown, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, n := newBreaker(t, &tc.config), 0
			for ; b.State() == breaker.Closed && n < 1000; n++ {
				_ = pass(t.Context(), b, tc.err)
			}
			require.Equal(t, tc.want, n)
		})
	}
}

// After an outage of the dependency, probes that fail by the handler's own mistake do
// not keep the breaker open.
func TestPoisonProbesDoNotProlongAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, small())
		_, _ = pass(t.Context(), b, errRefused), pass(t.Context(), b, errRefused)
		<-time.After(10 * time.Second)
		synctest.Wait()
		for range 3 {
			require.ErrorIs(t, pass(t.Context(), b, errDown), errDown)
			require.Equal(t, breaker.HalfOpen, b.State())
			require.Equal(t, 1, admitted(b))
		}
		_ = pass(t.Context(), b, errDown)
		require.Equal(t, breaker.Open, b.State(), "its patience has an end")
		<-time.After(20 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, pass(t.Context(), b, errDown), errDown)
		require.NoError(t, pass(t.Context(), b, nil))
		require.Equal(t, breaker.Closed, b.State())
	})
}

// While the breaker is open a verdict that ends the message stands, but for one whose
// only ground is that the attempts are used up, and that up to twice as many.
func TestTerminalVerdictsPass(t *testing.T) {
	exhausted := func(attempt int) error { return handler.Reject(handler.Exhausted(attempt, 3, errRefused)) }
	for _, tc := range []struct {
		name string
		err  error
		want handler.Action
	}{
		{"the last attempt", exhausted(3), handler.ActionRetry},
		{"the fifth", exhausted(5), handler.ActionRetry},
		{"the sixth", exhausted(6), handler.ActionDeadLetter},
		{"beyond", exhausted(40), handler.ActionDeadLetter},
		{"rejected", handler.Reject(errRefused), handler.ActionDeadLetter},
		{"dropped", handler.Drop(errRefused), handler.ActionDrop},
		{"exhausted in words of its own", handler.Reject(fmt.Errorf("%w: %w", handler.ErrExhausted, errRefused)), handler.ActionDeadLetter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := small()
			c.Failure = func(error) bool { return true }
			b := newBreaker(t, c)
			_ = pass(t.Context(), b, errRefused)
			got := pass(t.Context(), b, tc.err)
			require.Equal(t, breaker.Open, b.State())
			require.Equal(t, tc.want.String(), handler.VerdictOf(got).Action.String())
		})
	}
	b := newBreaker(t, &breaker.Config{MinCount: 1, Failure: func(error) bool { return true }})
	postponed := handler.Postpone(time.Second, errRefused)
	require.Same(t, postponed, pass(t.Context(), b, postponed), "no attempt is spent")
}

// A duplicate is acked without the handler, and says nothing about the dependency.
func TestADuplicateIsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once, err := idempotency.New(idempotency.NewMemory(), nil)
		require.NoError(t, err)
		b, calls := newBreaker(t, small()), 0
		var answer error
		h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { calls++; return answer }), b.Middleware, once)
		done := func() error { return h.Handle(t.Context(), &handler.Message{ID: "done"}) }
		require.NoError(t, done())
		answer = errRefused
		for i := range 3 {
			require.Error(t, h.Handle(t.Context(), &handler.Message{ID: fmt.Sprint(i)}))
		}
		require.Equal(t, breaker.Open, b.State())
		<-time.After(10 * time.Second)
		synctest.Wait()
		before := calls
		require.NoError(t, done())
		require.Equal(t, before, calls)
		require.Equal(t, breaker.HalfOpen, b.State())
		require.Equal(t, 1, admitted(b), "its place is free for another")
		answer = nil
		require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "new"}))
		require.Equal(t, breaker.Closed, b.State())
		for range 100 {
			require.NoError(t, done())
		}
		answer = errRefused
		for i := range 2 {
			_ = h.Handle(t.Context(), &handler.Message{ID: fmt.Sprint("x", i)})
		}
		require.Equal(t, breaker.Open, b.State(), "duplicates are no successes")
	})
}
