package sqs_test

import (
	"context"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"

// stub is an SQS whose answers a test decides. Requests without an answer of
// the test's succeed.
type stub struct {
	attributes map[string]map[string]string // by queue URL; absent is NotFound
	receive    func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error)
	send       func(*awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error)
	delete     func(*awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error)
	change     func(*awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error)

	mu       sync.Mutex
	made     []string // requests, in order
	unbound  int      // requests without a deadline
	receives []*awssqs.ReceiveMessageInput
	sent     []*awssqs.SendMessageBatchInput
	deleted  []*awssqs.DeleteMessageBatchInput
	changed  []*awssqs.ChangeMessageVisibilityBatchInput
}

// newStub is a stub with a standard queue that has a dead-letter queue.
func newStub() *stub {
	return &stub{attributes: map[string]map[string]string{
		queueURL: {
			"QueueArn": "arn:aws:sqs:us-east-1:123456789012:orders", "VisibilityTimeout": "30", "MaximumMessageSize": "262144",
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:orders-dlq","maxReceiveCount":"5"}`,
		},
		queueURL + "-dlq": {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:orders-dlq", "MaximumMessageSize": "262144"},
	}}
}

// newFIFOStub is a stub with a FIFO queue that has a dead-letter queue.
func newFIFOStub() *stub {
	return &stub{attributes: map[string]map[string]string{
		queueURL + ".fifo": {
			"QueueArn": "arn:aws:sqs:us-east-1:123456789012:orders.fifo", "VisibilityTimeout": "30", "FifoQueue": "true",
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:orders-dlq.fifo","maxReceiveCount":5}`,
		},
		queueURL + "-dlq.fifo": {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:orders-dlq.fifo", "FifoQueue": "true"},
	}}
}

func (s *stub) note(ctx context.Context, request string) {
	s.made = append(s.made, request)
	if _, ok := ctx.Deadline(); !ok {
		s.unbound++
	}
}

// requests returns what was asked since the last call.
func (s *stub) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.made
	s.made = nil
	return made
}

func (s *stub) GetQueueAttributes(ctx context.Context, in *awssqs.GetQueueAttributesInput, _ ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(ctx, "GetQueueAttributes")
	a, ok := s.attributes[*in.QueueUrl]
	if !ok {
		return nil, &types.QueueDoesNotExist{}
	}
	return &awssqs.GetQueueAttributesOutput{Attributes: a}, nil
}

func (s *stub) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput, _ ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	s.mu.Lock()
	s.note(ctx, "ReceiveMessage")
	s.receives = append(s.receives, in)
	s.mu.Unlock()
	if s.receive == nil {
		return &awssqs.ReceiveMessageOutput{}, nil
	}
	return s.receive(in)
}

func (s *stub) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, _ ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(ctx, "SendMessageBatch")
	s.sent = append(s.sent, in)
	if s.send != nil {
		return s.send(in)
	}
	out := &awssqs.SendMessageBatchOutput{}
	for i, e := range in.Entries {
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id, MessageId: aws.String("m" + strconv.Itoa(i))})
	}
	return out, nil
}

func (s *stub) DeleteMessageBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput, _ ...func(*awssqs.Options)) (*awssqs.DeleteMessageBatchOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(ctx, "DeleteMessageBatch")
	s.deleted = append(s.deleted, in)
	if s.delete != nil {
		return s.delete(in)
	}
	return &awssqs.DeleteMessageBatchOutput{}, nil
}

func (s *stub) ChangeMessageVisibilityBatch(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput, _ ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(ctx, "ChangeMessageVisibilityBatch")
	s.changed = append(s.changed, in)
	if s.change != nil {
		return s.change(in)
	}
	return &awssqs.ChangeMessageVisibilityBatchOutput{}, nil
}

func (s *stub) PurgeQueue(ctx context.Context, _ *awssqs.PurgeQueueInput, _ ...func(*awssqs.Options)) (*awssqs.PurgeQueueOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(ctx, "PurgeQueue")
	return nil, &types.PurgeQueueInProgress{}
}
