package job

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// Options are those of one job. The zero Options has the defaults.
type Options struct {
	// Delay is how long the job waits before it can be worked on. Zero means not at all.
	// The queue's limit counts: 15 minutes on SQS, and none at all on Pub/Sub and FIFO
	// queues, unless its sink has a table for longer ones (outbox.Delayed, or delay_store
	// in the configuration).
	Delay time.Duration

	// At is when the job can be worked on first, within the same limit. A time that has
	// passed means now. It excludes Delay. Zero means now.
	At time.Time

	// Expires is when the job is no longer worth doing: package expiry then drops or
	// rejects it unhandled. It must not be before the job can be worked on. Zero means
	// never.
	Expires time.Time

	// Unique, if not empty, writes the job into the queue's table (see [Table]) unless a
	// job of the queue with the same key, of 1 to 255 bytes, is pending there: written and
	// not yet sent to the queue. Enqueue then returns the ID of the pending one.
	Unique string

	// Debounce, if not empty, writes the job into the queue's table, in place of the
	// pending job with the same key if there is one: a burst of changes makes one job, Delay
	// after the last of them. It excludes Unique and Group.
	Debounce string

	// Tx, if not nil, writes the job into the queue's table in this transaction, usually a
	// *sql.Tx: it exists if the transaction commits. Nil means a transaction of its own for
	// Unique and Debounce, and otherwise the queue itself.
	Tx Tx

	// Group names the jobs that are worked on in order, one at a time. Empty means none.
	Group string

	// ID is the job's identity; the package documentation says who sees duplicates by
	// it. Empty means one of its own.
	ID string
}

// apply sets the fields of a message. A nil o has the defaults.
func (o *Options) apply(m *handler.Message, now time.Time) error {
	if o == nil {
		return nil
	}
	delay := o.Delay
	switch {
	case o.Unique != "" && o.Debounce != "":
		return errors.New("Unique and Debounce exclude each other")
	case o.Debounce != "" && o.Group != "":
		return errors.New("Debounce and Group exclude each other")
	case delay < 0:
		return fmt.Errorf("Delay is %v: it must not be negative", delay)
	case delay > 0 && !o.At.IsZero():
		return errors.New("Delay and At exclude each other")
	case !o.At.IsZero():
		delay = max(o.At.Sub(now), 0)
	}
	if !o.Expires.IsZero() {
		if !o.Expires.After(now.Add(delay)) {
			return fmt.Errorf("Expires is %v: the job would have expired before it can be worked on", o.Expires)
		}
		m.SetExpires(o.Expires)
	}
	m.Delay, m.Group, m.DedupeID = delay, o.Group, o.ID
	return nil
}
