package pubsubpush_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

var errBroken = errors.New("broken")

// A history keeps the events that it observes, and by which name it was called
// in what order if several share a list.
type history struct {
	mu     sync.Mutex
	events []handler.Event
	name   string
	turns  *[]string
}

func (h *history) Observe(e handler.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Message != nil {
		e.Message = &handler.Message{ID: e.Message.ID} // it must not be kept
	}
	h.events = append(h.events, e)
	if h.turns != nil {
		*h.turns = append(*h.turns, h.name)
	}
}

// take returns the events since the last time.
func (h *history) take() []handler.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return events
}

// takes is how long the handlers of these tests run, by the bubble's clock.
const takes = 2 * time.Second

// TestObserversAreToldOfEachVerdict has the events of one push compared in full:
// which, in which order, and what they say.
func TestObserversAreToldOfEachVerdict(t *testing.T) {
	const (
		retry, ack, letter, drop = handler.ActionRetry, handler.ActionAck, handler.ActionDeadLetter, handler.ActionDrop
		settled                  = handler.EventSettled
	)
	reject := func() error { return handler.Reject(errBroken) }
	denied := &drivers.Error{Code: drivers.Denied, Err: errors.New("not allowed")}
	type event struct {
		kind   handler.EventKind
		action handler.Action
		delay  time.Duration
		err    error // in the event's error
	}
	for _, c := range []struct {
		name   string
		does   func() error
		sink   drivers.Sink
		code   int
		action handler.Action // the verdict
		err    error          // in the handler's error
		then   []event        // after it
		stats  pubsubpush.Stats
	}{
		{name: "ack", does: func() error { return nil }, code: 204, action: ack,
			then: []event{{settled, ack, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Acked: 1}}},
		{name: "drop", does: func() error { return handler.Drop(errBroken) }, code: 204, action: drop, err: errBroken,
			then: []event{{settled, drop, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Dropped: 1}}},
		{name: "reject", does: reject, sink: &sink{}, code: 204, action: letter, err: errBroken,
			then: []event{{settled, letter, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "reject without a dead-letter topic", does: reject, code: 500, action: letter, err: errBroken,
			then:  []event{{handler.EventNoDeadLetter, letter, 0, errBroken}, {settled, retry, 0, nil}},
			stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "reject that is not published", does: reject, sink: &sink{fails: func(int) error { return denied }}, code: 503,
			action: letter, err: errBroken, then: []event{{settled, letter, 0, denied}}, stats: pubsubpush.Stats{Counts: handler.Counts{Unsettled: 1}}},
		{name: "retry", does: func() error { return errBroken }, code: 500, action: retry, err: errBroken,
			then: []event{{settled, retry, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry after", does: func() error { return handler.RetryAfter(1500*time.Millisecond, errBroken) }, code: 503,
			action: retry, err: errBroken, then: []event{{settled, retry, 1500 * time.Millisecond, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry after more than can be", does: func() error { return handler.RetryAfter(math.MaxInt64, errBroken) }, code: 503,
			action: retry, err: errBroken, then: []event{{settled, retry, 10 * time.Minute, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "postponed", does: func() error { return handler.Postpone(3*time.Second, nil) }, code: 429, action: retry, err: handler.ErrPostponed,
			then: []event{{handler.EventPostponed, retry, 3 * time.Second, handler.ErrPostponed}, {handler.EventReleased, retry, 3 * time.Second, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Released: 1, Postponed: 1}}},
		{name: "panic", does: func() error { panic(errBroken) }, code: 500, action: retry,
			then: []event{{settled, retry, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}, Panics: 1}},
		{name: "goexit", does: func() error { runtime.Goexit(); return nil }, code: 500, action: retry,
			then: []event{{settled, retry, 0, nil}}, stats: pubsubpush.Stats{Counts: handler.Counts{Retried: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turns []string
				first, second := &history{name: "first", turns: &turns}, &history{name: "second", turns: &turns}
				h := &recorder{does: func(context.Context, *handler.Message) error { pass(takes); return c.does() }}
				e := insecure(t, h, pubsubpush.Config{DeadLetter: c.sink, Observers: []handler.Observer{first, second}})
				require.Equal(t, c.code, post(e, hello).Code)

				events := first.take()
				require.Equal(t, events, second.take())
				for i, name := range turns {
					require.Equal(t, []string{"first", "second"}[i%2], name, "observers are told in the order of the config")
				}
				require.Len(t, events, 3+len(c.then))
				for _, ev := range events {
					require.Equal(t, "orders", ev.Origin.Queue)
					if ev.Kind != handler.EventReceived {
						require.Equal(t, "7", ev.Message.ID)
					}
				}
				require.Equal(t, handler.EventReceived, events[0].Kind)
				require.Equal(t, 1, events[0].N)
				require.Equal(t, handler.EventStarted, events[1].Kind)
				handled := events[2]
				require.Equal(t, handler.EventHandled, handled.Kind)
				require.Equal(t, c.action, handled.Action)
				require.Equal(t, takes, handled.Duration)
				switch {
				case c.err != nil:
					require.ErrorIs(t, handled.Err, c.err)
				case c.action == retry:
					require.Error(t, handled.Err)
				default:
					require.NoError(t, handled.Err)
				}
				for i, want := range c.then {
					got := events[3+i]
					require.Equal(t, want, event{got.Kind, got.Action, got.Delay, want.err}, "event %d", 3+i)
					if want.err == nil {
						require.NoError(t, got.Err)
					} else {
						require.ErrorIs(t, got.Err, want.err)
					}
				}
				want := c.stats
				want.Received = 1
				require.Equal(t, want, e.Stats())
			})
		})
	}
}

func TestAPanicIsToldWithItsStack(t *testing.T) {
	seen := &history{}
	h := &recorder{does: func(context.Context, *handler.Message) error { panic("at the disco") }}
	require.Equal(t, 500, post(insecure(t, h, pubsubpush.Config{Observers: []handler.Observer{seen}}), hello).Code)
	var p *handler.PanicError
	require.ErrorAs(t, seen.take()[2].Err, &p)
	require.Equal(t, "at the disco", p.Value)
	require.Contains(t, string(p.Stack), "TestAPanicIsToldWithItsStack", "the stack does not show where the panic was")
}

// A client that goes away gets no answer, and its verdict is not carried out.
func TestAVerdictThatNobodyWaitsForIsNotCarriedOut(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		action handler.Action
	}{
		"ack":    {nil, handler.ActionAck},
		"drop":   {handler.Drop(errBroken), handler.ActionDrop},
		"reject": {handler.Reject(errBroken), handler.ActionDeadLetter},
		"retry":  {errBroken, handler.ActionRetry},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen, letters := &history{}, &sink{}
				h := &recorder{does: func(ctx context.Context, _ *handler.Message) error {
					<-ctx.Done()
					require.Equal(t, handler.ErrLeaseLost, context.Cause(ctx))
					return c.err
				}}
				e := insecure(t, h, pubsubpush.Config{DeadLetter: letters, Observers: []handler.Observer{seen}})
				ctx, leave := context.WithCancel(t.Context())
				time.AfterFunc(takes, leave)
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/push", strings.NewReader(hello)))

				require.Equal(t, 503, w.Code, "what stands between may still read it, and must not take it for an ack")
				events := seen.take()
				require.Len(t, events, 4)
				require.Equal(t, handler.EventHandled, events[2].Kind)
				require.Equal(t, c.action, events[2].Action)
				require.Equal(t, takes, events[2].Duration)
				require.Equal(t, handler.EventLateVerdict, events[3].Kind)
				require.Equal(t, c.action, events[3].Action)
				require.ErrorIs(t, events[3].Err, handler.ErrLeaseLost)
				require.Empty(t, letters.sent)
				require.Equal(t, pubsubpush.Stats{Counts: handler.Counts{Received: 1, Late: 1}}, e.Stats())
			})
		})
	}
}

func TestObserversAreToldOfWhatCannotBeReceived(t *testing.T) {
	q := openPush(t, newQueue(t, pubsubtest.Queue{}))
	for _, c := range []struct {
		name   string
		config pubsubpush.Config
		body   string
		code   int
		queue  string
		reason string
	}{
		{"unreadable", pubsubpush.Config{}, "raw", 400, "", "not JSON at byte 1"},
		{"too large", pubsubpush.Config{MaxMessageBytes: 4}, hello, 413, "", "more than 4 bytes"},
		{"of another subscription", pubsubpush.Config{Subscription: q}, hello, 403, q.Capabilities().Queue, "projects/test-project/subscriptions/orders"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen, h := &history{}, &recorder{}
			c.config.Observers = []handler.Observer{seen}
			e := insecure(t, h, c.config)
			require.Equal(t, c.code, post(e, c.body).Code)
			events := seen.take()
			require.Len(t, events, 1)
			require.Equal(t, handler.EventReceiveFailed, events[0].Kind)
			require.Equal(t, c.queue, events[0].Origin.Queue)
			require.ErrorContains(t, events[0].Err, c.reason)
			require.Zero(t, h.count())
			require.Equal(t, pubsubpush.Stats{Malformed: 1}, e.Stats())
		})
	}
}

// A request that is refused before it is read is not an event of a queue: whoever can reach
// the endpoint could make any number of them.
func TestObserversAreNotToldOfWhatIsTurnedAway(t *testing.T) {
	seen := &history{}
	e, err := pubsubpush.New(&recorder{}, &pubsubpush.Config{
		Audiences: []string{audience}, Emails: []string{email}, Observers: []handler.Observer{seen},
	})
	require.NoError(t, err)
	require.Equal(t, 401, post(e, hello).Code)
	require.Empty(t, seen.take())
	require.Equal(t, pubsubpush.Stats{Refused: 1}, e.Stats())

	e = insecure(t, &recorder{}, pubsubpush.Config{Observers: []handler.Observer{seen}})
	foreign := strings.Replace(hello, `"a":"b"`, `"sluice-redrive-target":"projects/test-project/subscriptions/other","sluice-redrive-topic":"projects/test-project/topics/t"`, 1)
	require.Equal(t, 204, post(e, foreign).Code)
	require.Empty(t, seen.take())
	require.Equal(t, pubsubpush.Stats{Foreign: 1}, e.Stats())
}
