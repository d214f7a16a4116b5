package service_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/service"
)

// A program sends two messages and handles what is on its queue until that is empty. A
// worker leaves UntilEmpty out, and runs until a signal.
func Example() {
	ctx := context.Background()
	conf, err := config.Load(&config.Options{Environ: []string{"SLUICE_QUEUES_GREETINGS_URL=mem://greetings"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := drivers.NewMux(&mem.Opener{})
	s, err := service.New(conf, &service.Options{
		Mux: mux, UntilEmpty: true, Admin: service.NoAdmin, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Handle("greetings", handler.Typed(handler.JSON, func(_ context.Context, _ *handler.Message, name string) error {
		fmt.Println("hello,", name)
		return nil
	}))
	p, err := service.OpenProducer(ctx, conf, mux, "greetings", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	if err := p.Send(ctx, &handler.Message{Body: []byte(`"world"`)}, &handler.Message{Body: []byte(`"world"`)}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("status", service.ExitStatus(s.Run(ctx)))
	// Output:
	// hello, world
	// hello, world
	// status 0
}
