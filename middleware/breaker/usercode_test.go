package breaker_test

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/breaker"
)

// No user code runs under the breaker's lock, and none that panics or ends its
// goroutine leaves a probe's place taken or the breaker stuck.
func TestUserCodeThatMisbehaves(t *testing.T) {
	for name, misbehave := range map[string]func(){"panics": func() { panic("boom") }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *breaker.Breaker
				var bad atomic.Bool
				hook := func() {
					b.State() // would deadlock under the lock
					if bad.Load() {
						misbehave()
					}
				}
				var err error
				b, err = breaker.New(&breaker.Config{
					MinCount: 1, OpenFor: time.Second,
					Failure:  func(error) bool { hook(); return true },
					OnChange: func(breaker.State, breaker.State, error) { hook() },
					Random:   func() float64 { hook(); return 0 },
					Check:    func(context.Context) error { hook(); return nil },
					Logger:   slog.New(slog.DiscardHandler),
				})
				require.NoError(t, err)
				apart := func(err error) {
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() { _ = recover() }() // as the runtime does
						_ = pass(t.Context(), b, err)
					}()
					<-done
				}
				apart(errDown)
				require.Equal(t, breaker.Open, b.State())
				bad.Store(true)
				for range 20 { // probes, checks and changes of which all go wrong
					time.Sleep(time.Minute) //nolint:forbidigo // moves the bubble's clock
					b.Admit(1)
					synctest.Wait()
					apart(errDown)
				}
				bad.Store(false)
				for range 5 {
					time.Sleep(2 * time.Minute) //nolint:forbidigo // moves the bubble's clock
					b.Admit(1)
					synctest.Wait()
					apart(nil)
				}
				require.Equal(t, breaker.Closed, b.State(), "a probe's place was never given back")
			})
		})
	}
}

// A pause near the largest duration does not turn negative, which would have
// messages come back immediately, for ever.
func TestTheLongestPause(t *testing.T) {
	for _, random := range []float64{0, 0.5, math.Nextafter(1, 0)} {
		b, err := breaker.New(&breaker.Config{
			MinCount: 1, OpenFor: math.MaxInt64, Logger: slog.New(slog.DiscardHandler), Random: func() float64 { return random },
		})
		require.NoError(t, err)
		for _, cause := range []error{errDown, nil} { // the one that opens it, and one that finds it open
			v := handler.VerdictOf(pass(t.Context(), b, cause))
			require.Equal(t, handler.ActionRetry, v.Action)
			require.Greater(t, v.Delay, 200*365*24*time.Hour)
		}
	}
}

// An OnChange that ends its goroutine does not cost a handler its verdict, and the next
// change is reported.
func TestOnChangeKeepsTheVerdict(t *testing.T) {
	for name, misbehave := range map[string]func(){"panics": func() { panic("boom") }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []breaker.State
				b, err := breaker.New(&breaker.Config{
					MinCount: 1, OpenFor: time.Second, Logger: slog.New(slog.DiscardHandler),
					OnChange: func(_, to breaker.State, _ error) { told = append(told, to); misbehave() },
				})
				require.NoError(t, err)
				fails := context.DeadlineExceeded
				h := b.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return fails }))
				handle := func() (err error, returned bool) {
					done := make(chan struct{})
					go func() {
						defer close(done)
						err = h.Handle(t.Context(), &handler.Message{})
						returned = true
					}()
					<-done
					return err, returned
				}
				err, returned := handle()
				require.True(t, returned, "the handler's goroutine has ended")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				fails = nil
				<-time.After(time.Minute)
				for range 20 {
					err, returned = handle()
					require.True(t, returned, "the handler's goroutine has ended")
					require.NoError(t, err)
				}
				require.Equal(t, breaker.Closed, b.State())
				require.Equal(t, []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed}, told)
			})
		})
	}
}
