package route_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
)

func Example() {
	type Resize struct{ Width int }

	r, err := route.New(&route.Config{Grace: 15 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	resize := handler.Typed(handler.JSON, func(_ context.Context, _ *handler.Message, job Resize) error {
		fmt.Println("resize to", job.Width)
		return nil
	})
	if err := r.Add("resize", resize, &route.Options{Timeout: time.Minute}); err != nil {
		fmt.Println(err)
		return
	}

	m := &handler.Message{Body: []byte(`{"Width": 640}`), Attributes: map[string]string{"type": "resize"}}
	fmt.Println(r.Handle(context.Background(), m))

	m.Attributes["type"] = "rotate"
	fmt.Println(handler.VerdictOf(r.Handle(context.Background(), m)).Postponed)
	// Output:
	// resize to 640
	// <nil>
	// true
}
