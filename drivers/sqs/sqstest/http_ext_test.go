package sqstest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// post makes an unsigned request.
func post(t *testing.T, url, target, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(bg, http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestProtocol(t *testing.T) {
	e := overHTTP(t, nil)
	tests := []struct {
		name, target, body string
		status             int
		want               string
	}{
		{"an empty body", "AmazonSQS.ListQueues", "", 200, `{}`},
		{"an empty answer", "AmazonSQS.ListQueues", "{}", 200, `{}`},
		{"create", "AmazonSQS.CreateQueue", `{"QueueName":"orders"}`, 200, `{"QueueUrl":"` + e.QueueURL("orders") + `"}`},
		{"an error", "AmazonSQS.PurgeQueue", `{"QueueUrl":"x"}`, 400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`},
		{"no JSON", "AmazonSQS.PurgeQueue", `{`, 400, `"__type":"com.amazon.coral.service#SerializationException"`},
		{"no action", "", "Action=ListQueues&Version=2012-11-05", 400, "not the older query protocol"},
		{"another service", "DynamoDB_20120810.ListTables", "{}", 400, "UnknownOperationException"},
		{"an unknown action", "AmazonSQS.Explode", "{}", 400, "UnknownOperationException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := post(t, e.URL(), tt.target, tt.body)
			require.Equal(t, tt.status, status)
			if tt.status == 200 {
				require.Equal(t, tt.want, body)
			} else {
				require.Contains(t, body, tt.want)
			}
		})
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	e := overHTTP(t, nil)
	status, body := post(t, e.URL(), "AmazonSQS.SendMessage", strings.Repeat("x", 16<<20+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	require.Contains(t, body, "RequestEntityTooLarge")
}

func TestHealthAndErrorHeaders(t *testing.T) {
	s, err := sqstest.New(nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(bg, http.MethodGet, "/health", nil))
	require.Equal(t, 200, w.Code)

	w = httptest.NewRecorder()
	r := httptest.NewRequestWithContext(bg, http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"x"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.ListQueueTags")
	s.ServeHTTP(w, r)
	require.Equal(t, 400, w.Code)
	require.Equal(t, "AWS.SimpleQueueService.NonExistentQueue;Sender", w.Header().Get("X-Amzn-Query-Error"))
	require.Equal(t, "application/x-amz-json-1.0", w.Header().Get("Content-Type"))
	require.NotEmpty(t, w.Header().Get("X-Amzn-Requestid"))
}

// A client behind a port that is forwarded gets URLs that go through it.
func TestQueueURLsEchoTheHost(t *testing.T) {
	e := overHTTP(t, nil)
	proxy := httptest.NewServer(e.Server)
	defer proxy.Close()
	out, err := e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String("orders")}, func(o *sqs.Options) { o.BaseEndpoint = aws.String(proxy.URL) })
	require.NoError(t, err)
	require.Equal(t, proxy.URL+"/000000000000/orders", *out.QueueUrl)
	e.send(out.QueueUrl, "x")
}

func TestTraceHeaderOfTheRequest(t *testing.T) {
	e := overHTTP(t, nil)
	url := e.queue("orders")
	r, err := http.NewRequestWithContext(bg, http.MethodPost, e.URL(), strings.NewReader(`{"QueueUrl":"`+*url+`","MessageBody":"x"}`))
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	r.Header.Set("X-Amzn-Trace-Id", "Root=1-2-3")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	m := e.one(url)
	require.Equal(t, "Root=1-2-3", m.Attributes["AWSTraceHeader"])
	require.Equal(t, "000000000000", m.Attributes["SenderId"])
}

func TestOneServerAfterAnotherOnOneEngine(t *testing.T) {
	engine := newEngine(t)
	first := inProcess(t, &sqstest.Config{Store: engine})
	url := first.fifo("orders.fifo", "VisibilityTimeout", "0")
	first.queue("dlq")
	_, err := first.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"team": "a"}})
	require.NoError(t, err)
	first.sendGroup(url, "x", "g", "1")
	m := first.one(url)
	require.NoError(t, first.Close())

	second := inProcess(t, &sqstest.Config{Store: engine})
	a := second.attributes(url)
	require.Equal(t, "0", a["VisibilityTimeout"])
	require.Equal(t, "true", a["FifoQueue"])
	tags, err := second.ListQueueTags(bg, &sqs.ListQueueTagsInput{QueueUrl: url})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "a"}, tags.Tags)
	again := second.one(url)
	require.Equal(t, *m.MessageId, *again.MessageId)
	require.Equal(t, "AKIDTEST", again.Attributes["SenderId"])
	requireCode(t, "InvalidParameterValue", second.delete(url, m))
}
