package sqlitequeue

import (
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A queueRow is the stored form of a queue at one version of the file. It is
// immutable.
type queueRow struct {
	id, version int64
	name        string
	created     int64
	config      queue.Config
}

func (q *queueRow) low() int64 { return q.id << seqBits }

func (q *queueRow) high() int64 { return (q.id + 1) << seqBits }

// place reads a receipt of the queue.
func (q *queueRow) place(receipt string) (id, delivery int64, ok bool) {
	p, d, ok := store.ParseReceipt(receipt)
	id, delivery = int64(p), int64(d) // what overflows is below zero, and refused
	return id, delivery, ok && id > q.low() && id < q.high() && delivery > 0
}
