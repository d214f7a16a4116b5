package exechandler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", []string{}},
		{"cat", []string{"cat"}},
		{"  cat  -n\t- ", []string{"cat", "-n", "-"}},
		{`cat 'a b' "c d" e\ f`, []string{"cat", "a b", "c d", "e f"}},
		{`cat ''`, []string{"cat", ""}},
		{`cat '$HOME' $HOME ; | > * #x`, []string{"cat", "$HOME", "$HOME", ";", "|", ">", "*", "#x"}},
		{"a\\\nb \\\n c \"d\\\ne\" \"\\f\"", []string{"ab", "c", "de", `\f`}},
		{`cat "a\"b" 'c'\''d'`, []string{"cat", `a"b`, "c'd"}},
	} {
		words, err := Split(c.line)
		require.NoError(t, err, c.line)
		require.Equal(t, c.want, words)
	}
	for _, line := range []string{"cat 'x", `cat "x`, `cat "x\"`} {
		_, err := Split(line)
		require.ErrorContains(t, err, "quote")
	}
	_, err := Split(`cat \`)
	require.ErrorContains(t, err, "backslash")
}

func FuzzSplit(f *testing.F) {
	f.Add(`cat 'a b' "c" d\ e`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			require.Empty(t, words)
			return
		}
		for _, w := range words {
			require.LessOrEqual(t, len(w), len(line))
		}
	})
}
