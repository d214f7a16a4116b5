package consumer_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	ctx := context.Background()
	var queues mem.Opener
	sink, err := queues.Sink(ctx, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sink.Send(ctx, []*handler.Message{{Body: []byte("a book")}, {Body: []byte("a brick")}})
	source, err := queues.Source(ctx, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		if string(m.Body) == "a brick" {
			return handler.Reject(errors.New("we sell books"))
		}
		fmt.Printf("sold %s\n", m.Body)
		return nil
	})
	c, err := consumer.New(source, h, &consumer.Config{UntilEmpty: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Run(ctx); err != nil {
		fmt.Println(err)
	}
	s := c.Stats()
	fmt.Println(s.Acked, "acked,", s.DeadLettered, "dead-lettered")
	// Output:
	// sold a book
	// 1 acked, 1 dead-lettered
}

// Two queues share the handler slots: while both have messages, urgent ones get
// three slots of four.
func ExampleNewWeighted() {
	ctx := context.Background()
	var queues mem.Opener
	urgent, err := queues.Source(ctx, "urgent", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	bulk, err := queues.Source(ctx, "bulk", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	c, err := consumer.NewWeighted([]consumer.Weighted{
		{Source: urgent, Weight: 3},
		{Source: bulk, Weight: 1},
	}, h, &consumer.Config{UntilEmpty: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Run(ctx))
	// Output: <nil>
}
