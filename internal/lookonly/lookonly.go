// Package lookonly marks the contexts of those who only look at queues. With such a
// context a driver's Depth and Examine receive no message, not even to give it back: a
// fact that can't be read otherwise stays unknown. A table of an outbox that is a SQLite file is
// opened for reading only, and not created.
package lookonly

import "context"

type key struct{}

// Context returns ctx, marked.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Asked reports whether ctx is marked.
func Asked(ctx context.Context) bool { return ctx.Value(key{}) != nil }
