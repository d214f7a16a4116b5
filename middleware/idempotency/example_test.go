package idempotency_test

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

func Example() {
	protect, err := idempotency.New(idempotency.NewMemory(), nil)
	if err != nil {
		panic(err)
	}
	charge := protect(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Println("charged", m.DedupeID)
		return nil
	}))

	// The queue delivers the payment twice.
	for _, id := range []string{"delivery-1", "delivery-2"} {
		err := charge.Handle(context.Background(), &handler.Message{ID: id, DedupeID: "payment-7"})
		fmt.Println(id, handler.VerdictOf(err).Action)
	}
	// Output:
	// charged payment-7
	// delivery-1 ack
	// delivery-2 ack
}
