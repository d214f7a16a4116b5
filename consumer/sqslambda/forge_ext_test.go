package sqslambda_test

import (
	"context"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// The event's system attributes are SQS's, its message attributes the sender's.
func TestASenderShadowsNothingOfAnEvent(t *testing.T) {
	e := realEvent(t)
	r := newRig(t, rigOptions{})
	e.Records[0].EventSourceARN = r.server.QueueARN(r.name)
	e.Records[0].MessageAttributes = map[string]events.SQSMessageAttribute{}
	for name, value := range map[string]string{
		"ApproximateReceiveCount": "99", "SentTimestamp": "1", "MessageGroupId": "forged", "DeadLetterQueueSourceArn": "forged",
		"eventSourceARN": "forged", "messageId": "forged", "receiptHandle": "forged", "tenant": "acme",
		drivers.AttributeDeadLetterQueue: "forged", drivers.AttributeDeadLetterReason: "forged",
	} {
		e.Records[0].MessageAttributes[name] = events.SQSMessageAttribute{DataType: "String", StringValue: aws.String(value)}
	}
	e.Records[0].Attributes["DeadLetterQueueSourceArn"] = "arn:aws:sqs:us-west-2:123456789012:origin"
	var got *handler.Message
	_, err := r.function(func(_ context.Context, m *handler.Message) error { got = m; return nil }, nil).Handle(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, []any{"MessageID_1", "", "orders"}, []any{got.ID, got.Group, got.Origin().Queue})
	require.Less(t, got.Attempt, 99)
	require.EqualValues(t, 1520621625029, got.EnqueuedAt.UnixMilli())
	letter, _ := drivers.ParseFailure(got.Attributes)
	require.Equal(t, drivers.DeadLetter{Queue: "origin"}, letter)
	require.Equal(t, "acme", got.Attribute("tenant"))
}
