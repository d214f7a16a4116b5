package pubsubpush_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// drain pushes a queue's messages to an endpoint until there are none, and returns
// how often each status was answered.
func drain(t *testing.T, q pubsubtest.Queue, e http.Handler, unwrapped bool) map[int]int {
	t.Helper()
	server := httptest.NewServer(e)
	defer server.Close()
	pump := &pushtest.Pump{Addr: fake.Addr(), Subscription: q.Subscription(), Endpoint: server.URL, Unwrapped: unwrapped}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	require.NoError(t, pump.Drain(ctx, fake))
	return pump.Statuses()
}

// Messages of three keys are pushed, and one of the first key fails, the last time
// not before all those of the others are done.
func TestOrderingKeysAreKeptAndAFailedMessageHoldsItsKey(t *testing.T) {
	const n, fails = 6, 3
	for _, unwrapped := range []bool{false, true} {
		t.Run(fmt.Sprintf("unwrapped=%t", unwrapped), func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{Ordered: true, MaxAttempts: 100, AckDeadlineSeconds: 60})
			var mu sync.Mutex
			running := map[string]bool{}
			handled := map[string][]string{}
			overlaps, failures := 0, 0
			othersDone := make(chan struct{})
			h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
				mu.Lock()
				defer mu.Unlock()
				if running[m.Group] {
					overlaps++
				}
				running[m.Group] = true
				defer func() { running[m.Group] = false }()
				unlocked := func(f func()) {
					mu.Unlock()
					defer mu.Lock()
					f()
				}
				unlocked(runtime.Gosched) // another of its key would get in
				body := string(m.Body)
				handled[m.Group] = append(handled[m.Group], body)
				if len(handled["free"]) == n && len(handled["rejected"]) == n && m.Group != "held" {
					close(othersDone)
				}
				switch {
				case m.Group == "held" && body == "2" && failures < fails:
					if failures++; failures == fails {
						unlocked(func() {
							select {
							case <-othersDone:
							case <-ctx.Done():
							}
						})
					}
					return errors.New("not yet")
				case m.Group == "rejected" && body == "1":
					return handler.Reject(errBroken)
				}
				return nil
			})
			req := &pubsubpb.PublishRequest{Topic: q.Topic()}
			for i := range n {
				for _, key := range []string{"held", "free", "rejected"} {
					req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: fmt.Appendf(nil, "%d", i), OrderingKey: key})
				}
			}
			_, err := fake.Fake().GServer.Publish(t.Context(), req)
			require.NoError(t, err)
			config := pubsubpush.Config{Subscription: openPush(t, q)}
			if unwrapped {
				config.Format = pubsubpush.Unwrapped
			}
			statuses := drain(t, q, insecure(t, h, config), unwrapped)

			inOrder := []string{"0", "1", "2", "3", "4", "5"}
			require.Equal(t, inOrder, handled["free"])
			require.Equal(t, inOrder, handled["rejected"], "a letter does not hold its key")
			select {
			case <-othersDone:
			default:
				t.Fatal("the other keys were held as well")
			}
			require.Len(t, handled["held"], n+fails)
			require.Equal(t, inOrder, slices.Compact(slices.Clone(handled["held"])), "a later message was handled before the one that failed: %v", handled["held"])
			require.Zero(t, overlaps, "two messages of a key were handled at once")
			require.Equal(t, map[int]int{204: 3 * n, 500: fails}, statuses)
			letters := pulled(t, q.DeadLetter())
			require.Len(t, letters, 1)
			require.Equal(t, "rejected", letters[0].OrderingKey)
		})
	}
}

// If the dead-letter topic does not take a letter, the message is not
// acknowledged: it holds its key, is pushed again, rejected again, and published.
func TestAMessageWhoseLetterFailsComesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		code  codes.Code
		fails int // publish requests
		tries int // all of them
	}{
		"unavailable":         {codes.Unavailable, 4, 5},
		"too many requests":   {codes.ResourceExhausted, 4, 5},
		"unavailable at once": {codes.Unavailable, 2, 3},
		"denied":              {codes.PermissionDenied, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{Ordered: true, MaxAttempts: 100, AckDeadlineSeconds: 60})
			_, err := fake.Fake().GServer.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{
				{Data: []byte("bad"), OrderingKey: "k"}, {Data: []byte("good"), OrderingKey: "k"},
			}})
			require.NoError(t, err)
			var mu sync.Mutex
			tries := 0
			fake.SetFault(func(_ context.Context, method string, req any, next func() (any, error)) (any, error) {
				if p, ok := req.(*pubsubpb.PublishRequest); ok && p.Topic == q.DeadLetter().Topic() {
					mu.Lock()
					tries++
					fail := tries <= c.fails
					mu.Unlock()
					if fail {
						return nil, status.Error(c.code, "made to fail at "+method)
					}
				}
				return next()
			})
			defer fake.SetFault(nil)

			h := &recorder{does: func(_ context.Context, m *handler.Message) error {
				if string(m.Body) == "bad" {
					return handler.Reject(errBroken)
				}
				return nil
			}}
			e := insecure(t, h, pubsubpush.Config{Subscription: openPush(t, q)})
			statuses := drain(t, q, e, false)

			pushes := 1 // of the one that is rejected
			switch {
			case c.code == codes.PermissionDenied:
				pushes += c.fails // what is denied is not tried again within a push
			case c.fails == 4:
				pushes++
			}
			require.Equal(t, c.tries, tries)
			want := map[int]int{204: 2}
			if pushes > 1 {
				want[503] = pushes - 1
			}
			require.Equal(t, want, statuses)
			var bodies []string
			for _, m := range h.got {
				bodies = append(bodies, string(m.Body))
			}
			require.Equal(t, append(slices.Repeat([]string{"bad"}, pushes), "good"), bodies)
			require.EqualValues(t, pushes-1, e.Stats().Unsettled)
			letters := pulled(t, q.DeadLetter())
			require.Len(t, letters, 1)
			failure, ok := drivers.ParseFailure(letters[0].Attributes)
			require.True(t, ok)
			require.Equal(t, []any{"rejected: broken", q.ID, pushes}, []any{failure.Reason, failure.Queue, failure.Attempt})
		})
	}
}
