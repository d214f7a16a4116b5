package pubsubpush_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// Everything from the topic to the dead-letter topic, with tokens.
func TestPushedMessagesAreSettled(t *testing.T) {
	for _, unwrapped := range []bool{false, true} {
		q, issuer := newQueue(t, pubsubtest.Queue{MaxAttempts: 100, AckDeadlineSeconds: 60}), newIssuer(t)
		var mu sync.Mutex
		seen := map[string]int{}
		h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			mu.Lock()
			defer mu.Unlock()
			seen[string(m.Body)]++
			switch m.Attribute("do") {
			case "retry":
				if seen[string(m.Body)] < 3 {
					return errors.New("not yet")
				}
			case "reject":
				m.SetAttribute("changed", "by the handler")
				return handler.Reject(errors.New("cannot be done"))
			case "drop":
				return handler.Drop(errors.New("of no use"))
			}
			return nil
		})
		config := &pubsubpush.Config{
			Subscription: openPush(t, q), Audiences: []string{audience}, Emails: []string{email}, KeysURL: issuer.URL(), Name: "endpoint-1",
		}
		if unwrapped {
			config.Format = pubsubpush.Unwrapped
		}
		e, err := pubsubpush.New(h, config)
		require.NoError(t, err)
		server := httptest.NewServer(e)
		defer server.Close()
		actions := []string{"ack", "retry", "reject", "drop"}
		req := &pubsubpb.PublishRequest{Topic: q.Topic()}
		for i := range 40 {
			req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: fmt.Appendf(nil, "m%d", i), Attributes: map[string]string{"do": actions[i%4]}})
		}
		// A redrive that is meant for another subscription.
		req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: []byte("foreign"), Attributes: map[string]string{
			"sluice-redrive-target": "projects/test-project/subscriptions/other", "sluice-redrive-topic": q.Topic()}})
		_, err = fake.Fake().GServer.Publish(t.Context(), req)
		require.NoError(t, err)

		pump := &pushtest.Pump{
			Addr: fake.Addr(), Subscription: q.Subscription(), Endpoint: server.URL, Unwrapped: unwrapped,
			Token: func() (string, error) { return issuer.Token(audience, email) },
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		require.NoError(t, pump.Drain(ctx, fake))
		stop()

		mu.Lock()
		require.Len(t, seen, 40, "the foreign one is not handled")
		for i := range 40 {
			want := 1
			if actions[i%4] == "retry" {
				want = 3
			}
			require.Equal(t, want, seen[fmt.Sprintf("m%d", i)])
		}
		mu.Unlock()
		require.Equal(t, map[int]int{204: 41, 500: 20}, pump.Statuses())
		s := e.Stats()
		require.Equal(t, []uint64{20, 20, 10, 10, 1}, []uint64{s.Acked, s.Retried, s.DeadLettered, s.Dropped, s.Foreign})

		resp, err := fake.Fake().GServer.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.DeadLetter().Subscription(), MaxMessages: 100, ReturnImmediately: true}) //nolint:staticcheck // to ask once
		require.NoError(t, err)
		require.Len(t, resp.ReceivedMessages, 10)
		a := resp.ReceivedMessages[0].Message.Attributes
		failure, ok := drivers.ParseFailure(a)
		require.True(t, ok)
		require.Equal(t, []string{"rejected: cannot be done", "endpoint-1", q.ID}, []string{failure.Reason, failure.Consumer, failure.Queue})
		require.Equal(t, q.ID, a["CloudPubSubDeadLetterSourceSubscription"])
	}
}

func TestAPushOfAnotherSubscriptionIsRefused(t *testing.T) {
	h := &recorder{}
	e := insecure(t, h, pubsubpush.Config{Subscription: openPush(t, newQueue(t, pubsubtest.Queue{}))})
	require.Equal(t, 403, post(e, hello).Code)
	require.Zero(t, h.count())
}
