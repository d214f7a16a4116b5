package compress_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/compress"
	"github.com/sluice-go/sluice/handler"
)

// Blanks around an encoding make it no other.
func TestBlanksMakeNoOtherEncoding(t *testing.T) {
	mw, err := compress.Middleware(nil)
	require.NoError(t, err)
	for _, as := range []map[string]string{
		{"CONTENT-ENCODING": "identity", "content-encoding": " Identity"},
	} {
		reached := false
		h := mw(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			reached = true
			require.Equal(t, "x", string(m.Body))
			require.Empty(t, m.Attributes)
			return nil
		}))
		require.NoError(t, h.Handle(t.Context(), &handler.Message{Body: []byte("x"), Attributes: as}))
		require.True(t, reached)
	}
}
