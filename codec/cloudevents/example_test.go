package cloudevents_test

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sluice-go/sluice/codec/cloudevents"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	e := event.New()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("com.example.order.created")
	if err := e.SetData(event.ApplicationJSON, map[string]int{"cents": 500}); err != nil {
		fmt.Println(err)
		return
	}
	var m handler.Message
	if err := cloudevents.Codec(cloudevents.Auto).Encode(&m, e); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Attribute("ce-type"), string(m.Body))

	type order struct{ Cents int }
	h := cloudevents.Typed(func(_ context.Context, e event.Event, o order) error {
		fmt.Println(e.Source(), o.Cents)
		return nil
	})
	fmt.Println(h.Handle(context.Background(), &m))
	// Output:
	// com.example.order.created {"cents":500}
	// /shop 500
	// <nil>
}
