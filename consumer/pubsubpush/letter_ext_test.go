package pubsubpush_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A sink is a dead-letter queue that fails as a test says. It works in a bubble.
type sink struct {
	caps  drivers.Capabilities
	fails func(try int) error // counted from 1
	hangs bool                // until the context ends

	mu    sync.Mutex
	tries []time.Time
	sent  []*handler.Message // that were taken
	asked []*handler.Message // all
}

func (s *sink) Send(ctx context.Context, ms []*handler.Message) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, time.Now())
	s.asked = append(s.asked, ms...)
	if s.hangs {
		<-ctx.Done()
	}
	err := ctx.Err()
	if err == nil && s.fails != nil {
		err = s.fails(len(s.tries))
	}
	if err != nil {
		return []error{err}
	}
	s.sent = append(s.sent, ms...)
	return nil
}

func (s *sink) Capabilities() drivers.Capabilities { return s.caps }
func (s *sink) Close() error                       { return nil }

func failing(c drivers.Code) error {
	return &drivers.Error{Code: c, Queue: "letters", Op: "send", Err: errors.New("made to fail")}
}

// pushed is an envelope with everything a letter takes over.
func pushed(attempt int) string {
	return fmt.Sprintf(`{"message":{"data":"aGVsbG8=","messageId":"7","orderingKey":"customer-3","attributes":`+
		`{"a":"b","sluice-dedupe-id":"order-9","sluice-dead-letter-reason":"an older one"}},`+
		`"subscription":"projects/test-project/subscriptions/orders","deliveryAttempt":%d}`, attempt)
}

func TestARejectedMessageGoesToTheConfiguredSink(t *testing.T) {
	for attempt, first := range map[int]bool{0: false, 1: true, 3: false} {
		synctest.Test(t, func(t *testing.T) {
			letters := &sink{}
			h := &recorder{does: func(_ context.Context, m *handler.Message) error {
				m.Body, m.Attributes = []byte("unpacked"), map[string]string{"for": "the handlers below"}
				pass(takes)
				return handler.Reject(errBroken)
			}}
			e := insecure(t, h, pubsubpush.Config{DeadLetter: letters, Name: "endpoint-1"})
			require.Equal(t, 204, post(e, pushed(attempt)).Code)

			require.Len(t, letters.sent, 1)
			m, now := letters.sent[0], time.Now()
			require.Equal(t, "hello", string(m.Body), "the letter is what was published, not what a handler made of it")
			require.Equal(t, []string{"customer-3", "order-9"}, []string{m.Group, m.DedupeID})
			require.Zero(t, m.Delay)
			want := drivers.DeadLetter{Queue: "orders", Attempt: attempt, Failure: drivers.Failure{
				Reason: "rejected: broken", Last: now.UTC(), Consumer: "endpoint-1",
			}}
			if first {
				want.First = now.UTC() // of later attempts it is not known
			}
			failure, ok := drivers.ParseFailure(m.Attributes)
			require.True(t, ok)
			require.Equal(t, want, failure)
			require.Equal(t, map[string]string{"a": "b"}, drivers.WithoutFailure(m.Attributes))
		})
	}
}

func TestTheConfiguredSinkComesBeforeTheSubscriptionsTopic(t *testing.T) {
	letters := &sink{}
	s := openPush(t, newQueue(t, queueWithLetters))
	require.True(t, s.Capabilities().DeadLetter, "there is a choice")
	h := &recorder{does: func(context.Context, *handler.Message) error { return handler.Reject(nil) }}
	body := strings.Replace(hello, "projects/test-project/subscriptions/orders", s.Name(), 1)
	was := fake.Calls("Publish")
	require.Equal(t, 204, post(insecure(t, h, pubsubpush.Config{Subscription: s, DeadLetter: letters}), body).Code)
	require.Len(t, letters.sent, 1)
	require.NotEmpty(t, letters.sent[0].Attributes[drivers.AttributeDeadLetterReason])
	require.Equal(t, was, fake.Calls("Publish"))
}

// A letter that cannot be published is tried again while that may help. After it
// the message is not acknowledged, and with its next push the handler's verdict
// is carried out.
func TestALetterThatFails(t *testing.T) {
	always := func(c drivers.Code) func(int) error { return func(int) error { return failing(c) } }
	for _, c := range []struct {
		name  string
		fails func(try int) error
		code  int
		tries int
	}{
		{"transient once", func(try int) error {
			if try == 1 {
				return failing(drivers.Transient)
			}
			return nil
		}, 204, 2},
		{"throttled three times", func(try int) error {
			if try <= 3 {
				return failing(drivers.Throttled)
			}
			return nil
		}, 204, 4},
		{"transient", always(drivers.Transient), 503, 4},
		{"unclassified", func(int) error { return errBroken }, 503, 4},
		{"denied after a transient one", func(try int) error {
			if try == 1 {
				return failing(drivers.Transient)
			}
			return failing(drivers.Denied)
		}, 503, 2},
		{"denied", always(drivers.Denied), 503, 1},
		{"not found", always(drivers.NotFound), 503, 1},
		{"closed", always(drivers.Closed), 503, 1},
		{"unsupported", always(drivers.Unsupported), 503, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				letters := &sink{fails: c.fails}
				h := &recorder{does: func(context.Context, *handler.Message) error { return handler.Reject(errBroken) }}
				e := insecure(t, h, pubsubpush.Config{DeadLetter: letters})
				began := time.Now()
				require.Equal(t, c.code, post(e, hello).Code)
				require.Len(t, letters.tries, c.tries, "how often it was tried")
				for i := 1; i < c.tries; i++ {
					longest := 100 * time.Millisecond << (i - 1)
					paused := letters.tries[i].Sub(letters.tries[i-1])
					require.GreaterOrEqual(t, paused, longest/2)
					require.LessOrEqual(t, paused, longest)
				}
				require.Less(t, time.Since(began), time.Second)
				require.Equal(t, 1, h.count(), "the handler does not run again for that")
				if c.code == 204 {
					require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 1, DeadLettered: 1}}, e.Stats())
					return
				}
				require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 1, Unsettled: 1}}, e.Stats(), "it is no ack")

				// It is pushed again, and the queue for letters has recovered.
				letters.fails = nil
				require.Equal(t, 204, post(e, hello).Code)
				require.Len(t, letters.sent, 1)
				require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 2, Unsettled: 1, DeadLettered: 1}}, e.Stats())
			})
		})
	}
}

func TestALetterIsTriedForAsLongAsSomebodyWaits(t *testing.T) {
	reject := &recorder{does: func(context.Context, *handler.Message) error { return handler.Reject(errBroken) }}
	synctest.Test(t, func(t *testing.T) {
		letters := &sink{fails: func(int) error { return failing(drivers.Transient) }}
		e := insecure(t, reject, pubsubpush.Config{DeadLetter: letters})
		ctx, leave := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer leave()
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/push", strings.NewReader(hello)))
		require.Equal(t, 503, w.Code)
		require.Len(t, letters.tries, 1)
		require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 1, Unsettled: 1}}, e.Stats())
	})
	synctest.Test(t, func(t *testing.T) {
		letters, began := &sink{hangs: true}, time.Now()
		require.Equal(t, 503, post(insecure(t, reject, pubsubpush.Config{DeadLetter: letters}), hello).Code)
		require.Equal(t, 20*time.Second, time.Since(began), "a sink that does not answer must not hold a slot for ever")
		require.Len(t, letters.tries, 1)
	})
}

// The end of the handler's context is not the end of the letter's.
func TestALetterIsPublishedAfterTheHandlersTime(t *testing.T) {
	for name, stop := range map[string]bool{"timeout": false, "stop": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				letters := &sink{}
				want := context.DeadlineExceeded
				h := &recorder{does: func(ctx context.Context, _ *handler.Message) error {
					<-ctx.Done()
					require.ErrorIs(t, context.Cause(ctx), want)
					return handler.Reject(errBroken)
				}}
				e := insecure(t, h, pubsubpush.Config{DeadLetter: letters})
				// As from a server whose BaseContext ends before its Shutdown has.
				ctx, end := context.WithCancelCause(t.Context())
				defer end(nil)
				if stop {
					want = handler.ErrStopped
					time.AfterFunc(takes, func() { end(handler.ErrStopped) })
				}
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/push", strings.NewReader(hello)))
				require.Equal(t, 204, w.Code)
				require.Len(t, letters.sent, 1)
				require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 1, DeadLettered: 1}}, e.Stats())
			})
		})
	}
}

// A letter must not be stuck for what is said of its failure.
func TestALetterThatIsTooLargeGoesWithLess(t *testing.T) {
	for name, c := range map[string]struct {
		taken  int // by which try
		code   int
		reason int // bytes
	}{
		"all of it fits":       {1, 204, drivers.MaxReason},
		"a short reason":       {2, 204, 64},
		"nothing of it fits":   {3, 204, 0},
		"the message does not": {4, 503, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				letters := &sink{fails: func(try int) error {
					if try < c.taken {
						return failing(drivers.Invalid)
					}
					return nil
				}}
				h := &recorder{does: func(context.Context, *handler.Message) error {
					return handler.Reject(errors.New(strings.Repeat("long ", 1000)))
				}}
				require.Equal(t, c.code, post(insecure(t, h, pubsubpush.Config{DeadLetter: letters}), hello).Code)
				require.Len(t, letters.tries, min(c.taken, 3), "what is invalid is not sent again as it was")
				for _, m := range letters.asked {
					require.Equal(t, "hello", string(m.Body))
					require.Equal(t, "b", m.Attributes["a"])
				}
				if c.code == 204 {
					require.Len(t, letters.sent[0].Attributes[drivers.AttributeDeadLetterReason], c.reason)
				}
			})
		})
	}
}

// A letter that is pushed to a topic has room for no more than a hundred
// attributes, of which one is the dedupe ID.
func TestALetterHasNoMoreAttributesThanItsSinkTakes(t *testing.T) {
	q := newQueue(t, queueWithLetters)
	letters := openSink(t, q.DeadLetter())
	h := &recorder{does: func(context.Context, *handler.Message) error { return handler.Reject(errBroken) }}
	for _, n := range []int{10, 94, 99} {
		attributes, want := []string{`"sluice-dedupe-id":"order-9"`}, map[string]string{}
		for i := range n {
			attributes = append(attributes, fmt.Sprintf(`"k%d":"v"`, i))
			want[fmt.Sprintf("k%d", i)] = "v"
		}
		body := strings.Replace(hello, `"a":"b"`, strings.Join(attributes, ","), 1)
		require.Equal(t, 204, post(insecure(t, h, pubsubpush.Config{DeadLetter: letters}), body).Code, "%d attributes", n)
		ms := pulled(t, q.DeadLetter())
		require.Len(t, ms, 1)
		got := maps.Clone(ms[0].Attributes)
		require.LessOrEqual(t, len(got), 100)
		require.Equal(t, "order-9", got["sluice-dedupe-id"])
		delete(got, "sluice-dedupe-id")
		failure, ok := drivers.ParseFailure(got)
		require.True(t, ok)
		require.Equal(t, "rejected: broken", failure.Reason, "it is told, if packed")
		require.Equal(t, want, drivers.WithoutFailure(got))
	}
}
