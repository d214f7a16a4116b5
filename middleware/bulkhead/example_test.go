package bulkhead_test

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/bulkhead"
)

func Example() {
	perTenant, err := bulkhead.New(1, func(m *handler.Message) string { return m.Attribute("tenant") }, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var h handler.Handler
	export := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		fmt.Println("exporting for", m.Attribute("tenant"))
		if m.Attribute("tenant") == "ada" { // meanwhile two more arrive
			for _, other := range []string{"ada", "bob"} {
				err := h.Handle(ctx, &handler.Message{Attributes: map[string]string{"tenant": other}})
				fmt.Println(other+":", handler.VerdictOf(err).Action)
			}
		}
		return nil
	})
	h = handler.Chain(export, perTenant)
	_ = h.Handle(context.Background(), &handler.Message{Attributes: map[string]string{"tenant": "ada"}})
	// Output:
	// exporting for ada
	// ada: retry
	// exporting for bob
	// bob: ack
}
