package backoff_test

import (
	"context"
	"testing"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

func BenchmarkBackoff(b *testing.B) {
	mw, err := backoff.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, verdict := range map[string]error{"ack": nil, "retry": errBoom} {
		h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return verdict }))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := attempt(7)
			for b.Loop() {
				_ = h.Handle(context.Background(), m)
			}
		})
	}
}
