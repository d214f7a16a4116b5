package queue

import (
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// Message is a message as sent and stored.
type Message struct {
	ID         string // made by Send if empty
	Body       []byte
	Attributes map[string]string
	Group      string
	DedupeID   string
	// Again is true for a letter that is sent back. It is not a duplicate of
	// the message that it was, although its DedupeID was seen.
	Again bool
	// Delay is how long it stays invisible; negative means the queue's Config.Delay.
	Delay time.Duration
	// Extra is opaque to the engine (sqstest keeps the typed SQS attributes
	// and the trace header in it).
	Extra []byte

	// The engine sets the fields below on messages that it returns.

	EnqueuedAt    time.Time // kept when a message is dead-lettered from an unordered queue
	Sequence      int64     // grows in the order of sending within a queue
	Receives      int       // how often it was received, this time included; see Config.Lax
	FirstReceived time.Time
	// Source is the queue from which the engine dead-lettered the message;
	// empty if the message was sent to this queue directly.
	Source string
	// Exhausted is true for a letter that came here because it was received
	// MaxReceives times, and not by a rejection.
	Exhausted bool
	// VisibleAt is when the message can be received (again).
	VisibleAt time.Time
}

// FillIDs sets the ID of each message that has none.
func FillIDs(ms []Message) {
	n := 0
	for i := range ms {
		if ms[i].ID == "" {
			n++
		}
	}
	if n == 0 {
		return
	}
	b := make([]byte, 0, n*store.IDSize)
	for range n {
		b = store.AppendID(b)
	}
	all := string(b)
	for i := range ms {
		if ms[i].ID == "" {
			ms[i].ID, all = all[:store.IDSize], all[store.IDSize:]
		}
	}
}
