package breaker_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/breaker"
)

func Example() {
	gateway, err := breaker.New(&breaker.Config{Name: "gateway", MinCount: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(context.Context, *handler.Message) error {
		return errors.New("connection refused")
	})
	h := handler.Chain(charge, gateway.Middleware)

	// The consumer is given the breaker too, among its Gates, and asks it before
	// each receive.
	for range 3 {
		n, _ := gateway.Admit(10)
		fmt.Println(gateway.State(), "- receive up to", n)
		_ = h.Handle(context.Background(), &handler.Message{})
	}
	n, _ := gateway.Admit(10)
	fmt.Println(gateway.State(), "- receive up to", n)
	// Output:
	// closed - receive up to 10
	// closed - receive up to 10
	// closed - receive up to 10
	// open - receive up to 0
}
