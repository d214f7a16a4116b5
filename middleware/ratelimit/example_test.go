package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// A gateway takes three requests a minute.
func Example() {
	limit, err := ratelimit.New(3, time.Minute, &ratelimit.Config{Name: "gateway"})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	h := handler.Chain(charge, limit.Middleware)

	// The consumer is given the limit too, among its Gates, and asks it before
	// each receive.
	for range 4 {
		n, _ := limit.Admit(10)
		fmt.Println("receive up to", n)
		err = h.Handle(context.Background(), &handler.Message{})
	}
	fmt.Println(errors.Is(err, ratelimit.ErrLimited), handler.VerdictOf(err).Delay.Round(time.Minute))
	// Output:
	// receive up to 3
	// receive up to 2
	// receive up to 1
	// receive up to 0
	// true 1m0s
}

// Each customer has a limit.
func Example_keys() {
	limit, err := ratelimit.New(1, time.Minute, &ratelimit.Config{
		Key: func(m *handler.Message) string { return m.Attribute("customer") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	send := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Println("sending to", m.Attribute("customer"))
		return nil
	})
	h := handler.Chain(send, limit.Middleware)
	for _, customer := range []string{"ada", "ada", "bob"} {
		m := &handler.Message{Attributes: map[string]string{"customer": customer}}
		if err := h.Handle(context.Background(), m); errors.Is(err, ratelimit.ErrLimited) {
			fmt.Println("later for", customer)
		}
	}
	// Output:
	// sending to ada
	// later for ada
	// sending to bob
}
