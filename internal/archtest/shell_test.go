package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/pages"
)

var (
	quoted = regexp.MustCompile(`'[^']*'|"[^"]*"|#.*`)
	glob   = regexp.MustCompile(`\S+://[^\s]*[?*&\[]`)
)

// The shell lines of the documentation parse in bash and in zsh, and quote what
// zsh would take for a pattern: a URL with a query.
func TestShellLinesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	n := 0
	for _, file := range files(t, root, ".md") {
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		var script strings.Builder
		for _, c := range pages.Commands(file, string(text)) {
			if strings.Contains(c.Text, "[flags]") {
				continue
			}
			n++
			require.NotRegexp(t, glob, quoted.ReplaceAllString(c.Text, ""), "%s:%d: quote the URL", file, c.Line)
			script.WriteString(c.Text + "\n")
		}
		for _, shell := range []string{"bash", "zsh"} {
			if _, err := exec.LookPath(shell); err != nil && os.Getenv("CI") == "" {
				continue
			}
			c := exec.CommandContext(t.Context(), shell, "-n")
			c.Stdin = strings.NewReader(script.String())
			out, err := c.CombinedOutput()
			require.NoError(t, err, "%s in %s: %s\n%s", file, shell, out, script.String())
		}
	}
	require.Greater(t, n, 30, "the documentation has shell lines")
}
