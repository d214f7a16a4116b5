package sqs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

func openSource(t *testing.T, s *stub, c *sqs.Config) *sqs.Source {
	t.Helper()
	u := queueURL
	if _, fifo := s.attributes[u+".fifo"]; fifo {
		u += ".fifo"
	}
	src, err := sqs.NewSource(t.Context(), s, u, c)
	require.NoError(t, err)
	s.requests()
	return src
}

func TestOpeningReadsTheQueue(t *testing.T) {
	src := openSource(t, newStub(), nil)
	require.Equal(t, drivers.Capabilities{
		Queue: "orders", System: "aws_sqs", Server: "sqs.us-east-1.amazonaws.com",
		MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10,
		MaxMessageBytes: 256 << 10, MaxBatchBytes: 256 << 10,
		Lease: 30 * time.Second, MaxDelay: 12 * time.Hour, MaxSendDelay: 15 * time.Minute, MaxExtension: 12 * time.Hour, MaxLease: 12 * time.Hour,
		DeadLetter: true, DeadLetterQueue: "orders-dlq", MaxAttempts: 5, AttemptKnown: true, NativeRedrive: true,
	}, src.Capabilities())

	fifo := openSource(t, newFIFOStub(), &sqs.Config{VisibilityTimeout: time.Minute}).Capabilities()
	require.True(t, fifo.Ordered)
	require.True(t, fifo.StaleReceiptFails)
	require.Zero(t, fifo.MaxSendDelay)
	require.Equal(t, time.Minute, fifo.Lease)
}

func TestOpeningTellsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stub, *sqs.Config)
		code   error
		want   string
	}{
		{"no queue", func(s *stub, _ *sqs.Config) { s.attributes = nil }, drivers.ErrNotFound, `queue "orders": open: not found`},
		{"lease", func(_ *stub, c *sqs.Config) { c.VisibilityTimeout = 1500 * time.Millisecond }, drivers.ErrInvalid, "whole seconds"},
		{"dead-letter queue by name", func(_ *stub, c *sqs.Config) { c.DeadLetter = "gone" }, drivers.ErrNotFound, `the dead-letter queue of "orders"`},
		{"dead-letter queue elsewhere", func(_ *stub, c *sqs.Config) { c.DeadLetter = "arn:aws:sqs:eu-west-1:123456789012:x" }, drivers.ErrInvalid, "account and region"},
		{"dead-letter queue of another kind", func(s *stub, _ *sqs.Config) { s.attributes[queueURL+"-dlq"]["FifoQueue"] = "true" }, drivers.ErrInvalid, "not of the queue's own kind"},
		{"nonsense", func(s *stub, _ *sqs.Config) { s.attributes[queueURL]["VisibilityTimeout"] = "soon" }, drivers.ErrInvalid, "VisibilityTimeout"},
		{"policy", func(s *stub, _ *sqs.Config) { s.attributes[queueURL]["RedrivePolicy"] = "{" }, drivers.ErrInvalid, "redrive policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, config := newStub(), &sqs.Config{}
			c.change(s, config)
			_, err := sqs.NewSource(t.Context(), s, queueURL, config)
			require.ErrorIs(t, err, c.code)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// A redrive policy that names a queue which is gone must not keep the consumer
// from working; nor may it be passed over in silence.
func TestMissingNativeDeadLetterQueueIsReported(t *testing.T) {
	s := newStub()
	delete(s.attributes, queueURL+"-dlq")
	var log bytes.Buffer
	src := openSource(t, s, &sqs.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.False(t, src.Capabilities().DeadLetter)
	require.Contains(t, log.String(), "orders-dlq")
	errs := src.Settle(t.Context(), []drivers.Settlement{{Receipt: "r", Message: &handler.Message{}, Action: handler.ActionDeadLetter}})
	require.ErrorIs(t, errs[0], drivers.ErrUnsupported)
	require.Empty(t, s.requests())
}

func TestReceiveAsksForWhatIsNeeded(t *testing.T) {
	s := newStub()
	src := openSource(t, s, &sqs.Config{VisibilityTimeout: 90 * time.Second})
	for _, c := range []struct {
		most    int
		wait    time.Duration
		seconds int32
	}{{10, 20 * time.Second, 20}, {3, 1900 * time.Millisecond, 1}, {1, 900 * time.Millisecond, 0}, {1, 0, 0}, {50, time.Hour, 20}} {
		ds, err := src.Receive(t.Context(), c.most, c.wait)
		require.NoError(t, err)
		require.Empty(t, ds)
		in := s.receives[len(s.receives)-1]
		require.EqualValues(t, min(c.most, 10), in.MaxNumberOfMessages)
		require.Equal(t, c.seconds, in.WaitTimeSeconds)
		require.EqualValues(t, 90, in.VisibilityTimeout)
		require.Nil(t, in.ReceiveRequestAttemptId, "a standard queue refuses it")
	}
}

func TestEveryRequestHasADeadline(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	_, err := src.Receive(t.Context(), 1, time.Second)
	require.NoError(t, err)
	m := &handler.Message{ID: "m", Body: []byte("x")}
	require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{
		{Receipt: "a", Action: handler.ActionAck}, {Receipt: "b", Delayed: true}, {Receipt: "c", Action: handler.ActionDeadLetter, Message: m},
	}))
	require.Nil(t, src.Extend(t.Context(), []drivers.Extension{{Receipt: "a", By: time.Minute}}))
	_, err = src.Depth(t.Context())
	require.NoError(t, err)
	_, err = src.Peek(t.Context(), 1, false)
	require.NoError(t, err)
	require.Error(t, src.Purge(t.Context(), false))
	require.Zero(t, s.unbound)
}

// A connection that is dropped in silence must end as an error of the
// endpoint's, not as the caller's own, and must not hang.
func TestReceiveThatIsNotAnsweredEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := sqs.NewSource(t.Context(), &hanging{stub: newStub()}, queueURL, nil)
		require.NoError(t, err)
		begin := time.Now()
		_, err = src.Receive(t.Context(), 10, 20*time.Second)
		require.ErrorIs(t, err, drivers.ErrTransient)
		require.ErrorContains(t, err, "did not answer in time")
		require.Equal(t, 50*time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = src.Receive(ctx, 10, 20*time.Second)
		require.Equal(t, context.DeadlineExceeded, err)
	})
}

// hanging is a stub whose receives end with their context only.
type hanging struct{ *stub }

func (h *hanging) ReceiveMessage(ctx context.Context, _ *awssqs.ReceiveMessageInput, _ ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("request send failed: %w", ctx.Err())
}

// The lease of a message that comes late in a long poll is not all but over.
func TestDeadlineCountsFromTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		src := openSource(t, s, nil)
		s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
			time.Sleep(15 * time.Second) //nolint:forbidigo // the bubble's time, in place of the server's
			return &awssqs.ReceiveMessageOutput{Messages: []types.Message{{ReceiptHandle: aws.String("r")}}}, nil
		}
		ds, err := src.Receive(t.Context(), 1, 20*time.Second)
		require.NoError(t, err)
		require.Equal(t, 29*time.Second, time.Until(ds[0].Deadline))

		s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
			time.Sleep(200 * time.Millisecond) //nolint:forbidigo // as above
			return &awssqs.ReceiveMessageOutput{Messages: []types.Message{{ReceiptHandle: aws.String("r")}}}, nil
		}
		ds, err = src.Receive(t.Context(), 1, 20*time.Second)
		require.NoError(t, err)
		require.Equal(t, 29800*time.Millisecond, time.Until(ds[0].Deadline), "not later than the provider's")
	})
}

// A FIFO queue whose answer was lost gives the same messages to the next
// receive, by its attempt ID; otherwise their groups would be blocked.
func TestLostReceiveIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFIFOStub()
		src := openSource(t, s, nil)
		var fail error
		s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
			return &awssqs.ReceiveMessageOutput{}, fail
		}
		attempt := func(most int, err error) (id string, asked int32) {
			fail = err
			_, got := src.Receive(t.Context(), most, 0)
			if err == nil {
				require.NoError(t, got)
			} else {
				require.Error(t, got)
			}
			in := s.receives[len(s.receives)-1]
			return *in.ReceiveRequestAttemptId, in.MaxNumberOfMessages
		}
		lost := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
		first, _ := attempt(5, lost)
		other, _ := attempt(3, nil)
		require.NotEqual(t, first, other, "it may have been given more messages than are asked for now")
		repeated, asked := attempt(10, nil)
		require.Equal(t, first, repeated)
		require.EqualValues(t, 5, asked)
		next, _ := attempt(10, nil)
		require.NotEqual(t, first, next, "it was repeated once")

		throttled, _ := attempt(5, &types.RequestThrottled{})
		next, _ = attempt(10, nil)
		require.NotEqual(t, throttled, next, "SQS said that it did nothing")

		old, _ := attempt(5, lost)
		time.Sleep(6 * time.Minute) //nolint:forbidigo // the bubble's time
		next, _ = attempt(10, nil)
		require.NotEqual(t, old, next, "SQS forgets attempts after five minutes")
	})
}

func TestSettleMakesOneRequestAKind(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	m := &handler.Message{ID: "m", Body: []byte("x")}
	var ss []drivers.Settlement
	for i := range 10 {
		ss = append(ss, drivers.Settlement{Receipt: fmt.Sprint("r", i), Message: m, Action: handler.ActionAck})
	}
	require.Nil(t, src.Settle(t.Context(), ss))
	require.Equal(t, []string{"DeleteMessageBatch"}, s.requests())

	ss[1].Action = handler.ActionDrop
	ss[2].Action, ss[2].Delayed, ss[2].Delay = handler.ActionRetry, true, 1500*time.Millisecond
	ss[3].Action = handler.ActionRetry // left to the queue: no request
	ss[4].Action = handler.ActionDeadLetter
	require.Nil(t, src.Settle(t.Context(), ss))
	require.ElementsMatch(t, []string{"DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch", "DeleteMessageBatch"}, s.requests())
	require.Len(t, s.changed[0].Entries, 1)
	require.Equal(t, "r2", *s.changed[0].Entries[0].ReceiptHandle)
	require.EqualValues(t, 2, s.changed[0].Entries[0].VisibilityTimeout, "rounded up")

	require.Nil(t, src.Settle(t.Context(), ss[3:4]))
	require.Empty(t, s.requests())
	errs := src.Settle(t.Context(), []drivers.Settlement{{Receipt: "r", Action: 77}})
	require.ErrorIs(t, errs[0], drivers.ErrInvalid)
}

func TestFailedEntriesAreReportedAtTheirIndex(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	failed := func(id, code string) []types.BatchResultErrorEntry {
		return []types.BatchResultErrorEntry{{Id: &id, Code: &code, SenderFault: true}}
	}
	s.delete = func(*awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
		return &awssqs.DeleteMessageBatchOutput{Failed: failed("1", "ReceiptHandleIsInvalid")}, nil
	}
	s.change = func(*awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
		return &awssqs.ChangeMessageVisibilityBatchOutput{Failed: append(failed("0", "AWS.SimpleQueueService.MessageNotInflight"), failed("x", "?")...)}, nil
	}
	same := "the same message twice"
	errs := src.Settle(t.Context(), []drivers.Settlement{
		{Receipt: "a", Delayed: true}, {Receipt: same, Action: handler.ActionAck}, {Receipt: same, Action: handler.ActionAck},
	})
	require.ErrorIs(t, errs[0], drivers.ErrLeaseLost)
	require.NoError(t, errs[1])
	require.ErrorIs(t, errs[2], drivers.ErrLeaseLost)

	errs = src.Extend(t.Context(), []drivers.Extension{{Receipt: "a", By: time.Second}, {Receipt: "b", By: 100 * time.Hour}})
	require.ErrorIs(t, errs[0], drivers.ErrLeaseLost)
	require.NoError(t, errs[1])
	require.EqualValues(t, 43200, s.changed[1].Entries[1].VisibilityTimeout, "SQS's most")

	s.delete = func(*awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
		return nil, &smithy.GenericAPIError{Code: "AccessDenied"}
	}
	errs = src.Settle(t.Context(), []drivers.Settlement{{Receipt: "a", Action: handler.ActionAck}, {Receipt: "b"}})
	require.ErrorIs(t, errs[0], drivers.ErrDenied)
	require.NoError(t, errs[1])
}

func TestPeekGivesBack(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	n := 0
	s.receive = func(in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
		out := &awssqs.ReceiveMessageOutput{}
		for range min(int(in.MaxNumberOfMessages), 8) {
			id := fmt.Sprint(n % 11) // the twelfth is the first again
			out.Messages = append(out.Messages, types.Message{MessageId: &id, ReceiptHandle: aws.String(fmt.Sprint("r", n))})
			n++
		}
		return out, nil
	}
	ms, err := src.Peek(t.Context(), 12, false)
	require.NoError(t, err)
	require.Len(t, ms, 11)
	require.Equal(t, []string{"ReceiveMessage", "ReceiveMessage", "ChangeMessageVisibilityBatch", "ChangeMessageVisibilityBatch"}, s.requests())
	for _, in := range s.changed {
		for _, e := range in.Entries {
			require.Zero(t, e.VisibilityTimeout)
		}
	}

	s.receive = func(*awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
		return nil, &types.RequestThrottled{}
	}
	_, err = src.Peek(t.Context(), 1, true)
	require.ErrorIs(t, err, drivers.ErrThrottled)
	require.ErrorContains(t, err, `queue "orders-dlq": peek`)
}

func TestDepthOfLettersThatMayNotBeSeen(t *testing.T) {
	s := newStub()
	s.attributes[queueURL]["ApproximateNumberOfMessages"] = "7"
	src := openSource(t, s, nil)
	d, err := src.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, d.Visible)
	require.EqualValues(t, drivers.Unknown, d.InFlight, "the server did not say")
	require.EqualValues(t, drivers.Unknown, d.DeadLetters)
	require.Negative(t, d.OldestAge)

	for _, n := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		s.attributes[queueURL+"-dlq"][n] = "2"
	}
	d, err = src.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, d.DeadLetters)
}

func TestPurgeSaysWhenItIsTooSoon(t *testing.T) {
	src := openSource(t, newStub(), nil)
	err := src.Purge(t.Context(), false)
	require.ErrorIs(t, err, drivers.ErrThrottled)
	require.ErrorContains(t, err, "once a minute")
}
