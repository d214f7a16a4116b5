package sqs_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func TestMessagesThatSomeoneElseHasReceived(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	require.Equal(t, "arn:aws:sqs:us-east-1:123456789012:orders", src.ARN())
	deadline := time.Now().Add(time.Minute)
	ds := src.Deliveries(t.Context(), []types.Message{
		{MessageId: aws.String("1"), ReceiptHandle: aws.String("r1"), Body: aws.String("AAE="),
			MessageAttributes: map[string]types.MessageAttributeValue{"sluice-body": {DataType: aws.String("String"), StringValue: aws.String("base64")}},
			Attributes:        map[string]string{"ApproximateReceiveCount": "3"}},
		{},
	}, deadline)
	require.Len(t, ds, 2)
	require.Equal(t, drivers.Delivery{Message: &handler.Message{ID: "1", Body: []byte{0, 1}, Attempt: 3}, Receipt: "r1", Deadline: deadline}, ds[0])
	require.Empty(t, ds[1].Receipt)
	require.Empty(t, src.Deliveries(t.Context(), nil, time.Time{}))
	require.Empty(t, s.requests(), "it does no IO")

	require.Empty(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}}))
	require.Equal(t, "r1", *s.deleted[0].Entries[0].ReceiptHandle)
}
