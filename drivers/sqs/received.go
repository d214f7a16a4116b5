package sqs

import (
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
// is when their leases end, zero where that is not known. It does no IO and keeps
// nothing of from but what strings and bytes the messages share with it.
func (s *Source) Deliveries(from []types.Message, deadline time.Time) []drivers.Delivery {
	return s.deliveries(from, deadline)
}
