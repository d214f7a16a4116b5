package idempotency

import (
	"context"
	"sync"
)

type resultKey struct{}

// resultBox stores the handler's result; the handler may set it from another
// goroutine.
type resultBox struct {
	mu   sync.Mutex
	data []byte
}

func (b *resultBox) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data
}

// SetResult has data stored with the mark when the handler succeeds, for
// [Config.OnDuplicate]. ctx is the handler's; in a batch handler, it is what
// handler.MessageContext returns for the message. The latest call holds. It reports
// whether there is a middleware to store it. A result that the store refuses, such as
// one that is too large for it, is left out of the mark: keep results small, or store
// them elsewhere and have their key here. It may be called concurrently.
func SetResult(ctx context.Context, data []byte) bool {
	b, ok := ctx.Value(resultKey{}).(*resultBox)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append([]byte(nil), data...)
	return true
}
