package sqstest_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// Concurrent senders and receivers of several queues lose nothing and get nothing
// twice, while attributes change beneath them.
func TestConcurrentUse(t *testing.T) {
	const workers, batches = 4, 25
	e := overHTTP(t, nil)
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * workers}
	defer transport.CloseIdleConnections()
	e.Client = client(e.Server, func(o *sqs.Options) { o.HTTPClient = &http.Client{Transport: transport} })
	urls := []*string{e.queue("standard"), e.fifo("fifo.fifo")}
	var wg sync.WaitGroup
	var seen sync.Map
	var left atomic.Int64
	left.Store(int64(len(urls) * workers * batches * 10))
	for q, url := range urls {
		for w := range workers {
			wg.Go(func() {
				for b := range batches {
					in := &sqs.SendMessageBatchInput{QueueUrl: url}
					for i := range 10 {
						id := strconv.Itoa(((q*workers+w)*batches+b)*10 + i)
						entry := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &id}
						if q == 1 {
							entry.MessageGroupId, entry.MessageDeduplicationId = &id, &id
						}
						in.Entries = append(in.Entries, entry)
					}
					out, err := e.SendMessageBatch(bg, in)
					if err != nil || len(out.Failed) > 0 {
						t.Errorf("send: %v, %v", err, out)
						return
					}
				}
			})
			wg.Go(func() {
				for left.Load() > 0 {
					out, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
					if err != nil {
						t.Error("receive:", err)
						return
					}
					if len(out.Messages) == 0 {
						continue
					}
					in := &sqs.DeleteMessageBatchInput{QueueUrl: url}
					for i, m := range out.Messages {
						if _, twice := seen.LoadOrStore(*m.Body, true); twice {
							t.Errorf("%s came twice", *m.Body)
						}
						in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
					}
					deleted, err := e.DeleteMessageBatch(bg, in)
					if err != nil || len(deleted.Failed) > 0 {
						t.Errorf("delete: %v, %v", err, deleted)
						return
					}
					left.Add(-int64(len(out.Messages)))
				}
			})
		}
		wg.Go(func() {
			for i := range 20 {
				_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(600 + i)}})
				if err != nil {
					t.Error("change:", err)
				}
				_, err = e.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"t" + strconv.Itoa(i): "x"}})
				if err != nil {
					t.Error("tag:", err)
				}
			}
		})
	}
	wg.Wait()
	for _, url := range urls {
		require.Equal(t, [3]int{0, 0, 0}, e.counts(url))
		require.Equal(t, "619", e.attributes(url)["VisibilityTimeout"])
		tags, err := e.ListQueueTags(bg, &sqs.ListQueueTagsInput{QueueUrl: url})
		require.NoError(t, err)
		require.Len(t, tags.Tags, 20, "changes at the same time lose none of each other's")
	}
}
