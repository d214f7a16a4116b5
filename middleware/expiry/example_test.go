package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/expiry"
)

func Example() {
	ring := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Printf("your taxi is here: %s\n", m.Body)
		return nil
	})
	h := handler.Chain(ring, expiry.New(nil))

	m := &handler.Message{Body: []byte("B 612")}
	m.SetExpires(time.Now().Add(time.Minute))
	fmt.Println(h.Handle(context.Background(), m))

	m.SetExpires(time.Now().Add(-time.Minute)) // as if a minute had passed
	err := h.Handle(context.Background(), m)
	fmt.Println(errors.Is(err, expiry.ErrExpired), handler.VerdictOf(err).Action)
	// Output:
	// your taxi is here: B 612
	// <nil>
	// true drop
}
