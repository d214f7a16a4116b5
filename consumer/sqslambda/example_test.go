package sqslambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// A function opens its queue when its execution environment starts, and gives
// Handle to lambda.Start. Here an event is handed to it by hand.
func Example() {
	ctx := context.Background()
	server, cfg, err := exampleServer(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	// In a function: drivers.NewMux(&sqs.Opener{}), and os.Getenv("QUEUE_URL").
	source, err := drivers.NewMux(&sqs.Opener{AWS: cfg}).OpenSource(ctx, "awssqs:///orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	charge := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		if string(m.Body) == "no funds" {
			return errors.New("the bank does not answer")
		}
		fmt.Printf("charged %s at attempt %d\n", m.Body, m.Attempt)
		return nil
	})
	fn, err := sqslambda.New(source, charge, &sqslambda.Config{Concurrency: 1})
	if err != nil {
		log.Fatal(err)
	}
	// lambda.Start(fn.Handle)

	response, err := fn.Handle(ctx, events.SQSEvent{Records: []events.SQSMessage{
		{MessageId: "m1", ReceiptHandle: "r1", Body: "10 euros", Attributes: map[string]string{"ApproximateReceiveCount": "1"}},
		{MessageId: "m2", ReceiptHandle: "r2", Body: "no funds", Attributes: map[string]string{"ApproximateReceiveCount": "2"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	document, err := json.Marshal(response)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(document))
	// Output:
	// charged 10 euros at attempt 1
	// {"batchItemFailures":[{"itemIdentifier":"m2"}]}
}

// exampleServer starts an SQS with one queue.
func exampleServer(ctx context.Context) (*sqstest.Server, *aws.Config, error) {
	server, err := sqstest.NewServer(nil)
	if err != nil {
		return nil, nil, err
	}
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	}
	_, err = awssqs.NewFromConfig(cfg).CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("orders")})
	return server, &cfg, err
}
