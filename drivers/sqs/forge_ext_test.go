package sqs_test

import (
	"crypto/sha256"
	"encoding/hex"
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
			require.Equal(t, drivers.DeadLetter{Queue: "orders", Attempt: 5}, letter)
			require.Equal(t, "acme", got.Attributes["tenant"])
			require.Equal(t, 1, got.Attempt)
			require.Empty(t, got.Group)
			require.True(t, got.EnqueuedAt.IsZero())
		})
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// The group that SQS orders by is the message's group, whatever its sender called another
// attribute: the messages of one group would otherwise be handled at the same time.
func TestASenderLeavesNoGroup(t *testing.T) {
	for _, c := range []struct{ name, system, attribute, want string }{
		{"forged", "order-7", "another", "order-7"},
		{"forged, empty", "order-7", "", "order-7"},
		{"the driver's own spelling", hash("a group"), "a group", "a group"},
		{"none", "order-7", "order-7", "order-7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub()
			s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
				return &awssqs.ReceiveMessageOutput{Messages: []types.Message{{
					MessageId: aws.String("m1"), ReceiptHandle: aws.String("r1"), Body: aws.String("b"),
					MessageAttributes: map[string]types.MessageAttributeValue{"sluice-group": {DataType: aws.String("String"), StringValue: aws.String(c.attribute)}},
					Attributes:        map[string]string{"ApproximateReceiveCount": "1", "MessageGroupId": c.system},
				}}}, nil
			}
			ds, err := openSource(t, s, nil).Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			require.Equal(t, c.want, ds[0].Message.Group)
			require.Empty(t, ds[0].Message.Attributes)
		})
	}
}
