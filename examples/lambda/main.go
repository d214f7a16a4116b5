// Command lambda is an AWS Lambda function that handles an SQS queue's messages.
// The handler, and the middleware around it, are what a consumer of any other
// queue would have; see the README beside it for how it is deployed.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
)

// Order is what the messages' bodies hold, as JSON.
type Order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)) // Lambda takes it to CloudWatch Logs
	fn, err := open(context.Background(), os.Getenv("QUEUE_URL"), log)
	if err != nil {
		// Lambda starts the process anew, and shows this meanwhile.
		log.Error("the function cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(fn.Handle)
}

// open makes the function. It runs once in an execution environment.
func open(ctx context.Context, queueURL string, log *slog.Logger) (*sqslambda.Function, error) {
	source, err := drivers.NewMux(&sqs.Opener{}).OpenSource(ctx, queueURL, &drivers.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("QUEUE_URL: %w", err)
	}
	stack, err := middleware.Standard(&middleware.Config{
		Logger:  log,
		Backoff: &backoff.Config{Min: time.Second, Max: 5 * time.Minute},
	})
	if err != nil {
		return nil, err
	}
	return sqslambda.New(source, stack.Handler(handler.Typed(handler.JSON, charge(log))), &sqslambda.Config{Logger: log})
}

var errNoAmount = errors.New("an order has an amount above zero")

// charge returns the handler. Its error is the message's verdict.
func charge(log *slog.Logger) func(context.Context, *handler.Message, Order) error {
	return func(ctx context.Context, m *handler.Message, o Order) error {
		if o.Cents <= 0 {
			return handler.Reject(errNoAmount) // to the dead-letter queue, now
		}
		log.InfoContext(ctx, "charged", "order", o.ID, "cents", o.Cents, "attempt", m.Attempt)
		return nil
	}
}
