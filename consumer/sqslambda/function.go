package sqslambda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

// A source is a source of package sqs, which can form deliveries of messages that
// another program has received from its queue.
type source interface {
	drivers.Source
	ARN() string
	Deliveries(ctx context.Context, from []types.Message, deadline time.Time) []drivers.Delivery
}

// A Function runs a handler on the events of one SQS queue. Create one with [New]. Its
// methods may be called concurrently.
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
	loud           seldom.Event // rejections without a dead-letter queue
	uncount        seldom.Event // messages without their attempt
}

// New returns a Function that runs h on the events of src's queue, which must be the
// one that the event source mapping reads. src must be a source of package sqs; the
// function never receives from it, but settles through it, and does not close it. A nil
// config selects the defaults.
func New(src drivers.Source, h handler.Handler, config *Config) (*Function, error) {
	cfg, err := config.complete()
	faults := []error{err}
	s, ok := src.(source)
	switch {
	case src == nil:
		faults = append(faults, errors.New("the source is nil"))
	case !ok:
		faults = append(faults, fmt.Errorf("the source is a %T: it must be a source of package sqs, which decodes the messages that Lambda received", src))
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

// longestDelay returns the longest delay that SQS accepts in any case. SQS counts the
// maximum of 12 hours from the receive, whose time Lambda does not report. It was at
// most a visibility timeout ago, which for a function is six of its timeouts of at
// most 15 minutes.
func longestDelay(c drivers.Capabilities) time.Duration {
	return c.MaxDelay - min(c.Lease, c.MaxDelay/2)
}

// Handle handles the messages of one event. Pass it to lambda.Start. It returns before
// ctx's deadline, even if handlers ignore their contexts. The response lists exactly
// the messages that failed, each by an ID of the event: an unknown ID, or a missing
// list, would make Lambda retry the whole batch.
//
// An error makes Lambda retry the whole batch. Handle returns one before it calls a
// handler if the event is not of this function's queue or has messages without ID, and
// after it if a message failed and Config.WholeBatch is set.
func (f *Function) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if err := f.check(&e); err != nil {
		f.log.ErrorContext(ctx, "event refused: Lambda retries the whole batch", "queue", f.caps.Queue, "messages", len(e.Records), "error", err)
		return events.SQSEventResponse{}, err
	}
	i := f.begin(handler.WithShared(ctx), &e)
	defer i.end()
	i.run()
	return i.report()
}

// check returns an error if the event can't be handled. A message without ID could not
// be reported as failed: Lambda takes an empty identifier for the failure of the whole
// batch.
func (f *Function) check(e *events.SQSEvent) error {
	for i := range e.Records {
		r := &e.Records[i]
		var err error
		switch {
		case r.EventSource != "" && r.EventSource != eventSource:
			err = fmt.Errorf("it comes from %q, not from %s", r.EventSource, eventSource)
		case r.MessageId == "":
			err = errors.New("it has no messageId: is this an event of an SQS event source mapping?")
		case !f.ours(r.EventSourceARN):
			err = fmt.Errorf("it comes from the queue %s, but this function handles %s: make one function for each queue and select by eventSourceARN",
				r.EventSourceARN, f.ourARN())
		case f.caps.Ordered && r.Attributes["MessageGroupId"] == "":
			err = errors.New("it comes from a FIFO queue but has no MessageGroupId: the order of groups cannot be kept")
		}
		if err != nil {
			return fmt.Errorf("queue %q: event, record %d: %w", f.caps.Queue, i, err)
		}
	}
	f.noteUncounted(e)
	return nil
}

// noteUncounted logs, once a minute, that messages lack their attempt: an unknown
// attempt is never the last.
func (f *Function) noteUncounted(e *events.SQSEvent) {
	for i := range e.Records {
		if e.Records[i].Attributes["ApproximateReceiveCount"] != "" {
			continue
		}
		if missed, ok := f.uncount.Allow(time.Now(), time.Minute); ok {
			f.log.Error("messages have no ApproximateReceiveCount: limits of attempts are not enforced", "queue", f.caps.Queue,
				"message", e.Records[i].MessageId, "events_before", missed)
		}
		return
	}
}

// ours reports whether arn is that of the function's queue, or empty. A verdict on
// another queue's message would be carried out on the wrong queue, and its letter would
// go to the wrong dead-letter queue.
func (f *Function) ours(arn string) bool {
	if arn == "" {
		return true
	}
	if own := f.source.ARN(); own != "" {
		return arn == own
	}
	return arn[strings.LastIndexByte(arn, ':')+1:] == f.caps.Queue
}

func (f *Function) ourARN() string {
	if own := f.source.ARN(); own != "" {
		return own
	}
	return f.caps.Queue
}

// begin prepares the handling of an event.
func (f *Function) begin(ctx context.Context, e *events.SQSEvent) *invocation {
	i := &invocation{f: f, began: time.Now(), items: make([]item, len(e.Records))}
	i.bound(ctx)
	i.settler.invocation = i
	i.settler.slots = make(chan struct{}, f.cfg.Concurrency)
	ds := f.source.Deliveries(ctx, received(e), time.Time{})
	i.heads = make([]*item, 0, len(ds))
	var last map[string]*item
	if f.caps.Ordered {
		last = make(map[string]*item)
	}
	for n := range ds {
		it, m := &i.items[n], ds[n].Message
		m.Bind(f.origin, nil) // the lease is Lambda's
		it.delivery, it.id, it.attempt, it.received = ds[n], m.ID, m.Attempt, *m
		if f.last(m.Attempt) {
			it.received.Body, it.received.Attributes = bytes.Clone(m.Body), maps.Clone(m.Attributes)
		}
		// On a standard queue the group is a fair queue's tenant, without order.
		if last != nil && m.Group != "" {
			before := last[m.Group]
			last[m.Group] = it
			if before != nil {
				before.next = it
				continue
			}
		}
		i.heads = append(i.heads, it)
	}
	f.events.Add(1)
	if len(ds) > 0 {
		f.observe(handler.Event{Kind: handler.EventReceived, Origin: f.origin, N: len(ds)})
	}
	return i
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

// reportFault logs and counts a handler's panic: p, or one in err that a batch handler
// or a middleware has recovered and not logged.
func (f *Function) reportFault(it *item, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	f.panics.Add(1)
	f.log.Error("handler panicked: the message is retried", "queue", f.caps.Queue, "message", it.id, "attempt", it.attempt,
		"panic", text, "stack", stack)
}

// reportEnd observes the end of a message for which no request was made to SQS.
func (f *Function) reportEnd(it *item) {
	if it.observed {
		return
	}
	e := handler.Event{Kind: handler.EventSettled, Origin: f.origin, Message: it.delivery.Message, Action: it.verdict.Action, Answered: true}
	if it.released() {
		f.notePostponed(it)
		e.Kind, e.Action, e.Answered = handler.EventReleased, handler.ActionRetry, false
	}
	f.observe(e)
}

// notePostponed observes the postponement of a message that is returned to the queue,
// if it was postponed.
func (f *Function) notePostponed(it *item) {
	if it.state.Load() == postponed {
		f.observe(handler.Event{Kind: handler.EventPostponed, Origin: f.origin, Message: it.delivery.Message, Delay: it.verdict.Delay, Err: it.verdict.Err})
	}
}

// batchError returns the error that makes Lambda retry the whole batch.
func (f *Function) batchError(failed []*item, all int) error {
	first := failed[0]
	err := first.verdict.Err
	switch first.state.Load() {
	case skipped:
		err = errUnhandled
	case abandoned:
		err = errAbandoned
	}
	if err == nil {
		err = errors.New("the handler asked for a retry without a reason")
	}
	return fmt.Errorf("queue %q: %d of the batch's %d messages failed, first %s: %w", f.caps.Queue, len(failed), all, first.id, invoke.Safe(err))
}

// Stats are a function's numbers: totals since it was created, in this execution
// environment.
type Stats struct {
	// Counts are the numbers of the events that the function has observed. Verdicts
	// count when they are carried out or reported to Lambda. A message is released by
	// reporting it as failed; postponed messages count as released. LeasesLost is
	// the number of handlers that had not returned when the invocation had to.
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
