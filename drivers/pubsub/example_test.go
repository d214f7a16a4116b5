package pubsub_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A program that wants Pub/Sub only lists its opener only, and links nothing of
// the other providers. With PUBSUB_EMULATOR_HOST set, as here, it talks to an
// emulator.
func Example() {
	ctx := context.Background()
	orders := pubsubtest.Queue{Project: "shop", ID: "orders", MaxAttempts: 5}
	if err := fake.Create(ctx, orders); err != nil {
		log.Fatal(err)
	}
	mux := drivers.NewMux(&pubsub.Opener{})

	sink, err := mux.OpenSink(ctx, "gcppubsub://projects/shop/topics/orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sink.Close()
	for _, err := range sink.Send(ctx, []*handler.Message{{Body: []byte("one coffee")}}) {
		log.Fatal(err)
	}

	source, err := mux.OpenSource(ctx, "gcppubsub://projects/shop/subscriptions/orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	fmt.Println("rejected messages go to", source.Capabilities().DeadLetterQueue)

	deliveries, err := source.Receive(ctx, 10, 20*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		fmt.Printf("attempt %d: %s\n", d.Message.Attempt, d.Message.Body)
		source.Settle(ctx, []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}})
	}
	// Output:
	// rejected messages go to orders-dlq
	// attempt 1: one coffee
}
