package sqslambda_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

// TestTheLastAttempt has a message fail at each attempt that the redrive policy
// allows, which is five, and at the last one in each way.
func TestTheLastAttempt(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		attempt int
		noDLQ   bool
		reason  string // of the letter; empty for no letter
		stats   sqslambda.Stats
	}{
		{name: "before the last", err: errBoom, attempt: 4, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "plain", err: errBoom, attempt: 5, reason: "attempts used up: attempt 5 of 5: boom", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "beyond", err: errBoom, attempt: 7, reason: "attempts used up: attempt 7 of 5: boom", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "with a delay", err: handler.RetryAfter(time.Minute, errBoom), attempt: 5, reason: "attempts used up: attempt 5 of 5: boom", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "typed nil", err: (*broken.TypedNil)(nil), attempt: 5,
			reason: "attempts used up: attempt 5 of 5: an error of type *broken.TypedNil whose Error method panicked", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "rejected with a typed nil", err: handler.Reject((*broken.TypedNil)(nil)), attempt: 1,
			reason: "rejected: an error of type *broken.TypedNil whose Error method panicked", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "rejected with nothing", err: handler.Reject(nil), attempt: 1, reason: "rejected: no cause given", stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "postponed", err: handler.Postpone(10*time.Second, errBoom), attempt: 5, stats: sqslambda.Stats{Counts: handler.Counts{Released: 1, Postponed: 1}}},
		{name: "without a dead-letter queue", err: errBoom, attempt: 5, noDLQ: true, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{noDLQ: c.noDLQ})
				r.send(message("1", ""))
				e := r.event()
				e.Records[0].Attributes["ApproximateReceiveCount"] = fmt.Sprint(c.attempt)
				seen := &history{}
				fn := r.function(func(_ context.Context, m *handler.Message) error {
					m.Attempt, m.Body = 99, []byte("changed") // no letter has that
					return c.err
				}, &sqslambda.Config{Observers: []handler.Observer{seen}, Name: "me"})
				response, err := fn.Handle(t.Context(), e)
				require.NoError(t, err)
				c.stats.Events, c.stats.Received = 1, 1
				require.Equal(t, c.stats, fn.Stats())
				require.Equal(t, int(c.stats.Released), seen.kinds()[handler.EventReleased])
				if c.reason == "" {
					require.Equal(t, []string{"1"}, failed(t, e, response))
					return
				}
				require.Empty(t, failed(t, e, response))
				require.Empty(t, r.visible(visibility+time.Second), "the message is in the queue still")
				letters := r.receive(r.dlq)
				require.Len(t, letters, 1)
				require.Equal(t, "1", *letters[0].Body)
				attributes := letters[0].MessageAttributes
				require.Equal(t, c.reason, *attributes[drivers.AttributeDeadLetterReason].StringValue)
				require.Equal(t, fmt.Sprint(c.attempt), *attributes[drivers.AttributeDeadLetterAttempt].StringValue)
				require.Equal(t, "me", *attributes[drivers.AttributeDeadLetterConsumer].StringValue)
			})
		})
	}
}

// A postponement is given back with its delay, and those of its group with it.
// It is observed as a release, not as a failure.
func TestAPostponementIsGivenBack(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprintf("fifo=%t", fifo), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{fifo: fifo})
				r.send(message("1", "g"), message("2", "g"))
				e := r.event()
				seen := &history{}
				fn := r.function(func(_ context.Context, m *handler.Message) error {
					if string(m.Body) == "1" {
						return handler.Postpone(20*time.Second, errBoom)
					}
					return nil
				}, &sqslambda.Config{Observers: []handler.Observer{seen}})
				response, err := fn.Handle(t.Context(), e)
				require.NoError(t, err)
				want := sqslambda.Stats{Counts: handler.Counts{Received: 2, Released: 1, Postponed: 1, Acked: 1}, Events: 1}
				failing := []string{"1"}
				if fifo {
					want.Released, want.Acked, failing = 2, 0, []string{"1", "2"}
				}
				require.Equal(t, want, fn.Stats())
				require.Equal(t, failing, failed(t, e, response))
				require.Len(t, seen.of(handler.EventReleased), int(want.Released))
				for _, ev := range seen.of(handler.EventSettled) {
					require.Equal(t, handler.ActionAck, ev.Action)
				}
				back := r.visible(visibility - time.Second)
				for _, body := range failing {
					require.Equal(t, 20*time.Second, back[body], body)
				}
			})
		})
	}
}

// A handler that ignores the end of its time at the last attempt has failed the
// message: its letter says so.
func TestAnAbandonedLastAttemptHasItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		r.send(&handler.Message{Body: []byte("1"), Attributes: map[string]string{"a": "b"}})
		e := r.event()
		e.Records[0].Attributes["ApproximateReceiveCount"] = "5"
		end := make(chan struct{})
		fn := r.function(func(_ context.Context, m *handler.Message) error {
			<-end
			m.SetAttribute("a", "c")
			return nil
		}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		response, err := fn.Handle(ctx, e)
		close(end)
		require.NoError(t, err)
		require.Empty(t, failed(t, e, response))
		letters := r.receive(r.dlq)
		require.Len(t, letters, 1)
		require.Equal(t, "attempts used up: attempt 5 of 5: its handler had not returned when the time was over",
			*letters[0].MessageAttributes[drivers.AttributeDeadLetterReason].StringValue)
		require.Equal(t, "b", *letters[0].MessageAttributes["a"].StringValue)
		synctest.Wait()
	})
}

// Lambda's deadline is a time of the wall clock. Handlers get one that a step of
// the wall clock does not move.
func TestTheDeadlineIsMonotonic(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.send(message("1", ""))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute).Round(0))
	defer cancel()
	fn := r.function(func(ctx context.Context, _ *handler.Message) error {
		at, ok := ctx.Deadline()
		require.True(t, ok)
		require.True(t, strings.Contains(at.String(), " m=") && time.Until(at) < time.Minute, "%v has no monotonic part", at)
		return nil
	}, nil)
	_, err := fn.Handle(ctx, r.event())
	require.NoError(t, err)
	require.Equal(t, uint64(1), fn.Stats().Acked)
}
