package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/ratelimit/redisstore"
)

// All processes together send at most 100 requests a minute to the gateway. No
// Redis listens here, so the message is held back instead.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, MaxRetries: -1})
	defer client.Close()
	limit, err := ratelimit.New(100, time.Minute, &ratelimit.Config{
		Name:  "gateway",
		Store: redisstore.New(client, nil),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	err = handler.Chain(charge, limit.Middleware).Handle(context.Background(), &handler.Message{})
	fmt.Println(handler.VerdictOf(err).Action)
	n, _ := limit.Admit(10)
	fmt.Println("receive up to", n)
	// Output:
	// retry
	// receive up to 0
}
