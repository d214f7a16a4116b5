package pages

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// read returns the groups of a pattern's matches in files, sorted, each once.
func read(t *testing.T, pattern, glob string) []string {
	files, err := filepath.Glob("../../../" + glob)
	require.NoError(t, err)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
	}
	require.NotEmpty(t, found, "%s in %s", pattern, glob)
	return slices.Sorted(maps.Keys(found))
}

// The runbook has an entry for each alert and each finding, and for nothing else.
func TestRunbook(t *testing.T) {
	t.Parallel()
	const runbook = "docs/operations/runbook.md"
	require.Equal(t, read(t, `(?m)^ *- alert: (\w+)$`, "examples/observability/prometheus-alerts.yml"), read(t, `(?m)^### (Sluice\w+)$`, runbook))
	require.Equal(t, read(t, `(?m)^\| ([a-z-]+) \| (?:critical|major|minor) \|`, "docs/doctor.md"), read(t, `(?m)^### ([a-z-]+)$`, runbook))
}

// The reference of metrics has those of package otel.
func TestMetrics(t *testing.T) {
	t.Parallel()
	labels := []string{"sluice.age", "sluice.attempt", "sluice.delivery", "sluice.state", "sluice.store", "sluice.verdict"}
	var want []string
	for _, name := range read(t, `"((?:sluice|messaging\.(?:client|process))\.[a-z_.]+)"`, "middleware/otel/*.go") {
		if !slices.Contains(labels, name) {
			want = append(want, strings.ReplaceAll(name, ".", "_"))
		}
	}
	var got []string
	for _, name := range read(t, "(?m)^\\| `([a-z_]+)` \\|", "docs/reference/metrics.md") {
		got = append(got, regexp.MustCompile("(_per_second|_seconds|_total)$").ReplaceAllString(name, ""))
	}
	slices.Sort(want)
	slices.Sort(got)
	require.Equal(t, want, got)
}
