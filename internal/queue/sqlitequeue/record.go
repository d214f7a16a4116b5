package sqlitequeue

import (
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// scanner is a row of either way to SQLite.
type scanner interface{ Scan(dest ...any) error }

// record is a row of messages.
type record struct {
	id, visibleAt, receives, firstReceived, enqueuedAt int64
	earlier, sentAt                                    int64
	via                                                via
	large, exhausted                                   bool
	mid, group, dedupe, source                         string
	attributes, body, extra                            []byte
}

const recordColumns = "id, via, visible_at, receives, first_received, enqueued_at, large, mid, grp, dedupe, source, attributes, body, extra, earlier, sent_at, exhausted"

const largeBody = "SELECT body, extra FROM bodies WHERE id = ?"

func (r *record) scan(rows scanner) error {
	return rows.Scan(&r.id, (*int64)(&r.via), &r.visibleAt, &r.receives, &r.firstReceived, &r.enqueuedAt, &r.large,
		&r.mid, &r.group, &r.dedupe, &r.source, &r.attributes, &r.body, &r.extra, &r.earlier, &r.sentAt, &r.exhausted)
}

// message returns the record as a message. A large one's body was read.
func (r *record) message(now store.Moment) (queue.Message, error) {
	attributes, err := decodeAttributes(r.attributes)
	m := queue.Message{
		ID: r.mid, Body: r.body, Attributes: attributes, Group: r.group, DedupeID: r.dedupe, Extra: r.extra,
		EnqueuedAt: store.TimeOf(r.sentAt), Sequence: r.id & (1<<seqBits - 1), Receives: int(r.earlier + r.receives),
		Source: r.source, Exhausted: r.exhausted, VisibleAt: now.Show(r.visibleAt),
	}
	if r.firstReceived != 0 {
		m.FirstReceived = store.TimeOf(r.firstReceived)
	}
	return m, err
}

func nullable(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
