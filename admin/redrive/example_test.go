package redrive_test

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// The letters of one customer go back, the others stay.
func Example() {
	ctx := context.Background()
	server, err := sqstest.NewServer(nil) // in place of SQS
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Close() }()
	queues := drivers.NewMux(&sqs.Opener{})
	url := "awssqs:///orders?endpoint=" + server.URL()
	if _, err := admin.Apply(ctx, queues, admin.Target{URL: url, Spec: &provision.Spec{DeadLetter: &provision.DeadLetter{}}}, false); err != nil {
		panic(err)
	}
	dead, err := queues.OpenSink(ctx, "awssqs:///orders-dlq?endpoint="+server.URL(), nil)
	if err != nil {
		panic(err)
	}
	dead.Send(ctx, []*handler.Message{
		{Body: []byte("order 1"), Attributes: map[string]string{"customer": "acme"}},
		{Body: []byte("order 2"), Attributes: map[string]string{"customer": "globex"}},
		{Body: []byte("order 3"), Attributes: map[string]string{"customer": "acme"}},
	})

	source, err := queues.OpenSource(ctx, url, nil)
	if err != nil {
		panic(err)
	}
	result, err := redrive.Run(ctx, source, &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"customer": "acme"}}})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %d of %d brought back\n", result.Mode, result.Moved, result.Seen)
	// Output: selective: 2 of 3 brought back
}
