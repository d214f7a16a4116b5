package sqstest_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

func TestFifoOrderAndBlocking(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.fifo("orders.fifo")
	for i := range 4 {
		e.sendGroup(url, "a"+strconv.Itoa(i), "a", "a"+strconv.Itoa(i))
	}
	e.sendGroup(url, "b0", "b", "b0")
	got := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 2})
	require.Equal(t, []string{"a0", "a1"}, bodies(got), "one receive may give several of a group")
	require.Equal(t, []string{"b0"}, bodies(e.receive(url)), "group a is blocked, group b is not")

	require.NoError(t, e.delete(url, got[0]))
	require.Empty(t, e.receive(url), "a1 is still in flight")
	require.NoError(t, e.extend(url, got[1], 0))
	again := e.receive(url)
	require.Equal(t, []string{"a1", "a2", "a3"}, bodies(again), "a retried message comes before the later ones")
	require.Equal(t, "2", again[0].Attributes["ApproximateReceiveCount"])
	require.Less(t, again[0].Attributes["SequenceNumber"], again[1].Attributes["SequenceNumber"])
	require.Equal(t, "a", again[0].Attributes["MessageGroupId"])
	require.Equal(t, "a1", again[0].Attributes["MessageDeduplicationId"])

	clock.Advance(30 * time.Second)
	require.Equal(t, []string{"b0", "a1", "a2", "a3"}, sortGroups(bodies(e.receive(url))))
}

// sortGroups puts group b first: which group comes first is nobody's promise.
func sortGroups(in []string) []string {
	var a, b []string
	for _, s := range in {
		if s[0] == 'b' {
			b = append(b, s)
		} else {
			a = append(a, s)
		}
	}
	return append(b, a...)
}

func TestDeduplication(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.fifo("orders.fifo")
	first := e.sendGroup(url, "x", "g", "d")
	clock.Advance(4*time.Minute + 59*time.Second)
	second := e.sendGroup(url, "another body", "h", "d")
	require.Equal(t, *first.MessageId, *second.MessageId)
	require.Equal(t, *first.SequenceNumber, *second.SequenceNumber)
	m := e.one(url)
	require.Equal(t, "x", *m.Body)
	require.NoError(t, e.delete(url, m))
	e.sendGroup(url, "x", "g", "d")
	require.Empty(t, e.receive(url), "the window outlives the message")
	clock.Advance(2 * time.Second)
	third := e.sendGroup(url, "x", "g", "d")
	require.NotEqual(t, *first.MessageId, *third.MessageId)
	require.Len(t, e.receive(url), 1)
}

func TestDeduplicationByContent(t *testing.T) {
	e := inProcess(t, nil)
	url := e.fifo("orders.fifo", "ContentBasedDeduplication", "true")
	e.sendGroup(url, "hello", "g", "")
	e.sendGroup(url, "hello", "h", "")
	e.sendGroup(url, "hello!", "g", "")
	e.sendGroup(url, "hello", "g", "its own ID wins"[:3])
	got := e.receive(url)
	require.Equal(t, []string{"hello", "hello!", "hello"}, bodies(got))
	require.Equal(t, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", got[0].Attributes["MessageDeduplicationId"])
}

func TestDeduplicationByGroup(t *testing.T) {
	e := inProcess(t, nil)
	url := e.fifo("orders.fifo", "DeduplicationScope", "messageGroup")
	for _, group := range []string{"g", "h", "g"} {
		e.sendGroup(url, "x", group, "d")
	}
	require.Len(t, e.receive(url), 2)
}

// Validated: test_fifo_change_to_high_throughput_after_creation.
func TestDeduplicationScopeStays(t *testing.T) {
	for _, scope := range []string{"queue", "messageGroup"} {
		for _, onFile := range []bool{false, true} {
			t.Run(fmt.Sprint(scope, " on file ", onFile), func(t *testing.T) {
				var cfg sqstest.Config
				if onFile {
					engine, err := sqlitequeue.Open(t.Context(), filepath.Join(t.TempDir(), "sqs.db"), nil)
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, engine.Close()) })
					cfg.Store = engine
				}
				e := inProcess(t, &cfg)
				url := e.fifo("orders.fifo", "DeduplicationScope", scope)
				other := map[string]string{"queue": "messageGroup", "messageGroup": "queue"}[scope]
				e.set(url, "DeduplicationScope", other)
				require.Equal(t, other, e.attributes(url)["DeduplicationScope"])
				for _, group := range []string{"g", "h"} {
					e.sendGroup(url, "x", group, "d")
				}
				require.Len(t, e.receive(url), map[string]int{"queue": 1, "messageGroup": 2}[scope])
			})
		}
	}
}

func TestReceiveRequestAttempt(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.fifo("orders.fifo")
	e.sendGroup(url, "x", "g", "1")
	e.sendGroup(url, "y", "g", "2")
	attempt := func(id string) *sqs.ReceiveMessageInput {
		return &sqs.ReceiveMessageInput{QueueUrl: url, ReceiveRequestAttemptId: aws.String(id)}
	}
	first := e.receiveWith(attempt("one"))
	require.Equal(t, []string{"x", "y"}, bodies(first))
	clock.Advance(10 * time.Second)
	again := e.receiveWith(attempt("one"))
	require.Equal(t, []string{"x", "y"}, bodies(again))
	require.Equal(t, *first[0].ReceiptHandle, *again[0].ReceiptHandle)
	require.Empty(t, e.receiveWith(attempt("two")))
	require.NoError(t, e.delete(url, first[0]), "the first receipt is as good as the second")
	require.NoError(t, e.delete(url, again[1]))
	require.Equal(t, [3]int{0, 0, 0}, e.counts(url))
}

func TestFairQueuesAreNotOrdered(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	for i := range 3 {
		_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(strconv.Itoa(i)), MessageGroupId: aws.String("tenant")})
		require.NoError(t, err)
	}
	for range 3 {
		got := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 1})
		require.Len(t, got, 1, "a group in flight blocks nothing")
		require.Equal(t, "tenant", got[0].Attributes["MessageGroupId"])
		require.NotContains(t, got[0].Attributes, "SequenceNumber")
	}
}

func TestFifoDelayIsTheQueues(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.fifo("orders.fifo", "DelaySeconds", "5")
	e.sendGroup(url, "x", "g", "1")
	require.Empty(t, e.receive(url))
	clock.Advance(5 * time.Second)
	require.Len(t, e.receive(url), 1)
}
