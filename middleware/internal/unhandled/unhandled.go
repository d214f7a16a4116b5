// Package unhandled lets an inner middleware say to those around it that it decided
// on a message without its handler, as idempotency does when it acks a duplicate. A
// breaker must not take such an ack for a success of its dependency.
package unhandled

import (
	"context"
	"sync/atomic"
)

// A Flag is set once a middleware has decided on the message without its handler. It
// may be used concurrently.
type Flag struct {
	outer *Flag
	set   atomic.Bool
}

type key struct{}

// Watch returns a context to handle one message with, and the flag that [Note] sets.
func Watch(ctx context.Context) (context.Context, *Flag) {
	outer, _ := ctx.Value(key{}).(*Flag)
	f := &Flag{outer: outer}
	return context.WithValue(ctx, key{}, f), f
}

// Note sets the flags of all that watch the message of ctx.
func Note(ctx context.Context) {
	f, _ := ctx.Value(key{}).(*Flag)
	for ; f != nil; f = f.outer {
		f.set.Store(true)
	}
}

// Noted reports whether the flag is set.
func (f *Flag) Noted() bool { return f.set.Load() }
