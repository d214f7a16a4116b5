package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// A program names the providers that it links, and opens queues by URL.
func Example() {
	ctx := context.Background()
	mux := drivers.NewMux(new(mem.Opener))
	source, err := mux.OpenSource(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	sink, err := mux.OpenSink(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sink.Close()

	if err := errors.Join(sink.Send(ctx, []*handler.Message{{Body: []byte("two tickets")}})...); err != nil {
		log.Fatal(err)
	}
	deliveries, err := source.Receive(ctx, 10, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		fmt.Printf("%s\n", d.Message.Body)
		source.Settle(ctx, []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}})
	}
	// Output: two tickets
}

// An optional interface is found by type assertion.
func ExampleInspector() {
	ctx := context.Background()
	source, err := drivers.NewMux(new(mem.Opener)).OpenSource(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	if inspector, ok := source.(drivers.Inspector); ok {
		depth, err := inspector.Depth(ctx)
		fmt.Println(depth.Visible, err)
	}
	// Output: 0 <nil>
}

// A code is the target of errors.Is, for errors of all drivers.
func ExampleCode() {
	_, err := drivers.NewMux(new(mem.Opener)).OpenSource(context.Background(), "mem://orders?max_atempts=3", nil)
	fmt.Println(errors.Is(err, drivers.Invalid))
	fmt.Println(err)
	// Output:
	// true
	// open: invalid: unknown parameter "max_atempts" in the mem URL (did you mean "max_attempts"? known: visibility_timeout, retention, max_attempts, dead_letter, dead_letter_retention, ordered, dedupe_window, delay)
}
