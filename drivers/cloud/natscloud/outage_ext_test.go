package natscloud_test

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

const patience = 60 * time.Second

// A NATS server is away, for shorter and for longer than its client looks for it.
// Meanwhile sends fail and receives say why nothing comes; after that both ends
// are as before, the republishing one too.
func TestBothEndsRecoverFromAnOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options []nats.Option
	}{
		{"shorter", []nats.Option{nats.ReconnectWait(10 * time.Millisecond)}},
		{"longer: the client gives up", []nats.Option{nats.MaxReconnects(1), nats.ReconnectWait(time.Millisecond)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, stop, err := natsserver.Run()
			require.NoError(t, err)
			at, err := url.Parse(server)
			require.NoError(t, err)
			port, err := strconv.Atoi(at.Port())
			require.NoError(t, err)
			opener := &natscloud.Opener{URL: server, Options: c.options}
			t.Cleanup(func() { require.NoError(t, opener.Close()) })
			mux := drivers.NewMux(opener)
			const u = "nats://orders?queue=workers&retry=republish"
			source, err := mux.OpenSource(t.Context(), u, nil)
			require.NoError(t, err)
			sink, err := mux.OpenSink(t.Context(), u, nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, sink.Close()) })
			send := func(body string) error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				return errors.Join(sink.Send(ctx, []*handler.Message{{Body: []byte(body)}})...)
			}

			var mu sync.Mutex
			done := map[string]int{}
			was := func(body string) func() bool {
				return func() bool {
					mu.Lock()
					defer mu.Unlock()
					return done[body] > 0
				}
			}
			run, err := consumer.New(source, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				if string(m.Body) == "fails once" && m.Attempt == 1 {
					return errors.New("not yet")
				}
				mu.Lock()
				defer mu.Unlock()
				done[string(m.Body)]++
				return nil
			}), nil)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- run.Run(ctx) }()
			require.Eventually(t, func() bool { return send("before") == nil && was("before")() }, patience, 50*time.Millisecond)

			stop()
			require.Eventually(t, func() bool { return send("meanwhile") != nil }, patience, 50*time.Millisecond)
			require.Eventually(t, func() bool { return !run.Health().Ready() }, patience, 50*time.Millisecond, "the outage is not seen")

			_, stop, err = natsserver.RunAt(port)
			require.NoError(t, err)
			t.Cleanup(stop)
			require.Eventually(t, func() bool { return send("after") == nil }, patience, 50*time.Millisecond, "the sink stays dead")
			// Core NATS keeps nothing: a message counts once the source is there too.
			require.Eventually(t, func() bool { return send("received") == nil && was("received")() }, patience, 100*time.Millisecond, "the source stays dead")
			require.NoError(t, send("fails once"))
			require.Eventually(t, was("fails once"), patience, 50*time.Millisecond, "a failed message is not republished")
			require.Eventually(t, func() bool { return run.Health().Ready() }, patience, 50*time.Millisecond, "the end of the outage is not seen")
			cancel()
			require.NoError(t, <-ended)
		})
	}
}
