package consumer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A handlerContext is a delivery as its handler's context. It is a conversion, so that
// it costs no allocation. It has the values of Run's context and can be canceled with a
// cause. It makes only what its handler asks for:
//
//   - nothing, if the handler never waits for it;
//   - a channel of its own, if the handler waits for Done and that is all;
//   - the standard library's cancelable context, if it has a child, which
//     [context.WithCancel], [context.AfterFunc] and others make. They find it by their
//     private key through Value, so that a child needs no goroutine. It takes twice the
//     memory of a channel, and gives a canceled context its cause.
//
// Whether a context will have children is not known when its channel is asked for. The
// source remembers that one had: from then on Done makes the standard library's. A child
// of a context that has a channel already costs a goroutine until either ends.
type handlerContext delivery

// A contextState is what a handlerContext has made. delivery.mu guards it; inner, once
// set, is read without it. Invariant: done is closed after inner, if there is one, is
// canceled.
type contextState struct {
	done  chan struct{} // its own channel; nil if it has none
	inner atomic.Pointer[cancellable]
}

// ended reports whether the context has a channel of its own that is closed.
func (s *contextState) ended() bool {
	select {
	case <-s.done: // blocks if it is nil
		return true
	default:
		return false
	}
}

type cancellable struct {
	context.Context
	cancel context.CancelCauseFunc
}

// endedDone is the channel of contexts that nobody waited for while they lasted.
var endedDone = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Deadline implements [context.Context].
func (h *handlerContext) Deadline() (time.Time, bool) { return h.source.c.base.Deadline() }

// Done implements [context.Context].
func (h *handlerContext) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.done == nil && h.ctx.inner.Load() == nil {
		if h.source.derives.Load() {
			h.make()
		} else {
			h.ctx.done = make(chan struct{})
		}
	}
	if h.ctx.done != nil {
		return h.ctx.done
	}
	return h.ctx.inner.Load().Done()
}

// Err implements [context.Context].
func (h *handlerContext) Err() error {
	if in := h.ctx.inner.Load(); in != nil {
		return in.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.ended() {
		return context.Canceled
	}
	return nil
}

// Value implements [context.Context].
func (h *handlerContext) Value(key any) any {
	if in := h.ctx.inner.Load(); in != nil {
		return in.Value(key)
	}
	if key == childKey {
		h.noteChild()
	}
	return h.source.c.base.Value(key)
}

// noteChild takes in that the context gets a child, or that its cause is asked for.
func (h *handlerContext) noteChild() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.done != nil && !h.ctx.ended() {
		h.source.derives.Store(true)
	}
}

// make makes the standard library's context. delivery.mu is held.
func (h *handlerContext) make() *cancellable {
	in := h.ctx.inner.Load()
	if in == nil {
		in = &cancellable{}
		in.Context, in.cancel = context.WithCancelCause(h.source.c.base)
		h.ctx.inner.Store(in)
	}
	return in
}

// cancel cancels the context with a cause. One whose handler has returned is canceled
// already. delivery.mu is not held: children are canceled too.
func (h *handlerContext) cancel(cause error) {
	h.mu.Lock()
	if h.ctx.inner.Load() == nil && h.ctx.ended() {
		h.mu.Unlock()
		return
	}
	in := h.make() // it has the cause
	h.mu.Unlock()
	in.cancel(cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.close()
}

// cancelReturned cancels the context because its handler has returned. delivery.mu is
// not held.
func (h *handlerContext) cancelReturned() {
	h.mu.Lock()
	if in := h.ctx.inner.Load(); in != nil {
		h.mu.Unlock()
		in.cancel(nil)
		h.mu.Lock()
	} else if h.ctx.done == nil {
		h.ctx.done = endedDone
	}
	h.close()
	h.mu.Unlock()
}

// close closes the context's own channel, if it has one. delivery.mu is held.
func (h *handlerContext) close() {
	if h.ctx.done != nil && !h.ctx.ended() {
		close(h.ctx.done)
	}
}

// childKey is the key by which the standard library looks for its cancelable context
// among the parents of a new one, nil if it does so no more.
var childKey = func() any {
	var f keyFinder
	_ = context.Cause(&f)
	return f.key
}()

// A keyFinder is a context that remembers for which value it was asked.
type keyFinder struct {
	context.Context
	key any
}

// Value implements [context.Context].
func (f *keyFinder) Value(key any) any {
	f.key = key
	return nil
}

// Err implements [context.Context]. Only a canceled context is asked for its cause.
func (f *keyFinder) Err() error { return context.Canceled }

// detach returns a context with ctx's values that does not end with it. The value
// on top has no meaning: asked for a value, the bare result of WithoutCancel
// allocates, and one that is wrapped does not.
func detach(ctx context.Context) context.Context {
	return handler.WithShared(context.WithValue(context.WithoutCancel(ctx), detached{}, true))
}

type detached struct{}
