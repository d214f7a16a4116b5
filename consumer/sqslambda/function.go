package sqslambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

// source is a source of package sqs: one that knows the messages that someone
// else has received from its queue.
type source interface {
	drivers.Source
	ARN() string
	Deliveries(ctx context.Context, from []types.Message, deadline time.Time) []drivers.Delivery
}

// A Function runs a handler on the events of one SQS queue. Make one with [New].
// Its methods may be called concurrently.
type Function struct {
	cfg            Config
	log            *slog.Logger
	seen           *invoke.Observers
	source         source
	caps           drivers.Capabilities
	handler        handler.Handler
	origin         *handler.Origin
	count          handler.Counter
	events, panics atomic.Uint64
	loud           seldom.Event // rejections that have nowhere to go
	uncount        seldom.Event // messages without their attempt
}

// New returns a Function that runs h on the events of the queue that src was
// opened for: the one that the event source mapping reads. src is a source of
// package sqs; the function never receives from it, but carries verdicts out
// through it, and does not close it. A nil config is the defaults.
func New(src drivers.Source, h handler.Handler, config *Config) (*Function, error) {
	cfg, err := config.complete()
	faults := []error{err}
	s, ok := src.(source)
	switch {
	case src == nil:
		faults = append(faults, errors.New("the source is nil"))
	case !ok:
		faults = append(faults, fmt.Errorf("the source is a %T: it must be one of package sqs, as its opener returns it, since it reads what Lambda has received", src))
	}
	faults = append(faults, handler.Check(h))
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("sqslambda: %w", err)
	}
	caps := s.Capabilities()
	return &Function{
		cfg: cfg, log: cfg.Logger, seen: invoke.NewObservers(cfg.Observers, cfg.Logger), source: s, caps: caps, handler: h,
		origin: &handler.Origin{Queue: caps.Queue, System: caps.System, Server: caps.Server, MaxDelay: longestDelay(caps)},
	}, nil
}

// longestDelay is the longest delay that SQS is sure to take. It counts the 12
// hours from the receive and refuses a longer one, and when that was Lambda does
// not say: at most a visibility timeout ago, which for a function is six of its
// timeouts, and those are 15 minutes at most.
func longestDelay(c drivers.Capabilities) time.Duration {
	return c.MaxDelay - min(c.Lease, c.MaxDelay/2)
}

// Handle handles the messages of one event; it is what lambda.Start takes. It
// returns in time before ctx's deadline, whatever the handlers do. The response
// names the messages that failed and none else, each by an ID of the event, and
// is never without its list, since an ID that Lambda does not know has it retry
// the whole batch.
//
// An error has Lambda retry the whole batch. It is returned, before anything is
// handled, for an event that is not of this function's queue or that has messages
// without ID, and where Config.WholeBatch asks for it.
func (f *Function) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if err := f.check(&e); err != nil {
		f.log.ErrorContext(ctx, "an event was refused: Lambda retries all of it", "queue", f.caps.Queue, "messages", len(e.Records), "error", err)
		return events.SQSEventResponse{}, err
	}
	i := f.begin(handler.WithShared(ctx), &e)
	defer i.end()
	i.run()
	return i.report()
}

// last reports whether an attempt is the last that the queue allows.
func (f *Function) last(attempt int) bool {
	return f.caps.DeadLetter && f.caps.MaxAttempts > 0 && attempt >= f.caps.MaxAttempts
}

// observe counts an event and passes it to the observers.
func (f *Function) observe(e handler.Event) {
	f.count.Observe(e)
	f.seen.Observe(e)
}

// Stats are a function's numbers: totals since it was made, in this execution
// environment.
type Stats struct {
	// Counts are the numbers of the events that the function has observed itself.
	// Verdicts count when they were carried out or reported to Lambda. A message
	// can be released in one way only, which is to report it as failed; postponed
	// messages are released. LeasesLost is the number of handlers that had not
	// returned when the invocation had to.
	handler.Counts
	// Events is the number of events that were handled; Received counts their
	// messages.
	Events uint64
	// Panics is the number of handlers that panicked.
	Panics uint64
}

// Stats returns the numbers of this moment.
func (f *Function) Stats() Stats {
	return Stats{Counts: f.count.Counts(), Events: f.events.Load(), Panics: f.panics.Load()}
}
