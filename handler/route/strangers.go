package route

import (
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/seldom"
)

// maxStrangers bounds the unknown kinds that are remembered: senders choose them.
const maxStrangers = 1000

// strangers remembers when each unknown kind was first seen. Beyond maxStrangers
// of them it remembers no more; a message of such a kind has its grace period
// from its enqueuing alone.
type strangers struct {
	log *slog.Logger

	mu     sync.Mutex
	first  map[string]time.Time
	seldom seldom.Event
}

// age returns how much of its grace period a message has used up.
func (s *strangers) age(m *handler.Message, kind string, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.first[kind]
	if !ok && len(s.first) < maxStrangers {
		if s.first == nil {
			s.first = make(map[string]time.Time)
		}
		first, ok = now, true
		s.first[kind] = now
	}
	age := time.Duration(math.MaxInt64) // without either time, waiting would have no end
	if ok {
		age = now.Sub(first)
	}
	if !m.EnqueuedAt.IsZero() {
		age = min(age, max(now.Sub(m.EnqueuedAt), 0)) // the provider's clock may be ahead
	}
	return age
}

// report logs that a message waits for a worker that knows its kind.
func (s *strangers) report(m *handler.Message, kind string, left time.Duration, now time.Time) {
	missed, ok := s.seldom.Allow(now, time.Minute)
	if !ok {
		return
	}
	if len(kind) > 100 {
		kind = kind[:100]
	}
	s.log.Warn("no handler for this kind: the message is postponed, and rejected when its grace period is over",
		"queue", m.Origin().Queue, "message", m.ID, "kind", kind, "grace_left", left.Round(time.Millisecond), "others", missed)
}
