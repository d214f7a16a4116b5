package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/control"
)

// A valve that is paused holds back receiving, and the message that comes all the same.
func Example() {
	v := control.New("orders", slog.New(slog.DiscardHandler))
	h := v.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	err := v.Set(control.State{Paused: true, Pause: control.Change{
		By: "alice", At: time.Date(2026, 11, 29, 19, 0, 0, 0, time.UTC), Reason: "migration",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	n, _ := v.Admit(10)
	fmt.Println("receive up to", n)
	fmt.Println(v.Reason())
	fmt.Println(errors.Is(h.Handle(context.Background(), &handler.Message{}), control.ErrHeld))
	// Output:
	// receive up to 0
	// paused by alice since 2026-11-29T19:00:00Z (migration)
	// true
}
