package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	command = regexp.MustCompile(`^\s*([A-Z_]+=\S+ )*(go|sluice|make|\.ci/run|export|curl|createdb|cd|eval|docker|sam|aws|gcloud) `)
	quoted  = regexp.MustCompile(`'[^']*'|"[^"]*"|#.*`)
	glob    = regexp.MustCompile(`\S+://[^\s]*[?*&\[]`)
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
		fenced, code, other := false, false, false
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
				kind, _, _ := strings.Cut(strings.TrimSpace(line), " ")
				code, other = fenced && kind == "```sh", fenced && kind != "```sh" && kind != "```"
				continue
			}
			if other || !code && !((fenced || strings.HasPrefix(line, "    ")) && command.MatchString(line)) || strings.Contains(line, "[flags]") {
				continue
			}
			n++
			require.NotRegexp(t, glob, quoted.ReplaceAllString(line, ""), "%s: quote the URL", file)
			script.WriteString(line)
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
