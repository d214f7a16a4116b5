package cli

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/cli anew")

// reference is the folder of the reference of all commands.
var reference = filepath.Join("..", "..", "..", "..", "docs", "cli")

func TestTheReferenceIsCurrent(t *testing.T) {
	fresh := t.TempDir()
	require.NoError(t, doc.GenMarkdownTree(Documented(), fresh))
	if *update {
		require.NoError(t, os.RemoveAll(reference))
		require.NoError(t, os.CopyFS(reference, os.DirFS(fresh)))
	}
	const remedy = "run: go test ./cmd/sluice/internal/cli -run TestTheReferenceIsCurrent -update"
	want, err := os.ReadDir(fresh)
	require.NoError(t, err)
	kept, err := os.ReadDir(reference)
	require.NoError(t, err)
	require.Len(t, kept, len(want), remedy)
	for _, f := range want {
		now, err := os.ReadFile(filepath.Join(fresh, f.Name()))
		require.NoError(t, err)
		then, err := os.ReadFile(filepath.Join(reference, f.Name()))
		require.NoError(t, err, remedy)
		require.Equal(t, string(then), string(now), "%s is not what the command says now; %s", f.Name(), remedy)
	}
}

// Every command has what its help needs: a line about it, and examples.
func TestEveryCommandIsExplained(t *testing.T) {
	for _, c := range Documented().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue // cobra's
		}
		require.NotEmpty(t, c.Short, c.Name())
		require.Contains(t, c.Example, "sluice "+c.Name(), "%s has no example", c.Name())
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); line != "" {
				require.Contains(t, line, "sluice", "%s: an example is a command line", c.Name())
			}
		}
	}
}
