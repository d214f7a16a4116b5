package handler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// Whatever the body, a message is either handled or rejected with its decoding
// error: never acked unhandled, never retried, never a panic.
func FuzzTypedRejectsOrHandles(f *testing.F) {
	for _, seed := range []string{"", "null", `{"id":"a","cents":5}`, `{"cents":1e999}`, "\xff", `[]`, `{"id":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		handled := false
		h := handler.Typed(nil, func(_ context.Context, _ *handler.Message, v order) error {
			handled = true
			again, err := json.Marshal(v)
			require.NoError(t, err)
			require.True(t, json.Valid(again))
			return nil
		})
		before := bytes.Clone(body)
		err := h.Handle(t.Context(), &handler.Message{Body: body})
		require.Equal(t, before, body, "decoding changed the body")
		require.Equal(t, handled, err == nil)
		if err != nil {
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
			require.Error(t, errors.Unwrap(err), "the cause is kept")
		}
	})
}
