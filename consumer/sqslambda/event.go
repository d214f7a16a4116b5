package sqslambda

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// eventSource is what SQS's events name as their source.
const eventSource = "aws:sqs"

// check returns why the event cannot be handled. A message without ID could not
// be reported as failed: Lambda takes an empty identifier for the failure of the
// whole batch.
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
			err = fmt.Errorf("it comes from the queue %s, and this function was made for %s: make one function a queue, and choose by eventSourceARN",
				r.EventSourceARN, f.ourARN())
		case f.caps.Ordered && r.Attributes["MessageGroupId"] == "":
			err = errors.New("it is of a FIFO queue and has no MessageGroupId: the order of groups can't be kept")
		}
		if err != nil {
			return fmt.Errorf("queue %q: event, record %d: %w", f.caps.Queue, i, err)
		}
	}
	f.noteUncounted(e)
	return nil
}

// noteUncounted logs, once a minute, that messages came without their attempt: such
// a one is never at its last.
func (f *Function) noteUncounted(e *events.SQSEvent) {
	for i := range e.Records {
		if e.Records[i].Attributes["ApproximateReceiveCount"] != "" {
			continue
		}
		if missed, ok := f.uncount.Allow(time.Now(), time.Minute); ok {
			f.log.Error("messages come without ApproximateReceiveCount: limits of attempts do not hold", "queue", f.caps.Queue,
				"message", e.Records[i].MessageId, "events_before", missed)
		}
		return
	}
}

// ours is true for the ARN of the function's own queue, and where the event does
// not say. A verdict on another queue's message would be carried out on the wrong
// queue, and its letter would go to the wrong dead-letter queue.
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

// received returns an event's messages as a receive would have returned them.
func received(e *events.SQSEvent) []types.Message {
	ms := make([]types.Message, len(e.Records))
	for i := range e.Records {
		r := &e.Records[i]
		ms[i] = types.Message{
			MessageId: &r.MessageId, ReceiptHandle: &r.ReceiptHandle, Body: &r.Body, Attributes: r.Attributes,
		}
		if len(r.MessageAttributes) == 0 {
			continue
		}
		as := make(map[string]types.MessageAttributeValue, len(r.MessageAttributes))
		for name, v := range r.MessageAttributes {
			as[name] = types.MessageAttributeValue{DataType: &v.DataType, StringValue: v.StringValue, BinaryValue: v.BinaryValue}
		}
		ms[i].MessageAttributes = as
	}
	return ms
}
