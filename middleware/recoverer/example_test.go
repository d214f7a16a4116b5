package recoverer_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/recoverer"
)

func Example() {
	h := handler.Chain(
		handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			fmt.Println("amount", m.Body[0])
			return nil
		}),
		recoverer.New(nil),
	)
	err := h.Handle(context.Background(), &handler.Message{})
	var p *handler.PanicError
	fmt.Println(err)
	fmt.Println(errors.As(err, &p), handler.VerdictOf(err).Action)
	// Output:
	// panic: runtime error: index out of range [0] with length 0
	// true retry
}
