package sqslambda_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/handler"
)

func TestEventsThatLeaveOutAttributes(t *testing.T) {
	for _, c := range []struct {
		name    string
		fifo    bool
		without string
		refused bool
		logged  string
	}{
		{"a group on FIFO", true, "MessageGroupId", true, "has no MessageGroupId"},
		{"an attempt", false, "ApproximateReceiveCount", false, "messages have no ApproximateReceiveCount"},
		{"a group on a standard queue", false, "MessageGroupId", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{fifo: c.fifo})
			r.send(message("1", "g"), message("2", "g"))
			e := r.event()
			for i := range e.Records {
				delete(e.Records[i].Attributes, c.without)
			}
			var logged bytes.Buffer
			var handled atomic.Int32
			fn := r.function(func(context.Context, *handler.Message) error { handled.Add(1); return nil },
				&sqslambda.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			_, err := fn.Handle(t.Context(), e)
			require.Contains(t, logged.String(), c.logged)
			if c.refused {
				require.ErrorContains(t, err, c.logged)
				require.Zero(t, handled.Load())
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 2, handled.Load())
			require.Equal(t, c.logged != "", logged.Len() > 0, logged.String())
		})
	}
}
