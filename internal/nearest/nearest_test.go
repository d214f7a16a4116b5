package nearest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/nearest"
)

func TestOf(t *testing.T) {
	known := []string{"region", "visibility_timeout", "queue"}
	for _, c := range []struct{ got, want string }{
		{"regoin", "region"},
		{"visibilty_timeout", "visibility_timeout"},
		{"queues", "queue"},
		{"", ""},
		{"something-else-entirely", ""},
	} {
		require.Equal(t, c.want, nearest.Of(c.got, known), c.got)
	}
	require.Empty(t, nearest.Of("x", nil))
}
