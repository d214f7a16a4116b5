package handler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	backoffv4 "github.com/cenkalti/backoff/v4"
	backoffv5 "github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

var errBoom = errors.New("boom")

// wrapping is a chain of errors as they come in practice: a custom type, by
// fmt.Errorf with one %w, with two, and errors.Join.
var wrappings = map[string]func(error) error{
	"bare":      func(err error) error { return err },
	"once":      func(err error) error { return fmt.Errorf("charge: %w", err) },
	"thrice":    func(err error) error { return fmt.Errorf("a: %w", fmt.Errorf("b: %w", fmt.Errorf("c: %w", err))) },
	"two verbs": func(err error) error { return fmt.Errorf("%w: %w", errBoom, err) },
	"joined":    func(err error) error { return errors.Join(errBoom, nil, err) },
	"joined deep": func(err error) error {
		return fmt.Errorf("x: %w", errors.Join(errors.Join(errBoom), fmt.Errorf("y: %w", err)))
	},
	"own type": func(err error) error { return opError{err} },
}

type opError struct{ error }

func (e opError) Unwrap() error { return e.error }

func TestVerdictsAreFoundThroughAnyWrapping(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want handler.Verdict
	}{
		{"plain error", errBoom, handler.Verdict{}},
		{"retry after", handler.RetryAfter(time.Minute, errBoom), handler.Verdict{Delay: time.Minute, Delayed: true}},
		{"retry at once", handler.RetryAfter(0, errBoom), handler.Verdict{Delayed: true}},
		{"retry after less than nothing", handler.RetryAfter(-time.Minute, nil), handler.Verdict{Delayed: true}},
		{"reject", handler.Reject(errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"drop", handler.Drop(errBoom), handler.Verdict{Action: handler.ActionDrop}},
		{"backoff v4", backoffv4.Permanent(errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"backoff v5", backoffv5.Permanent(errBoom), handler.Verdict{Action: handler.ActionDeadLetter}},
		{"a type that is only called so", &PermanentError{}, handler.Verdict{}},
	} {
		for how, wrap := range wrappings {
			t.Run(tc.name+"/"+how, func(t *testing.T) {
				err := wrap(tc.err)
				got := handler.VerdictOf(err)
				want := tc.want
				want.Err = err
				require.Equal(t, want, got)
			})
		}
	}
}

// PermanentError has the name of backoff's type and none of its meaning.
type PermanentError struct{}

func (*PermanentError) Error() string { return "not backoff's" }

func TestNilIsAnAck(t *testing.T) {
	require.Equal(t, handler.Verdict{Action: handler.ActionAck}, handler.VerdictOf(nil))
}

func TestTheOutermostVerdictWins(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want handler.Action
	}{
		{"reject around retry", handler.Reject(handler.RetryAfter(time.Second, nil)), handler.ActionDeadLetter},
		{"retry around reject", handler.RetryAfter(0, handler.Reject(errBoom)), handler.ActionRetry},
		{"retry around permanent", handler.RetryAfter(0, backoffv4.Permanent(errBoom)), handler.ActionRetry},
		{"permanent around drop", backoffv4.Permanent(handler.Drop(errBoom)), handler.ActionDeadLetter},
		{"drop around permanent, wrapped", fmt.Errorf("x: %w", handler.Drop(fmt.Errorf("y: %w", backoffv5.Permanent(errBoom)))), handler.ActionDrop},
		{"the first of joined", errors.Join(errBoom, handler.Drop(nil), handler.Reject(nil)), handler.ActionDrop},
		{"the first of joined, whatever its kind", errors.Join(backoffv4.Permanent(errBoom), handler.Drop(nil)), handler.ActionDeadLetter},
		{"joined in a verdict", handler.Reject(errors.Join(handler.Drop(nil))), handler.ActionDeadLetter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := handler.VerdictOf(tc.err)
			require.Equal(t, tc.want, v.Action)
			require.Equal(t, tc.want == handler.ActionRetry, v.Delayed)
		})
	}
}

func TestTheZeroVerdictIsARetry(t *testing.T) {
	var v handler.Verdict
	require.Equal(t, handler.ActionRetry, v.Action)
	require.False(t, v.Delayed)
	require.Equal(t, "retry", v.Action.String())
}

func TestVerdictErrorsSayWhatAndWhy(t *testing.T) {
	for err, text := range map[error]string{
		handler.RetryAfter(90*time.Second, errBoom):                   "retry after 1m30s: boom",
		handler.RetryAfter(time.Second, nil):                          "retry after 1s: no cause given",
		handler.Reject(errBoom):                                       "rejected: boom",
		handler.Reject(nil):                                           "rejected: no cause given",
		handler.Drop(errBoom):                                         "dropped: boom",
		handler.Postpone(time.Second, nil):                            "retry after 1s: postponed",
		handler.Postpone(time.Second, errBoom):                        "retry after 1s: postponed: boom",
		handler.Reject(fmt.Errorf("%w: x", handler.ErrExhausted)):     "rejected: attempts used up: x",
		&handler.PanicError{Value: "at the disco", Stack: []byte("")}: "panic: at the disco",
	} {
		require.EqualError(t, err, text)
	}
	require.ErrorIs(t, handler.Reject(errBoom), errBoom)
	require.ErrorIs(t, handler.Drop(errBoom), errBoom)
	require.ErrorIs(t, handler.RetryAfter(0, errBoom), errBoom)
}

func TestActionsHaveNames(t *testing.T) {
	for a, name := range map[handler.Action]string{
		handler.ActionRetry: "retry", handler.ActionAck: "ack", handler.ActionDeadLetter: "dead_letter", handler.ActionDrop: "drop", 77: "action(77)",
	} {
		require.Equal(t, name, a.String())
	}
}

func TestPostponeIsARetryThatIsNoFailure(t *testing.T) {
	err := fmt.Errorf("limit: %w", handler.Postpone(time.Minute, errBoom))
	v := handler.VerdictOf(err)
	require.Equal(t, handler.ActionRetry, v.Action)
	require.Equal(t, time.Minute, v.Delay)
	require.True(t, v.Delayed)
	require.ErrorIs(t, err, handler.ErrPostponed)
	require.ErrorIs(t, err, errBoom)
	require.NotErrorIs(t, handler.RetryAfter(time.Minute, errBoom), handler.ErrPostponed)
}

func TestAPanicIsARetryWhateverItsValue(t *testing.T) {
	err := &handler.PanicError{Value: handler.Reject(errBoom)}
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	require.Contains(t, err.Error(), "boom")
}

func BenchmarkVerdictOf(b *testing.B) {
	for name, err := range map[string]error{
		"ack":             nil,
		"retry":           errBoom,
		"retry after":     handler.RetryAfter(time.Second, errBoom),
		"wrapped reject":  fmt.Errorf("x: %w", fmt.Errorf("y: %w", handler.Reject(errBoom))),
		"wrapped nothing": fmt.Errorf("x: %w", fmt.Errorf("y: %w", errBoom)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handler.VerdictOf(err)
			}
		})
	}
}

func TestExhaustedHasOneWording(t *testing.T) {
	boom := errors.New("boom")
	const want = "attempts used up: attempt 3 of 3: boom"
	last := handler.Exhausted(3, 3, boom)
	require.EqualError(t, last, want)
	require.EqualError(t, handler.Reject(last), want)
	require.EqualError(t, handler.Exhausted(3, 3, handler.RetryAfter(time.Second, boom)), want)
	require.EqualError(t, handler.Exhausted(5, 5, handler.Reject(last)), want, "it was used up before")
	require.ErrorIs(t, handler.Reject(last), handler.ErrExhausted)
	require.ErrorIs(t, last, boom)
	require.EqualError(t, handler.Exhausted(1, 1, nil), "attempts used up: attempt 1 of 1")
	require.NotPanics(t, func() {
		require.Contains(t, handler.Exhausted(1, 1, (*nilError)(nil)).Error(), "Error method panicked")
	})
}

type nilError struct{ s string }

func (e *nilError) Error() string { return e.s }
func (e *nilError) Unwrap() error { return errors.New(e.s) }
