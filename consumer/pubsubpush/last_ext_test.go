package pubsubpush_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

// wrapped is a push of a subscription at an attempt.
func wrapped(subscription string, attempt int) string {
	return fmt.Sprintf(`{"message":{"data":"aGVsbG8=","messageId":"7","orderingKey":"g","attributes":{"a":"b","sluice-dedupe-id":"order-9"}},`+
		`"subscription":%q,"deliveryAttempt":%d}`, subscription, attempt)
}

// The failure of the last attempt that the dead-letter policy allows is the
// letter's reason: the service would forward the message without one.
func TestTheLastAttempt(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		attempt int
		code    int
		reason  string
		stats   pubsubpush.Stats
	}{
		{name: "before the last", err: errBroken, attempt: 4, code: 500, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "not known", err: errBroken, attempt: 0, code: 500, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "plain", err: errBroken, attempt: 5, code: 204, reason: "attempts used up: attempt 5 of 5: broken", stats: pubsubpush.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "with a delay", err: handler.RetryAfter(time.Minute, errBroken), attempt: 6, code: 204,
			reason: "attempts used up: attempt 6 of 5: broken", stats: pubsubpush.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "typed nil", err: (*broken.TypedNil)(nil), attempt: 5, code: 204,
			reason: "attempts used up: attempt 5 of 5: an error of type *broken.TypedNil whose Error method panicked", stats: pubsubpush.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "rejected with a typed nil", err: handler.Reject((*broken.TypedNil)(nil)), attempt: 1, code: 204,
			reason: "rejected: an error of type *broken.TypedNil whose Error method panicked", stats: pubsubpush.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "postponed", err: handler.Postpone(time.Second, errBroken), attempt: 5, code: 429, stats: pubsubpush.Stats{Counts: handler.Counts{Released: 1, Postponed: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5, AckDeadlineSeconds: 60})
			h := &recorder{does: func(_ context.Context, m *handler.Message) error {
				m.Attempt, m.Group, m.DedupeID = 99, "another", "another" // no letter has that
				return c.err
			}}
			e := insecure(t, h, pubsubpush.Config{Subscription: openPush(t, q), Name: "me"})
			require.Equal(t, c.code, post(e, wrapped(q.Subscription(), c.attempt)).Code)
			c.stats.Received = 1
			require.Equal(t, c.stats, e.Stats())
			letters := pulled(t, q.DeadLetter())
			if c.reason == "" {
				require.Empty(t, letters)
				return
			}
			require.Len(t, letters, 1)
			got := letters[0].Attributes
			require.Equal(t, c.reason, got[drivers.AttributeDeadLetterReason])
			require.Equal(t, fmt.Sprint(c.attempt), got[drivers.AttributeDeadLetterAttempt])
			require.Equal(t, "me", got[drivers.AttributeDeadLetterConsumer])
			require.Equal(t, "order-9", got["sluice-dedupe-id"], "its identity is lost")
			require.Equal(t, "b", got["a"])
			require.Equal(t, "g", letters[0].OrderingKey)
		})
	}
}

// Pushes without deliveryAttempt of a subscription that has a dead-letter policy are
// never at their last attempt: the log says so, once a minute.
func TestPushesWithoutTheirAttemptAreLogged(t *testing.T) {
	for name, c := range map[string]struct {
		most   int32 // the dead-letter policy's; 0 for no policy
		body   func(subscription string) string
		logged bool
	}{
		"left out":            {most: 5, body: uncounted, logged: true},
		"counted":             {most: 5, body: func(s string) string { return wrapped(s, 1) }},
		"no dead-letter rule": {body: uncounted},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: c.most, AckDeadlineSeconds: 60})
			s := openPush(t, q)
			synctest.Test(t, func(t *testing.T) {
				var j journal
				h := &recorder{does: func(context.Context, *handler.Message) error { return errBroken }}
				e := insecure(t, h, pubsubpush.Config{Subscription: s, Logger: j.logger()})
				for _, missed := range []float64{0, 2} {
					for range 3 {
						require.Equal(t, 500, post(e, c.body(q.Subscription())).Code)
					}
					lines := j.take(t)
					if !c.logged {
						require.Empty(t, lines)
						continue
					}
					require.Equal(t, []map[string]any{{
						"level": "ERROR", "msg": "pushes have no deliveryAttempt: limits of attempts are not enforced",
						"queue": s.Capabilities().Queue, "message": "7", "not_logged": missed,
					}}, lines)
					pass(time.Minute)
				}
			})
		})
	}
}

// uncounted is a push without its attempt.
func uncounted(subscription string) string {
	return strings.Replace(wrapped(subscription, 0), `,"deliveryAttempt":0`, "", 1)
}

func TestTheLargestLimitOfBytesIsNone(t *testing.T) {
	for _, most := range []int{math.MaxInt, math.MaxInt / 2, math.MaxInt / 8 * 7} {
		for _, format := range []pubsubpush.Format{pubsubpush.Wrapped, pubsubpush.Unwrapped} {
			h := &recorder{does: func(context.Context, *handler.Message) error { return nil }}
			e := insecure(t, h, pubsubpush.Config{MaxMessageBytes: most, Format: format})
			require.Equal(t, 204, post(e, hello, "x-goog-pubsub-message-id", "7").Code, "%d, format %d", most, format)
		}
	}
}
