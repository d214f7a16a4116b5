package heartbeat_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/heartbeat"
)

func Example() {
	beat, err := heartbeat.New(&heartbeat.Config{Max: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	clock := handlertest.NewClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	transcode := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		clock.Advance(10 * time.Minute) // the work
		return nil
	})
	q, err := handlertest.New(handler.Chain(transcode, beat), &handlertest.Config{Clock: clock, Lease: 4 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	q.Send(&handler.Message{})
	d, _ := q.Deliver(context.Background())
	fmt.Println(d.Outcome, "after", d.Duration, "and", d.Extensions, "extensions of the lease")
	// Output:
	// acked after 10m0s and 5 extensions of the lease
}
