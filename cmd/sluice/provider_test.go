package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// A provider makes the queue of a script.
type provider struct {
	name  string
	setup func(*testscript.Env) error
}

func providers() []provider {
	return []provider{
		{"sqlite", setupSQLite},
		{"sqs", setupSQS},
		{"pubsub", setupPubSub},
	}
}

// localStack is the real thing, as far as it can be had without AWS. One server
// serves all scripts, each with a queue of its own.
func localStack(t *testing.T) provider {
	t.Helper()
	endpoint := testserver.LocalStack(t).URL
	return provider{"localstack", func(e *testscript.Env) error {
		awsEnvironment(e.Setenv, endpoint)
		name := strings.ToLower(rand.Text()[:10]) + "-orders"
		e.Setenv("Q", "awssqs:///"+name)
		return createSQS(context.Background(), endpoint, name, 30)
	}}
}

// setupSQLite makes a queue in a file of the script's own.
func setupSQLite(e *testscript.Env) error {
	file := filepath.Join(e.WorkDir, "jobs.db")
	e.Setenv("Q", "sqlite://"+file+"?queue=orders")
	source, err := new(sqlite.Opener).Source(context.Background(), file, "orders", nil)
	if err != nil {
		return err
	}
	return source.Close()
}

// setupSQS starts an SQS server in this process, for one script.
func setupSQS(e *testscript.Env) error {
	s, err := sqstest.NewServer(&sqstest.Config{PurgeInterval: -1})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = s.Close() })
	awsEnvironment(e.Setenv, s.URL())
	e.Setenv("Q", "awssqs:///orders")
	return createSQS(context.Background(), s.URL(), "orders", 30)
}

func awsEnvironment(set func(name, value string), endpoint string) {
	set("AWS_ENDPOINT_URL", endpoint)
	set("AWS_REGION", "us-east-1")
	set("AWS_ACCESS_KEY_ID", "test")
	set("AWS_SECRET_ACCESS_KEY", "test")
	set("AWS_CONFIG_FILE", os.DevNull)
	set("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	set("AWS_EC2_METADATA_DISABLED", "true")
}

// createSQS makes a queue with a dead-letter queue.
func createSQS(ctx context.Context, endpoint, name string, visibility int) error {
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	dead, err := client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(name + "-dlq")})
	if err != nil {
		return err
	}
	arn, err := client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: dead.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		return err
	}
	_, err = client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{
		"VisibilityTimeout": fmt.Sprint(visibility),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, arn.Attributes["QueueArn"]),
	}})
	return err
}

// setupPubSub starts a Pub/Sub fake in this process, for one script.
func setupPubSub(e *testscript.Env) error {
	s, err := pubsubtest.Start("")
	if err != nil {
		return err
	}
	e.Defer(func() { _ = s.Close() })
	e.Setenv("PUBSUB_EMULATOR_HOST", s.Addr())
	q := pubsubtest.Queue{Project: "test", ID: "orders", AckDeadlineSeconds: 30, MaxAttempts: 5}
	e.Setenv("Q", "gcppubsub://"+q.Subscription())
	return s.Create(context.Background(), q)
}
