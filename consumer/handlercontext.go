package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// handlerContext is a handler's context. It has the values of Run's context and
// can be cancelled with a cause, but it makes the standard library's cancellable
// context only when someone waits for it, so that a handler that does not wait costs
// no allocation.
//
// Once made, the inner context answers for this one: context.Cause and
// context.WithCancel find it by its private key through Value, so that they
// neither lose the cause nor start a goroutine.
type handlerContext struct {
	base context.Context

	inner atomic.Pointer[cancellable]
	mu    sync.Mutex
	ended bool // the handler has returned
}

type cancellable struct {
	context.Context
	cancel context.CancelCauseFunc
}

func (c *handlerContext) Deadline() (time.Time, bool) { return c.base.Deadline() }

func (c *handlerContext) Done() <-chan struct{} { return c.make().Done() }

func (c *handlerContext) Err() error {
	if in := c.inner.Load(); in != nil {
		return in.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return context.Canceled
	}
	return nil
}

func (c *handlerContext) Value(key any) any {
	if in := c.inner.Load(); in != nil {
		return in.Value(key)
	}
	return c.base.Value(key)
}

func (c *handlerContext) make() *cancellable {
	if in := c.inner.Load(); in != nil {
		return in
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.makeLocked()
}

func (c *handlerContext) makeLocked() *cancellable {
	if in := c.inner.Load(); in != nil {
		return in
	}
	in := &cancellable{}
	in.Context, in.cancel = context.WithCancelCause(c.base)
	if c.ended {
		in.cancel(nil)
	}
	c.inner.Store(in)
	return in
}

// cancel cancels the context with a cause. One whose handler has returned is
// cancelled already.
func (c *handlerContext) cancel(cause error) {
	c.mu.Lock()
	in := c.makeLocked()
	c.mu.Unlock()
	in.cancel(cause)
}

// cancelReturned cancels the context because its handler has returned.
func (c *handlerContext) cancelReturned() {
	c.mu.Lock()
	c.ended = true
	in := c.inner.Load()
	c.mu.Unlock()
	if in != nil {
		in.cancel(nil)
	}
}

// detach returns a context with ctx's values that does not end with it. The value
// on top has no meaning: asked for a value, the bare result of WithoutCancel
// allocates, and one that is wrapped does not.
func detach(ctx context.Context) context.Context {
	return handler.WithShared(context.WithValue(context.WithoutCancel(ctx), detached{}, true))
}

type detached struct{}
