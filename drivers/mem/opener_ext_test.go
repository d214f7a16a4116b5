package mem_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

func TestNamesOfQueues(t *testing.T) {
	mux := drivers.NewMux(new(mem.Opener))
	for url, want := range map[string]string{
		"mem://orders": "orders", "mem:orders": "orders", "mem:///orders": "orders", "mem://orders/": "orders",
		"mem://shop/orders": "shop/orders", "mem:my%20orders": "my orders", "mem://orders-2.fifo?ordered=true": "orders-2.fifo",
	} {
		s, err := mux.OpenSource(t.Context(), url, nil)
		require.NoError(t, err, url)
		require.Equal(t, want, s.Capabilities().Queue, url)
	}
	for _, url := range []string{"mem://", "mem:", "mem:///", "mem://user@orders", "mem://orders#x", "mem:%zz", "mem://orders?colour=red"} {
		_, err := mux.OpenSource(t.Context(), url, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, url)
		_, err = mux.OpenSink(t.Context(), url, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, url)
	}
}

func TestQueuesBelongToTheirOpener(t *testing.T) {
	a, b := new(mem.Opener), new(mem.Opener)
	sink, err := a.Sink(t.Context(), "orders", nil)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{}}))
	visible := func(o *mem.Opener) int64 {
		s, err := o.Source(t.Context(), "orders", nil)
		require.NoError(t, err)
		d, err := s.Depth(t.Context())
		require.NoError(t, err)
		return d.Visible
	}
	require.EqualValues(t, 1, visible(a))
	require.EqualValues(t, 0, visible(b))

	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	require.ErrorIs(t, sink.Send(t.Context(), []*handler.Message{{}})[0], drivers.ErrClosed)
	_, err = a.Source(t.Context(), "orders", nil)
	require.ErrorIs(t, err, drivers.ErrClosed)
}

func TestDeadLetterOfTheOptions(t *testing.T) {
	mux := drivers.NewMux(new(mem.Opener))
	s, err := mux.OpenSource(t.Context(), "mem://orders", &drivers.Options{DeadLetter: "graveyard"})
	require.NoError(t, err)
	require.Equal(t, "graveyard", s.Capabilities().DeadLetterQueue)
}

// TestBubble has hours pass in no time.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queues := new(mem.Opener)
		sink, err := queues.Sink(t.Context(), "orders", nil)
		require.NoError(t, err)
		require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Delay: 15 * time.Second}}))
		source, err := queues.Source(t.Context(), "orders", &mem.Config{VisibilityTimeout: time.Hour})
		require.NoError(t, err)
		begin := time.Now()
		ds, err := source.Receive(t.Context(), 1, drivers.MaxWait)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, 15*time.Second, time.Since(begin))
		require.Equal(t, time.Hour, time.Until(ds[0].Deadline))
		require.Equal(t, 15*time.Second, time.Since(ds[0].Message.EnqueuedAt))
		require.NoError(t, queues.Close())
	})
}
