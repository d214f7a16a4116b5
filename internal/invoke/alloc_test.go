package invoke_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// Each settled message asks for the code of its error, which most often is nil.
func TestNoErrorCostsNothing(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, is := invoke.As[*handler.PanicError](nil)
		if is || invoke.Is(nil, io.EOF) || invoke.VerdictOf(nil).Err != nil || invoke.Text(nil) != "" {
			t.Error("there is no error")
		}
	}))
}
