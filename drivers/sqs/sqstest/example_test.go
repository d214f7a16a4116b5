package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// A test starts a server, talks to it with the SDK, and makes it fail.
func Example() {
	ctx := context.Background()
	srv, err := sqstest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(srv.URL()),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("any", "thing", ""),
		Retryer:      aws.NopRetryer{},
	})

	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		fmt.Println(err)
		return
	}
	send := &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("hello")}

	throttle := srv.Inject(sqstest.Fault{Action: "SendMessage", Code: "RequestThrottled", Times: 1})
	_, err = client.SendMessage(ctx, send)
	var throttled *types.RequestThrottled
	fmt.Println("throttled:", errors.As(err, &throttled), "hits:", throttle.Hits())

	_, err = client.SendMessage(ctx, send)
	fmt.Println("sent:", err == nil)

	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("received:", *out.Messages[0].Body)
	fmt.Println("requests:", srv.Count("SendMessage"), srv.Count("ReceiveMessage"))
	// Output:
	// throttled: true hits: 1
	// sent: true
	// received: hello
	// requests: 2 1
}

// Time stands still until the test moves it, so that an hour's lease is tested
// in no time.
func ExampleManualClock() {
	ctx := context.Background()
	clock := sqstest.NewManualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	srv, err := sqstest.New(&sqstest.Config{Clock: clock})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(srv.URL()),
		HTTPClient:   srv.HTTPClient(), // no socket
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("any", "thing", ""),
	})
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("orders"), Attributes: map[string]string{"VisibilityTimeout": "3600"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("hello")}); err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(clock.Now().Format("15:04"), "received:", len(out.Messages))
		clock.Advance(30 * time.Minute)
	}
	// Output:
	// 00:00 received: 1
	// 00:30 received: 0
	// 01:00 received: 1
}

// A store outlives its server: the next one finds queues and messages again.
func ExampleNewStore() {
	ctx := context.Background()
	store := sqstest.NewStore(nil)
	defer store.Close()
	start := func() (*sqstest.Server, *sqs.Client) {
		srv, err := sqstest.New(&sqstest.Config{Store: store})
		if err != nil {
			log.Fatal(err)
		}
		return srv, sqs.New(sqs.Options{
			BaseEndpoint: aws.String(srv.URL()),
			HTTPClient:   srv.HTTPClient(),
			Region:       sqstest.DefaultRegion,
			Credentials:  credentials.NewStaticCredentialsProvider("any", "thing", ""),
		})
	}

	first, client := start()
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("hello")}); err != nil {
		log.Fatal(err)
	}
	if err := first.Close(); err != nil {
		log.Fatal(err)
	}

	second, client := start()
	defer second.Close()
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("received:", *out.Messages[0].Body)
	// Output: received: hello
}
