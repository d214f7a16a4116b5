package letters

import (
	"cmp"
	"strconv"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// The reasons of letters for which no handler has given one.
const (
	// ReasonExhausted is that of a letter that the provider dead-lettered because its
	// attempts were used up.
	ReasonExhausted = "attempts used up"
	// ReasonUnknown is that of a letter without any record of a failure, as one that
	// another program has sent to the dead-letter queue.
	ReasonUnknown = "no reason recorded"
)

// A Letter is a dead letter as an operator knows it.
type Letter struct {
	// Message is the letter as it is in the dead-letter queue. Its Attempt counts
	// receives of the letter, where they are counted.
	Message *handler.Message
	// Reason is why the message failed, [ReasonExhausted] or [ReasonUnknown]. It is
	// empty for a message that is not a letter.
	Reason string
	// Kind is the attribute "type", by which package route finds a handler.
	Kind string
	// Attempts is how often the message was delivered before it became a letter. Zero
	// means that it is not known.
	Attempts int
	// First and Last are when the message failed first and last. They are zero if that
	// is not known.
	First, Last time.Time
	// Queue is the queue that the message came from, Consumer the process that rejected
	// it. They are empty if they are not known.
	Queue, Consumer string
	// Redrives is how often the message was sent back selectively.
	Redrives int
}

// Of returns the letter that a message of a dead-letter queue is.
func Of(m *handler.Message) Letter {
	l := Letter{Message: m, Kind: m.Attribute(attribute.Kind), Redrives: Redrives(m)}
	d, failed := drivers.ParseFailure(m.Attributes)
	l.Attempts, l.First, l.Last, l.Queue, l.Consumer = d.Attempt, d.First, d.Last, d.Queue, d.Consumer
	switch {
	case d.Reason != "":
		l.Reason = d.Reason
	case failed:
		l.Reason = ReasonExhausted
	default:
		l.Reason = ReasonUnknown
	}
	return l
}

// Live returns a message that is not a letter in the same form, so that a [Filter] can
// select it. Failure attributes of such a message are its sender's, and do not count.
func Live(m *handler.Message) Letter {
	return Letter{Message: m, Kind: m.Attribute(attribute.Kind), Attempts: m.Attempt, Redrives: Redrives(m)}
}

// At returns when the message failed last, or when it was enqueued if that is not known.
func (l *Letter) At() time.Time {
	switch {
	case !l.Last.IsZero():
		return l.Last
	case !l.First.IsZero():
		return l.First
	default:
		return l.Message.EnqueuedAt
	}
}

// Group returns the ID of the letter's group: see [Groups].
func (l *Letter) Group() string { return groupID(l.Kind, normalize(l.Reason)) }

// Identity returns what a letter is known by in every queue: its dedupe ID, or its message
// ID if it has none.
func (l *Letter) Identity() string { return cmp.Or(l.Message.DedupeID, l.Message.ID) }

// Redrives returns how often a message was sent back selectively. Anything but a number
// counts as 0.
func Redrives(m *handler.Message) int {
	n, err := strconv.Atoi(m.Attributes[deadletter.AttributeRedriveCount])
	if err != nil || n < 0 {
		return 0
	}
	return n
}
