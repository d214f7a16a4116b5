package backoff_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	cenkalti "github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

// judge runs one attempt whose handler returns err through the middleware.
func judge(ctx context.Context, t require.TestingT, c *backoff.Config, m *handler.Message, err error) error {
	mw, fault := backoff.New(c)
	require.NoError(t, fault)
	return mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return err })).Handle(ctx, m)
}

func attempt(n int) *handler.Message { return &handler.Message{Attempt: n} }

func TestErrorsBecomeVerdicts(t *testing.T) {
	fixed := &backoff.Config{Min: time.Second, Max: time.Minute, Jitter: backoff.NoJitter, MaxAttempts: 4, Permanent: []string{"400"}}
	stopping, stop := context.WithCancelCause(context.Background())
	stop(handler.ErrStopped)
	lost, lose := context.WithCancelCause(context.Background())
	lose(handler.ErrLeaseLost)
	for _, tc := range []struct {
		name string
		ctx  context.Context
		m    *handler.Message
		err  error
		want handler.Verdict
	}{
		{"nil", nil, attempt(1), nil, handler.Verdict{Action: handler.ActionAck}},
		{"unknown error", nil, attempt(1), errBoom, handler.Verdict{Delayed: true, Delay: time.Second}},
		{"transient error", nil, attempt(3), statusError(503), handler.Verdict{Delayed: true, Delay: 4 * time.Second}},
		{"permanent error", nil, attempt(1), statusError(400), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"last attempt", nil, attempt(4), errBoom, handler.Verdict{Action: handler.ActionDeadLetter}},
		{"beyond the last attempt", nil, attempt(40), errBoom, handler.Verdict{Action: handler.ActionDeadLetter}},
		{"attempt unknown", nil, attempt(0), errBoom, handler.Verdict{}},
		{"attempt unknown, permanent", nil, attempt(0), statusError(400), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"the handler's own delay", nil, attempt(3), handler.RetryAfter(time.Hour, errBoom), handler.Verdict{Delayed: true, Delay: time.Hour}},
		{"the handler's own delay at the last attempt", nil, attempt(4), handler.RetryAfter(time.Hour, errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"the handler's own delay at an attempt that is not known", nil, attempt(0), handler.RetryAfter(time.Hour, errBoom), handler.Verdict{Delayed: true, Delay: time.Hour}},
		{"the handler's own delay, stopping at the last attempt", stopping, attempt(4), handler.RetryAfter(time.Hour, errBoom), handler.Verdict{Delayed: true, Delay: time.Hour}},
		{"the handler's own delay, around a permanent error", nil, attempt(1), handler.RetryAfter(0, statusError(400)), handler.Verdict{Delayed: true}},
		{"the handler's rejection", nil, attempt(1), handler.Reject(statusError(503)), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"the handler's drop", nil, attempt(9), handler.Drop(errBoom), handler.Verdict{Action: handler.ActionDrop}},
		{"backoff.Permanent", nil, attempt(1), fmt.Errorf("x: %w", cenkalti.Permanent(statusError(503))), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"stopping", stopping, attempt(3), context.Canceled, handler.Verdict{Delayed: true}},
		{"stopping at the last attempt", stopping, attempt(4), errBoom, handler.Verdict{Delayed: true}},
		{"stopping, rejected for being canceled", stopping, attempt(4), handler.Reject(fmt.Errorf("x: %w", context.Canceled)), handler.Verdict{Delayed: true}},
		{"stopping, backoff.Permanent for being canceled", stopping, attempt(3), cenkalti.Permanent(context.Canceled), handler.Verdict{Delayed: true}},
		{"rejected for being canceled by itself", nil, attempt(3), handler.Reject(context.Canceled), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"stopping, rejected", stopping, attempt(3), handler.Reject(errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"killed at the last attempt, before ctx ends", nil, attempt(4), fmt.Errorf("killed: %w", handler.ErrStopped), handler.Verdict{Delayed: true}},
		{"lease lost at the last attempt", lost, attempt(4), context.Canceled, handler.Verdict{Delayed: true}},
		{"an error of a lost lease at the last attempt", nil, attempt(4), fmt.Errorf("x: %w", handler.ErrLeaseLost), handler.Verdict{Delayed: true}},
		{"lease lost, rejected for being canceled", lost, attempt(3), handler.Reject(context.Canceled), handler.Verdict{Delayed: true}},
		{"lease lost, rejected", lost, attempt(3), handler.Reject(errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"stopping, permanent", stopping, attempt(3), statusError(400), handler.Verdict{Action: handler.ActionDeadLetter}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			err := judge(ctx, t, fixed, tc.m, tc.err)
			got := handler.VerdictOf(err)
			require.Equal(t, tc.want.Action.String(), got.Action.String())
			require.Equal(t, tc.want.Delayed, got.Delayed)
			require.Equal(t, tc.want.Delay, got.Delay)
			require.Equal(t, tc.want.Postponed, got.Postponed)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err, "the cause is kept")
			}
			exhausted := tc.want.Action == handler.ActionDeadLetter && tc.m.Attempt >= 4
			require.Equal(t, exhausted, errors.Is(err, handler.ErrExhausted))
		})
	}
}

// With Native the queue spaces retries; the limit of attempts and the classes hold.
func TestTheQueueSpacesRetries(t *testing.T) {
	native := &backoff.Config{Native: true, MaxAttempts: 3, Permanent: []string{"400"}}
	require.Equal(t, errBoom, judge(t.Context(), t, native, attempt(2), errBoom))
	require.ErrorIs(t, judge(t.Context(), t, native, attempt(3), errBoom), handler.ErrExhausted)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(judge(t.Context(), t, native, attempt(1), statusError(400))).Action)
	require.Equal(t, errBoom, judge(t.Context(), t, &backoff.Config{Native: true}, attempt(1000), errBoom))
	_, err := backoff.New(&backoff.Config{Native: true, Min: time.Second})
	require.ErrorContains(t, err, "Native and any of Policy, Min")
}

func TestWithoutMaxAttemptsTheQueueDecides(t *testing.T) {
	v := handler.VerdictOf(judge(t.Context(), t, nil, attempt(math.MaxInt), errBoom))
	require.Equal(t, handler.ActionRetry, v.Action)
	require.True(t, v.Delayed)
	require.LessOrEqual(t, v.Delay, 10*time.Minute)
}

func TestTheClassifierIsAskedFirst(t *testing.T) {
	c := &backoff.Config{Permanent: []string{"401", "403"}, Classifier: func(err error) backoff.Class {
		switch {
		case errors.Is(err, errBoom):
			return backoff.Permanent
		case errors.Is(err, statusError(401)):
			return backoff.Transient
		default:
			return backoff.Unknown
		}
	}}
	for err, want := range map[error]handler.Action{
		errBoom:          handler.ActionDeadLetter,
		statusError(401): handler.ActionRetry,
		statusError(403): handler.ActionDeadLetter, // left to Permanent
		statusError(404): handler.ActionRetry,      // left to Classify
		statusError(500): handler.ActionRetry,
	} {
		require.Equal(t, want, handler.VerdictOf(judge(t.Context(), t, c, attempt(1), err)).Action, err.Error())
	}
}

// delays returns the delays after attempts 1 to n, without jitter.
func delays(t require.TestingT, c backoff.Config, n int) []time.Duration {
	c.Jitter = backoff.NoJitter
	ds := make([]time.Duration, n)
	for i := range ds {
		v := handler.VerdictOf(judge(context.Background(), t, &c, attempt(i+1), errBoom))
		require.True(t, v.Delayed)
		ds[i] = v.Delay
	}
	return ds
}

func TestDelaysGrowToTheMaximum(t *testing.T) {
	const s = time.Second
	require.Equal(t, []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 16 * s}, delays(t, backoff.Config{}, 5))
	require.Equal(t, []time.Duration{2 * s, 6 * s, 18 * s, 20 * s, 20 * s},
		delays(t, backoff.Config{Min: 2 * s, Max: 20 * s, Multiplier: 3}, 5))
	require.Equal(t, []time.Duration{3 * s, 3 * s, 3 * s}, delays(t, backoff.Config{Min: 3 * s, Multiplier: 1}, 3))
	require.Equal(t, []time.Duration{time.Hour, time.Hour}, delays(t, backoff.Config{Min: time.Hour}, 2))
}

func TestPolicies(t *testing.T) {
	const s = time.Second
	exp := cenkalti.NewExponentialBackOff(cenkalti.WithInitialInterval(s), cenkalti.WithMultiplier(2), cenkalti.WithMaxInterval(5*s))
	require.Equal(t, []time.Duration{1 * s, 2 * s, 4 * s, 5 * s, 5 * s}, delays(t, backoff.Config{Policy: exp}, 5))
	require.Equal(t, []time.Duration{7 * s, 7 * s}, delays(t, backoff.Config{Policy: cenkalti.NewConstantBackOff(7 * s)}, 2))
	require.Equal(t, []time.Duration{0, 0}, delays(t, backoff.Config{Policy: &cenkalti.ZeroBackOff{}}, 2))
	long := delays(t, backoff.Config{Policy: &counting{}}, 150)
	require.Equal(t, 3*s, long[2])
	require.Equal(t, long[99], long[149], "the last of the table holds from there on")

	limited := &backoff.Config{Policy: cenkalti.WithMaxRetries(cenkalti.NewConstantBackOff(s), 2), Jitter: backoff.NoJitter}
	for n, want := range map[int]handler.Action{1: handler.ActionRetry, 2: handler.ActionRetry, 3: handler.ActionDeadLetter, 1000: handler.ActionDeadLetter} {
		err := judge(t.Context(), t, limited, attempt(n), errBoom)
		require.Equal(t, want, handler.VerdictOf(err).Action, n)
		require.Equal(t, want == handler.ActionDeadLetter, errors.Is(err, handler.ErrExhausted))
	}
	stop := &backoff.Config{Policy: &cenkalti.StopBackOff{}}
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(judge(t.Context(), t, stop, attempt(1), errBoom)).Action)
}

// counting is a policy whose delays show how often it was asked.
type counting struct{ n int }

func (c *counting) Reset()                     { c.n = 0 }
func (c *counting) NextBackOff() time.Duration { c.n++; return time.Duration(c.n) * time.Second }

func TestAPolicyIsNotAskedOnceAMessage(t *testing.T) {
	p := &counting{}
	mw, err := backoff.New(&backoff.Config{Policy: p, Jitter: backoff.NoJitter})
	require.NoError(t, err)
	h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errBoom }))
	for range 10 { // as many messages at their second attempt
		require.Equal(t, 2*time.Second, handler.VerdictOf(h.Handle(t.Context(), attempt(2))).Delay)
	}
	require.Zero(t, p.n, "left as it came")
}

func TestTheProvidersMaximumCapsTheDelay(t *testing.T) {
	m := attempt(50)
	m.Bind(&handler.Origin{MaxDelay: 600 * time.Second}, nil)
	c := &backoff.Config{Max: 24 * time.Hour, Jitter: backoff.NoJitter}
	require.Equal(t, 600*time.Second, handler.VerdictOf(judge(t.Context(), t, c, m, errBoom)).Delay)
	m.Bind(&handler.Origin{}, nil)
	require.Equal(t, 24*time.Hour, handler.VerdictOf(judge(t.Context(), t, c, m, errBoom)).Delay)
}

func TestJitterStaysInItsRange(t *testing.T) {
	for _, tc := range []struct {
		jitter backoff.Jitter
		random float64
		want   time.Duration
	}{
		{backoff.FullJitter, 0, 0},
		{backoff.FullJitter, 0.5, 4 * time.Second},
		{backoff.EqualJitter, 0, 4 * time.Second},
		{backoff.EqualJitter, 0.5, 6 * time.Second},
		{backoff.NoJitter, 0.5, 8 * time.Second},
	} {
		c := &backoff.Config{Jitter: tc.jitter, Random: func() float64 { return tc.random }}
		require.Equal(t, tc.want, handler.VerdictOf(judge(t.Context(), t, c, attempt(4), errBoom)).Delay)
	}
}

// Whatever the policy, the attempt and the provider, the delay is from zero to
// each of the maxima, and never falls from one attempt to the next.
func TestDelaysAreBoundedAndMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &backoff.Config{
			Min:        time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "min")),
			Multiplier: rapid.Float64Range(1, 1e300).Draw(t, "multiplier"),
			Jitter:     backoff.Jitter(rapid.IntRange(0, 2).Draw(t, "jitter")),
		}
		c.Max = time.Duration(rapid.Int64Range(int64(c.Min), math.MaxInt64).Draw(t, "max"))
		r := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		c.Random = func() float64 { return r }
		m := attempt(rapid.IntRange(1, math.MaxInt-1).Draw(t, "attempt"))
		limit := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "limit"))
		m.Bind(&handler.Origin{MaxDelay: limit}, nil)

		v := handler.VerdictOf(judge(context.Background(), t, c, m, errBoom))
		require.Equal(t, handler.ActionRetry, v.Action)
		require.True(t, v.Delayed)
		require.GreaterOrEqual(t, v.Delay, time.Duration(0))
		require.LessOrEqual(t, v.Delay, c.Max)
		if limit > 0 {
			require.LessOrEqual(t, v.Delay, limit)
		}
		m.Attempt++
		next := handler.VerdictOf(judge(context.Background(), t, c, m, errBoom))
		require.GreaterOrEqual(t, next.Delay, v.Delay)
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	for name, c := range map[string]*backoff.Config{
		"exclude each other":         {Policy: &cenkalti.ZeroBackOff{}, Min: 1, Max: 1, Multiplier: 1},
		"Jitter":                     {Jitter: 3},
		"MaxAttempts":                {MaxAttempts: -1},
		"Min is":                     {Min: -1},
		"Max is":                     {Min: 2, Max: 1},
		"multiplier":                 {Multiplier: 0.5},
		"NaN: it must be at least 1": {Multiplier: math.NaN()},
		"MaxElapsedTime":             {Policy: cenkalti.NewExponentialBackOff(cenkalti.WithMaxElapsedTime(time.Hour))},
		"InitialInterval":            {Policy: &cenkalti.ExponentialBackOff{}},
		"nil *backoff":               {Policy: (*cenkalti.ExponentialBackOff)(nil)},
		"delay of":                   {Policy: cenkalti.NewConstantBackOff(-5)},
	} {
		_, err := backoff.New(c)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "backoff: ")
	}
}

// Whatever the policy, the jitter and the attempt are, a delay is never below zero
// nor beyond what it was computed to.
func TestDelaysSaturate(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	for _, c := range []*backoff.Config{
		{Max: longest},
		{Max: longest, Multiplier: 1e300},
		{Max: longest, Jitter: backoff.EqualJitter, Random: func() float64 { return math.Nextafter(1, 0) }},
		{Max: longest, Jitter: backoff.FullJitter, Random: func() float64 { return 1 }},
		{Max: longest, Jitter: backoff.FullJitter, Random: math.NaN},
		{Max: longest, Jitter: backoff.NoJitter},
		{Policy: &cenkalti.ConstantBackOff{Interval: longest}},
	} {
		mw, err := backoff.New(c)
		require.NoError(t, err)
		h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errors.New("boom") }))
		for _, attempt := range []int{1, 2, 62, 63, 64, 1 << 40, math.MaxInt} {
			v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{Attempt: attempt}))
			require.Equal(t, handler.ActionRetry, v.Action)
			require.GreaterOrEqual(t, v.Delay, time.Duration(0), "attempt %d", attempt)
		}
	}
}

// An error whose methods panic, and a Classifier that does, are an error that is
// not known.
func TestErrorsWhoseMethodsPanic(t *testing.T) {
	for _, err := range []error{(*bad)(nil), errors.Join((*bad)(nil)), handler.RetryAfter(time.Second, (*bad)(nil))} {
		mw, newErr := backoff.New(&backoff.Config{MaxAttempts: 3, Classifier: func(err error) backoff.Class { panic(err) }})
		require.NoError(t, newErr)
		h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return err }))
		require.NotPanics(t, func() {
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(h.Handle(t.Context(), &handler.Message{Attempt: 1})).Action)
			got := h.Handle(t.Context(), &handler.Message{Attempt: 3})
			if !handler.VerdictOf(err).Delayed {
				require.ErrorIs(t, got, handler.ErrExhausted)
				require.Contains(t, got.Error(), "attempt 3 of 3: ")
			}
		})
	}
}

type bad struct{ err error }

func (b *bad) Error() string   { return b.err.Error() }
func (b *bad) Unwrap() error   { return b.err }
func (b *bad) Retryable() bool { return b.err == nil }

// A postponement passes as it is, on the last attempt too.
func TestAPostponementPasses(t *testing.T) {
	mw, err := backoff.New(&backoff.Config{MaxAttempts: 1})
	require.NoError(t, err)
	want := handler.Postpone(time.Minute, errors.New("full"))
	got := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return want })).Handle(t.Context(), &handler.Message{Attempt: 7})
	require.Same(t, want, got)
}

// A queue that counts no attempts must not have a message tried for ever, or in a hot
// loop: its failures are counted here.
func TestFailuresAreCountedIfTheQueueDoesNot(t *testing.T) {
	mw, err := backoff.New(&backoff.Config{Min: time.Second, Max: time.Minute, Jitter: backoff.NoJitter, MaxAttempts: 4})
	require.NoError(t, err)
	fails := true
	h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error {
		if fails {
			return errBoom
		}
		return nil
	}))
	verdict := func(queue, id string) handler.Verdict {
		m := &handler.Message{ID: id}
		m.Bind(&handler.Origin{Queue: queue}, nil)
		return handler.VerdictOf(h.Handle(t.Context(), m))
	}
	for n := range 3 {
		require.Equal(t, time.Second<<n, verdict("orders", "poison").Delay)
	}
	for n := 4; n < 9; n++ { // a breaker may have it retried, up to twice its attempts
		v := verdict("orders", "poison")
		require.Equal(t, handler.ActionDeadLetter, v.Action)
		require.EqualError(t, v.Err, fmt.Sprintf("attempts used up: attempt %d of 4: boom", n))
	}
	require.Equal(t, time.Second, verdict("orders", "other").Delay, "each message has its own")
	require.Equal(t, time.Second, verdict("payments", "other").Delay)
	require.False(t, verdict("orders", "").Delayed, "one without ID can't be recognized")
	fails = false
	require.Equal(t, handler.ActionAck, verdict("orders", "other").Action)
	fails = true
	require.Equal(t, time.Second, verdict("orders", "other").Delay, "what succeeded is forgotten")
	for i := range 25_000 {
		verdict("orders", fmt.Sprint(i))
	}
	require.Equal(t, time.Second, verdict("orders", "one more").Delay, "the memory has a bound")
}
