package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
)

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

// A program without expressions names the tag that it lacks.
func TestWhereNeedsATag(t *testing.T) {
	var errs bytes.Buffer
	code := Main(Program{Args: []string{"letters", "mem://jobs", "--where", "true"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Mux: drivers.NewMux(&mem.Opener{})})
	require.Equal(t, ExitUsage, code)
	require.Equal(t, "sluice: letters: --where: this sluice was built without expressions: build it with -tags sluice_cel (or sluice_all)\n", errs.String())
}

func TestCommandWords(t *testing.T) {
	t.Parallel()
	for line, operator := range map[string]string{
		`echo done >> log`:             ">>",
		`echo start; ./handle`:         ";",
		`echo a>>log`:                  ">>",
		`cmd &>log`:                    "&>",
		`x >$HOME/log`:                 ">",
		`./handle 2>&1`:                "2>&",
		`jq . | ./handle`:              "|",
		`a&&b`:                         "&&",
		`./handle &`:                   "&",
		`sh -c 'true | true' | x`:      "|",
		`cat <<END`:                    "<<",
		`echo "a" '>' ">" \> > "x"`:    ">",
		`sh -c 'true | true' '|'`:      "",
		`sh -c "a > 'b'; c \"d\" | e"`: "",
		`test a ">" \> '|' \;`:         "",
		`curl http://h/?a=1&b=2`:       "",
		`find . -name x -exec y {} \;`: "",
	} {
		_, err := commandWords(line)
		if operator == "" {
			require.NoError(t, err, line)
			continue
		}
		require.ErrorContains(t, err, ", and "+operator+" would be text for it", line)
	}
}
