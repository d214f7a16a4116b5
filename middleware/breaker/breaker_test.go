package breaker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
)

var errDown = errors.New("connection refused")

// none keeps pauses free of chance.
func none() float64 { return 0 }

// small opens after two failures, for ten seconds.
func small() *breaker.Config {
	return &breaker.Config{Name: "gateway", MinCount: 2, OpenFor: 10 * time.Second, MaxOpenFor: 40 * time.Second, Random: none}
}

func newBreaker(t testing.TB, c *breaker.Config) *breaker.Breaker {
	t.Helper()
	b, err := breaker.New(c)
	require.NoError(t, err)
	return b
}

// pass sends a message whose handler returns err through the breaker.
func pass(ctx context.Context, b *breaker.Breaker, err error) error {
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error { return err })
	return b.Middleware(h).Handle(ctx, &handler.Message{})
}

// admitted is how many of ten messages the gate lets through.
func admitted(b *breaker.Breaker) int {
	n, _ := b.Admit(10)
	return n
}

func TestItOpensProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		c := small()
		c.OnChange = func(from, to breaker.State, cause error) {
			seen = append(seen, fmt.Sprintf("%v>%v %v", from, to, cause))
		}
		b := newBreaker(t, c)
		require.Equal(t, breaker.Closed, b.State())
		require.Equal(t, 10, admitted(b))

		require.Same(t, errDown, pass(t.Context(), b, errDown), "while closed, errors are the handler's own")
		err := pass(t.Context(), b, errDown) // the one that opens it is given back
		require.ErrorIs(t, err, breaker.ErrOpen)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, 10*time.Second, handler.VerdictOf(err).Delay)
		require.Equal(t, breaker.Open, b.State())

		n, reopened := b.Admit(10)
		require.Zero(t, n)
		opened := time.Now()
		<-reopened
		require.Equal(t, 10*time.Second, time.Since(opened))
		require.Equal(t, breaker.HalfOpen, b.State())
		require.Equal(t, 1, admitted(b), "one probe")

		require.ErrorIs(t, pass(t.Context(), b, errDown), breaker.ErrOpen)
		_, reopened = b.Admit(10)
		opened = time.Now()
		<-reopened
		require.Equal(t, 20*time.Second, time.Since(opened), "twice as long")

		require.NoError(t, pass(t.Context(), b, nil))
		require.Equal(t, breaker.Closed, b.State())
		require.Equal(t, 10, admitted(b))
		require.Same(t, errDown, pass(t.Context(), b, errDown), "old failures are forgotten")
		synctest.Wait() // a change while another is reported is reported by the same goroutine
		require.Equal(t, []string{
			"closed>open connection refused", "open>half-open <nil>", "half-open>open connection refused",
			"open>half-open <nil>", "half-open>closed <nil>",
		}, seen)
	})
}

func TestPausesDoubleUpToTheMaximumAndStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, small())
		_ = pass(t.Context(), b, errDown)
		var pauses []time.Duration
		for range 5 {
			_ = pass(t.Context(), b, errDown)
			start := time.Now()
			_, reopened := b.Admit(1)
			<-reopened
			pauses = append(pauses, time.Since(start))
		}
		require.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 40 * time.Second, 40 * time.Second}, pauses)
		require.NoError(t, pass(t.Context(), b, nil))
		_ = pass(t.Context(), b, errDown)
		require.Equal(t, 10*time.Second, handler.VerdictOf(pass(t.Context(), b, errDown)).Delay)
	})
}

func TestPausesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := small()
		c.Random = func() float64 { return 0.5 }
		b := newBreaker(t, c)
		_ = pass(t.Context(), b, errDown)
		err := pass(t.Context(), b, errDown)
		start := time.Now()
		_, reopened := b.Admit(1)
		<-reopened
		require.Equal(t, 11*time.Second, time.Since(start))
		require.Equal(t, 16*time.Second, handler.VerdictOf(err).Delay, "messages come back after that, spread over a pause")
	})
}

func TestTheLongestPauseIsNoShortOne(t *testing.T) {
	for _, longest := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
		synctest.Test(t, func(t *testing.T) {
			c := small()
			c.OpenFor, c.MaxOpenFor, c.Random = longest, longest, func() float64 { return 0.99 }
			b := newBreaker(t, c)
			_ = pass(t.Context(), b, errDown)
			_ = pass(t.Context(), b, errDown)
			_, reopened := b.Admit(1)
			select {
			case <-reopened:
				t.Errorf("a breaker that opens for %v has closed", longest)
			case <-time.After(24 * time.Hour):
			}
		})
	}
}

func TestMessagesHeldWhileOpenAreGivenBackUnhandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, small())
		_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
		<-time.After(4 * time.Second)
		err := b.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			t.Error("handled while open")
			return nil
		})).Handle(t.Context(), &handler.Message{})
		require.ErrorIs(t, err, breaker.ErrOpen)
		require.ErrorIs(t, err, handler.ErrPostponed)
		require.EqualError(t, err, "retry after 6s: postponed: gateway: breaker is open")
	})
}

// A message in its last attempt fails while the breaker is open: it is not the
// message's fault.
func TestTheLastAttemptIsNotSpentOnAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retries, err := backoff.New(&backoff.Config{MaxAttempts: 1})
		require.NoError(t, err)
		b := newBreaker(t, small())
		h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errDown }), b.Middleware, retries)
		m := &handler.Message{Attempt: 1}
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(h.Handle(t.Context(), m)).Action, "while closed, attempts count")
		v := handler.VerdictOf(h.Handle(t.Context(), m))
		require.Equal(t, handler.ActionRetry, v.Action, "rejections by exhaustion open it")
		require.Equal(t, 10*time.Second, v.Delay)
	})
}

func TestALongerDelayOfTheHandlersOwnHolds(t *testing.T) {
	b := newBreaker(t, small())
	_ = pass(t.Context(), b, errDown)
	own := handler.RetryAfter(time.Hour, errDown)
	require.Same(t, own, pass(t.Context(), b, own))
	require.Equal(t, breaker.Open, b.State())
}

// notRetryable is an error that calls itself permanent.
type notRetryable struct{}

func (notRetryable) Error() string   { return "no such plan" }
func (notRetryable) Retryable() bool { return false }

func TestWhatCounts(t *testing.T) {
	stopped, stop := context.WithCancelCause(context.Background())
	stop(handler.ErrStopped)
	lost, lose := context.WithCancelCause(context.Background())
	lose(handler.ErrLeaseLost)
	late, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		err   error
		opens bool
	}{
		{"plain error", nil, errDown, true},
		{"retry after", nil, handler.RetryAfter(time.Second, errDown), true},
		{"attempts used up", nil, handler.Reject(fmt.Errorf("%w: %w", handler.ErrExhausted, errDown)), true},
		{"another end of the context", late, context.Canceled, true},
		{"rejection", nil, handler.Reject(errDown), false},
		{"drop", nil, handler.Drop(errDown), false},
		{"postponed", nil, handler.Postpone(time.Second, errDown), false},
		{"panic", nil, &handler.PanicError{Value: "x"}, false},
		{"shutdown", stopped, errDown, false},
		{"lost lease", lost, errDown, false},
		{"a lost lease, told by the error", nil, fmt.Errorf("x: %w", handler.ErrLeaseLost), false},
		{"a shutdown, told by the error", nil, fmt.Errorf("x: %w", handler.ErrStopped), false},
		{"named permanent", nil, notRetryable{}, false},
		{"ack", nil, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			b := newBreaker(t, small())
			for range 20 {
				_ = pass(ctx, b, tc.err)
			}
			require.Equal(t, tc.opens, b.State() == breaker.Open)
		})
	}
}

func TestFailuresAreTheUsersToName(t *testing.T) {
	other := errors.New("another dependency")
	c := small()
	c.Failure = func(err error) bool { return errors.Is(err, errDown) }
	b := newBreaker(t, c)
	for range 10 {
		_ = pass(t.Context(), b, other)
	}
	require.Equal(t, breaker.Closed, b.State())
	_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
	require.Equal(t, breaker.Open, b.State())
}

func TestItTakesEnoughFailuresWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &breaker.Config{Window: 10 * time.Second, MinCount: 10, Ratio: 0.6})
		for range 100 { // one every two seconds: never ten in a window
			_ = pass(t.Context(), b, errDown)
			<-time.After(2 * time.Second)
		}
		require.Equal(t, breaker.Closed, b.State())
		<-time.After(time.Minute)
		for range 40 {
			_ = pass(t.Context(), b, nil)
		}
		for range 59 { // 59 of 99
			_ = pass(t.Context(), b, errDown)
		}
		require.Equal(t, breaker.Closed, b.State())
		_ = pass(t.Context(), b, errDown) // 60 of 100
		require.Equal(t, breaker.Open, b.State())
	})
}

func TestProbesAreLimitedAndAllMustSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := small()
		c.Probes = 3
		b := newBreaker(t, c)
		_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
		<-time.After(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 3, admitted(b))

		release := make(chan error)
		h := b.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return <-release }))
		errs := make(chan error, 10)
		for range 10 {
			go func() { errs <- h.Handle(t.Context(), &handler.Message{}) }()
		}
		synctest.Wait()
		require.Len(t, errs, 7, "only three of them are let through")
		for range 7 {
			require.ErrorIs(t, <-errs, handler.ErrPostponed)
		}
		n, reopened := b.Admit(1)
		require.Zero(t, n)

		release <- handler.Reject(errDown) // says nothing: its place is free again
		<-reopened
		require.Equal(t, 1, admitted(b))
		require.NoError(t, pass(t.Context(), b, nil))
		require.Zero(t, admitted(b), "three successes are awaited, and may come from the two on their way")
		release <- nil
		synctest.Wait()
		require.Equal(t, breaker.HalfOpen, b.State())
		release <- nil
		synctest.Wait()
		require.Equal(t, breaker.Closed, b.State())
	})
}

func TestAProbesPlaceIsGivenBackWhateverHappens(t *testing.T) {
	for name, h := range map[string]handler.HandlerFunc{
		"panic":  func(context.Context, *handler.Message) error { panic("x") },
		"goexit": func(context.Context, *handler.Message) error { (&testing.T{}).FailNow(); return nil },
		"reject": func(context.Context, *handler.Message) error { return handler.Reject(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, small())
				_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
				<-time.After(10 * time.Second)
				synctest.Wait()
				for range 5 {
					var done sync.WaitGroup
					done.Go(func() {
						defer func() { _ = recover() }()
						_ = b.Middleware(h).Handle(t.Context(), &handler.Message{})
					})
					done.Wait()
					require.Equal(t, 1, admitted(b))
				}
				<-time.After(time.Hour)
				require.Equal(t, breaker.HalfOpen, b.State(), "their timers were stopped")
			})
		})
	}
}

func TestAProbeThatHangsCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := small()
		c.ProbeTimeout = 30 * time.Second
		b := newBreaker(t, c)
		_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
		<-time.After(10 * time.Second)
		synctest.Wait()
		hung, late := make(chan struct{}), make(chan error)
		go func() {
			late <- b.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { <-hung; return nil })).
				Handle(t.Context(), &handler.Message{})
		}()
		synctest.Wait()
		<-time.After(30 * time.Second)
		synctest.Wait()
		require.Equal(t, breaker.Open, b.State())
		<-time.After(20 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, admitted(b), "another may try")
		close(hung)
		require.NoError(t, <-late)
		require.Equal(t, breaker.HalfOpen, b.State(), "what comes from another era does not count")
	})
}

func TestTheCheckComesBeforeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		answer := errors.New("still down")
		c := small()
		c.ProbeTimeout = time.Second
		c.Check = func(ctx context.Context) error {
			switch checks.Add(1) {
			case 1:
				return answer
			case 2:
				panic("check")
			case 3:
				<-ctx.Done() // hangs
				return ctx.Err()
			default:
				<-time.After(time.Millisecond) // until everyone else waits
				return nil
			}
		}
		var causes []error
		c.OnChange = func(_, to breaker.State, cause error) {
			if to == breaker.Open {
				causes = append(causes, cause)
			}
		}
		b := newBreaker(t, c)
		_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
		<-time.After(time.Hour)
		require.Zero(t, checks.Load(), "no one wants to receive")

		for {
			n, reopened := b.Admit(10)
			if n > 0 {
				require.Equal(t, 1, n)
				break
			}
			require.ErrorIs(t, pass(t.Context(), b, nil), handler.ErrPostponed, "not before the check")
			<-reopened
		}
		require.Equal(t, int64(4), checks.Load())
		require.NoError(t, pass(t.Context(), b, nil))
		require.Equal(t, breaker.Closed, b.State())
		require.Len(t, causes, 4)
		require.ErrorIs(t, causes[1], answer)
		require.ErrorContains(t, causes[2], "panic: check")
		require.ErrorIs(t, causes[3], context.DeadlineExceeded)
	})
}

// A dependency goes down for a while and comes back, under a queue that would
// dead-letter after few attempts. With the gate no message is lost to the
// dead-letter queue; the same outage without a breaker shows that it would be.
func TestAnOutageCostsNoDeadLetters(t *testing.T) {
	run := func(t *testing.T, guarded bool) (letters, calls int) {
		c := small()
		c.MinCount, c.Window = 5, 10*time.Second
		b := newBreaker(t, c)
		start := time.Now()
		var during atomic.Int64
		h := handler.Handler(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			if down := time.Since(start); down > time.Minute && down < 11*time.Minute {
				during.Add(1)
				return errDown
			}
			return nil
		}))
		retries, err := backoff.New(&backoff.Config{
			Min: 5 * time.Second, Max: 10 * time.Second, Jitter: backoff.EqualJitter, MaxAttempts: 4,
		})
		require.NoError(t, err)
		queue := &handlertest.Config{MaxAttempts: 8, Concurrency: 4}
		if guarded {
			h = handler.Chain(h, b.Middleware, retries)
			queue.Gates = []handler.Gate{b}
		} else {
			h = handler.Chain(h, retries)
		}
		q, err := handlertest.New(h, queue)
		require.NoError(t, err)
		for i := range 600 {
			q.Send(&handler.Message{Delay: time.Duration(i) * time.Second})
		}
		_, err = q.Drain(t.Context())
		require.NoError(t, err)
		require.Empty(t, q.Pending())
		return len(q.DeadLetters()), int(during.Load())
	}
	synctest.Test(t, func(t *testing.T) {
		letters, calls := run(t, true)
		require.Zero(t, letters)
		require.Less(t, calls, 50, "the dependency is left alone while it is down")
	})
	synctest.Test(t, func(t *testing.T) {
		letters, calls := run(t, false)
		require.Greater(t, letters, 400)
		require.Greater(t, calls, 1600)
	})
}

// Whatever many handlers at the same time do, the breaker ends up closed when the
// dependency is well: no place of a probe is ever lost.
func TestItRecoversFromAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &breaker.Config{MinCount: 3, OpenFor: time.Second, MaxOpenFor: 4 * time.Second, Probes: 3, ProbeTimeout: 5 * time.Second}
		b := newBreaker(t, c)
		var healthy atomic.Bool
		h := b.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			<-time.After(time.Duration(rand.Int64N(int64(8 * time.Second))))
			if healthy.Load() {
				return nil
			}
			switch rand.IntN(6) {
			case 0:
				panic("x")
			case 1:
				return handler.Reject(errDown)
			case 2:
				return nil
			case 3:
				return handler.Postpone(0, nil)
			default:
				return errDown
			}
		}))
		var workers sync.WaitGroup
		stop := time.Now().Add(time.Hour)
		for range 16 {
			workers.Go(func() {
				for time.Now().Before(stop) {
					if n, reopened := b.Admit(1); n == 0 {
						<-reopened
						continue
					}
					func() {
						defer func() { _ = recover() }()
						_ = h.Handle(t.Context(), &handler.Message{})
					}()
				}
			})
		}
		<-time.After(30 * time.Minute)
		healthy.Store(true)
		workers.Wait()
		require.Equal(t, breaker.Closed, b.State())
	})
}

func TestChangesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := small()
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
		var b *breaker.Breaker
		c.OnChange = func(_, to breaker.State, _ error) { require.Equal(t, to, b.State(), "it may look") }
		b = newBreaker(t, c)
		_, _ = pass(t.Context(), b, errDown), pass(t.Context(), b, errDown)
		<-time.After(10 * time.Second)
		synctest.Wait()
		require.NoError(t, pass(t.Context(), b, nil))
		for _, want := range []string{
			`level=WARN msg="breaker open" breaker=gateway from=closed to=open pause=10s error="connection refused"`,
			`level=INFO msg="breaker half-open"`, `level=INFO msg="breaker closed" breaker=gateway from=half-open`,
		} {
			require.Contains(t, out.String(), want)
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	_, err := breaker.New(&breaker.Config{Name: "gateway", Window: -1, MinCount: -1, MinUnknown: -1, Ratio: 1.1, OpenFor: -1, Probes: -1, ProbeTimeout: -1, MaxOpenFor: -2})
	for _, want := range []string{`"gateway"`, "Window", "MinCount", "MinUnknown", "Ratio", "OpenFor", "MaxOpenFor", "Probes", "ProbeTimeout"} {
		require.ErrorContains(t, err, want)
	}
	_, err = breaker.New(&breaker.Config{Ratio: math.NaN()})
	require.ErrorContains(t, err, "Ratio")
	_, err = breaker.New(&breaker.Config{OpenFor: time.Hour})
	require.NoError(t, err, "the default maximum gives way")
}

func TestStatesHaveNames(t *testing.T) {
	require.Equal(t, "closed open half-open state(9)", fmt.Sprint(breaker.Closed, breaker.Open, breaker.HalfOpen, breaker.State(9)))
}

func BenchmarkBreaker(b *testing.B) {
	h := newBreaker(b, nil).Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = h.Handle(context.Background(), nil)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = h.Handle(context.Background(), nil)
			}
		})
	})
}
