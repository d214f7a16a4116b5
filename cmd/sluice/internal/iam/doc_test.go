package iam_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/iam"
)

var update = flag.Bool("update", false, "write the tables of docs/iam.md anew")

// The tables between the marks of docs/iam.md are those of the commands.
func TestTheDocumentIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "..", "..", "docs", "iam.md")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	was, text := string(raw), string(raw)
	for name, table := range map[string]string{
		"aws": iam.Markdown(iam.AWS), "gcp": iam.Markdown(iam.GCP), "commands": iam.CommandsMarkdown(),
	} {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		require.True(t, ok, begin)
		_, after, ok := strings.Cut(rest, end)
		require.True(t, ok, end)
		text = before + begin + "\n" + table + "\n" + end + after
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return
	}
	require.Equal(t, text, was, "run: go test ./cmd/sluice/internal/iam -run TestTheDocumentIsCurrent -update")
}
