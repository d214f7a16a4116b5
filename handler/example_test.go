package handler_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A handler returns its verdict as an error.
func Example() {
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		switch string(m.Body) {
		case "work":
			return nil
		case "busy":
			return handler.RetryAfter(30*time.Second, errors.New("gateway is busy"))
		case "poison":
			return handler.Reject(errors.New("no such account"))
		case "stale":
			return handler.Drop(errors.New("superseded"))
		default:
			return errors.New("connection refused")
		}
	})
	for _, body := range []string{"work", "busy", "poison", "stale", "other"} {
		err := h.Handle(context.Background(), &handler.Message{Body: []byte(body)})
		v := handler.VerdictOf(err)
		fmt.Println(body, "->", v.Action, v.Delay)
	}
	// Output:
	// work -> ack 0s
	// busy -> retry 30s
	// poison -> dead_letter 0s
	// stale -> drop 0s
	// other -> retry 0s
}

// The first middleware is the outermost: it sees the message first and the
// verdict last.
func ExampleChain() {
	trace := func(name string) handler.Middleware {
		return func(next handler.Handler) handler.Handler {
			return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
				fmt.Println(name, "before")
				defer fmt.Println(name, "after")
				return next.Handle(ctx, m)
			})
		}
	}
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error {
		fmt.Println("handler")
		return nil
	})
	_ = handler.Chain(h, trace("first"), trace("second")).Handle(context.Background(), &handler.Message{})
	// Output:
	// first before
	// second before
	// handler
	// second after
	// first after
}

// A message whose body does not decode is rejected to the dead-letter queue: the
// next attempt would find the same bytes.
func ExampleTyped() {
	type order struct {
		ID    string `json:"id"`
		Cents int    `json:"cents"`
	}
	h := handler.Typed(handler.JSON, func(_ context.Context, _ *handler.Message, o order) error {
		fmt.Println("charging", o.Cents, "for", o.ID)
		return nil
	})
	ctx := context.Background()
	fmt.Println(h.Handle(ctx, &handler.Message{ID: "1", Body: []byte(`{"id":"A7","cents":250}`)}))
	fmt.Println(h.Handle(ctx, &handler.Message{ID: "2", Body: []byte(`{"cents":`)}))
	// Output:
	// charging 250 for A7
	// <nil>
	// rejected: decode message "2": unexpected end of JSON input
}

// Calls that come at the same time are gathered for one bulk write, and each
// gets the verdict on its own message.
func ExampleBatch() {
	bulk := handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
		fmt.Println("writing", len(ms), "rows")
		verdicts := make([]error, len(ms))
		for i, m := range ms {
			if len(m.Body) == 0 {
				verdicts[i] = handler.Reject(errors.New("empty row"))
			}
		}
		return verdicts
	})
	h, err := handler.Batch(bulk, &handler.BatchConfig{MaxCount: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	verdicts := make([]error, 3)
	var calls sync.WaitGroup
	for i, body := range []string{"a", "", "c"} {
		calls.Go(func() {
			verdicts[i] = h.Handle(context.Background(), &handler.Message{Body: []byte(body)})
		})
	}
	calls.Wait()
	fmt.Println(verdicts)
	// Output:
	// writing 3 rows
	// [<nil> rejected: empty row <nil>]
}
