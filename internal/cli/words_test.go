package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"cat", []string{"cat"}},
		{"  cat  -n\t- ", []string{"cat", "-n", "-"}},
		{`cat 'a b' "c d" e\ f`, []string{"cat", "a b", "c d", "e f"}},
		{`cat ''`, []string{"cat", ""}},
		{`cat '$HOME' $HOME ; | > * #x`, []string{"cat", "$HOME", "$HOME", ";", "|", ">", "*", "#x"}},
		{`cat "a\"b" 'c'\''d'`, []string{"cat", `a"b`, "c'd"}},
	} {
		path, words, err := parseCommand(c.line)
		require.NoError(t, err, c.line)
		require.Equal(t, c.want, words)
		require.True(t, strings.HasSuffix(path, "/cat"), path)
	}
	for _, c := range []struct{ line, says string }{
		{"", "names no program"},
		{"''", "names no program"},
		{"cat 'x", "quote"},
		{`cat "x`, "quote"},
		{"no-such-program-here x", `"no-such-program-here": executable file not found`},
		{"/no/such/program", "no such file"},
	} {
		_, _, err := parseCommand(c.line)
		require.ErrorContains(t, err, c.says, c.line)
		require.Equal(t, ExitUsage, exitCode(err))
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(`cat 'a b' "c" d\ e`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, line string) {
		_, words, err := parseCommand(line)
		if err == nil {
			require.NotEmpty(t, words)
		}
	})
}

func TestVariable(t *testing.T) {
	v, ok := variable("A", "b\x00c")
	require.True(t, ok)
	require.Equal(t, "A=b\uFFFDc", v)
	_, ok = variable("A", strings.Repeat("x", longestVariable))
	require.False(t, ok)

	require.Equal(t, "TENANT_ID", variableSuffix("tenant-id"))
	require.Equal(t, "A_B__1", variableSuffix("a.b é1"[:3]+"é.1"))
	require.Empty(t, variableSuffix(""))
}

func TestParseBackoff(t *testing.T) {
	r, err := parseBackoff("1s..5m")
	require.NoError(t, err)
	require.Equal(t, "1s", r.Min.String())
	require.Equal(t, "5m0s", r.Max.String())
	r, err = parseBackoff("")
	require.NoError(t, err)
	require.Nil(t, r)
	for _, s := range []string{"1s", "1s..", "..1s", "5m..1s", "0..1s", "-1s..1s", "1..5", "1s-5m"} {
		_, err := parseBackoff(s)
		require.Equal(t, ExitUsage, exitCode(err), s)
	}
}

func TestParseAttributes(t *testing.T) {
	m, err := parseAttributes([]string{"a=1", "b=", "c=x=y", "d e= f "})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1", "b": "", "c": "x=y", "d e": " f "}, m)
	m, err = parseAttributes(nil)
	require.NoError(t, err)
	require.Nil(t, m)
	for _, bad := range [][]string{{"a"}, {"=x"}, {"a=1", "a=2"}} {
		_, err := parseAttributes(bad)
		require.Equal(t, ExitUsage, exitCode(err), bad)
	}
}
