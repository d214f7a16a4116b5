package order_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/examples/two-clouds/order"
	"github.com/sluice-go/sluice/handler"
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, body string
		attempt    int
		fails      bool
		want       handler.Action
	}{
		{"charged", `{"id":"a","cents":5}`, 1, false, handler.ActionAck},
		{"slow at first", `{"id":"b","cents":5,"slow":true}`, 1, true, handler.ActionRetry},
		{"and then charged", `{"id":"c","cents":5,"slow":true}`, 2, false, handler.ActionAck},
		{"free", `{"id":"d","cents":0}`, 1, true, handler.ActionDeadLetter},
		{"no order", `half an ord`, 1, true, handler.ActionDeadLetter},
	} {
		t.Run(c.name, func(t *testing.T) {
			var book order.Book
			err := book.Handler().Handle(t.Context(), &handler.Message{Body: []byte(c.body), Attempt: c.attempt})
			require.Equal(t, c.fails, err != nil, err)
			if c.fails {
				require.Equal(t, c.want, handler.VerdictOf(err).Action)
				require.Empty(t, book.Lines())
				return
			}
			require.Len(t, book.Lines(), 1)
		})
	}
}
