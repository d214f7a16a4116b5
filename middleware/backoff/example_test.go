package backoff_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	cenkalti "github.com/cenkalti/backoff/v4"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

func Example() {
	retries, err := backoff.New(&backoff.Config{
		Min:         time.Second,
		Max:         10 * time.Minute,
		MaxAttempts: 4,
		Jitter:      backoff.NoJitter, // for the example's sake: the default is better
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		if len(m.Body) == 0 {
			return cenkalti.Permanent(errors.New("no amount"))
		}
		return errors.New("gateway timeout")
	})
	h := handler.Chain(charge, retries)

	ctx := context.Background()
	for attempt := range 4 {
		fmt.Println(h.Handle(ctx, &handler.Message{Body: []byte("5"), Attempt: attempt + 1}))
	}
	fmt.Println(handler.VerdictOf(h.Handle(ctx, &handler.Message{Attempt: 1})).Action)
	// Output:
	// retry after 1s: gateway timeout
	// retry after 2s: gateway timeout
	// retry after 4s: gateway timeout
	// attempts used up: attempt 4 of 4: gateway timeout
	// dead_letter
}
