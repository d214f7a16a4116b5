package sqs_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// server is an sqstest with the queues orders and orders-dlq, or their FIFO
// equals.
func server(t *testing.T, c *sqstest.Config, suffix string) *sqstest.Server {
	t.Helper()
	testserver.Credentials(t)
	s, err := sqstest.NewServer(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	api := client(t, s.URL())
	attributes := map[string]string{}
	if suffix != "" {
		attributes["FifoQueue"] = "true"
	}
	_, err = api.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders-dlq" + suffix), Attributes: attributes})
	require.NoError(t, err)
	policy, err := json.Marshal(map[string]string{"deadLetterTargetArn": s.QueueARN("orders-dlq" + suffix), "maxReceiveCount": "5"})
	require.NoError(t, err)
	attributes["RedrivePolicy"] = string(policy)
	_, err = api.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders" + suffix), Attributes: attributes})
	require.NoError(t, err)
	return s
}

func open(t *testing.T, u string, o *drivers.Options) (drivers.Source, error) {
	t.Helper()
	src, err := drivers.NewMux(&sqs.Opener{}).OpenSource(t.Context(), u, o)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, src.Close()) })
	}
	return src, err
}

const nowhere = "http://127.0.0.1:1" // the port of tcpmux, which no one runs

func TestEndpointsAreFoundInTheirOrder(t *testing.T) {
	s := server(t, nil, "")
	for _, c := range []struct{ name, url, general, service string }{
		{"environment", "awssqs:///orders", s.URL(), ""},
		{"environment of the service first", "awssqs:///orders", nowhere, s.URL()},
		{"parameter first", "awssqs:///orders?endpoint=" + s.URL(), nowhere, nowhere},
		{"by account", "awssqs:///000000000000/orders", s.URL(), ""},
		{"a URL of AWS", "awssqs://sqs.us-east-1.amazonaws.com/000000000000/orders", s.URL(), ""},
		{"a local URL", "awssqs://" + strings.TrimPrefix(s.URL(), "http://") + "/000000000000/orders", "", ""},
		{"environment before the host", "awssqs://127.0.0.1:1/000000000000/orders", "", s.URL()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.general != "" {
				t.Setenv("AWS_ENDPOINT_URL", c.general)
			}
			if c.service != "" {
				t.Setenv("AWS_ENDPOINT_URL_SQS", c.service)
			}
			src, err := open(t, c.url, nil)
			require.NoError(t, err)
			require.Equal(t, "orders", src.Capabilities().Queue)
			require.Equal(t, "orders-dlq", src.Capabilities().DeadLetterQueue)
		})
	}
}

func TestOpeningTellsWhatIsMissing(t *testing.T) {
	s := server(t, &sqstest.Config{AccessKeyIDs: []string{"test"}}, "")
	at := "?endpoint=" + s.URL()
	for _, c := range []struct {
		name, url string
		env       map[string]string
		code      error
		want      string
	}{
		{"queue", "awssqs:///ordres" + at, nil, drivers.ErrNotFound, "its configuration"},
		{"region", "awssqs:///orders" + at, map[string]string{"AWS_REGION": ""}, drivers.ErrInvalid, "set AWS_REGION"},
		{"credentials, locally", "awssqs:///orders" + at, map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			drivers.ErrDenied, "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"},
		{"credentials, at AWS", "awssqs:///orders", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			drivers.ErrDenied, "set AWS_PROFILE"},
		{"good credentials", "awssqs:///orders" + at, map[string]string{"AWS_ACCESS_KEY_ID": "stranger"}, drivers.ErrDenied, "get-caller-identity"},
		{"profile", "awssqs:///orders" + at + "&profile=nobody", nil, drivers.ErrInvalid, "nobody"},
		{"server", "awssqs:///orders?endpoint=" + nowhere, nil, drivers.ErrTransient, "connection refused"},
		{"dead-letter queue", "awssqs:///orders" + at + "&dead_letter=gone", nil, drivers.ErrNotFound, `the dead-letter queue of "orders"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			_, err := open(t, c.url, nil)
			require.ErrorIs(t, err, c.code)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "open")
			_, err = drivers.NewMux(&sqs.Opener{}).OpenSink(t.Context(), c.url, nil)
			if !strings.Contains(c.url, "dead_letter") { // nothing to a sink
				require.ErrorIs(t, err, c.code)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestPermissionIsMissing(t *testing.T) {
	s := server(t, nil, "")
	defer s.Inject(sqstest.Fault{Action: "GetQueueAttributes", Queue: "orders", Code: "AccessDeniedException"}).Remove()
	_, err := open(t, "awssqs:///orders?endpoint="+s.URL(), nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "grant this identity")
}

// Who may send to the dead-letter queue and not look at it can still reject.
func TestDeadLetterQueueThatMayNotBeSeen(t *testing.T) {
	s := server(t, nil, "")
	defer s.Inject(sqstest.Fault{Action: "GetQueueAttributes", Queue: "orders-dlq", Code: "AccessDeniedException"}).Remove()
	var log bytes.Buffer
	src, err := open(t, "awssqs:///orders?endpoint="+s.URL(), &drivers.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Contains(t, log.String(), "no permission")
	send(t, s.URL(), "orders", &handler.Message{Body: []byte("poison")})
	d := receive(t, src, 1)[0]
	require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter}}))
	depth, err := src.(drivers.Inspector).Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, drivers.Unknown, depth.DeadLetters)
	letters, err := open(t, "awssqs:///orders-dlq?endpoint="+s.URL(), nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.Nil(t, letters)
}

func TestOptionsNameTheDeadLetterQueue(t *testing.T) {
	s := server(t, nil, "")
	_, err := client(t, s.URL()).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("elsewhere")})
	require.NoError(t, err)
	for _, name := range []string{"elsewhere", s.QueueARN("elsewhere"), s.QueueURL("elsewhere")} {
		src, err := open(t, "awssqs:///orders?visibility_timeout=1h&endpoint="+s.URL(), &drivers.Options{DeadLetter: name})
		require.NoError(t, err)
		require.Equal(t, "elsewhere", src.Capabilities().DeadLetterQueue)
		require.Equal(t, time.Hour, src.Capabilities().Lease)
	}
}

func TestOpenerWithAConfigurationOfTheProgram(t *testing.T) {
	s := server(t, &sqstest.Config{AccessKeyIDs: []string{"test", "program"}}, "")
	t.Setenv("AWS_ACCESS_KEY_ID", "stranger")
	t.Setenv("AWS_REGION", "")
	cfg := aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(s.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("program", "secret", ""),
	}
	mux := drivers.NewMux(&sqs.Opener{AWS: &cfg})
	sink, err := mux.OpenSink(t.Context(), "awssqs:///orders", nil)
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	_, err = mux.OpenSink(t.Context(), "awssqs:///orders?profile=x", nil)
	require.ErrorContains(t, err, "parameter profile")
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	s := server(t, nil, "")
	ignore := goleak.IgnoreCurrent()
	src, err := drivers.NewMux(&sqs.Opener{}).OpenSource(t.Context(), "awssqs:///orders?endpoint="+s.URL(), nil)
	require.NoError(t, err)
	_, err = src.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.NoError(t, src.Close())
	require.Eventually(t, func() bool { return goleak.Find(ignore) == nil }, 10*time.Second, 10*time.Millisecond)
}

// send sends messages to the named queue.
func send(t *testing.T, endpoint, name string, ms ...*handler.Message) {
	t.Helper()
	sink, err := drivers.NewMux(&sqs.Opener{}).OpenSink(t.Context(), sqsURL(endpoint, name), nil)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), ms))
	require.NoError(t, sink.Close())
}

// receive receives exactly n messages.
func receive(t *testing.T, src drivers.Source, n int) []drivers.Delivery {
	t.Helper()
	var ds []drivers.Delivery
	require.Eventually(t, func() bool {
		got, err := src.Receive(t.Context(), min(n-len(ds), 10), time.Second)
		require.NoError(t, err)
		ds = append(ds, got...)
		return len(ds) == n
	}, 30*time.Second, time.Millisecond)
	return ds
}
