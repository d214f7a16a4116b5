// Command rawsqs receives from a queue by the SDK alone.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
	api := sqs.NewFromConfig(c)
	url := os.Args[1]
	for {
		out, err := api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20, MaxNumberOfMessages: 10})
		if err != nil {
			slog.Error("stopped", "error", err)
			os.Exit(1)
		}
		for _, m := range out.Messages {
			fmt.Println(*m.Body)
			if _, err := api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				slog.Warn("not deleted", "error", err)
			}
		}
	}
}
