package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type valueKey struct{}

func newContext(parent context.Context) *handlerContext {
	return &handlerContext{base: detach(context.WithValue(parent, valueKey{}, 7))}
}

var errCause = errors.New("cause")

func TestHandlerContextIsAContext(t *testing.T) {
	for _, waited := range []bool{false, true} {
		c := newContext(t.Context())
		if waited {
			_ = c.Done()
		}
		require.NoError(t, c.Err())
		require.NoError(t, context.Cause(c))
		require.Equal(t, 7, c.Value(valueKey{}))
		_, has := c.Deadline()
		require.False(t, has)
		c.cancel(errCause)
		c.cancel(errors.New("a later one"))
		require.ErrorIs(t, c.Err(), context.Canceled)
		require.Equal(t, errCause, context.Cause(c))
		require.Equal(t, 7, c.Value(valueKey{}))
		select {
		case <-c.Done():
		default:
			t.Fatal("Done is not closed")
		}
		c.cancelReturned()
		require.Equal(t, errCause, context.Cause(c))
	}
}

func TestHandlerContextEndsWithItsHandler(t *testing.T) {
	c := newContext(t.Context())
	c.cancelReturned()
	require.ErrorIs(t, c.Err(), context.Canceled)
	<-c.Done() // asked for only now
	child, cancel := context.WithCancel(c)
	defer cancel()
	<-child.Done()

	c = newContext(t.Context())
	child, cancel = context.WithCancel(c)
	defer cancel()
	c.cancelReturned()
	<-child.Done()
	require.ErrorIs(t, context.Cause(c), context.Canceled)
}

func TestHandlerContextsChildrenNeedNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In a bubble a goroutine that waits would be found at its end.
		c := newContext(t.Context())
		child, cancel := context.WithTimeout(c, time.Hour)
		grandchild := context.WithValue(child, valueKey{}, 8)
		stop := context.AfterFunc(c, func() {})
		c.cancel(errCause)
		require.ErrorIs(t, grandchild.Err(), context.Canceled)
		require.Equal(t, errCause, context.Cause(grandchild))
		require.False(t, stop())
		cancel()
	})
}

func TestHandlerContextCostsNothingUnlessItIsWaitedFor(t *testing.T) {
	base := detach(t.Context())
	cs := make([]handlerContext, 101)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		c := &cs[0]
		cs = cs[1:]
		c.base = base
		if c.Err() != nil || c.Value(valueKey{}) != nil {
			t.Error("it is fresh")
		}
		c.cancelReturned()
	}))
}
