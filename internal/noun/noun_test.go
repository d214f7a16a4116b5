package noun_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/noun"
)

func TestCounted(t *testing.T) {
	require.Equal(t, "0 messages", noun.Counted(0, "message"))
	require.Equal(t, "1 dead letter", noun.Counted(int64(1), "dead letter"))
	require.Equal(t, "1 delivery", noun.Counted(1, "delivery"))
	require.Equal(t, "2 deliveries", noun.Counted(2, "delivery"))
}
