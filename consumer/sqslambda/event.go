package sqslambda

import (
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// eventSource is the source of SQS's events.
const eventSource = "aws:sqs"

// received returns an event's messages in the form of a receive's.
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
