package producer

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/handler"
)

// A call is one call of Send.
type call struct {
	bulk bool          // it has at least as many messages as a batch takes
	done chan struct{} // closed when all are answered
	one  [1]entry      // for a call with one message

	// Guarded by the lock of the dispatcher.
	left   int             // messages that are not answered
	failed map[string]bool // groups of which a message failed for good
	gone   bool            // Send has returned
}

// newCall returns a call with n entries, in a batch of at most maxSend.
func newCall(n, maxSend int) (*call, []entry) {
	c := &call{bulk: n >= maxSend, done: make(chan struct{}), left: n}
	entries := c.one[:]
	if n > 1 {
		entries = make([]entry, n)
	}
	for i := range entries {
		entries[i].call = c
	}
	return c, entries
}

// heldBack reports whether an earlier message of the call and of e's group has
// failed for good.
func (c *call) heldBack(e *entry) bool { return e.group != "" && c.failed[e.group] }

// answer sets the final result of an entry.
func (c *call) answer(e *entry, err error) {
	e.sent, e.err, e.answered = err == nil, err, true
	if err != nil && e.group != "" {
		if c.failed == nil {
			c.failed = make(map[string]bool)
		}
		c.failed[e.group] = true
	}
	c.left--
	if c.left == 0 {
		close(c.done)
	}
}

// leave ends the call. It sets the IDs of the messages that were sent and returns
// the error of Send.
func (c *call) leave(ctx context.Context, queue string, entries []entry, ms []*handler.Message) error {
	c.gone = true
	var failed []Failure
	for i, m := range ms {
		e := &entries[i]
		err := e.err
		switch {
		case e.sent:
			m.ID = e.msg.ID
			continue
		case e.answered:
		case e.flying:
			err = fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		case err != nil:
			err = fmt.Errorf("%w; the latest try: %w", ctx.Err(), err)
		default:
			err = ctx.Err()
		}
		failed = append(failed, Failure{Index: i, Message: m, Err: err})
	}
	if len(failed) == 0 {
		return nil
	}
	return &SendError{Queue: queue, Failed: failed, Sent: len(ms) - len(failed)}
}
