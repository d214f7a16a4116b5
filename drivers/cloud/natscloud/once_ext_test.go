package natscloud_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

// A thousand messages go through NATS and the consumer; every tenth fails at
// first and is retried by a copy. Each has its effect once.
func TestAThousandMessagesHaveOneEffectEach(t *testing.T) {
	t.Parallel()
	opener := &natscloud.Opener{URL: natsserver.Start(t)}
	t.Cleanup(func() { require.NoError(t, opener.Close()) })
	mux := drivers.NewMux(opener)
	const u, n = "nats://orders?queue=workers&retry=republish", 1000
	source, err := mux.OpenSource(t.Context(), u, nil)
	require.NoError(t, err)
	sink, err := mux.OpenSink(t.Context(), u, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })

	var mu sync.Mutex
	effects, failures := map[string]int{}, 0
	all := make(chan struct{})
	c, err := consumer.New(source, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		mu.Lock()
		defer mu.Unlock()
		body := string(m.Body)
		if body[len(body)-1] == '0' && m.Attempt == 1 {
			failures++
			return handler.RetryAfter(50*time.Millisecond, errors.New("not yet"))
		}
		effects[body]++
		if len(effects) == n {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		return nil
	}), &consumer.Config{Concurrency: 16})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	for from := 0; from < n; from += 100 {
		ms := make([]*handler.Message, 100)
		for i := range ms {
			ms[i] = &handler.Message{Body: fmt.Append(nil, from+i)}
		}
		require.Nil(t, sink.Send(t.Context(), ms))
	}
	select {
	case <-all:
	case <-time.After(2 * time.Minute):
		t.Error("not every message came")
	}
	cancel()
	require.NoError(t, <-done)
	require.Len(t, effects, n)
	require.Equal(t, n/10, failures, "the handler failed as it was meant to")
	for body, times := range effects {
		require.Equal(t, 1, times, "effects of message %s", body)
	}
}

func TestARetryMustBeDecided(t *testing.T) {
	t.Parallel()
	mux := drivers.NewMux(&natscloud.Opener{URL: "nats://127.0.0.1:1"})
	_, err := mux.OpenSource(t.Context(), "nats://orders?queue=workers", nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "retry=republish")
	_, err = mux.OpenSource(t.Context(), "nats://orders?retry=none", nil)
	require.ErrorIs(t, err, drivers.ErrTransient, "there is no server")
}
