//go:build !race

package consumer_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// A worker whose handler waits has the stack of two KiB that a goroutine begins with:
// frames that grow a little double it. The race detector's frames are larger.
func TestAWorkersStackStaysSmall(t *testing.T) {
	const n = 2000
	opener := new(mem.Opener)
	sink, err := opener.Sink(t.Context(), "stack", nil)
	require.NoError(t, err)
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = &handler.Message{}
	}
	require.Nil(t, sink.Send(t.Context(), ms))
	source, err := opener.Source(t.Context(), "stack", nil)
	require.NoError(t, err)
	c, err := consumer.New(source, handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}), &consumer.Config{Concurrency: n, DrainTimeout: -1})
	require.NoError(t, err)
	stacks := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	// first is the stack of a new goroutine: what those before it needed.
	first := func() uint64 {
		before := stacks()
		var begun, ended sync.WaitGroup
		begun.Add(n)
		release := make(chan struct{})
		for range n {
			ended.Go(func() {
				begun.Done()
				<-release
			})
		}
		begun.Wait()
		size := (stacks() - before) / n
		close(release)
		ended.Wait()
		return size
	}
	early := first()
	before := stacks()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	require.Eventually(t, func() bool { return c.Stats().Running == n }, time.Minute, time.Millisecond)
	after := stacks()
	cancel()
	require.ErrorIs(t, <-ended, consumer.ErrDrainTimeout)
	require.NoError(t, sink.Close())
	require.Less(t, (after-before)/n, max(early, first())+1000, "bytes of stack a handler")
}
