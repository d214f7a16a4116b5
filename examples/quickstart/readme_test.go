package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README shows this program's heart: what is there must be what compiles.
func TestTheReadmeShowsThisProgram(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	snippet, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	for line := range strings.Lines(snippet) {
		require.Contains(t, string(source), strings.TrimSpace(line))
	}
	require.LessOrEqual(t, strings.Count(snippet, "\n"), 15)
}
