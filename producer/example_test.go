package producer_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

func Example() {
	ctx := context.Background()
	var queues mem.Opener
	sink, err := queues.Sink(ctx, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := producer.New(sink, &producer.Config{
		Prepare: []func(context.Context, *handler.Message) error{
			func(_ context.Context, m *handler.Message) error {
				if len(m.Body) == 0 {
					return errors.New("an order must not be empty")
				}
				m.SetAttribute("shop", "main street")
				return nil
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	fmt.Println(p.Send(ctx, &handler.Message{Body: []byte("a book")}))
	err = p.Send(ctx, &handler.Message{Body: []byte("a pen")}, &handler.Message{})
	fmt.Println(err)
	var failed *producer.SendError
	if errors.As(err, &failed) {
		fmt.Println("sent", failed.Sent, "and not message", failed.Failed[0].Index)
	}
	// Output:
	// <nil>
	// queue "orders": send: 1 of 2 messages not sent: message 1: prepare: an order must not be empty
	// sent 1 and not message 1
}
