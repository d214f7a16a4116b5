package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/bulkhead"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/log"
	"github.com/sluice-go/sluice/middleware/otel"
	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/recoverer"
	"github.com/sluice-go/sluice/middleware/timeout"
)

// Errors as users write them by mistake.
type (
	endless       struct{ n int }
	badText       struct{}
	badIs         struct{}
	badAs         struct{}
	badUnwrap     struct{}
	badUnwraps    struct{}
	badRetryable  struct{}
	badTimeout    struct{}
	badStatus     struct{}
	badType       struct{}
	typedNilCodes struct{ code string }
	uncomparable  []string
)

func (endless) Error() string             { return "without an end" }
func (e endless) Unwrap() error           { return endless{e.n + 1} }
func (badText) Error() string             { panic("Error") }
func (badIs) Error() string               { return "its Is panics" }
func (badIs) Is(error) bool               { panic("Is") }
func (badAs) Error() string               { return "its As panics" }
func (badAs) As(any) bool                 { panic("As") }
func (badUnwrap) Error() string           { return "its Unwrap panics" }
func (badUnwrap) Unwrap() error           { panic("Unwrap") }
func (badUnwraps) Error() string          { return "its Unwrap panics" }
func (badUnwraps) Unwrap() []error        { panic("Unwrap") }
func (badRetryable) Error() string        { return "its Retryable panics" }
func (badRetryable) Retryable() bool      { panic("Retryable") }
func (badTimeout) Error() string          { return "its Timeout panics" }
func (badTimeout) Timeout() bool          { panic("Timeout") }
func (badStatus) Error() string           { return "its StatusCode panics" }
func (badStatus) StatusCode() int         { panic("StatusCode") }
func (badType) Error() string             { return "its ErrorType panics" }
func (badType) ErrorType() string         { panic("ErrorType") }
func (e *typedNilCodes) Error() string    { return e.code }
func (e *typedNilCodes) SQLState() string { return e.code }
func (e uncomparable) Error() string      { return "it cannot be compared" }

var hostile = map[string]error{
	"its own cause": broken.OwnCause{}, "its own causes": broken.OwnCauses{}, "endless": endless{}, "Error": badText{}, "Is": badIs{}, "As": badAs{},
	"Unwrap": badUnwrap{}, "Unwrap of many": badUnwraps{}, "Retryable": badRetryable{}, "Timeout": badTimeout{},
	"StatusCode": badStatus{}, "ErrorType": badType{}, "typed nil": (*broken.TypedNil)(nil), "typed nil with a code": (*typedNilCodes)(nil),
	"uncomparable": uncomparable{"x"},
}

// around are the ways in which an error is returned, and what becomes of the
// message then.
var around = map[string]struct {
	wrap func(error) error
	want handler.Action
}{
	"bare":       {func(err error) error { return err }, handler.ActionRetry},
	"wrapped":    {func(err error) error { return fmt.Errorf("around: %w", err) }, handler.ActionRetry},
	"joined":     {func(err error) error { return errors.Join(errors.New("first"), err) }, handler.ActionRetry},
	"RetryAfter": {func(err error) error { return handler.RetryAfter(time.Second, err) }, handler.ActionRetry},
	"Postpone":   {func(err error) error { return handler.Postpone(time.Second, err) }, handler.ActionRetry},
	"Reject":     {handler.Reject, handler.ActionDeadLetter},
	"Exhausted":  {func(err error) error { return handler.Reject(handler.Exhausted(3, 3, err)) }, handler.ActionDeadLetter},
	"Drop":       {handler.Drop, handler.ActionDrop},
}

// everyMiddleware has each alone, and all of them.
func everyMiddleware(t *testing.T) map[string]handler.Middleware {
	t.Helper()
	must := func(mw handler.Middleware, err error) handler.Middleware {
		t.Helper()
		require.NoError(t, err)
		return mw
	}
	quiet := slog.New(slog.DiscardHandler)
	limiter, err := ratelimit.New(1_000_000, time.Second, nil)
	require.NoError(t, err)
	guard, err := breaker.New(&breaker.Config{Logger: quiet, MinCount: 1_000_000})
	require.NoError(t, err)
	tripped, err := breaker.New(&breaker.Config{Logger: quiet, MinCount: 1, Ratio: 0.01, OpenFor: time.Hour})
	require.NoError(t, err)
	tel, err := otel.New(&otel.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(tracetest.NewInMemoryExporter()))})
	require.NoError(t, err)
	each := map[string]handler.Middleware{
		"backoff":      must(backoff.New(&backoff.Config{Permanent: []string{"404"}})),
		"breaker":      guard.Middleware,
		"open breaker": tripped.Middleware,
		"bulkhead":     must(bulkhead.New(100, func(m *handler.Message) string { return m.ID }, nil)),
		"heartbeat":    must(heartbeat.New(nil)),
		"idempotency":  must(idempotency.New(idempotency.NewMemory(), &idempotency.Config{Logger: quiet, RunKeyless: true})),
		"log":          log.New(&log.Config{Logger: slog.New(slog.NewJSONHandler(&bytes.Buffer{}, nil))}),
		"otel":         tel.Middleware(),
		"ratelimit":    limiter.Middleware,
		"recoverer":    recoverer.New(&recoverer.Config{Logger: quiet}),
		"timeout":      must(timeout.New(time.Minute, nil)),
	}
	all, err := middleware.Standard(&middleware.Config{
		Logger: quiet, Telemetry: tel.Middleware(), Breakers: []*breaker.Breaker{guard}, Bulkhead: each["bulkhead"],
		RateLimits: []*ratelimit.Limiter{limiter}, Idempotency: each["idempotency"], Timeout: time.Minute,
	})
	require.NoError(t, err)
	each["standard"] = all.Handler
	return each
}

// within fails the test if f has not ended in time. A loop without an end is not
// stopped by anything, and ends with the test's process.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	select {
	case v := <-done:
		require.Nil(t, v, "%s panicked", what)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s goes on for ever", what)
	}
}

// A handler's error, and the cause of its context's end, have the verdict that they
// have without the middleware.
func TestErrorsOfHandlersNeitherHangNorPanic(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(everyMiddleware(t))) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, bad := range hostile {
				for how, w := range around {
					mw := everyMiddleware(t)[name]
					err := w.wrap(bad)
					h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return err }))
					for _, ended := range []bool{false, true} {
						what := fmt.Sprintf("%s of an error %q, %s, context ended %v", name, kind, how, ended)
						ctx, cancel := context.WithCancelCause(t.Context())
						if ended {
							cancel(bad)
						}
						within(t, what, func() {
							got := h.Handle(ctx, &handler.Message{ID: what, DedupeID: what, Attempt: 1, Body: []byte("x")})
							v := handler.VerdictOf(got)
							// A middleware that waits puts the message off when the context has
							// ended, and a breaker that opens may take a rejection back.
							if !ended && name != "open breaker" {
								require.Equal(t, w.want, v.Action, what)
							}
						})
						cancel(nil)
					}
				}
			}
		})
	}
}

// badStore is an idempotency and a rate limit store whose answers are an error.
type badStore struct {
	idempotency.Store
	err   error
	claim bool // the claim is answered well
}

func (s badStore) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if s.claim {
		return idempotency.Claim{State: idempotency.Claimed}, nil
	}
	return idempotency.Claim{}, s.err
}
func (s badStore) Renew(context.Context, string, string, time.Duration) error { return s.err }
func (s badStore) Complete(context.Context, string, string, []byte, time.Duration) error {
	return s.err
}
func (s badStore) Release(context.Context, string, string) error { return s.err }
func (s badStore) Take(context.Context, ratelimit.Request) (ratelimit.Answer, error) {
	return ratelimit.Answer{}, s.err
}

// The errors of a user's store put the message off.
func TestErrorsOfStoresNeitherHangNorPanic(t *testing.T) {
	guard := time.AfterFunc(5*time.Minute, func() { panic("a store's error is walked for ever") })
	t.Cleanup(func() { guard.Stop() })
	for kind, bad := range hostile {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet := slog.New(slog.DiscardHandler)
				done := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
				for _, claim := range []bool{false, true} {
					mw, err := idempotency.New(badStore{Store: idempotency.NewMemory(), err: bad, claim: claim}, &idempotency.Config{Logger: quiet})
					require.NoError(t, err)
					got := mw(done).Handle(t.Context(), &handler.Message{ID: "1", DedupeID: "1", Attempt: 1})
					require.True(t, handler.VerdictOf(got).Postponed, "%v", claim)
				}
				l, err := ratelimit.New(1, time.Second, &ratelimit.Config{Store: badStore{err: bad}, Logger: quiet})
				require.NoError(t, err)
				got := l.Middleware(done).Handle(t.Context(), &handler.Message{ID: "1", Attempt: 1})
				require.True(t, handler.VerdictOf(got).Postponed)
				g, err := breaker.New(&breaker.Config{Logger: quiet, MinCount: 1, OpenFor: time.Second,
					Check: func(context.Context) error { return bad }})
				require.NoError(t, err)
				fails := g.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return bad }))
				_ = fails.Handle(t.Context(), &handler.Message{ID: "1", Attempt: 1})
				require.Equal(t, breaker.Open, g.State())
				<-time.After(5 * time.Second)
				require.NotEqual(t, breaker.Closed, g.State())
			})
		})
	}
}

func TestClassifyOfHostileErrors(t *testing.T) {
	for kind, bad := range hostile {
		for _, err := range []error{bad, fmt.Errorf("around: %w", bad), errors.Join(bad, bad)} {
			within(t, "Classify of an error "+kind, func() { require.Equal(t, backoff.Unknown, backoff.Classify(err), kind) })
		}
		within(t, "Classify of an error "+kind, func() {
			require.Equal(t, backoff.Transient, backoff.Classify(errors.Join(context.DeadlineExceeded, bad)), kind)
		})
	}
}
