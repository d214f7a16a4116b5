package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	mux := drivers.NewMux(new(sqlite.Opener))
	url := "sqlite://" + filepath.Join(dir, "queues.db") + "?queue=orders"

	sink, err := mux.OpenSink(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if errs := sink.Send(ctx, []*handler.Message{{Body: []byte("two tickets")}}); errs != nil {
		log.Fatal(errs)
	}
	sink.Close() // another process could go on from here

	source, err := mux.OpenSource(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	deliveries, err := source.Receive(ctx, 10, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		fmt.Printf("%s, attempt %d\n", d.Message.Body, d.Message.Attempt)
		source.Settle(ctx, []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}})
	}
	// Output: two tickets, attempt 1
}

func ExampleOpener_Source() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	files := &sqlite.Opener{Synchronous: true}
	source, err := files.Source(ctx, filepath.Join(dir, "queues.db"), "orders", &sqlite.Config{MaxAttempts: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	c := source.Capabilities()
	fmt.Println(c.Queue, c.MaxAttempts, c.DeadLetterQueue)
	// Output: orders 3 orders-dlq
}
