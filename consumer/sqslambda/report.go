package sqslambda

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

var (
	errUnhandled = errors.New("not handled: the time was over, or a message of its group before it had failed")
	errAbandoned = errors.New("its handler had not returned when the time was over")
)

// report tells Lambda how it went.
//
// Its rules: an empty list of failures is the success of the whole batch; an
// identifier that is empty, null or unknown is the failure of the whole batch.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
func (i *invocation) report() (events.SQSEventResponse, error) {
	r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	var failed []*item
	for n := range i.items {
		it := &i.items[n]
		i.f.tell(it)
		if !it.ok {
			failed = append(failed, it)
		}
	}
	if len(failed) == 0 {
		return r, nil
	}
	if i.f.cfg.WholeBatch {
		i.deleteHandled()
		return events.SQSEventResponse{}, i.f.batchError(failed, len(i.items))
	}
	// Two deliveries of one message can be in an event. It is named once, and
	// comes again if either failed.
	named := make(map[string]struct{}, len(failed))
	r.BatchItemFailures = make([]events.SQSBatchItemFailure, 0, len(failed))
	for _, it := range failed {
		if _, ok := named[it.id]; !ok {
			named[it.id] = struct{}{}
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: it.id})
		}
	}
	return r, nil
}

// tell notes the end of a message of which nothing was asked of SQS.
func (f *Function) tell(it *item) {
	if it.told {
		return
	}
	e := handler.Event{Kind: handler.EventSettled, Origin: f.origin, Message: it.delivery.Message, Action: it.verdict.Action, Answered: true}
	if it.released() {
		f.notePostponed(it)
		e.Kind, e.Action, e.Answered = handler.EventReleased, handler.ActionRetry, false
	}
	f.observe(e)
}

// notePostponed observes the postponement, if there was one, of a message that is
// returned to the queue.
func (f *Function) notePostponed(it *item) {
	if it.state.Load() == postponed {
		f.observe(handler.Event{Kind: handler.EventPostponed, Origin: f.origin, Message: it.delivery.Message, Delay: it.verdict.Delay, Err: it.verdict.Err})
	}
}

// deleteHandled deletes the messages that were handled, since Lambda will not.
func (i *invocation) deleteHandled() {
	for n := range i.items {
		if it := &i.items[n]; it.ok && !it.gone {
			i.settler.add(it, i.began, drivers.Settlement{Action: handler.ActionAck})
		}
	}
	i.settler.finish()
}

// batchError is the error that has Lambda retry the whole batch.
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
		err = errors.New("retry with no reason given")
	}
	return fmt.Errorf("queue %q: %d of the batch's %d messages failed, the first of them %s: %w", f.caps.Queue, len(failed), all, first.id, invoke.Safe(err))
}
