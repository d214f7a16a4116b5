package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// A queue is opened by its URL. Here an SQS in this process stands for AWS; a
// program would leave Opener.AWS nil, so that credentials, region and endpoint
// come from the environment.
func Example() {
	ctx := context.Background()
	cfg, closeServer, err := exampleServer(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	mux := drivers.NewMux(&sqs.Opener{AWS: cfg})

	sink, err := mux.OpenSink(ctx, "awssqs:///orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range sink.Send(ctx, []*handler.Message{{Body: []byte("hello"), Attributes: map[string]string{"tenant": "t1"}}}) {
		log.Fatal(err)
	}

	source, err := mux.OpenSource(ctx, "awssqs:///orders?visibility_timeout=2m", nil)
	if err != nil {
		log.Fatal(err)
	}
	deliveries, err := source.Receive(ctx, 10, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		fmt.Printf("%s from %s, attempt %d\n", d.Message.Body, d.Message.Attribute("tenant"), d.Message.Attempt)
		for _, err := range source.Settle(ctx, []drivers.Settlement{{Receipt: d.Receipt, Action: handler.ActionAck}}) {
			log.Fatal(err)
		}
	}
	if err := errors.Join(sink.Close(), source.Close(), closeServer()); err != nil {
		log.Fatal(err)
	}
	// Output: hello from t1, attempt 1
}

// A fault is reported when the queue is opened, with the remedy.
func ExampleOpener_OpenSource() {
	ctx := context.Background()
	cfg, closeServer, err := exampleServer(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}

	_, err = drivers.NewMux(&sqs.Opener{AWS: cfg}).OpenSource(ctx, "awssqs:///ordres", nil)
	var e *drivers.Error
	if errors.As(err, &e) {
		fmt.Println(e.Queue, "is", e.Code)
		fmt.Println(e.Remedy)
	}
	if err := closeServer(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ordres is not found
	// check the name, the account and the region, or apply its configuration, which creates it
}

// exampleServer starts an SQS with one queue.
func exampleServer(ctx context.Context, queue string) (*aws.Config, func() error, error) {
	server, err := sqstest.NewServer(nil)
	if err != nil {
		return nil, nil, err
	}
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	}
	_, err = awssqs.NewFromConfig(cfg).CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &queue})
	return &cfg, server.Close, err
}
