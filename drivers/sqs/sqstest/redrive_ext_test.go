package sqstest_test

import (
	"fmt"
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

func TestDeadLettersAfterTheLastReceive(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	dlq := e.queue("dlq")
	url := e.queue("orders", "RedrivePolicy", e.redrive("dlq", 2), "VisibilityTimeout", "10")
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("poison"), MessageAttributes: map[string]types.MessageAttributeValue{"a": stringAttribute("v")}})
	require.NoError(t, err)
	id := *e.one(url).MessageId
	clock.Advance(10 * time.Second)
	require.Equal(t, "2", e.one(url).Attributes["ApproximateReceiveCount"])
	clock.Advance(10 * time.Second)
	require.Equal(t, [3]int{1, 0, 0}, e.counts(url), "it moves at the next receive, not before")
	require.Empty(t, e.receive(url))
	m := e.one(dlq)
	require.Equal(t, id, *m.MessageId)
	require.Equal(t, "poison", *m.Body)
	require.Equal(t, "v", *m.MessageAttributes["a"].StringValue)
	require.Equal(t, e.QueueARN("orders"), m.Attributes["DeadLetterQueueSourceArn"])
	require.Equal(t, strconv.FormatInt(start().UnixMilli(), 10), m.Attributes["SentTimestamp"], "a standard queue keeps the time")
}

func TestFifoDeadLetters(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	dlq := e.fifo("dlq.fifo")
	url := e.fifo("orders.fifo", "RedrivePolicy", e.redrive("dlq.fifo", 1), "VisibilityTimeout", "10")
	e.sendGroup(url, "poison", "g", "1")
	e.sendGroup(url, "next", "g", "2")
	require.Len(t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 1}), 1)
	clock.Advance(10 * time.Second)
	require.Equal(t, []string{"next"}, bodies(e.receive(url)))
	m := e.one(dlq)
	require.Equal(t, "poison", *m.Body)
	require.Equal(t, "g", m.Attributes["MessageGroupId"])
	require.Equal(t, strconv.FormatInt(start().Add(10*time.Second).UnixMilli(), 10), m.Attributes["SentTimestamp"], "a FIFO queue sets it anew")
}

func TestRedriveAllowPolicy(t *testing.T) {
	e := inProcess(t, nil)
	allow := func(dlq, policy string) {
		t.Helper()
		_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: e.queue(dlq), Attributes: map[string]string{"RedriveAllowPolicy": policy}})
		require.NoError(t, err)
	}
	allow("all", `{"redrivePermission":"allowAll"}`)
	allow("none", `{"redrivePermission":"denyAll"}`)
	allow("some", fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, e.QueueARN("friend")))
	tests := []struct{ source, dlq, code string }{
		{"stranger", "all", ""},
		{"stranger", "none", "InvalidParameterValue"},
		{"stranger", "some", "InvalidParameterValue"},
		{"friend", "some", ""},
	}
	for _, tt := range tests {
		t.Run(tt.source+" to "+tt.dlq, func(t *testing.T) {
			_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{
				QueueUrl: e.queue(tt.source), Attributes: map[string]string{"RedrivePolicy": e.redrive(tt.dlq, 3)},
			})
			requireCode(t, tt.code, err)
		})
	}
}

func TestListDeadLetterSourceQueues(t *testing.T) {
	e := inProcess(t, nil)
	dlq := e.queue("dlq")
	list := func(token *string, max *int32) *sqs.ListDeadLetterSourceQueuesOutput {
		t.Helper()
		out, err := e.Client.ListDeadLetterSourceQueues(bg, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dlq, NextToken: token, MaxResults: max})
		require.NoError(t, err)
		return out
	}
	require.Empty(t, list(nil, nil).QueueUrls)
	var want []string
	for i := range 3 {
		want = append(want, *e.queue("q"+strconv.Itoa(i), "RedrivePolicy", e.redrive("dlq", 3)))
	}
	e.queue("other")
	require.Equal(t, want, list(nil, nil).QueueUrls)
	page := list(nil, aws.Int32(2))
	require.Equal(t, want[:2], page.QueueUrls)
	require.Equal(t, want[2:], list(page.NextToken, aws.Int32(2)).QueueUrls)
}

// pass lets the time of a bubble pass.
func pass(d time.Duration) { <-time.After(d) }

// deadLetter puts messages into dlq by way of orders.
func (e *env) deadLetter(url *string, bodies ...string) {
	e.t.Helper()
	for _, b := range bodies {
		e.send(url, b)
	}
	require.Len(e.t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 1}), len(bodies))
	pass(time.Second)
	require.Empty(e.t, e.receive(url))
}

// tasks lists the move tasks of dlq.
func (e *env) tasks() []types.ListMessageMoveTasksResultEntry {
	e.t.Helper()
	out, err := e.ListMessageMoveTasks(bg, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(e.QueueARN("dlq")), MaxResults: aws.Int32(10)})
	require.NoError(e.t, err)
	return out.Results
}

func TestMoveTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		dlq := e.queue("dlq")
		url := e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
		e.deadLetter(url, "a", "b", "c")
		started, err := e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq"))})
		require.NoError(t, err)
		require.NotEmpty(t, *started.TaskHandle)
		synctest.Wait()
		tasks := e.tasks()
		require.Len(t, tasks, 1)
		task := tasks[0]
		require.Equal(t, "COMPLETED", *task.Status)
		require.EqualValues(t, 3, task.ApproximateNumberOfMessagesMoved)
		require.EqualValues(t, 3, *task.ApproximateNumberOfMessagesToMove)
		require.Equal(t, e.QueueARN("dlq"), *task.SourceArn)
		require.Nil(t, task.DestinationArn)
		require.Nil(t, task.TaskHandle, "only a running task has one")
		require.Nil(t, task.MaxNumberOfMessagesPerSecond)
		require.Equal(t, time.Now().UnixMilli(), task.StartedTimestamp)
		require.Empty(t, e.receive(dlq))
		got := e.receive(url)
		require.ElementsMatch(t, []string{"a", "b", "c"}, bodies(got))
		require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"], "the count begins anew")
		_, err = e.CancelMessageMoveTask(bg, &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
		requireCode(t, "ResourceNotFoundException", err)
	})
}

func TestMoveTaskWithADestinationAndARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		dlq, other := e.queue("dlq"), e.queue("other")
		e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
		for i := range 10 {
			e.send(dlq, strconv.Itoa(i))
		}
		started, err := e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{
			SourceArn: aws.String(e.QueueARN("dlq")), DestinationArn: aws.String(e.QueueARN("other")), MaxNumberOfMessagesPerSecond: aws.Int32(1),
		})
		require.NoError(t, err)
		pass(2500 * time.Millisecond)
		task := e.tasks()[0]
		require.Equal(t, "RUNNING", *task.Status)
		require.Equal(t, *started.TaskHandle, *task.TaskHandle)
		require.Equal(t, e.QueueARN("other"), *task.DestinationArn)
		require.EqualValues(t, 1, *task.MaxNumberOfMessagesPerSecond)
		require.Positive(t, task.ApproximateNumberOfMessagesMoved)
		require.Less(t, task.ApproximateNumberOfMessagesMoved, int64(10))

		_, err = e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq")), DestinationArn: aws.String(e.QueueARN("other"))})
		requireCode(t, "InvalidParameterValue", err)
		require.ErrorContains(t, err, "There is already a task running")

		canceled, err := e.CancelMessageMoveTask(bg, &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
		require.NoError(t, err)
		pass(5 * time.Second)
		task = e.tasks()[0]
		require.Equal(t, "CANCELLED", *task.Status)
		require.GreaterOrEqual(t, task.ApproximateNumberOfMessagesMoved, canceled.ApproximateNumberOfMessagesMoved)
		moved := len(e.receive(other))
		require.EqualValues(t, task.ApproximateNumberOfMessagesMoved, moved)
		require.Len(t, e.receive(dlq), 10-moved)
	})
}

func TestMoveTaskOnFifoQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		e.fifo("dlq.fifo")
		url := e.fifo("orders.fifo", "RedrivePolicy", e.redrive("dlq.fifo", 1), "VisibilityTimeout", "1")
		for i := range 3 {
			e.sendGroup(url, strconv.Itoa(i), "g", strconv.Itoa(i))
		}
		require.Len(t, e.receive(url), 3)
		pass(time.Second)
		require.Empty(t, e.receive(url))
		_, err := e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq.fifo"))})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []string{"0", "1", "2"}, bodies(e.receive(url)), "the order is kept, and the window does not swallow them")
	})
}

func TestMoveTaskFailsWithoutAnOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		dlq := e.queue("dlq")
		e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
		e.send(dlq, "sent here directly")
		_, err := e.StartMessageMoveTask(bg, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.QueueARN("dlq"))})
		require.NoError(t, err)
		synctest.Wait()
		task := e.tasks()[0]
		require.Equal(t, "FAILED", *task.Status)
		require.NotEmpty(t, *task.FailureReason)
		require.Len(t, e.receive(dlq), 1, "the message is lost")
	})
}

func TestMoveTaskRefusals(t *testing.T) {
	e := inProcess(t, nil)
	e.queue("dlq")
	e.fifo("other.fifo")
	e.queue("orders", "RedrivePolicy", e.redrive("dlq", 1))
	arn := func(name string) *string { return aws.String(e.QueueARN(name)) }
	tests := []struct {
		name string
		in   sqs.StartMessageMoveTaskInput
		code string
	}{
		{"no source", sqs.StartMessageMoveTaskInput{SourceArn: aws.String("")}, "MissingParameter"},
		{"no ARN", sqs.StartMessageMoveTaskInput{SourceArn: aws.String("dlq")}, "InvalidParameterValue"},
		{"no such source", sqs.StartMessageMoveTaskInput{SourceArn: arn("nothing")}, "ResourceNotFoundException"},
		{"source in another region", sqs.StartMessageMoveTaskInput{SourceArn: aws.String("arn:aws:sqs:eu-west-1:000000000000:dlq")}, "ResourceNotFoundException"},
		{"source that is no dead-letter queue", sqs.StartMessageMoveTaskInput{SourceArn: arn("orders")}, "InvalidParameterValue"},
		{"no such destination", sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), DestinationArn: arn("nothing")}, "ResourceNotFoundException"},
		{"destination of the other kind", sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), DestinationArn: arn("other.fifo")}, "InvalidParameterValue"},
		{"into itself", sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), DestinationArn: arn("dlq")}, "InvalidParameterValue"},
		{"rate 0", sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), MaxNumberOfMessagesPerSecond: aws.Int32(0)}, "InvalidParameterValue"},
		{"rate 501", sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), MaxNumberOfMessagesPerSecond: aws.Int32(501)}, "InvalidParameterValue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := e.StartMessageMoveTask(bg, &tt.in)
			requireCode(t, tt.code, err)
		})
	}
	_, err := e.ListMessageMoveTasks(bg, &sqs.ListMessageMoveTasksInput{SourceArn: arn("nothing")})
	require.True(t, isType[*types.ResourceNotFoundException](err), "%v", err)
	_, err = e.ListMessageMoveTasks(bg, &sqs.ListMessageMoveTasksInput{SourceArn: arn("dlq"), MaxResults: aws.Int32(11)})
	requireCode(t, "InvalidParameterValue", err)
	require.Empty(t, e.tasks())
	_, err = e.CancelMessageMoveTask(bg, &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("x")})
	requireCode(t, "InvalidParameterValue", err)
	_, err = e.CancelMessageMoveTask(bg, &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("")})
	requireCode(t, "MissingParameter", err)
}
