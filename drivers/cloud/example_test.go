package cloud_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// The program registers gocloud's openers; here the one for memory, under a
// scheme of its own.
func Example() {
	ctx := context.Background()
	opener, mux := new(mempubsub.URLOpener), new(pubsub.URLMux)
	mux.RegisterTopic("gomem", opener)
	mux.RegisterSubscription("gomem", opener)
	queues := drivers.NewMux(&cloud.Opener{Mux: mux})

	sink, err := queues.OpenSink(ctx, "gomem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sink.Close()
	source, err := queues.OpenSource(ctx, "gomem://orders?retry=republish&retry_topic=gomem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range sink.Send(ctx, []*handler.Message{{Body: []byte("one coffee")}}) {
		log.Fatal(err)
	}
	ds, err := source.Receive(ctx, 1, 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, attempt %d\n", ds[0].Message.Body, ds[0].Message.Attempt)
	source.Settle(ctx, []drivers.Settlement{{Receipt: ds[0].Receipt, Action: handler.ActionAck}})
	// Output: one coffee, attempt 1
}
