package backoff

import (
	"sync"

	"github.com/sluice-go/sluice/handler"
)

// maxFailures bounds the messages whose failures are counted.
const maxFailures = 10_000

// failures counts how often each message has failed in this process, for messages whose
// queue does not count their attempts. The zero failures are ready. A rejected message is
// not forgotten: a breaker, or a queue without a dead-letter queue, may have it retried.
// Beyond maxFailures messages, another is forgotten for each new one.
type failures struct {
	mu sync.Mutex
	of map[string]int
}

// attempt returns the number of the attempt that has failed: the queue's, or if that is
// unknown the number of failures here, this one included. It is 0 for a message without
// ID, which can't be recognized.
func (f *failures) attempt(m *handler.Message) int {
	if m.Attempt > 0 || m.ID == "" {
		return m.Attempt
	}
	key := failureKey(m)
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.of[key]
	if !ok && len(f.of) >= maxFailures {
		for other := range f.of {
			delete(f.of, other)
			break
		}
	}
	if f.of == nil {
		f.of = make(map[string]int)
	}
	f.of[key] = n + 1
	return n + 1
}

// forget ends the count of a message that was handled.
func (f *failures) forget(m *handler.Message) {
	if m.Attempt > 0 || m.ID == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, failureKey(m))
}

func failureKey(m *handler.Message) string { return m.Origin().Queue + "\x00" + m.ID }
