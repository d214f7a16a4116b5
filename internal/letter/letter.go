// Package letter sends rejected messages to a dead-letter queue that is no more
// than a sink, for runtimes whose provider does not do it.
package letter

import (
	"cmp"
	"context"
	"strings"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Cut is the failure with a reason of at most 64 bytes, for where the whole is too
// much. A nil f stays nil.
func Cut(f *drivers.Failure) *drivers.Failure {
	const shortReason = 64
	if f == nil || len(f.Reason) <= shortReason {
		return f
	}
	short := *f
	short.Reason = strings.ToValidUTF8(f.Reason[:shortReason], "")
	return &short
}

// Send sends a copy of m with what is known of its failure on queue. A letter
// that the sink does not take with all of that goes with less, and at last with
// nothing of it: it must not be stuck for that. The error is the sink's.
func Send(ctx context.Context, sink drivers.Sink, m *handler.Message, f *drivers.Failure, queue string) error {
	limit := sink.Capabilities().MaxAttributes
	// The letter has a message ID of its own. What a message without a dedupe ID
	// was known by is the ID that it had.
	dedupe := cmp.Or(m.DedupeID, m.ID)
	if limit > 1 && dedupe != "" {
		limit-- // it is an attribute where a queue has no field for it
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
		err = send(drivers.WithoutFailure(m.Attributes)) // not the sender's either
	}
	return err
}
