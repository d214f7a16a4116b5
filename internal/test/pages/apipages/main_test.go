package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each package whose names api/sluice.txt has, has a page with them.
func TestEachExportedNameIsOnAPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, run([]string{dir}))
	api, err := os.ReadFile("../../../../api/sluice.txt")
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^([\w/]+): (?:func|type) (\w+)`).FindAllStringSubmatch(string(api), -1)
	require.Greater(t, len(names), 500)
	pages := map[string]string{}
	for _, m := range names {
		name := file(module + "/" + m[1])
		if pages[name] == "" {
			text, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			pages[name] = string(text)
		}
		require.Contains(t, pages[name], "{#"+m[2]+"}", "%s has no %s", name, m[2])
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.md"))
	require.NoError(t, err)
	for name := range pages {
		require.Contains(t, string(index), "]("+name+")")
	}
	require.Contains(t, pages["consumer.md"], "](drivers.md#Settlement.Released)", "the links of comments lead to other pages")
	require.Contains(t, pages["middleware-backoff.md"], "```text\n", "examples have their output")
}
