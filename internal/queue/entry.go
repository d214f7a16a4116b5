package queue

import "github.com/sluice-go/sluice/internal/queue/internal/store"

// An entry is a message in memory.
type entry struct {
	id         string
	body       []byte // its memory stays with the entry when that is freed
	attributes map[string]string
	group      *group // nil if the message's order does not matter
	groupName  string
	dedupeID   string
	extra      []byte
	source     string

	// These are in the engine's time.
	enqueuedAt, visibleAt int64
	// And these, which are reported and not compared, by the wall clock.
	sentAt, firstReceived int64
	sequence              int64
	// delivery is the latest delivery's number, which no other delivery of the
	// engine has; 0 if there was none. A release replaces it by a number that
	// no caller has.
	delivery uint64
	// begin is the first delivery's number. The entry's receipts are those of its
	// slot from begin to delivery.
	begin uint64
	// receives counts the deliveries that were not released.
	receives int32
	earlier  int32 // in the queues that it was dead-lettered from; see Config.Lax
	slot     uint32
	// exhausted is true for a letter that was received often enough.
	exhausted bool
	// hidden is true while the entry is on the queue's hidden timeline.
	hidden bool

	links         [kinds]link
	older, newer  *entry // in the order of sequence
	ahead, behind *entry // in the group, in the order of sequence
}

// message returns the entry as a message that shares its memory.
func (e *entry) message(now store.Moment) Message {
	m := Message{
		ID: e.id, Body: e.body, Attributes: e.attributes, Group: e.groupName, DedupeID: e.dedupeID,
		Extra: e.extra, Source: e.source, Exhausted: e.exhausted,
		EnqueuedAt: store.TimeOf(e.sentAt), VisibleAt: now.Show(e.visibleAt),
		Sequence: e.sequence, Receives: int(e.earlier + e.receives),
	}
	if e.firstReceived != 0 {
		m.FirstReceived = store.TimeOf(e.firstReceived)
	}
	return m
}
