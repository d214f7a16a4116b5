package handler

import "context"

// A Handler handles one message. The error it returns is the verdict on the
// message; see [VerdictOf].
//
// Handle is called concurrently, each call with its own message. The context is
// canceled when the message's lease is lost (cause [ErrLeaseLost]) and when the
// grace period of a shutdown has ended (cause [ErrStopped]); it is not canceled
// when a shutdown begins. The handler may change the message's Body and
// Attributes only for the handlers that it wraps itself; the message must not be
// used after Handle has returned.
type Handler interface {
	Handle(ctx context.Context, m *Message) error
}

// HandlerFunc is a function that is a [Handler].
type HandlerFunc func(ctx context.Context, m *Message) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) error { return f(ctx, m) }

// Middleware wraps a handler in another. It is called once, when the chain is
// built, not once a message.
type Middleware func(Handler) Handler

// Chain wraps h in the given middleware. The first is the outermost: it sees
// the message first and the verdict last. A nil middleware is skipped. If middleware
// can't be around h, the result is a handler that [Check] refuses.
func Chain(h Handler, middleware ...Middleware) Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		if middleware[i] != nil {
			h = layer(h, middleware[i])
		}
	}
	return h
}

// A BatchHandler handles several messages at the same time, for writers that are cheaper
// in bulk.
//
// HandleBatch returns one error a message, at the message's index, each read as
// the error of [Handler.Handle] is. A nil slice acks every message. A slice of
// another length is a bug of the handler: every message is then retried. The
// messages belong to the runtime and must not be used after HandleBatch has
// returned.
type BatchHandler interface {
	HandleBatch(ctx context.Context, ms []*Message) []error
}

// BatchHandlerFunc is a function that is a [BatchHandler].
type BatchHandlerFunc func(ctx context.Context, ms []*Message) []error

// HandleBatch calls f.
func (f BatchHandlerFunc) HandleBatch(ctx context.Context, ms []*Message) []error {
	return f(ctx, ms)
}
