// Package letter sends rejected messages to a dead-letter queue that is only a sink,
// for runtimes whose provider does not dead-letter.
package letter

import (
	"cmp"
	"context"
	"strings"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Cut returns a copy of f with a reason of at most 64 bytes, or nil if f is nil.
func Cut(f *drivers.Failure) *drivers.Failure {
	const shortReason = 64
	if f == nil || len(f.Reason) <= shortReason {
		return f
	}
	short := *f
	short.Reason = strings.ToValidUTF8(f.Reason[:shortReason], "")
	return &short
}

// Send sends a copy of m with the attributes of its failure on queue. If the sink
// refuses a letter with all of them, Send tries with fewer and finally with none: a
// letter must not be stuck because of them. The error is the sink's.
func Send(ctx context.Context, sink drivers.Sink, m *handler.Message, f *drivers.Failure, queue string) error {
	limit := sink.Capabilities().MaxAttributes
	// The letter has another message ID. The identity of a message without a dedupe
	// ID is the ID that it had.
	dedupe := cmp.Or(m.DedupeID, m.ID)
	if limit > 1 && dedupe != "" {
		limit-- // it is an attribute if the queue has no field for it
	}
	send := func(attributes map[string]string) error {
		l := &handler.Message{Body: m.Body, Group: m.Group, DedupeID: dedupe, Attributes: attributes}
		l.SetNative(m.Native())
		if errs := sink.Send(ctx, []*handler.Message{l}); len(errs) > 0 {
			return errs[0]
		}
		return nil
	}
	err := send(drivers.FailureAttributes(f, m, queue, limit))
	if short := Cut(f); short != f && drivers.CodeOf(err) == drivers.Invalid {
		err = send(drivers.FailureAttributes(short, m, queue, limit))
	}
	if drivers.CodeOf(err) == drivers.Invalid {
		err = send(drivers.WithoutFailure(m.Attributes)) // without the sender's too
	}
	return err
}
