package sqstest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// A server on a file finds everything again after a restart, and two on one file
// see each other's changes immediately.
func TestOnAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sqs.db")
	clock := manual()
	open := func() (*env, func()) {
		engine, err := sqlitequeue.Open(bg, path, &sqlitequeue.Options{Clock: clock})
		require.NoError(t, err)
		e := inProcess(t, &sqstest.Config{Store: engine, Clock: clock})
		return e, func() {
			require.NoError(t, e.Close())
			require.NoError(t, engine.Close())
		}
	}
	e, stop := open()
	dlq := e.queue("dlq")
	url := e.queue("orders", "VisibilityTimeout", "60", "RedrivePolicy", e.redrive("dlq", 2))
	fifo := e.fifo("orders.fifo", "ContentBasedDeduplication", "true")
	_, err := e.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"team": "a"}})
	require.NoError(t, err)
	sent, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
		"n": {DataType: aws.String("Number.int"), StringValue: aws.String("1")}, "b": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
	}})
	require.NoError(t, err)
	before := e.one(url)
	first := e.sendGroup(fifo, "y", "g", "")
	stop()

	e, stop = open()
	defer stop()
	a := e.attributes(url)
	require.Equal(t, "60", a["VisibilityTimeout"])
	require.Equal(t, e.redrive("dlq", 2), a["RedrivePolicy"])
	tags, err := e.ListQueueTags(bg, &sqs.ListQueueTagsInput{QueueUrl: url})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "a"}, tags.Tags)
	require.Equal(t, [3]int{0, 1, 0}, e.counts(url))
	require.NoError(t, e.extend(url, before, 10), "a receipt outlives the restart")
	clock.Advance(10 * time.Second)
	m := e.one(url)
	require.Equal(t, *sent.MessageId, *m.MessageId)
	require.Equal(t, *sent.MD5OfMessageAttributes, *m.MD5OfMessageAttributes)
	require.Equal(t, []byte{0, 255}, m.MessageAttributes["b"].BinaryValue)
	require.Equal(t, "2", m.Attributes["ApproximateReceiveCount"])
	again := e.sendGroup(fifo, "y", "g", "")
	require.Equal(t, *first.SequenceNumber, *again.SequenceNumber, "the deduplication window outlives the restart")

	second, stopSecond := open()
	defer stopSecond()
	second.set(url, "VisibilityTimeout", "5")
	require.Equal(t, "5", e.attributes(url)["VisibilityTimeout"])
	clock.Advance(time.Minute)
	require.Empty(t, second.receive(url))
	letter := e.one(dlq)
	require.Equal(t, e.QueueARN("orders"), letter.Attributes["DeadLetterQueueSourceArn"])
	require.NoError(t, second.delete(dlq, letter))
	require.Equal(t, [3]int{0, 0, 0}, e.counts(dlq))
	_, err = second.DeleteQueue(bg, &sqs.DeleteQueueInput{QueueUrl: url})
	require.NoError(t, err)
	_, err = e.SendMessage(bg, sendInput(*url))
	require.True(t, isType[*types.QueueDoesNotExist](err), "%v", err)
}
