package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

func TestTheLastAttemptsFailureIsARejectionWithItsReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    func() error
		reason string // of the letter; empty means no letter
	}{
		{"error", func() error { return errors.New("boom") }, "attempts used up: attempt 3 of 3: boom"},
		{"retry after", func() error { return handler.RetryAfter(time.Second, errors.New("boom")) }, "attempts used up: attempt 3 of 3: boom"},
		{"panic", func() error { panic("boom") }, "attempts used up: attempt 3 of 3: "},
		{"reject", func() error { return handler.Reject(errors.New("bad")) }, "bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				q.caps.MaxAttempts = 3
				runs := 0
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					runs++
					if m.Attempt < 3 {
						return handler.RetryAfter(0, errors.New("earlier"))
					}
					return c.err()
				}, consumer.Config{})
				pass(5 * time.Second)
				require.Equal(t, 3, runs)
				require.Len(t, q.letters, 1)
				require.Contains(t, q.letters[0].Failure.Reason, c.reason)
				require.EqualValues(t, 1, w.c.Stats().DeadLettered)
				require.NoError(t, w.stop())
			})
		})
	}
}

func TestAHandlerThatIsCutShortAtItsLastAttemptHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.caps.MaxAttempts = 1
		w := start(t, q, func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			return ctx.Err() // it says nothing of the stop
		}, consumer.Config{DrainTimeout: time.Second})
		require.ErrorIs(t, w.stop(), consumer.ErrDrainTimeout)
		require.Empty(t, q.letters)
		require.EqualValues(t, 1, w.c.Stats().Retried)
	})
}
