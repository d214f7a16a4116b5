package consumer_test

import (
	"context"
	"log"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// A nil Logger hides nothing: a panic is in the default logger, with its stack.
func TestANilLoggerIsTheDefaultOne(t *testing.T) {
	out := &logs{}
	old, flags := slog.Default(), log.Flags() //nolint:forbidigo // this test is about the default logger
	slog.SetDefault(out.logger())             //nolint:forbidigo // as above
	t.Cleanup(func() {
		slog.SetDefault(old)     //nolint:forbidigo // as above
		log.SetOutput(os.Stderr) //nolint:forbidigo // as above
		log.SetFlags(flags)      //nolint:forbidigo // as above
	})
	for name, cfg := range map[string]*consumer.Config{"no config": nil, "zero config": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := out.count("handler panicked")
				c, err := consumer.New(newQueue(1), handler.HandlerFunc(func(context.Context, *handler.Message) error { panic("boom") }), cfg)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- c.Run(ctx) }()
				pass(time.Second)
				require.Equal(t, before+1, out.count("handler panicked"))
				require.Equal(t, before+1, out.count("logger_ext_test.go"), "the stack is in the log")
				cancel()
				require.NoError(t, <-done)
			})
		})
	}
}
