package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
)

func Example() {
	gateway, err := breaker.New(&breaker.Config{Name: "gateway"})
	if err != nil {
		fmt.Println(err)
		return
	}
	stack, err := middleware.Standard(&middleware.Config{
		Breakers: []*breaker.Breaker{gateway},
		Backoff:  &backoff.Config{Min: time.Second, MaxAttempts: 3, Jitter: backoff.NoJitter},
		Timeout:  time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		return errors.New("gateway timeout")
	})

	// In a program this is a consumer, with the same handler and the same gates.
	q, err := handlertest.New(stack.Handler(charge), &handlertest.Config{
		Clock: handlertest.NewClock(time.Unix(0, 0)),
		Gates: stack.Gates(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	q.Send(&handler.Message{ID: "a"})
	deliveries, err := q.Drain(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range deliveries {
		fmt.Println(d.Attempt, d.Outcome, d.Delay)
	}
	fmt.Println(q.DeadLetters()[0].Err)
	// Output:
	// 1 redelivered 1s
	// 2 redelivered 2s
	// 3 dead-lettered 0s
	// attempts used up: attempt 3 of 3: gateway timeout
}
