package otel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

func Example() {
	spans := tracetest.NewInMemoryExporter()
	tel, err := otel.New(&otel.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))})
	if err != nil {
		panic(err)
	}
	h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), tel.Middleware())

	m := &handler.Message{ID: "1"}
	m.Bind(&handler.Origin{Queue: "orders", System: "aws_sqs"}, nil)
	fmt.Println(h.Handle(context.Background(), m))
	fmt.Println(spans.GetSpans()[0].Name)
	// Output:
	// <nil>
	// process orders
}
