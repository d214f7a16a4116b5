package sqstest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

func TestDeleteOnAStandardQueue(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	e.send(url, "x")
	first := e.one(url)
	clock.Advance(30 * time.Second)
	second := e.one(url)

	require.NoError(t, e.delete(url, first), "an old receipt is no error")
	clock.Advance(30 * time.Second)
	third := e.one(url)
	require.Equal(t, "3", third.Attributes["ApproximateReceiveCount"], "and deletes nothing")

	require.NoError(t, e.delete(url, second))
	clock.Advance(30 * time.Second)
	require.Equal(t, [3]int{1, 0, 0}, e.counts(url))
	require.NoError(t, e.delete(url, third), "the newest receipt is good after its lease")
	require.Equal(t, [3]int{0, 0, 0}, e.counts(url))
	require.NoError(t, e.delete(url, third), "deleting twice is no error")
}

func TestDeleteOnAFifoQueue(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.fifo("orders.fifo")
	e.sendGroup(url, "x", "g", "1")
	m := e.one(url)
	clock.Advance(30 * time.Second)
	err := e.delete(url, m)
	requireCode(t, "InvalidParameterValue", err)
	require.ErrorContains(t, err, "The receipt handle has expired")
	m = e.one(url)
	require.NoError(t, e.extend(url, m, 60))
	clock.Advance(59 * time.Second)
	require.NoError(t, e.delete(url, m))
	clock.Advance(time.Hour)
	require.Empty(t, e.receive(url))
}

func TestDeleteBatch(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	for _, tt := range []struct {
		name  string
		url   *string
		stale string // what a lease that has ended is answered with
	}{{"standard", e.queue("a"), ""}, {"fifo", e.fifo("a.fifo"), "InvalidParameterValue"}} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 3 {
				in := &sqs.SendMessageInput{QueueUrl: tt.url, MessageBody: aws.String(strconv.Itoa(i)), MessageGroupId: aws.String("g" + strconv.Itoa(i))}
				if tt.stale != "" {
					in.MessageDeduplicationId = in.MessageBody
				}
				_, err := e.SendMessage(bg, in)
				require.NoError(t, err)
			}
			got := e.receive(tt.url)
			require.Len(t, got, 3)
			require.NoError(t, e.extend(tt.url, got[0], 60))
			require.NoError(t, e.extend(tt.url, got[1], 60))
			clock.Advance(30 * time.Second)
			again := e.one(tt.url) // got[2]'s lease has ended
			out, err := e.DeleteMessageBatch(bg, &sqs.DeleteMessageBatchInput{QueueUrl: tt.url, Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("good"), ReceiptHandle: got[0].ReceiptHandle},
				{Id: aws.String("stale"), ReceiptHandle: got[2].ReceiptHandle},
				{Id: aws.String("forged"), ReceiptHandle: aws.String("forged")},
				{Id: aws.String("newest"), ReceiptHandle: again.ReceiptHandle},
			}})
			require.NoError(t, err)
			result := map[string]string{}
			for _, s := range out.Successful {
				result[*s.Id] = ""
			}
			for _, f := range out.Failed {
				result[*f.Id] = *f.Code
			}
			require.Equal(t, map[string]string{"good": "", "stale": tt.stale, "forged": "ReceiptHandleIsInvalid", "newest": ""}, result)
			require.Equal(t, [3]int{0, 1, 0}, e.counts(tt.url))
		})
	}
}

func TestChangeVisibilityCountsFromNow(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	e.send(url, "x")
	m := e.one(url)
	clock.Advance(25 * time.Second)
	require.NoError(t, e.extend(url, m, 10))
	clock.Advance(9 * time.Second)
	require.Empty(t, e.receive(url))
	clock.Advance(time.Second)
	m = e.one(url)
	require.NoError(t, e.extend(url, m, 0))
	require.Equal(t, "3", e.one(url).Attributes["ApproximateReceiveCount"], "0 gives it back at once")
}

func TestChangeVisibilityRefusals(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url, other := e.queue("orders"), e.queue("other")
	e.send(url, "x")
	m := e.one(url)

	requireCode(t, "InvalidParameterValue", e.extend(url, m, -1))
	requireCode(t, "InvalidParameterValue", e.extend(url, m, 43201))
	err := e.extend(other, m, 10)
	requireCode(t, "ReceiptHandleIsInvalid", err)
	require.True(t, isType[*types.ReceiptHandleIsInvalid](err))
	requireCode(t, "ReceiptHandleIsInvalid", e.delete(other, m))

	clock.Advance(30 * time.Second)
	m = e.one(url)
	require.NoError(t, e.delete(url, m))
	err = e.extend(url, m, 10)
	requireCode(t, "InvalidParameterValue", err)
	require.ErrorContains(t, err, "Message does not exist or is not available for visibility timeout change")
}

func TestTwelveHoursInAll(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	e.send(url, "x")
	m := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 43200})[0]
	clock.Advance(time.Hour)
	err := e.extend(url, m, 43200)
	requireCode(t, "InvalidParameterValue", err)
	require.ErrorContains(t, err, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	require.NoError(t, e.extend(url, m, 11*3600))
	clock.Advance(11*time.Hour - time.Second)
	requireCode(t, "InvalidParameterValue", e.extend(url, m, 2))
	clock.Advance(time.Second)
	m = e.one(url)
	require.NoError(t, e.extend(url, m, 43200), "a new receive counts anew")
}

func TestChangeVisibilityBatch(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	for range 3 {
		e.send(url, "x")
	}
	got := e.receive(url)
	require.NoError(t, e.delete(url, got[2]))
	out, err := e.ChangeMessageVisibilityBatch(bg, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("longer"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 60},
		{Id: aws.String("back"), ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 0},
		{Id: aws.String("gone"), ReceiptHandle: got[2].ReceiptHandle, VisibilityTimeout: 60},
		{Id: aws.String("too-long"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 43201},
		{Id: aws.String("forged"), ReceiptHandle: aws.String("x"), VisibilityTimeout: 60},
	}})
	require.NoError(t, err)
	require.Len(t, out.Successful, 2)
	codes := map[string]string{}
	for _, f := range out.Failed {
		codes[*f.Id] = *f.Code
	}
	require.Equal(t, map[string]string{"gone": "InvalidParameterValue", "too-long": "InvalidParameterValue", "forged": "ReceiptHandleIsInvalid"}, codes)
	require.Equal(t, [3]int{1, 1, 0}, e.counts(url))
	clock.Advance(59 * time.Second)
	require.Len(t, e.receive(url), 1)
}

func TestBatchesOfDeliveriesAreChecked(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	_, err := e.DeleteMessageBatch(bg, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{}})
	require.True(t, isType[*types.EmptyBatchRequest](err), "%v", err)
	h := aws.String("h")
	_, err = e.DeleteMessageBatch(bg, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: h, ReceiptHandle: h}, {Id: h, ReceiptHandle: h}}})
	require.True(t, isType[*types.BatchEntryIdsNotDistinct](err), "%v", err)
	_, err = e.ChangeMessageVisibilityBatch(bg, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("é"), ReceiptHandle: h}}})
	require.True(t, isType[*types.InvalidBatchEntryId](err), "%v", err)
	var eleven []types.ChangeMessageVisibilityBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: h})
	}
	_, err = e.ChangeMessageVisibilityBatch(bg, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: eleven})
	require.True(t, isType[*types.TooManyEntriesInBatchRequest](err), "%v", err)
	requireCode(t, "MissingParameter", e.delete(url, types.Message{ReceiptHandle: aws.String("")}))
}
