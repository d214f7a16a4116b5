package mem

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
	"github.com/sluice-go/sluice/handler"
)

// A Sink sends to a queue. Its methods may be called concurrently. After Close
// they return errors whose code is drivers.Closed.
type Sink struct{ s *embedded.Sink }

var _ drivers.Sink = (*Sink)(nil)

// Send sends messages and returns an error for each, or nil if all are sent. Of
// those that are valid it sends all or none.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error { return s.s.Send(ctx, ms) }

// Capabilities returns what the queue supported when it was opened.
func (s *Sink) Capabilities() drivers.Capabilities { return s.s.Capabilities() }

// Close closes the sink. A second call returns nil.
func (s *Sink) Close() error { return s.s.Close() }
