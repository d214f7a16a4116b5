package sqs_test

import (
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// virtual is an SQS without a network, for tests in a bubble.
type virtual struct {
	t      *testing.T
	server *sqstest.Server
	client *awssqs.Client
}

func newVirtual(t *testing.T) *virtual {
	t.Helper()
	server, err := sqstest.New(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return &virtual{t: t, server: server, client: awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: server.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	})}
}

// create makes a queue and returns its URL.
func (v *virtual) create(name string, attributes map[string]string) string {
	v.t.Helper()
	out, err := v.client.CreateQueue(v.t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(v.t, err)
	return *out.QueueUrl
}

// send sends a message as another program does.
func (v *virtual) send(queueURL, body string) {
	v.t.Helper()
	_, err := v.client.SendMessage(v.t.Context(), &awssqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &body})
	require.NoError(v.t, err)
}

// depth is how many messages the queue has, visible or not.
func (v *virtual) depth(queueURL string) int {
	v.t.Helper()
	out, err := v.client.GetQueueAttributes(v.t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(v.t, err)
	n := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		some, err := strconv.Atoi(out.Attributes[name])
		require.NoError(v.t, err)
		n += some
	}
	return n
}
