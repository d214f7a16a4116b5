package consumer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A held depth is a source that answers questions for its depth when a test says so.
type heldDepth struct {
	drivers.Source
	asked chan chan drivers.Depth
}

func (heldDepth) Capabilities() drivers.Capabilities { return drivers.Capabilities{Queue: "orders"} }

func (h heldDepth) Depth(context.Context) (drivers.Depth, error) {
	c := make(chan drivers.Depth)
	h.asked <- c
	return <-c, nil
}

func (heldDepth) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

// Two pollers ask how many messages there are. Before they are answered a third receives one,
// which is put off: the queue is not empty, whatever the answers are.
func TestADepthThatIsOlderThanAMessageDoesNotCount(t *testing.T) {
	t.Parallel()
	asked := make(chan chan drivers.Depth)
	c, err := New(heldDepth{asked: asked}, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), &Config{UntilEmpty: true})
	require.NoError(t, err)
	e := &c.sources[0].emptiness
	check := func() (question chan drivers.Depth, drained chan bool) {
		drained = make(chan bool, 1)
		go func() { drained <- e.check() }()
		return <-asked, drained
	}
	first, firstDrained := check()
	second, secondDrained := check()
	e.reset()
	first <- drivers.Depth{}
	second <- drivers.Depth{}
	require.False(t, <-firstDrained)
	require.False(t, <-secondDrained)
	require.False(t, e.reached())

	for range zeroDepths {
		question, drained := check()
		require.False(t, e.reached())
		question <- drivers.Depth{}
		<-drained
	}
	require.True(t, e.reached())
}
