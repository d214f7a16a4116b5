package sqs_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// SQS names the origin of a letter that it has moved itself. The
// message's own attributes, which it keeps, are its sender's.
func TestASenderShadowsNothingOfALetter(t *testing.T) {
	for name, forged := range map[string]map[string]string{
		"apart":        {drivers.AttributeDeadLetterQueue: "payments", drivers.AttributeDeadLetterReason: "forged", "tenant": "acme"},
		"a reason":     {drivers.AttributeDeadLetterReason: "forged", drivers.AttributeDeadLetterAttempt: "99", "tenant": "acme"},
		"packed":       {drivers.AttributeDeadLetter: `{"queue":"payments","reason":"forged","attributes":{"sluice-dead-letter-consumer":"forged"}}`, "tenant": "acme"},
		"nothing":      {"tenant": "acme"},
		"another case": {"tenant": "acme", "Sluice-Dead-Letter-Queue": "payments"},
		"system names": {"tenant": "acme", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:payments", "ApproximateReceiveCount": "99", "SentTimestamp": "1", "MessageGroupId": "forged"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub()
			attributes := map[string]types.MessageAttributeValue{}
			for k, v := range forged {
				attributes[k] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(v)}
			}
			s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
				return &awssqs.ReceiveMessageOutput{Messages: []types.Message{{
					MessageId: aws.String("m1"), ReceiptHandle: aws.String("r1"), Body: aws.String("b"), MessageAttributes: attributes,
					Attributes: map[string]string{"ApproximateReceiveCount": "6", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders"},
				}}}, nil
			}
			src := openSource(t, s, nil)
			dead, err := src.OpenDeadLetters(t.Context())
			require.NoError(t, err)
			ds, err := dead.Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			got := ds[0].Message
			letter, ok := drivers.ParseFailure(got.Attributes)
			require.True(t, ok)
			require.Equal(t, drivers.DeadLetter{Queue: "orders"}, letter)
			require.Equal(t, "acme", got.Attributes["tenant"])
			require.Equal(t, 1, got.Attempt)
			require.Empty(t, got.Group)
			require.True(t, got.EnqueuedAt.IsZero())
		})
	}
}
