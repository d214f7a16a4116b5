package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/internal/test/lambdatest"
)

// The environment of the function's process, which is this program once more.
const (
	envQueue = "EVERYWHERE_QUEUE" // the queue's URL; that it is set makes the process a function
	envDir   = "EVERYWHERE_DIR"   // the books' directory
)

// function is the main of the function's process: what a Lambda function's main
// is, and nothing else.
func function(ctx context.Context, queue, dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := openBooks(ctx, dir)
	if err != nil {
		return err
	}
	h, err := b.handler(ctx, log)
	if err != nil {
		return err
	}
	source, err := drivers.NewMux(&sqs.Opener{}).OpenSource(ctx, queue, nil)
	if err != nil {
		return err
	}
	fn, err := sqslambda.New(source, h.Handler, &sqslambda.Config{Logger: log})
	if err != nil {
		return err
	}
	lambda.Start(fn.Handle) // does not return
	return nil
}

// invoked is the stage of a Lambda function with an SQS event source mapping.
// The function's process is its own, and so is its handler.
func invoked(ctx context.Context, endpoint, dir string, log *slog.Logger) (*stage, error) {
	const name = "everywhere-lambda"
	url, endpoint, stop, err := onSQS(ctx, endpoint, name)
	if err != nil {
		return nil, err
	}
	s, source, err := opened(ctx, url, stop)
	if err != nil {
		return nil, err
	}
	mapping, err := eventSource(ctx, endpoint, name)
	if err != nil {
		return nil, errors.Join(err, source.Close(), s.close())
	}
	program, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, source.Close(), s.close())
	}
	environment, err := lambdatest.New(lambdatest.Config{Timeout: time.Minute, Command: func() *exec.Cmd {
		cmd := exec.Command(program) //nolint:gosec,noctx // this program; it is ended by Close
		cmd.Env = append(os.Environ(), envQueue+"="+url, envDir+"="+dir)
		cmd.Stderr = lines{log}
		return cmd
	}})
	if err != nil {
		return nil, errors.Join(err, source.Close(), s.close())
	}
	s.run = func(ctx context.Context) error {
		defer environment.Close()
		return errors.Join(mapping.Run(ctx, environment.Invoke), source.Close())
	}
	return s, nil
}

// eventSource returns the mapping from a queue.
func eventSource(ctx context.Context, endpoint, name string) (*lambdatest.Mapping, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := awssqs.NewFromConfig(cfg, func(o *awssqs.Options) { o.BaseEndpoint = &endpoint })
	q, err := client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return nil, err
	}
	arn, err := client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: q.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	if err != nil {
		return nil, err
	}
	return &lambdatest.Mapping{
		Client: client, QueueURL: aws.ToString(q.QueueUrl), QueueARN: arn.Attributes[string(types.QueueAttributeNameQueueArn)], ReportBatchItemFailures: true,
	}, nil
}

// lines writes what a process says into the log.
type lines struct{ log *slog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Info("function", "says", strings.TrimSpace(string(p)))
	return len(p), nil
}
