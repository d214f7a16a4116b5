package gocloud_test

import (
	"context"
	"fmt"
	"log"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/bridge/gocloud"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
)

// A program that is written for gocloud gets Sluice's queues.
func Example() {
	ctx := context.Background()
	queues := drivers.NewMux(&mem.Opener{})
	sink, err := queues.OpenSink(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	source, err := queues.OpenSource(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	topic, subscription := gocloud.NewTopic(sink), gocloud.NewSubscription(source)

	err = topic.Send(ctx, &pubsub.Message{Body: []byte("one coffee"), Metadata: map[string]string{"table": "7"}})
	if err != nil {
		log.Fatal(err)
	}
	m, err := subscription.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %v\n", m.Body, m.Metadata)
	m.Ack()
	if err := subscription.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	if err := topic.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: one coffee map[table:7]
}
