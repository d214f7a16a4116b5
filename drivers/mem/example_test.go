package mem_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	ctx := context.Background()
	mux := drivers.NewMux(new(mem.Opener))

	sink, err := mux.OpenSink(ctx, "mem://orders?max_attempts=3", nil)
	if err != nil {
		log.Fatal(err)
	}
	if errs := sink.Send(ctx, []*handler.Message{{Body: []byte("two tickets")}}); errs != nil {
		log.Fatal(errs)
	}

	source, err := mux.OpenSource(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
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
	queues := new(mem.Opener)
	source, err := queues.Source(ctx, "orders", &mem.Config{VisibilityTimeout: 2 * time.Minute, DeadLetter: mem.NoDeadLetter})
	if err != nil {
		log.Fatal(err)
	}
	c := source.Capabilities()
	fmt.Println(c.Queue, c.Lease, c.DeadLetter)
	// Output: orders 2m0s false
}
