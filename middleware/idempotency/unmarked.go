package idempotency

import (
	"sync"
	"time"
)

// maxUnmarked bounds the keys that are remembered.
const maxUnmarked = 10_000

// handled is what came of a message whose mark is missing.
type handled struct {
	result  []byte
	verdict error // nil, or a drop
	at      time.Time
}

// unmarked remembers the keys that were handled here and that the store could not
// record. It is not a substitute for the mark: it ends with the process, and
// other workers do not know it.
type unmarked struct {
	ttl time.Duration

	mu   sync.Mutex
	keys map[string]handled
}

func newUnmarked(ttl time.Duration) *unmarked {
	return &unmarked{ttl: ttl, keys: make(map[string]handled)}
}

func (u *unmarked) add(key string, h handled) {
	h.at = time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for k := range u.keys {
		if len(u.keys) < maxUnmarked {
			break
		}
		delete(u.keys, k)
	}
	u.keys[key] = h
}

func (u *unmarked) get(key string) (handled, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h, ok := u.keys[key]
	if ok && time.Since(h.at) >= u.ttl {
		delete(u.keys, key)
		return handled{}, false
	}
	return h, ok
}

func (u *unmarked) remove(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.keys, key)
}
