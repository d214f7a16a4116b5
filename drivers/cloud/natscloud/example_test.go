package natscloud_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

// A retry on NATS is a copy that takes the message's place, one attempt later.
func Example() {
	ctx := context.Background()
	server, stop, err := natsserver.Run() // or whatever NATS_SERVER_URL names
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	opener := &natscloud.Opener{URL: server}
	defer opener.Close()
	queues := drivers.NewMux(opener)

	// The source first: NATS keeps nothing for who comes later.
	const orders = "nats://orders?queue=workers&retry=republish"
	source, err := queues.OpenSource(ctx, orders, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	sink, err := queues.OpenSink(ctx, orders, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sink.Close()
	for _, err := range sink.Send(ctx, []*handler.Message{{Body: []byte("one coffee")}}) {
		log.Fatal(err)
	}
	for _, action := range []handler.Action{handler.ActionRetry, handler.ActionAck} {
		ds, err := source.Receive(ctx, 1, 30*time.Second)
		if err != nil || len(ds) == 0 {
			log.Fatal("nothing came: ", err)
		}
		fmt.Printf("%s, attempt %d\n", ds[0].Message.Body, ds[0].Message.Attempt)
		for _, err := range source.Settle(ctx, []drivers.Settlement{{Receipt: ds[0].Receipt, Action: action}}) {
			log.Fatal(err)
		}
	}
	// Output:
	// one coffee, attempt 1
	// one coffee, attempt 2
}
