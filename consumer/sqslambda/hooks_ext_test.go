package sqslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

// TestUserCodeThatFails has each piece of user code fail in each way, for the
// first of three messages. The event is answered, the other messages are handled,
// and nothing is lost.
func TestUserCodeThatFails(t *testing.T) {
	type outcome struct{ failed, letters int }
	for how, fail := range broken.Ways() {
		bad := broken.Error{Fail: fail}
		for what, c := range map[string]struct {
			handle   func() error
			observer bool
			log      bool
			want     outcome
		}{
			"handler":               {handle: func() error { fail(); return nil }, want: outcome{failed: 1}},
			"observer":              {observer: true},
			"logger":                {handle: func() error { return handler.Drop(errBoom) }, log: true},
			"error":                 {handle: func() error { return bad }, want: outcome{failed: 1}},
			"wrapped error":         {handle: func() error { return errors.Join(errBoom, bad) }, want: outcome{failed: 1}},
			"reason of a rejection": {handle: func() error { return handler.Reject(bad) }, want: outcome{letters: 1}},
			"reason of a drop":      {handle: func() error { return handler.Drop(bad) }},
			"reason of a delay":     {handle: func() error { return handler.RetryAfter(1, bad) }, want: outcome{failed: 1}},
			"reason postponed":      {handle: func() error { return handler.Postpone(1, bad) }, want: outcome{failed: 1}},
		} {
			for _, whole := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/whole=%t", what, how, whole), func(t *testing.T) {
					r := newRig(t, rigOptions{})
					r.send(message("1", ""), message("2", ""), message("3", ""))
					config := &sqslambda.Config{WholeBatch: whole, Logger: slog.New(slog.DiscardHandler)}
					if c.observer {
						config.Observers = []handler.Observer{broken.Hook{Fail: fail}}
					}
					if c.log {
						config.Logger = slog.New(broken.Hook{Fail: fail})
					}
					fn := r.function(func(_ context.Context, m *handler.Message) error {
						if c.handle == nil || string(m.Body) != "1" {
							return nil
						}
						return c.handle()
					}, config)
					e := r.event()
					response, err := fn.Handle(t.Context(), e)
					if whole && c.want.failed > 0 {
						require.Error(t, err)
						require.NotEmpty(t, err.Error())
					} else {
						require.NoError(t, err)
						require.Len(t, failed(t, e, response), c.want.failed)
					}
					letters := r.receive(r.dlq)
					require.Len(t, letters, c.want.letters)
					for _, l := range letters {
						require.Contains(t, *l.MessageAttributes[drivers.AttributeDeadLetterReason].StringValue, "whose Error method panicked")
					}
					s := fn.Stats()
					require.Equal(t, uint64(3), s.Acked+s.Dropped+s.Retried+s.DeadLettered+s.Released)
				})
			}
		}
	}
}

// The panic of a batch handler, which all messages of its batch share, is logged
// with its stack and counted once. A value that can't be printed does no harm.
func TestTheFaultOfABatchHandlerIsLogged(t *testing.T) {
	for name, value := range map[string]any{"text": "boom", "typed nil": (*broken.TypedNil)(nil)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.send(message("1", ""), message("2", ""), message("3", ""))
			b, err := handler.Batch(handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { panic(value) }),
				&handler.BatchConfig{MaxCount: 3})
			require.NoError(t, err)
			var logs bytes.Buffer
			fn := r.function(b.Handle, &sqslambda.Config{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
			e := r.event()
			response, err := fn.Handle(t.Context(), e)
			require.NoError(t, err)
			require.Len(t, failed(t, e, response), 3)
			require.EqualValues(t, 1, fn.Stats().Panics)
			require.Equal(t, 1, strings.Count(logs.String(), "handler panicked"))
			require.Contains(t, logs.String(), "TestTheFaultOfABatchHandlerIsLogged", "its stack")
		})
	}
}
