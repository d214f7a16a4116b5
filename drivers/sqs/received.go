package sqs

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
)

// ARN returns the queue's ARN. It is empty where the server does not tell, which
// SQS itself does.
func (s *Source) ARN() string { return s.arn }

// Deliveries returns messages of the queue that someone else has received, such
// as Lambda's event source mapping, as [Source.Receive] returns those that it has
// received itself: decoded, and to be settled by their receipt handles. deadline
// is when their leases end, zero where that is not known. It keeps nothing of from
// but the strings, bytes and maps of attributes that the messages share with it: the
// caller must not change these. Of messages that SQS has
// dead-lettered from another queue it asks for that queue's policy, once, to know
// their attempts.
func (s *Source) Deliveries(ctx context.Context, from []types.Message, deadline time.Time) []drivers.Delivery {
	s.learn(ctx, "receive", from)
	return s.deliveries(from, deadline)
}
