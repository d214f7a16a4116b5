package timeout_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/timeout"
)

func Example() {
	limit, err := timeout.New(10*time.Millisecond, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		<-ctx.Done() // a gateway that never answers
		return fmt.Errorf("charge: %w", ctx.Err())
	})
	err = handler.Chain(charge, limit).Handle(context.Background(), &handler.Message{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, timeout.ErrTimeout), handler.VerdictOf(err).Action)
	// Output:
	// the handler's time is up after 10ms: charge: context deadline exceeded
	// true retry
}
