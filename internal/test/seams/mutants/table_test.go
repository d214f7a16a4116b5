package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the module's folder.
const root = "../../../.."

// TestMutantsFitTheSource finds a table that the source has left behind. Whether
// the mutants are caught is what the command checks.
func TestMutantsFitTheSource(t *testing.T) {
	for i := range mutants {
		m := &mutants[i]
		text, err := os.ReadFile(filepath.Join(root, m.file))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), m.old), "%s: %q stands in %s once", m.fault, m.old, m.file)
		require.NotEqual(t, m.old, m.new)
	}
}

func TestTheDocsHaveTheTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "seams.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), markdown(), "put what `go run ./internal/test/seams/mutants -table` prints into docs/seams.md")
}
