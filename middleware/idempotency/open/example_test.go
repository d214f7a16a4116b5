package open_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
)

// A store is chosen by configuration.
func ExampleURL() {
	store, err := open.URL(context.Background(), "mem://")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	_, err = idempotency.New(store, nil)
	fmt.Println(err)
	// Output: <nil>
}
