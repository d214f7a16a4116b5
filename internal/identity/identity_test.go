package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/identity"
)

func TestMade(t *testing.T) {
	id := identity.New()
	require.NotEqual(t, id, identity.New())
	require.True(t, identity.Made(id))
	for _, sender := range []string{"", "order-1", "sluice-id-", "sluice-id-1", id + "A", id[:len(id)-1], "x" + id, id[:len(id)-1] + "1", id[:len(id)-1] + "a"} {
		require.False(t, identity.Made(sender), sender)
	}
}
