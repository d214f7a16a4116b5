package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/lambdatest"
)

// TestMain has the test binary be the function.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheFunction(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), Region: sqstest.DefaultRegion, Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	})
	for _, q := range []struct {
		name       string
		attributes map[string]string
	}{
		{"orders-dlq", nil}, // first: a redrive policy names a queue that is there
		{"orders", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + server.QueueARN("orders-dlq") + `","maxReceiveCount":5}`}},
	} {
		_, err := client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &q.name, Attributes: q.attributes})
		require.NoError(t, err)
	}
	for _, body := range []string{`{"id":"o1","cents":100}`, `{"id":"o2","cents":0}`, `no JSON`} {
		_, err := client.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: aws.String(server.QueueURL("orders")), MessageBody: &body})
		require.NoError(t, err)
	}

	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	defer output.Close()
	e, err := lambdatest.New(lambdatest.Config{Timeout: 30 * time.Second, Command: func() *exec.Cmd {
		cmd := exec.Command(os.Args[0]) //nolint:noctx // Close ends it
		cmd.Env = append(os.Environ(), append(server.Env(), "QUEUE_URL=awssqs:///orders")...)
		cmd.Stdout, cmd.Stderr = output, output
		return cmd
	}})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	mapping := &lambdatest.Mapping{
		Client: client, QueueURL: server.QueueURL("orders"), QueueARN: server.QueueARN("orders"), ReportBatchItemFailures: true,
	}
	for handled := 0; handled < 3; {
		n, err := mapping.Poll(ctx, time.Second, e.Invoke)
		require.NoError(t, err)
		handled += n
	}
	text, err := os.ReadFile(output.Name())
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(text, []byte(`"msg":"charged"`)), "the function's output: %s", text)
	n := mapping.Numbers()
	require.Equal(t, 3, n.Deleted)
	require.Zero(t, n.Failed)
	letters, err := client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: aws.String(server.QueueURL("orders-dlq")), AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages"}})
	require.NoError(t, err)
	require.Equal(t, "2", letters.Attributes["ApproximateNumberOfMessages"])
}
