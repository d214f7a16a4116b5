package lambdatest

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// maxBatch is the most messages of one request to SQS.
const maxBatch = 10

// A Mapping is an event source mapping from an SQS queue. Its fields are set
// before its first use; its methods may be called concurrently, each call of
// [Mapping.Run] being one poller.
type Mapping struct {
	// Client receives and deletes. Required, as is the queue.
	Client   *awssqs.Client
	QueueURL string
	QueueARN string
	// BatchSize is the most messages of an event, at most 10. Zero means 10.
	BatchSize int
	// ReportBatchItemFailures has the mapping look at the function's response.
	// Without it, an invocation that does not fail is the success of the batch.
	ReportBatchItemFailures bool

	mu      sync.Mutex
	numbers Numbers
}

// Numbers are what a [Mapping] has done.
type Numbers struct {
	// Invocations counts events; Failed those of which all messages were left
	// because the function failed, timed out, ended or answered nonsense;
	// Nonsense counts only the last.
	Invocations, Failed, Nonsense int
	// Deleted and Left count messages; Refused those of the deleted ones that SQS
	// would not delete, because a FIFO queue did not have them any more.
	Deleted, Left, Refused int
}

// Numbers returns what the mapping has done up to now.
func (m *Mapping) Numbers() Numbers {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.numbers
}

// Run polls the queue until ctx is done, and invokes the function for what it
// receives. It returns an error where SQS fails.
func (m *Mapping) Run(ctx context.Context, invoke func(ctx context.Context, event []byte) ([]byte, error)) error {
	for ctx.Err() == nil {
		if _, err := m.Poll(ctx, time.Second, invoke); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// Poll receives once, waiting up to wait, and invokes the function where that
// brought something. It returns how many messages it received. That the function
// fails is not an error.
func (m *Mapping) Poll(ctx context.Context, wait time.Duration, invoke func(ctx context.Context, event []byte) ([]byte, error)) (int, error) {
	size := m.BatchSize
	if size == 0 {
		size = maxBatch
	}
	out, err := m.Client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &m.QueueURL, MaxNumberOfMessages: int32(min(size, maxBatch)), WaitTimeSeconds: int32(min(wait, 20*time.Second) / time.Second), // at most 10 and 20
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(out.Messages) == 0 {
		return 0, err
	}
	event, err := Event(m.QueueARN, out.Messages)
	if err != nil {
		return 0, err
	}
	response, failure := invoke(ctx, event)
	return len(out.Messages), m.settle(ctx, out.Messages, response, failure)
}

// settle deletes what was handled.
func (m *Mapping) settle(ctx context.Context, ms []types.Message, response []byte, failure error) error {
	ids := make([]string, len(ms))
	for i := range ms {
		ids[i] = aws.ToString(ms[i].MessageId)
	}
	var failed map[string]bool
	var nonsense error
	if failure == nil && m.ReportBatchItemFailures {
		failed, nonsense = Failures(response, ids)
	}
	var done []types.DeleteMessageBatchRequestEntry
	if failure == nil && nonsense == nil {
		for i := range ms {
			if !failed[ids[i]] {
				done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: ms[i].ReceiptHandle})
			}
		}
	}
	m.mu.Lock()
	n := &m.numbers
	n.Invocations++
	if failure != nil || nonsense != nil {
		n.Failed++
	}
	if nonsense != nil {
		n.Nonsense++
	}
	n.Deleted += len(done)
	n.Left += len(ms) - len(done)
	m.mu.Unlock()
	if len(done) == 0 {
		return nil
	}
	// Handled messages are deleted though the mapping is being stopped.
	out, err := m.Client.DeleteMessageBatch(context.WithoutCancel(ctx), &awssqs.DeleteMessageBatchInput{QueueUrl: &m.QueueURL, Entries: done})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n.Refused += len(out.Failed)
	return nil
}
