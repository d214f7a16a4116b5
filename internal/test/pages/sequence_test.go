package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each picture is drawn from the text beside it. Draw them with -update.
func TestPictures(t *testing.T) {
	t.Parallel()
	texts, err := filepath.Glob("../../../docs/concepts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, texts)
	for _, file := range texts {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		want, err := Sequence(string(text))
		require.NoError(t, err, file)
		picture := strings.TrimSuffix(file, ".txt") + ".svg"
		if *update {
			require.NoError(t, os.WriteFile(picture, []byte(want), 0o644)) //nolint:gosec // a picture that all may read
		}
		got, err := os.ReadFile(picture)
		require.NoError(t, err, "draw it: go test ./internal/test/pages -run Pictures -update")
		require.Equal(t, want, string(got), "draw it: go test ./internal/test/pages -run Pictures -update")
	}
}

func TestAWrongPictureIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "no lanes",
		"lanes a | b\na > c: x":    `line 2: "a > c: x": an arrow is`,
		"lanes a | b\na > b":       "an arrow is",
		"lanes a | b\nsomething":   "neither an arrow nor a note",
		"lanes a | b\nc . nothing": "neither an arrow nor a note",
	} {
		_, err := Sequence(text)
		require.ErrorContains(t, err, want)
	}
}
