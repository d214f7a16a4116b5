package redisstore_test

import (
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/redisstore"
)

// All processes share the keys in Redis.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
	store, err := redisstore.New(client, nil)
	if err != nil {
		log.Fatal(err)
	}
	once, err := idempotency.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(once != nil) // for handler.Chain
	// Output: true
}
