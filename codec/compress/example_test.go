package compress_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/codec/compress"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	codec, err := compress.Codec(handler.JSON, &compress.Config{Encoding: compress.Gzip})
	if err != nil {
		fmt.Println(err)
		return
	}
	var m handler.Message
	if err := codec.Encode(&m, strings.Repeat("coffee ", 1000)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Attributes, len(m.Body) < 100)

	h := handler.Typed(codec, func(_ context.Context, _ *handler.Message, order string) error {
		fmt.Println(len(order), "bytes of order")
		return nil
	})
	fmt.Println(h.Handle(context.Background(), &m))
	// Output:
	// map[content-encoding:gzip] true
	// 7000 bytes of order
	// <nil>
}

func ExampleMiddleware() {
	inflate, err := compress.Middleware(&compress.Config{MaxBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), inflate)
	err = h.Handle(context.Background(), &handler.Message{ID: "7", Attributes: map[string]string{"content-encoding": "br"}})
	fmt.Println(err)
	// Output:
	// rejected: message "7": unknown content-encoding "br": known are gzip, identity, zstd
}
