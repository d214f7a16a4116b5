package sqstest_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// trySend sends without looking at the error.
func (e *env) trySend(url *string) error {
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
	return err
}

func TestFaultsByCode(t *testing.T) {
	tests := []struct {
		fault  sqstest.Fault
		code   string
		status int
	}{
		{sqstest.Fault{Code: "RequestThrottled"}, "RequestThrottled", 403},
		{sqstest.Fault{Code: "InternalFailure"}, "InternalError", 500},
		{sqstest.Fault{Code: "ServiceUnavailable"}, "ServiceUnavailable", 503},
		{sqstest.Fault{Code: "ServiceUnavailable", Status: 502}, "ServiceUnavailable", 502},
		{sqstest.Fault{Code: "AccessDeniedException"}, "AccessDenied", 403},
		{sqstest.Fault{Code: "MessageNotInflight"}, "AWS.SimpleQueueService.MessageNotInflight", 400},
		{sqstest.Fault{Code: "KmsThrottled"}, "KMS.ThrottlingException", 400},
		{sqstest.Fault{Code: "ExpiredToken", Status: 403, Message: "The security token included in the request is expired"}, "ExpiredToken", 403},
	}
	e := overHTTP(t, nil)
	url := e.queue("orders")
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			i := e.Inject(tt.fault)
			defer i.Remove()
			err := e.trySend(url)
			requireCode(t, tt.code, err)
			var response *awshttp.ResponseError
			require.ErrorAs(t, err, &response)
			require.Equal(t, tt.status, response.HTTPStatusCode())
			require.NotEmpty(t, response.ServiceRequestID())
			if tt.fault.Message != "" {
				require.ErrorContains(t, err, tt.fault.Message)
			}
			require.Equal(t, 1, i.Hits())
		})
	}
	require.NoError(t, e.trySend(url))
	require.Equal(t, [3]int{1, 0, 0}, e.counts(url), "a request that failed did its work")
}

func TestEveryCodeIsATypedError(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	typed := map[string]func(error) bool{
		"RequestThrottled":             isType[*types.RequestThrottled],
		"QueueDoesNotExist":            isType[*types.QueueDoesNotExist],
		"OverLimit":                    isType[*types.OverLimit],
		"InvalidAddress":               isType[*types.InvalidAddress],
		"InvalidSecurity":              isType[*types.InvalidSecurity],
		"KmsAccessDenied":              isType[*types.KmsAccessDenied],
		"KmsDisabled":                  isType[*types.KmsDisabled],
		"KmsNotFound":                  isType[*types.KmsNotFound],
		"KmsThrottled":                 isType[*types.KmsThrottled],
		"MessageNotInflight":           isType[*types.MessageNotInflight],
		"UnsupportedOperation":         isType[*types.UnsupportedOperation],
		"ResourceNotFoundException":    isType[*types.ResourceNotFoundException],
		"TooManyEntriesInBatchRequest": isType[*types.TooManyEntriesInBatchRequest],
		"BatchRequestTooLong":          isType[*types.BatchRequestTooLong],
		"InvalidAttributeName":         isType[*types.InvalidAttributeName],
		"InvalidAttributeValue":        isType[*types.InvalidAttributeValue],
	}
	for code, is := range typed {
		t.Run(code, func(t *testing.T) {
			defer e.Inject(sqstest.Fault{Code: code}).Remove()
			err := e.trySend(url)
			require.True(t, is(err), "%v", err)
		})
	}
}

func TestFaultsAreSelective(t *testing.T) {
	e := inProcess(t, nil)
	a, b := e.queue("a"), e.queue("b")
	i := e.Inject(sqstest.Fault{Action: "SendMessage", Queue: "a", Skip: 1, Times: 2, Code: "InternalFailure"})
	require.NoError(t, e.trySend(a), "skipped")
	require.NoError(t, e.trySend(b), "another queue")
	require.Empty(t, e.receiveWith(&sqs.ReceiveMessageInput{QueueUrl: e.queue("c")}), "another action")
	require.Error(t, e.trySend(a))
	require.Error(t, e.trySend(a))
	require.NoError(t, e.trySend(a), "it struck twice")
	require.Equal(t, 2, i.Hits())

	m := e.Inject(sqstest.Fault{Code: "AccessDeniedException", Match: func(q *sqstest.Request) bool {
		return q.AccessKeyID == "AKIDTEST" && q.Action == "DeleteMessage" && len(q.Body) > 0
	}})
	got := e.receive(b)
	err := e.delete(b, got[0])
	requireCode(t, "AccessDenied", err)
	require.ErrorContains(t, err, "User: arn:aws:iam::000000000000:user/AKIDTEST is not authorized to perform: sqs:deletemessage on resource: "+e.QueueARN("b"))
	e.RemoveFaults()
	m.Remove()
	require.NoError(t, e.delete(b, got[0]))
}

func TestProbabilityIsRepeatable(t *testing.T) {
	run := func(seed uint64) (pattern string) {
		e := inProcess(t, &sqstest.Config{Seed: seed})
		url := e.queue("orders")
		i := e.Inject(sqstest.Fault{Action: "SendMessage", Probability: 0.5, Code: "InternalFailure"})
		for range 64 {
			if e.trySend(url) != nil {
				pattern += "x"
			} else {
				pattern += "."
			}
		}
		require.Greater(t, i.Hits(), 10)
		require.Less(t, i.Hits(), 54)
		return pattern
	}
	first := run(1)
	require.Equal(t, first, run(1))
	require.NotEqual(t, first, run(2))
}

func TestTimesHoldsUnderConcurrency(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	i := e.Inject(sqstest.Fault{Action: "SendMessage", Times: 7, Code: "InternalFailure"})
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if e.trySend(url) != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 7, failed)
	require.Equal(t, 7, i.Hits())
	require.Equal(t, 80, e.Count("SendMessage"))
}

func TestEntriesFail(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	odd := func(id string) bool { n, err := strconv.Atoi(id); return err == nil && n%2 == 1 }
	i := e.Inject(sqstest.Fault{Entries: odd})
	var entries []types.SendMessageBatchRequestEntry
	for n := range 4 {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(n)), MessageBody: aws.String(strconv.Itoa(n))})
	}
	sent, err := e.SendMessageBatch(bg, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
	require.NoError(t, err)
	require.Len(t, sent.Successful, 2)
	require.Len(t, sent.Failed, 2)
	require.Equal(t, "InternalError", *sent.Failed[0].Code)
	require.False(t, sent.Failed[0].SenderFault)
	got := e.receive(url)
	require.Equal(t, []string{"0", "2"}, bodies(got), "what failed was sent")

	deleted, err := e.DeleteMessageBatch(bg, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("0"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("1"), ReceiptHandle: got[1].ReceiptHandle},
	}})
	require.NoError(t, err)
	require.Len(t, deleted.Failed, 1)
	require.Equal(t, [3]int{0, 1, 0}, e.counts(url))

	i.Remove()
	e.Inject(sqstest.Fault{Action: "ChangeMessageVisibilityBatch", Entries: odd, Code: "RequestThrottled", Message: "slow"})
	changed, err := e.ChangeMessageVisibilityBatch(bg, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: got[1].ReceiptHandle},
	}})
	require.NoError(t, err)
	require.Empty(t, changed.Successful)
	require.Equal(t, "RequestThrottled", *changed.Failed[0].Code)
	require.Equal(t, "slow", *changed.Failed[0].Message)
	require.Equal(t, 2, i.Hits(), "requests without entries are not struck")
}

func TestDroppedResponse(t *testing.T) {
	for name, start := range map[string]func(testing.TB, *sqstest.Config) *env{"in process": inProcess, "over HTTP": overHTTP} {
		t.Run(name, func(t *testing.T) {
			e := start(t, nil)
			url := e.queue("orders")
			i := e.Inject(sqstest.Fault{Action: "SendMessage", DropResponse: true, Times: 1})
			require.Error(t, e.trySend(url))
			require.Equal(t, 1, i.Hits())
			require.Equal(t, [3]int{1, 0, 0}, e.counts(url), "the work was not done")

			refused := e.Inject(sqstest.Fault{Action: "SendMessage", Refuse: true, Times: 1})
			require.Error(t, e.trySend(url))
			require.Equal(t, 1, refused.Hits())
			require.Equal(t, [3]int{1, 0, 0}, e.counts(url), "the work was done")
		})
	}
}

// A client that retries sends twice when the first answer is lost: the duplicate
// that every consumer has to expect.
func TestRetriedSendDuplicates(t *testing.T) {
	for name, start := range map[string]func(testing.TB, *sqstest.Config) *env{"in process": inProcess, "over HTTP": overHTTP} {
		t.Run(name, func(t *testing.T) {
			e := start(t, nil)
			url := e.queue("orders")
			i := e.Inject(sqstest.Fault{Action: "SendMessage", DropResponse: true, Times: 1})
			patient := func(o *sqs.Options) {
				o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
					o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				})
			}
			_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")}, patient)
			require.NoError(t, err)
			require.Equal(t, 1, i.Hits())
			require.Equal(t, [3]int{2, 0, 0}, e.counts(url))

			e.Inject(sqstest.Fault{Action: "SendMessage", Code: "RequestThrottled", Times: 2})
			e.ResetCounts()
			_, err = e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")}, patient)
			require.NoError(t, err, "the SDK retries a throttled request")
			require.Equal(t, 3, e.Count("SendMessage"))
		})
	}
}

func TestDelayedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := inProcess(t, nil)
		url := e.queue("orders")
		e.Inject(sqstest.Fault{Action: "SendMessage", Delay: 7 * time.Second})
		begin := time.Now()
		require.NoError(t, e.trySend(url))
		require.Equal(t, 7*time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_, err := e.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, [3]int{1, 0, 0}, e.counts(url), "a request that was given up did its work")
	})
}

func TestOutage(t *testing.T) {
	for name, start := range map[string]func(testing.TB, *sqstest.Config) *env{"in process": inProcess, "over HTTP": overHTTP} {
		t.Run(name, func(t *testing.T) {
			e := start(t, nil)
			url := e.queue("orders")
			e.send(url, "x")
			e.SetDown(true)
			for range 3 {
				err := e.trySend(url)
				require.Error(t, err)
				if response := new(awshttp.ResponseError); errors.As(err, &response) {
					require.Zero(t, response.HTTPStatusCode(), "there was an answer: %v", err)
				}
			}
			e.SetDown(false)
			require.Len(t, e.receive(url), 1)
		})
	}
}

func TestOutageEndsALongPoll(t *testing.T) {
	e := overHTTP(t, nil)
	url := e.queue("orders")
	failed := make(chan error)
	go func() {
		_, err := e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		failed <- err
	}()
	require.Eventually(t, func() bool { return e.Count("ReceiveMessage") == 1 }, 10*time.Second, time.Millisecond)
	e.SetDown(true)
	require.Error(t, <-failed)
}

func TestRequestsAreCountedAndKept(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock, KeepRequests: 3})
	url := e.queue("orders")
	for range 2 {
		require.NoError(t, e.trySend(url))
	}
	clock.Advance(time.Minute)
	_, err := e.SendMessageBatch(bg, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("x")}, {Id: aws.String("b"), MessageBody: aws.String("x")},
	}})
	require.NoError(t, err)
	_, err = e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: aws.String(e.QueueURL("nothing")), MessageBody: aws.String("x")})
	require.Error(t, err)
	require.Equal(t, map[string]int{"CreateQueue": 1, "SendMessage": 3, "SendMessageBatch": 1}, e.Counts())
	require.Equal(t, 5, e.Count(""))
	require.Equal(t, []sqstest.Request{
		{At: start(), Action: "SendMessage", Queue: "orders", AccessKeyID: "AKIDTEST", Status: 200},
		{At: start().Add(time.Minute), Action: "SendMessageBatch", Queue: "orders", Entries: 2, AccessKeyID: "AKIDTEST", Status: 200},
		{At: start().Add(time.Minute), Action: "SendMessage", Queue: "nothing", AccessKeyID: "AKIDTEST", Status: 400, Code: "AWS.SimpleQueueService.NonExistentQueue"},
	}, e.Requests())
	e.ResetCounts()
	require.Zero(t, e.Count(""))
	require.Empty(t, e.Requests())
}

func TestAccessKeys(t *testing.T) {
	e := overHTTP(t, &sqstest.Config{AccessKeyIDs: []string{"AKIDGOOD"}})
	list := func(o func(*sqs.Options)) error {
		_, err := e.Client.ListQueues(bg, &sqs.ListQueuesInput{}, o)
		return err
	}
	requireCode(t, "", list(func(o *sqs.Options) { o.Credentials = key("AKIDGOOD") }))
	requireCode(t, "InvalidClientTokenId", list(func(o *sqs.Options) { o.Credentials = key("AKIDBAD") }))
	require.Contains(t, e.Env(), "AWS_ACCESS_KEY_ID=AKIDGOOD")

	status, body := post(t, e.URL(), "AmazonSQS.ListQueues", "{}")
	require.Equal(t, 403, status)
	require.Contains(t, body, "MissingAuthenticationToken")
	status, body = post(t, e.URL()+"/?X-Amz-Credential=AKIDGOOD%2F20260101%2Fus-east-1%2Fsqs%2Faws4_request", "AmazonSQS.ListQueues", "{}")
	require.Equal(t, 200, status, body)

	open := overHTTP(t, nil)
	status, body = post(t, open.URL(), "AmazonSQS.ListQueues", "{}")
	require.Equal(t, 200, status, body)
}
