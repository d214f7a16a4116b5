package where

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The guide has the variables, as they are.
func TestTheVariablesAreDocumented(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../../docs/deadletters.md")
	require.NoError(t, err)
	for _, v := range variables() {
		require.Contains(t, string(guide), fmt.Sprintf("| `%s` | %s | %s |\n", v.Name, v.Type, strings.ReplaceAll(v.About, `"type"`, "`type`")))
	}
}
