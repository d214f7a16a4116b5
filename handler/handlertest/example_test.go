package handlertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
)

// The handler under test waits longer after each failure, and gives up on
// messages that it cannot use.
func Example() {
	charge := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		switch {
		case len(m.Body) == 0:
			return handler.Reject(errors.New("no body"))
		case m.Attempt < 3:
			return handler.RetryAfter(time.Duration(m.Attempt)*time.Minute, errors.New("gateway down"))
		default:
			return nil
		}
	})

	clock := handlertest.NewClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	q, err := handlertest.New(charge, &handlertest.Config{Clock: clock})
	if err != nil {
		fmt.Println(err)
		return
	}
	q.Send(&handler.Message{ID: "a", Body: []byte("5 EUR")}, &handler.Message{ID: "b"})
	deliveries, err := q.Drain(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range deliveries {
		fmt.Println(d.At.Format(time.TimeOnly), d.Message.ID, d.Attempt, d.Outcome, d.Delay)
	}
	for _, l := range q.DeadLetters() {
		fmt.Println("dead letter:", l.Message.ID, l.Err)
	}
	// Output:
	// 12:00:00 a 1 redelivered 1m0s
	// 12:00:00 b 1 dead-lettered 0s
	// 12:01:00 a 2 redelivered 2m0s
	// 12:03:00 a 3 acked 0s
	// dead letter: b rejected: no body
}
