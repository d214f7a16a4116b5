package queue

import (
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A dedupeKey identifies a message within the dedupe window of its queue.
type dedupeKey struct{ scope, id string }

// sent is the answer to a duplicate: how the first message was sent.
type sent struct {
	id         string
	sequence   int64
	enqueuedAt int64
}

// seen remembers the dedupe IDs of a queue. The zero seen has none. The log has
// the keys in the order in which they were sent, so that forgetting costs nothing
// for those that stay.
type seen struct {
	byKey map[dedupeKey]sent
	log   fifo[dedupeKey]
}

// find returns the message that was sent with the key within the window.
func (s *seen) find(k dedupeKey, now int64, window time.Duration) (sent, bool) {
	first, ok := s.byKey[k]
	return first, ok && store.Later(first.enqueuedAt, window) > now
}

func (s *seen) remember(k dedupeKey, first sent) {
	if s.byKey == nil {
		s.byKey = map[dedupeKey]sent{}
	}
	s.byKey[k] = first
	s.log.push(k)
}

// forget drops keys whose window has ended.
func (s *seen) forget(now int64, window time.Duration) {
	for k := s.log.front(); k != nil; k = s.log.front() {
		if first, ok := s.byKey[*k]; ok {
			if store.Later(first.enqueuedAt, window) > now {
				return
			}
			delete(s.byKey, *k)
		}
		s.log.pop()
	}
}
