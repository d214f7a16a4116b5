package consumer

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type valueKey struct{}

func newContext(parent context.Context) *handlerContext {
	s := &source{c: &Consumer{base: detach(context.WithValue(parent, valueKey{}, 7))}}
	return (*handlerContext)(&delivery{lease: lease{source: s}})
}

var errCause = errors.New("cause")

func TestHandlerContextIsAContext(t *testing.T) {
	for _, waited := range []bool{false, true} {
		for _, derives := range []bool{false, true} {
			c := newContext(t.Context())
			c.source.derives.Store(derives)
			var done <-chan struct{}
			if waited {
				done = c.Done()
				require.Equal(t, done, c.Done())
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
			if waited {
				require.Equal(t, done, c.Done())
			}
			<-c.Done()
			c.cancelReturned()
			require.Equal(t, errCause, context.Cause(c))
		}
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

// A context whose channel was asked for by a child is the last of its source that costs
// a goroutine: from then on Done makes what children need none for.
func TestHandlerContextsChildrenNeedNoGoroutine(t *testing.T) {
	c := newContext(t.Context())
	s := c.source
	for i := range 3 {
		c := (*handlerContext)(&delivery{lease: lease{source: s}})
		before := runtime.NumGoroutine()
		// A middleware's value hides all methods but those of context.Context.
		child, cancel := context.WithTimeout(context.WithValue(c, valueKey{}, 8), time.Hour)
		stop := context.AfterFunc(c, func() {})
		if i > 0 {
			require.Equal(t, before, runtime.NumGoroutine())
		}
		require.True(t, stop())
		c.cancel(errCause)
		<-child.Done()
		require.ErrorIs(t, child.Err(), context.Canceled)
		require.Equal(t, errCause, context.Cause(child))
		cancel()
	}
}

func TestAskingForTheCauseDoesNotMakeAContextDearer(t *testing.T) {
	c := newContext(t.Context())
	require.NoError(t, context.Cause(c))
	_ = c.Done()
	c.cancel(errCause)
	require.Equal(t, errCause, context.Cause(c))
	require.False(t, c.source.derives.Load())
}

func TestHandlerContextsChildrenEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In a bubble a goroutine that still waits would be found at its end.
		for _, end := range []func(*handlerContext){
			func(c *handlerContext) { c.cancel(errCause) },
			func(c *handlerContext) { c.cancelReturned() },
		} {
			c := newContext(t.Context())
			child, cancel := context.WithTimeout(c, time.Hour)
			grandchild := context.WithValue(child, valueKey{}, 8)
			called := make(chan struct{})
			stop := context.AfterFunc(c, func() { close(called) })
			end(c)
			<-called
			<-grandchild.Done()
			require.ErrorIs(t, grandchild.Err(), context.Canceled)
			require.Equal(t, context.Cause(c), context.Cause(grandchild))
			require.False(t, stop())
			cancel()
		}
	})
}

func TestHandlerContextEndsOnce(t *testing.T) {
	for _, derives := range []bool{false, true} {
		for range 200 {
			c := newContext(t.Context())
			c.source.derives.Store(derives)
			var wg sync.WaitGroup
			wg.Go(func() { <-c.Done() })
			wg.Go(func() { c.cancel(errCause) })
			wg.Go(c.cancelReturned)
			wg.Go(func() {
				child, cancel := context.WithCancel(c)
				defer cancel()
				<-child.Done()
			})
			wg.Wait()
			require.ErrorIs(t, c.Err(), context.Canceled)
		}
	}
}

func TestAHandlerThatWaitsMakesAChannel(t *testing.T) {
	s := newContext(t.Context()).source
	require.EqualValues(t, 1, testing.AllocsPerRun(100, func() {
		c := (*handlerContext)(&delivery{lease: lease{source: s}})
		_ = c.Done()
		c.cancelReturned()
	})-1, "beside the delivery")
}

func TestHandlerContextCostsNothingUnlessItIsWaitedFor(t *testing.T) {
	base := newContext(t.Context())
	cs := make([]delivery, 101)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		c := (*handlerContext)(&cs[0])
		cs = cs[1:]
		c.source = base.source
		if c.Err() != nil || c.Value(valueKey{}) != 7 {
			t.Error("it is fresh")
		}
		c.cancelReturned()
	}))
}
