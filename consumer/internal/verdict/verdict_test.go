package verdict

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

var errBoom = errors.New("boom")

func TestTheLastAttemptIsARejectionWithItsReason(t *testing.T) {
	for _, c := range []struct {
		name         string
		err          error
		attempt, max int
		deadLetter   bool
		want         handler.Action
		reason       string
	}{
		{"earlier", errBoom, 2, 3, true, handler.ActionRetry, ""},
		{"last", errBoom, 3, 3, true, handler.ActionDeadLetter, "attempts used up: attempt 3 of 3: boom"},
		{"beyond", errBoom, 4, 3, true, handler.ActionDeadLetter, "attempts used up: attempt 4 of 3: boom"},
		{"last, delayed", handler.RetryAfter(time.Second, errBoom), 3, 3, true, handler.ActionDeadLetter, "attempts used up: attempt 3 of 3: boom"},
		{"no dead-letter queue", errBoom, 3, 3, false, handler.ActionRetry, ""},
		{"no limit", errBoom, 3, 0, true, handler.ActionRetry, ""},
		{"attempt not known", errBoom, 0, 3, true, handler.ActionRetry, ""},
		{"acked", nil, 3, 3, true, handler.ActionAck, ""},
		{"postponed", handler.Postpone(time.Second, errBoom), 3, 3, true, handler.ActionRetry, ""},
		{"lease lost", fmt.Errorf("x: %w", handler.ErrLeaseLost), 3, 3, true, handler.ActionRetry, ""},
		{"stopped", handler.RetryAfter(0, handler.ErrStopped), 3, 3, true, handler.ActionRetry, ""},
		{"rejected", handler.Reject(errBoom), 3, 3, true, handler.ActionDeadLetter, "rejected: boom"},
		{"typed nil", (*broken.TypedNil)(nil), 3, 3, true, handler.ActionDeadLetter,
			"attempts used up: attempt 3 of 3: an error of type *broken.TypedNil whose Error method panicked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Of(c.err, c.attempt, c.max, c.deadLetter)
			require.Equal(t, c.want, v.Action)
			if c.reason != "" {
				f := Failure(v.Err, &handler.Message{Attempt: c.attempt}, time.Unix(1, 0), "me")
				require.Equal(t, c.reason, f.Reason)
				require.Equal(t, "me", f.Consumer)
				require.True(t, f.First.IsZero())
			}
		})
	}
}

func TestALastAttemptKeepsItsCause(t *testing.T) {
	v := Of(fmt.Errorf("x: %w", errBoom), 1, 1, true)
	require.ErrorIs(t, v.Err, errBoom)
	require.ErrorIs(t, v.Err, handler.ErrExhausted)
	require.Equal(t, time.Unix(1, 0), Failure(v.Err, &handler.Message{Attempt: 1}, time.Unix(1, 0), "").First)
}

func TestARejectionWithoutAReasonSaysSo(t *testing.T) {
	require.Equal(t, NoReason, Reason(nil))
	require.Equal(t, NoReason, Reason(errors.New("")))
}
