package sqstest_test

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// The tests in this file show where AWS is laxer than a program would like. They
// cite their sources as TestAnswers does.

// TestOldReceipts uses receipts whose lease has ended, and receipts that are older
// than the one that holds the message.
func TestOldReceipts(t *testing.T) {
	const (
		expired = "The receipt handle has expired."
		gone    = "Message does not exist or is not available for visibility timeout change."
	)
	tests := []struct {
		name    string
		fifo    bool
		again   bool // the message has been received again
		deleted bool // and deleted
		do      func(e *env, url *string, old types.Message) error
		text    string // of the refusal
		counts  [3]int // after it
	}{
		// Validated: test_change_message_visibility_after_visibility_timeout_expiration.
		{"hides a message whose lease has ended", false, false, false, extend(60), "", [3]int{0, 1, 0}},
		{"gives back a message whose lease has ended", false, false, false, extend(0), "", [3]int{1, 0, 0}},
		// Validated: test_terminate_visibility_timeout_after_receive.
		{"gives back a message that another receipt holds", false, true, false, extend(0), "", [3]int{1, 0, 0}},
		{"goes on with a lease that another receipt holds", false, true, false, extend(600), "", [3]int{0, 1, 0}},
		{"changes nothing that was deleted", false, true, true, extend(0), gone, [3]int{}},
		// Guide, DeleteMessage: it succeeds, and the message might not be deleted.
		{"deletes a message that was not received again", false, false, false, (*env).delete, "", [3]int{}},
		{"deletes nothing that another receipt holds", false, true, false, (*env).delete, "", [3]int{0, 1, 0}},
		{"deletes what is gone", false, true, true, (*env).delete, "", [3]int{}},

		// Validated: test_fifo_delete_message_with_expired_receipt_handle.
		{"deletes nothing on a FIFO queue", true, false, false, (*env).delete, expired, [3]int{1, 0, 0}},
		{"deletes nothing on a FIFO queue that another receipt holds", true, true, false, (*env).delete, expired, [3]int{0, 1, 0}},
		{"deletes what is gone from a FIFO queue", true, true, true, (*env).delete, "", [3]int{}},
		{"changes nothing on a FIFO queue", true, false, false, extend(60), gone, [3]int{1, 0, 0}},
		{"changes nothing on a FIFO queue that another receipt holds", true, true, false, extend(0), gone, [3]int{0, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock := manual()
			e := inProcess(t, &sqstest.Config{Clock: clock})
			url := e.queue("orders")
			if tt.fifo {
				url = e.fifo("orders.fifo")
				e.sendGroup(url, "x", "g", "d")
			} else {
				e.send(url, "x")
			}
			old := e.one(url)
			clock.Advance(30 * time.Second)
			if tt.again {
				held := e.one(url)
				require.NotEqual(t, *old.ReceiptHandle, *held.ReceiptHandle)
				if tt.deleted {
					require.NoError(t, e.delete(url, held))
				}
			}
			err := tt.do(e, url, old)
			if tt.text == "" {
				require.NoError(t, err)
			} else {
				requireCode(t, invalidValue, err)
				require.ErrorContains(t, err, tt.text)
			}
			require.Equal(t, tt.counts, e.counts(url))
		})
	}
}

func extend(seconds int32) func(*env, *string, types.Message) error {
	return func(e *env, url *string, m types.Message) error { return e.extend(url, m, seconds) }
}

// TestReceiveCountGoesOn is the dead-letter queue's part. Validated:
// test_dead_letter_queue_message_attributes, and
// test_dead_letter_queue_with_fifo_and_content_based_deduplication. Guide: the
// deduplication ID becomes the message ID. That a queue further on counts from
// zero toward its own limit is LocalStack's reading of the guide (its issue 5225);
// that the first receive stays the first one is elasticmq's issue 386.
func TestReceiveCountGoesOn(t *testing.T) {
	for _, suffix := range []string{"", ".fifo"} {
		t.Run("orders"+suffix, func(t *testing.T) {
			clock := manual()
			e := inProcess(t, &sqstest.Config{Clock: clock})
			make := e.queue
			if suffix != "" {
				make = e.fifo
			}
			last := make("last"+suffix, "VisibilityTimeout", "0")
			dlq := make("dlq"+suffix, "VisibilityTimeout", "0", "RedrivePolicy", e.redrive("last"+suffix, 1))
			url := make("orders"+suffix, "VisibilityTimeout", "0", "RedrivePolicy", e.redrive("dlq"+suffix, 2))
			in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")}
			if suffix != "" {
				in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String("mine")
			}
			sent, err := e.SendMessage(bg, in)
			require.NoError(t, err)
			for _, at := range []struct {
				url   *string
				count string
			}{{url, "1"}, {url, "2"}, {url, ""}, {dlq, "3"}, {dlq, ""}, {last, "4"}, {last, "5"}} {
				clock.Advance(time.Second)
				got := e.receive(at.url)
				if at.count == "" {
					require.Empty(t, got, "it moves on")
					continue
				}
				require.Len(t, got, 1)
				a := got[0].Attributes
				require.Equal(t, at.count, a["ApproximateReceiveCount"])
				require.Equal(t, *sent.MessageId, *got[0].MessageId)
				require.Equal(t, strconv.FormatInt(start().Add(time.Second).UnixMilli(), 10), a["ApproximateFirstReceiveTimestamp"])
				switch {
				case suffix == "":
					require.NotContains(t, a, "MessageDeduplicationId")
				case at.url == url:
					require.Equal(t, "mine", a["MessageDeduplicationId"])
				default:
					require.Equal(t, *sent.MessageId, a["MessageDeduplicationId"])
				}
			}
		})
	}
}

// TestRedrivenMessageIsNew: guide, "considered new messages with a new messageID
// and enqueueTime"; the receive count starts anew.
func TestRedrivenMessageIsNew(t *testing.T) {
	for _, destination := range []string{"", "elsewhere"} {
		t.Run("to "+destination, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := inProcess(t, nil)
				dlq := e.queue("dlq")
				url := e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
				_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{"k": stringAttribute("v")}})
				require.NoError(t, err)
				first := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 1})[0]
				pass(time.Second)
				require.Empty(t, e.receive(url))
				require.Equal(t, *first.MessageId, *e.one(dlq).MessageId)
				pass(time.Minute)

				in := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq"))}
				if destination != "" {
					url = e.queue(destination)
					in.DestinationArn = aws.String(e.QueueARN(destination))
				}
				task, err := e.StartMessageMoveTask(bg, in)
				require.NoError(t, err)
				// Validated: test_basic_move_task_workflow.
				raw, err := base64.StdEncoding.DecodeString(*task.TaskHandle)
				require.NoError(t, err)
				var handle map[string]string
				require.NoError(t, json.Unmarshal(raw, &handle))
				require.Equal(t, e.QueueARN("dlq"), handle["sourceArn"])
				require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, handle["taskId"])

				synctest.Wait()
				back := e.one(url)
				require.NotEqual(t, *first.MessageId, *back.MessageId)
				require.Equal(t, "v", *back.MessageAttributes["k"].StringValue)
				require.Equal(t, "1", back.Attributes["ApproximateReceiveCount"])
				require.Greater(t, back.Attributes["SentTimestamp"], first.Attributes["SentTimestamp"])
				require.Equal(t, back.Attributes["SentTimestamp"], back.Attributes["ApproximateFirstReceiveTimestamp"])
			})
		})
	}
}

// TestMoveTaskFailures: validated, test_move_task_delete_destination_queue_while_running;
// the other reason is what users of AWS have reported.
func TestMoveTaskFailures(t *testing.T) {
	tests := []struct {
		name, reason string
		prepare      func(e *env, url, dlq *string)
	}{
		{"its source is gone", "AWS.SimpleQueueService.NonExistentQueue", func(e *env, url, _ *string) {
			e.deadLetter(url, "x")
			e.queue("another", "RedrivePolicy", e.redrive("dlq", 1)) // or it was not a dead-letter queue
			_, err := e.Client.DeleteQueue(bg, &sqs.DeleteQueueInput{QueueUrl: url})
			require.NoError(e.t, err)
		}},
		{"it was sent to the dead-letter queue", "CouldNotDetermineMessageSource", func(e *env, _, dlq *string) { e.send(dlq, "x") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := inProcess(t, nil)
				dlq := e.queue("dlq")
				url := e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
				tt.prepare(e, url, dlq)
				_, err := e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq"))})
				require.NoError(t, err)
				synctest.Wait()
				tasks := e.tasks()
				require.Equal(t, "FAILED", *tasks[0].Status)
				require.Equal(t, tt.reason, *tasks[0].FailureReason)
			})
		})
	}
}

// TestGroups has the sequences that LocalStack's authors run against AWS. Only
// what is behind a hidden message waits: so two messages of one group can be in
// hand together.
func TestGroups(t *testing.T) {
	// A step receives, or changes the lease of the n-th delivery, or deletes it.
	type step struct {
		receive int32
		lease   int32 // of the receive; the queue's is 30 s
		want    []string
		back    int // the n-th, from 1: its lease becomes 0
		delete  int
		wait    time.Duration
	}
	tests := []struct {
		name  string
		sends []string
		steps []step
	}{
		{"a head that was given back", []string{"1/a", "1/b", "2/a"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}}, {back: 1}, {receive: 3, want: []string{"2/a", "1/a"}},
		}},
		{"a head and one behind it in two hands, the later one done first", []string{"1/a", "1/b", "1/c"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}},
			{back: 1},
			{receive: 10, want: []string{"1/a"}},
			{delete: 2},
			{receive: 10, want: nil}, // the head is still in hand
			{delete: 3},
			{receive: 10, want: []string{"1/c"}},
		}},
		{"a later one that was given back", []string{"1/a", "1/b", "2/a"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}}, {back: 2}, {receive: 10, want: []string{"2/a"}},
			{delete: 1}, {receive: 10, want: []string{"1/b"}},
		}},
		{"leases that end one after the other", []string{"1/a", "1/b", "1/c"}, []step{
			{receive: 1, lease: 10, want: []string{"1/a"}}, {wait: 10 * time.Second},
			{receive: 2, want: []string{"1/a", "1/b"}}, {wait: 30 * time.Second},
			{receive: 10, want: []string{"1/a", "1/b", "1/c"}},
		}},
		{"shared in a group", []string{"1/a", "1/b", "1/c", "1/d", "2/a", "3/a"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}}, {receive: 1, want: []string{"2/a"}}, {wait: 30 * time.Second},
			{receive: 10, want: []string{"3/a", "1/a", "1/b", "1/c", "1/d", "2/a"}},
		}},
		{"deleted", []string{"1/a", "2/a", "1/b", "2/b", "1/c", "1/d", "3/a"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}}, {delete: 1}, {delete: 2},
			{receive: 10, want: []string{"2/a", "2/b", "1/c", "1/d", "3/a"}},
		}},
		{"deleted in part", []string{"1/a", "2/a", "1/b", "2/b", "1/c", "1/d", "3/a"}, []step{
			{receive: 2, want: []string{"1/a", "1/b"}}, {delete: 1}, {receive: 10, want: []string{"2/a", "2/b", "3/a"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock := manual()
			e := inProcess(t, &sqstest.Config{Clock: clock})
			url := e.fifo("orders.fifo", "ContentBasedDeduplication", "true")
			for _, body := range tt.sends {
				e.sendGroup(url, body, body[:1], "")
				clock.Advance(time.Millisecond)
			}
			var got []types.Message
			for i, s := range tt.steps {
				clock.Advance(time.Millisecond + s.wait)
				switch {
				case s.receive > 0:
					ms := e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: s.receive, VisibilityTimeout: s.lease})
					require.ElementsMatch(t, s.want, bodies(ms), "step %d", i)
					require.True(t, inGroupOrder(bodies(ms)), "step %d: %v", i, bodies(ms))
					got = append(got, ms...)
				case s.back > 0:
					require.NoError(t, e.extend(url, got[s.back-1], 0))
				case s.delete > 0:
					require.NoError(t, e.delete(url, got[s.delete-1]))
				}
			}
		})
	}
}

// inGroupOrder reports whether the bodies of each group are in their order. The
// order of groups is nobody's promise.
func inGroupOrder(bodies []string) bool {
	last := map[byte]string{}
	for _, b := range bodies {
		if b < last[b[0]] {
			return false
		}
		last[b[0]] = b
	}
	return true
}

// Validated: test_purge_queue_clears_fifo_deduplication_cache.
func TestPurgeForgetsDeduplication(t *testing.T) {
	e := inProcess(t, nil)
	url := e.fifo("orders.fifo")
	first := e.sendGroup(url, "x", "g", "d")
	require.Equal(t, *first.MessageId, *e.sendGroup(url, "x", "g", "d").MessageId)
	_, err := e.Client.PurgeQueue(bg, &sqs.PurgeQueueInput{QueueUrl: url})
	require.NoError(t, err)
	second := e.sendGroup(url, "x", "g", "d")
	require.NotEqual(t, *first.MessageId, *second.MessageId)
	require.Equal(t, *second.MessageId, *e.one(url).MessageId)
}

// A queue that is its own dead-letter queue goes round, and its count goes on.
func TestQueueOfItsOwnLetters(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	e.set(url, "RedrivePolicy", e.redrive("orders", 2), "VisibilityTimeout", "0")
	e.send(url, "x")
	for i := range 5 {
		require.Equal(t, strconv.Itoa(i+1), e.one(url).Attributes["ApproximateReceiveCount"])
	}
	require.Equal(t, [3]int{1, 0, 0}, e.counts(url))
}

// The visibility timeout is that of each receive, and of the queue as it is then.
func TestVisibilityTimeoutChanges(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders", "VisibilityTimeout", "60")
	e.send(url, "x")
	e.one(url)
	e.set(url, "VisibilityTimeout", "2")
	clock.Advance(59 * time.Second)
	require.Empty(t, e.receive(url), "the lease was given before")
	clock.Advance(time.Second)
	e.one(url)
	clock.Advance(2 * time.Second)
	require.Len(t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 5}), 1)
	clock.Advance(4 * time.Second)
	require.Empty(t, e.receive(url))
	clock.Advance(time.Second)
	e.one(url)
}
