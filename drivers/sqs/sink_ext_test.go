package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

func openSink(t *testing.T, s *stub) *sqs.Sink {
	t.Helper()
	u := queueURL
	if _, fifo := s.attributes[u+".fifo"]; fifo {
		u += ".fifo"
	}
	sink, err := sqs.NewSink(t.Context(), s, u)
	require.NoError(t, err)
	s.requests()
	return sink
}

func texts(group string, bodies ...string) []*handler.Message {
	var ms []*handler.Message
	for _, b := range bodies {
		ms = append(ms, &handler.Message{Body: []byte(b), Group: group})
	}
	return ms
}

func TestTenMessagesAreOneRequest(t *testing.T) {
	s := newStub()
	sink := openSink(t, s)
	ms := texts("", strings.Split("abcdefghij", "")...)
	require.Nil(t, sink.Send(t.Context(), ms))
	require.Equal(t, []string{"SendMessageBatch"}, s.requests())
	require.Equal(t, "m9", ms[9].ID)
}

func TestMessagesThatAreTooMuchForOneRequestAreSeveral(t *testing.T) {
	s := newStub()
	sink := openSink(t, s)
	big := strings.Repeat("x", 100<<10)
	require.Nil(t, sink.Send(t.Context(), texts("", big, big, big, "small")))
	require.Equal(t, []string{"SendMessageBatch", "SendMessageBatch"}, s.requests())
	require.Len(t, s.sent[0].Entries, 2)
	require.Len(t, s.sent[1].Entries, 2)

	// A queue that takes larger messages is one of AWS's, whose requests are
	// larger too.
	s.attributes[queueURL]["MaximumMessageSize"] = "1048576"
	sink = openSink(t, s)
	require.Equal(t, 1<<20, sink.Capabilities().MaxBatchBytes)
	require.Nil(t, sink.Send(t.Context(), texts("", big, big, big, "small")))
	require.Equal(t, []string{"SendMessageBatch"}, s.requests())
}

func TestMessagesThatCannotBeSentAreRefusedWithAWayOut(t *testing.T) {
	standard, fifo := openSink(t, newStub()), openSink(t, newFIFOStub())
	for _, c := range []struct {
		name string
		sink *sqs.Sink
		m    handler.Message
		want string
	}{
		{"large", standard, handler.Message{Body: make([]byte, 256<<10)}, "the limit of the queue is 262144"},
		{"large with its attributes", standard, handler.Message{Body: []byte(strings.Repeat("x", 256<<10)), Attributes: map[string]string{"a": "b"}}, "its attributes have 262152 bytes"},
		{"late", standard, handler.Message{Body: []byte("x"), Delay: 16 * time.Minute}, "15m0s at most"},
		{"late on FIFO", fifo, handler.Message{Body: []byte("x"), Group: "g", Delay: time.Second}, "DelaySeconds"},
		{"no group on FIFO", fifo, handler.Message{Body: []byte("x")}, "set Message.Group"},
	} {
		t.Run(c.name, func(t *testing.T) {
			good := &handler.Message{Body: []byte("good"), Group: "other"}
			errs := c.sink.Send(t.Context(), []*handler.Message{&c.m, good})
			require.ErrorIs(t, errs[0], drivers.ErrInvalid)
			require.ErrorContains(t, errs[0], c.want)
			require.Empty(t, c.m.ID)
			require.NoError(t, errs[1])
			require.NotEmpty(t, good.ID)
		})
	}
}

func TestSentMessageIsTranslated(t *testing.T) {
	s := newFIFOStub()
	sink := openSink(t, s)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{
		{Body: []byte("x"), Group: "g", DedupeID: "d", Attributes: map[string]string{"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793"}},
		{Body: []byte("x"), Group: "g"},
	}))
	e := s.sent[0].Entries[0]
	require.Equal(t, "g", *e.MessageGroupId)
	require.Equal(t, "d", *e.MessageDeduplicationId)
	require.Equal(t, "Root=1-5759e988-bd862e3fe1be46a994272793", *e.MessageSystemAttributes["AWSTraceHeader"].StringValue)
	require.Len(t, e.MessageAttributes, 1)
	require.Equal(t, "d", *e.MessageAttributes["sluice-dedupe-id"].StringValue)
	require.NotEmpty(t, *s.sent[1].Entries[0].MessageDeduplicationId, "SQS refuses a message without")

	s.attributes[queueURL+".fifo"]["ContentBasedDeduplication"] = "true"
	require.Nil(t, openSink(t, s).Send(t.Context(), texts("g", "x")))
	require.Nil(t, s.sent[2].Entries[0].MessageDeduplicationId, "the queue makes it")

	standard := newStub()
	m := &handler.Message{Body: []byte("x"), Delay: 1100 * time.Millisecond}
	require.Nil(t, openSink(t, standard).Send(t.Context(), []*handler.Message{m}))
	require.EqualValues(t, 2, standard.sent[0].Entries[0].DelaySeconds)
}

// taken is an answer that takes the entries but those at the given indices.
func taken(in *awssqs.SendMessageBatchInput, refused ...int) *awssqs.SendMessageBatchOutput {
	out := &awssqs.SendMessageBatchOutput{}
	for i, e := range in.Entries {
		bad := false
		for _, r := range refused {
			bad = bad || r == i
		}
		if bad {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
		} else {
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id, MessageId: aws.String(fmt.Sprint("id", i))})
		}
	}
	return out
}

// A request has at most one message of a group, and the next is sent after the
// answer: SQS may take any of a request's messages and not the others.
func TestMessagesOfAGroupAreSentOneAfterTheOther(t *testing.T) {
	requests := func(s *stub) []string {
		var out []string
		for _, in := range s.sent {
			part := ""
			for _, e := range in.Entries {
				part += *e.MessageBody + " "
			}
			out = append(out, strings.TrimSpace(part))
		}
		return out
	}
	var ms []*handler.Message
	for _, body := range strings.Fields("g1 g2 h1 g3 h2 i1") {
		ms = append(ms, &handler.Message{Body: []byte(body), Group: body[:1]})
	}
	for _, c := range []struct {
		name    string
		refused string // this one, with an entry's error
		lost    int    // the answer to this request, from 1
		want    []string
		failed  string
	}{
		{"all taken", "", 0, []string{"g1 h1 i1", "g2 h2", "g3"}, ""},
		{"the first of a group is refused", "g1", 0, []string{"g1 h1 i1", "h2"}, "g1 g2 g3"},
		{"the second of a group is refused", "g2", 0, []string{"g1 h1 i1", "g2 h2"}, "g2 g3"},
		{"the answer to the second request is lost", "", 2, []string{"g1 h1 i1", "g2 h2"}, "g2 g3 h2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFIFOStub()
			sink := openSink(t, s)
			s.send = func(in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
				if len(s.sent) == c.lost {
					return nil, &net.OpError{Op: "read", Err: errors.New("reset")}
				}
				var refused []int
				for i, e := range in.Entries {
					if *e.MessageBody == c.refused {
						refused = append(refused, i)
					}
				}
				return taken(in, refused...), nil
			}
			var failed []string
			for i, err := range sink.Send(t.Context(), ms) {
				if err != nil {
					require.ErrorIs(t, err, drivers.ErrTransient)
					failed = append(failed, string(ms[i].Body))
				}
			}
			require.Equal(t, c.want, requests(s))
			require.ElementsMatch(t, strings.Fields(c.failed), failed)
		})
	}
}

// A context that ends between two requests of one Send ends the sending.
func TestNothingIsSentAfterTheContextHasEnded(t *testing.T) {
	s := newFIFOStub()
	sink := openSink(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	s.send = func(in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
		cancel()
		return taken(in), nil
	}
	errs := sink.Send(ctx, texts("g", "1", "2"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], context.Canceled)
	require.Len(t, s.sent, 1)
}

func TestPartialFailureOnAStandardQueue(t *testing.T) {
	s := newStub()
	sink := openSink(t, s)
	s.send = func(in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
		out := taken(in, 0)
		out.Successful = out.Successful[:1] // and of the third SQS says nothing
		return out, nil
	}
	ms := texts("tenant", "1", "2", "3")
	errs := sink.Send(t.Context(), ms)
	require.ErrorIs(t, errs[0], drivers.ErrTransient)
	require.NoError(t, errs[1])
	require.Equal(t, "id1", ms[1].ID)
	require.ErrorContains(t, errs[2], "does not mention")

	s.send = func(*awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
		return nil, &types.KmsAccessDenied{}
	}
	for _, err := range sink.Send(t.Context(), texts("", "1", "2")) {
		require.ErrorIs(t, err, drivers.ErrDenied)
	}
}
