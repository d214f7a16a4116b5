package handler

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// WithShared returns ctx marked as the context that all messages of a run share:
// [Batch] gives a batch handler its values, and none that were added to it for one
// message. Runtimes call it once, with the context that they were started with, and
// derive each handler's context from the result.
func WithShared(ctx context.Context) context.Context { return &sharedContext{ctx} }

type sharedContext struct{ context.Context }

type sharedKey struct{}

// Value returns the context itself for its own key.
func (c *sharedContext) Value(key any) any {
	if key == (sharedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// MessageContext returns the context of message m of a batch: it has the message's
// values, such as its span, and ends with its lease. ctx is the batch handler's
// context. Outside of a batch, or if m is not in it, MessageContext returns ctx.
// The context must not be used after HandleBatch has returned.
func MessageContext(ctx context.Context, m *Message) context.Context {
	b, ok := ctx.Value(batchKey{}).(*batchContext)
	if !ok {
		return ctx
	}
	for _, call := range b.calls {
		if call.m == m {
			return call.ctx
		}
	}
	return ctx
}

type batchKey struct{}

// batchContext has the values that the messages of a batch share. It has no end.
type batchContext struct {
	context.Context // without values and end
	calls           []*batchCall
	// from are the contexts that a value must be in to be shared. It is empty if
	// the one message of the batch shares nothing with others.
	from []context.Context
}

func newBatchContext(calls []*batchCall) *batchContext {
	b := &batchContext{Context: context.Background(), calls: calls}
	marked := false
	for _, call := range calls {
		ctx := call.ctx
		if s, ok := ctx.Value(sharedKey{}).(*sharedContext); ok {
			marked = true
			if ctx = s; len(b.from) > 0 && b.from[len(b.from)-1] == ctx {
				continue
			}
		}
		b.from = append(b.from, ctx)
	}
	if len(calls) == 1 && !marked {
		b.from = nil
	}
	return b
}

// Value returns a value that is the same for all messages.
func (b *batchContext) Value(key any) any {
	switch key.(type) {
	case batchKey:
		return b
	case sharedKey, singlyKey:
		return nil
	}
	var shared any
	for i, ctx := range b.from {
		v := ctx.Value(key)
		switch {
		case v == nil:
			return nil
		case i == 0:
			shared = v
		case !same(shared, v):
			return nil
		}
	}
	return shared
}

func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// Singly returns m for middleware that gives each message something of its own,
// such as a transaction, which the other messages of a batch must not use. Around
// a batch handler the result is a handler that [Check] refuses with reason; so are
// chains of it that [Chain] made. Where neither could see the batch handler, it
// postpones every message with that reason. The reason should say what to do
// instead.
func Singly(m Middleware, reason error) Middleware {
	return func(next Handler) Handler {
		if refused := Check(next); refused != nil {
			return &refusal{refused}
		}
		if gathers(next) {
			return &refusal{reason}
		}
		return m(HandlerFunc(func(ctx context.Context, msg *Message) error {
			return next.Handle(context.WithValue(ctx, singlyKey{}, reason), msg)
		}))
	}
}

type singlyKey struct{}

// Check returns why h can't work as it was built, or nil: h is nil or a nil
// [HandlerFunc], [Typed] was called without a function, or middleware can't be
// around it. Runtimes call it before they take a handler.
func Check(h Handler) error {
	switch h := h.(type) {
	case nil:
		return errNilHandler
	case HandlerFunc:
		if h == nil {
			return errNilHandler
		}
	case *refusal:
		return h.reason
	}
	return nil
}

var errNilHandler = errors.New("the handler is nil")

// refusal stands for a handler that can't work.
type refusal struct{ reason error }

// refusalDelay is how long a message waits for a handler that can't work.
const refusalDelay = 30 * time.Second

// Handle postpones every message: no handler has seen it.
func (r *refusal) Handle(context.Context, *Message) error {
	return Postpone(refusalDelay, r.reason)
}

// gathering is a handler in which Chain has found a batch handler.
type gathering struct{ Handler }

func gathers(h Handler) bool {
	switch h.(type) {
	case *batcher, *gathering:
		return true
	default:
		return false
	}
}

// layer wraps h in m, and keeps the properties of h.
func layer(h Handler, m Middleware) Handler {
	if err := Check(h); err != nil {
		return &refusal{err}
	}
	outer := m(h)
	if err := Check(outer); err != nil {
		return &refusal{err}
	}
	switch {
	case gathers(h) && !gathers(outer):
		return &gathering{outer}
	default:
		return outer
	}
}

// singly is why a message must not be in a batch, or nil.
func singly(ctx context.Context) error {
	reason, ok := ctx.Value(singlyKey{}).(error)
	if !ok {
		return nil
	}
	return Postpone(refusalDelay, errors.Join(errNotInBatch, reason))
}

var errNotInBatch = errors.New("batch: the message can't be in a batch")
