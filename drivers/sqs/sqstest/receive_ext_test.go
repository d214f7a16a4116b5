package sqstest_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

func TestReceiveParameters(t *testing.T) {
	e := inProcess(t, nil)
	standard, fifo := e.queue("standard"), e.fifo("fifo.fifo")
	const invalid = "InvalidParameterValue"
	tests := []struct {
		name string
		in   sqs.ReceiveMessageInput
		code string
	}{
		{"plain", sqs.ReceiveMessageInput{QueueUrl: standard}, ""},
		//nolint:staticcheck // the old parameter has to work
		{"names of both kinds", sqs.ReceiveMessageInput{QueueUrl: standard, AttributeNames: []types.QueueAttributeName{"All", "Policy"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SentTimestamp"}}, ""},
		{"attempt ID", sqs.ReceiveMessageInput{QueueUrl: fifo, ReceiveRequestAttemptId: aws.String("a")}, ""},
		{"eleven", sqs.ReceiveMessageInput{QueueUrl: standard, MaxNumberOfMessages: 11}, invalid},
		{"fewer than none", sqs.ReceiveMessageInput{QueueUrl: standard, MaxNumberOfMessages: -1}, invalid},
		{"long wait", sqs.ReceiveMessageInput{QueueUrl: standard, WaitTimeSeconds: 21}, invalid},
		{"negative wait", sqs.ReceiveMessageInput{QueueUrl: standard, WaitTimeSeconds: -1}, invalid},
		{"long lease", sqs.ReceiveMessageInput{QueueUrl: standard, VisibilityTimeout: 43201}, invalid},
		{"negative lease", sqs.ReceiveMessageInput{QueueUrl: standard, VisibilityTimeout: -1}, invalid},
		{"unknown attribute", sqs.ReceiveMessageInput{QueueUrl: standard, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"Colour"}}, "InvalidAttributeName"},
		{"attempt ID on a standard queue", sqs.ReceiveMessageInput{QueueUrl: standard, ReceiveRequestAttemptId: aws.String("a")}, ""},
		{"bad attempt ID", sqs.ReceiveMessageInput{QueueUrl: fifo, ReceiveRequestAttemptId: aws.String("a b")}, invalid},
		{"no queue", sqs.ReceiveMessageInput{QueueUrl: aws.String(e.QueueURL("nothing"))}, "AWS.SimpleQueueService.NonExistentQueue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := e.ReceiveMessage(bg, &tt.in)
			requireCode(t, tt.code, err)
			if err == nil {
				require.Empty(t, out.Messages)
			}
		})
	}
}

func TestReceiveGivesWhatIsAskedFor(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders", "VisibilityTimeout", "0")
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
		"app.a": stringAttribute("1"), "app.b": stringAttribute("2"), "other": stringAttribute("3"),
	}})
	require.NoError(t, err)
	tests := []struct {
		name   string
		filter []string
		want   string
	}{
		{"none", nil, ""},
		{"all", []string{"All"}, "app.a app.b other"},
		{"all, the other way", []string{".*"}, "app.a app.b other"},
		{"one", []string{"other"}, "other"},
		{"a prefix", []string{"app.*"}, "app.a app.b"},
		{"a prefix and one", []string{"app.*", "other"}, "app.a app.b other"},
		{"what is not there", []string{"nothing"}, ""},
		// Validated: test_receive_message_message_attribute_names_filters.
		{"all, by an asterisk", []string{"*"}, "app.a app.b other"},
		{"a prefix that ends within a word", []string{"ap.*"}, "app.a app.b"},
		{"a name that nothing can have", []string{"AWS."}, ""},
		{"another", []string{"..foo"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, MessageAttributeNames: tt.filter})
			require.NoError(t, err)
			require.Len(t, out.Messages, 1)
			m := out.Messages[0]
			require.Empty(t, m.Attributes)
			var names []string
			for _, n := range []string{"app.a", "app.b", "other"} {
				if _, ok := m.MessageAttributes[n]; ok {
					names = append(names, n)
				}
			}
			require.Equal(t, tt.want, strings.Join(names, " "))
			require.Equal(t, tt.want == "", m.MD5OfMessageAttributes == nil)
		})
	}
	out, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url,
		AttributeNames:              []types.QueueAttributeName{"ApproximateReceiveCount"}, //nolint:staticcheck // the old parameter has to work
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SentTimestamp"}})
	require.NoError(t, err)
	require.Len(t, out.Messages[0].Attributes, 2)
	require.Equal(t, strconv.Itoa(len(tests)+1), out.Messages[0].Attributes["ApproximateReceiveCount"])

	// As in the answers about queues, there is no member for none.
	for _, name := range []types.MessageSystemAttributeName{"SequenceNumber", "MessageGroupId", "MessageDeduplicationId", "AWSTraceHeader", "DeadLetterQueueSourceArn"} {
		out, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, MessageSystemAttributeNames: []types.MessageSystemAttributeName{name}})
		require.NoError(t, err)
		require.Nil(t, out.Messages[0].Attributes, name)
	}
	// Validated: test_receive_message_attribute_names_filters.
	out, err = e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SenderId", "SequenceNumber"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"SenderId": "AKIDTEST"}, out.Messages[0].Attributes)
}

func TestTimes(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	e.send(url, "x")
	clock.Advance(5 * time.Second)
	millis := func(d time.Duration) string { return strconv.FormatInt(start().Add(d).UnixMilli(), 10) }
	require.Equal(t, millis(5*time.Second), e.one(url).Attributes["ApproximateFirstReceiveTimestamp"])
	clock.Advance(30 * time.Second)
	m := e.one(url)
	require.Equal(t, millis(0), m.Attributes["SentTimestamp"])
	require.Equal(t, millis(5*time.Second), m.Attributes["ApproximateFirstReceiveTimestamp"])
	require.Equal(t, "2", m.Attributes["ApproximateReceiveCount"])
}

func TestVisibilityTimeout(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders", "VisibilityTimeout", "10")
	e.send(url, "x")
	first := e.one(url)
	require.Empty(t, e.receive(url))
	require.Equal(t, [3]int{0, 1, 0}, e.counts(url))
	clock.Advance(9 * time.Second)
	require.Empty(t, e.receive(url))
	clock.Advance(time.Second)
	second := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 60})
	require.Len(t, second, 1)
	require.NotEqual(t, *first.ReceiptHandle, *second[0].ReceiptHandle)
	clock.Advance(59 * time.Second)
	require.Empty(t, e.receive(url))
}

func TestDelay(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders", "DelaySeconds", "5")
	e.send(url, "the queue's")
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("its own"), DelaySeconds: 10})
	require.NoError(t, err)
	require.Equal(t, [3]int{0, 0, 2}, e.counts(url))
	require.Empty(t, e.receive(url))
	clock.Advance(5 * time.Second)
	require.Equal(t, []string{"the queue's"}, bodies(e.receive(url)))
	clock.Advance(5 * time.Second)
	require.Equal(t, []string{"its own"}, bodies(e.receive(url)))
}

func TestRetention(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders", "MessageRetentionPeriod", "60")
	e.send(url, "old")
	clock.Advance(30 * time.Second)
	e.send(url, "new")
	clock.Advance(31 * time.Second)
	require.Equal(t, []string{"new"}, bodies(e.receive(url)))
}

// The SDK, the server and the engine all live in the bubble: no socket is in it.
func TestLongPollInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		url := e.queue("orders", "ReceiveMessageWaitTimeSeconds", "20")
		begin := time.Now()
		require.Empty(t, e.receive(url))
		require.Equal(t, 20*time.Second, time.Since(begin), "the queue's own wait")

		begin = time.Now()
		time.AfterFunc(3*time.Second, func() { e.send(url, "x") })
		require.Equal(t, []string{"x"}, bodies(e.receive(url)))
		require.Equal(t, 3*time.Second, time.Since(begin))

		begin = time.Now()
		require.Empty(t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 15}))
		require.Equal(t, []string{"x"}, bodies(e.receive(url)), "its lease ends")
		require.Equal(t, 30*time.Second, time.Since(begin))
	})
}

func TestLongPollEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		url := e.queue("orders")
		ctx, cancel := context.WithTimeout(bg, 2*time.Second)
		defer cancel()
		_, err := e.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		e.send(url, "x")
		require.Len(t, e.receive(url), 1, "the poll that was given up took the message")
	})
}

func TestLongPollEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		url := e.queue("orders")
		time.AfterFunc(time.Second, func() { _ = e.Close() })
		begin := time.Now()
		_, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		require.Error(t, err)
		require.Equal(t, time.Second, time.Since(begin))
		_, err = e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url})
		require.ErrorContains(t, err, "connection refused")
		require.NoError(t, e.Close(), "a second Close does nothing")
	})
}

func TestManualClockWakesLongPolls(t *testing.T) {
	clock := manual()
	e := overHTTP(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders", "DelaySeconds", "5")
	e.send(url, "x")
	got := make(chan []types.Message)
	go func() {
		out, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		got <- out.Messages
	}()
	require.Eventually(t, func() bool { return clock.Waiting() > 0 }, 10*time.Second, time.Millisecond)
	clock.Advance(4 * time.Second)
	select {
	case <-got:
		require.Fail(t, "the message came before its time")
	default:
	}
	clock.Advance(time.Second)
	require.Equal(t, []string{"x"}, bodies(<-got))
}

func TestInFlightLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, &sqstest.Config{MaxInFlight: 3})
		standard, fifo := e.queue("standard"), e.fifo("fifo.fifo")
		for i := range 5 {
			e.send(standard, strconv.Itoa(i))
			e.sendGroup(fifo, strconv.Itoa(i), "g"+strconv.Itoa(i), strconv.Itoa(i))
		}
		got := e.receive(standard)
		require.Len(t, got, 3)
		_, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: standard})
		requireCode(t, "OverLimit", err)
		require.True(t, isType[*types.OverLimit](err))

		begin := time.Now()
		require.Empty(t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: standard, WaitTimeSeconds: 10}), "a long poll says nothing")
		require.Equal(t, 10*time.Second, time.Since(begin))

		require.NoError(t, e.delete(standard, got[0]))
		require.Len(t, e.receive(standard), 1)

		require.Len(t, e.receive(fifo), 3)
		require.Empty(t, e.receive(fifo), "nor does a FIFO queue")
	})
}
