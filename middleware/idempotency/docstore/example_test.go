package docstore_test

import (
	"fmt"
	"log"
	"time"

	"context"

	"gocloud.dev/docstore/memdocstore"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
)

// A collection of any document database that gocloud.dev opens keeps the keys.
func ExampleNew() {
	c, err := memdocstore.OpenCollection(docstore.KeyField, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	store, err := docstore.New(c)
	if err != nil {
		log.Fatal(err)
	}
	claim, err := store.Claim(context.Background(), "order-17", "token", time.Minute)
	fmt.Println(claim.State == idempotency.Claimed, err)
	// Output: true <nil>
}
