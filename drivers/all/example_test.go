package all_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
)

// The URL, from a flag or a configuration file, chooses the provider.
func ExampleMux() {
	ctx := context.Background()
	mux := all.Mux()
	fmt.Println(mux.Schemes())

	sink, err := mux.OpenSink(ctx, "mem://orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sink.Close()
	for _, err := range sink.Send(ctx, []*handler.Message{{Body: []byte("one coffee")}}) {
		log.Fatal(err)
	}
	fmt.Println("sent to", sink.Capabilities().System)
	// Output:
	// [awssqs gcppubsub mem nats sqlite]
	// sent to sluice_mem
}
