package consumer_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// A consumer keeps no more after many messages than after a few:
// ten million in a full run.
func TestTheHeapStaysFlat(t *testing.T) {
	n := uint64(200_000)
	if suite.Full() {
		n = 10_000_000
	}
	opener := new(mem.Opener)
	sink, err := opener.Sink(t.Context(), "heap", nil)
	require.NoError(t, err)
	source, err := opener.Source(t.Context(), "heap", nil)
	require.NoError(t, err)
	c, err := consumer.New(source, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }),
		&consumer.Config{Concurrency: 32})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()

	const batch = 500
	sent := uint64(0)
	// handle sends and handles messages until so many are handled in all, and returns
	// what is on the heap then.
	handle := func(upTo uint64) uint64 {
		for ; sent < upTo; sent += batch {
			ms := make([]*handler.Message, batch)
			for i := range ms {
				ms[i] = &handler.Message{Body: make([]byte, 64)}
			}
			require.Nil(t, sink.Send(ctx, ms))
			for deadline := time.Now().Add(time.Minute); c.Stats().Acked+4*batch < sent; runtime.Gosched() {
				require.True(t, time.Now().Before(deadline), "nothing is handled any more")
			}
		}
		require.Eventually(t, func() bool { return c.Stats().Acked >= sent }, time.Minute, time.Millisecond)
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	early := handle(n / 10)
	late := handle(n)
	require.Less(t, late, early+early/4+1<<20, "bytes on the heap after %d messages, and %d after %d", n, early, n/10)
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, sink.Close())
}
