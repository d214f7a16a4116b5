package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// An empty, a zero or a negative value of any flag of any command is refused, so that
// it can't pass for a flag that was not given, unless the flag has a meaning for it.
func TestNoFlagTakesNothingForSomething(t *testing.T) {
	meant := map[string]string{ // what a flag means by a value
		"send --body=":              "an empty body",
		"send --body= ":             "a body of white space",
		"send --body=\t\n":          "a body of white space",
		"dev --sqs=":                "no SQS server",
		"dev --pubsub=":             "no Pub/Sub server",
		"peek --body-limit=0":       "all of the body",
		"letters --body-limit=0":    "all of the body",
		"redrive --max-redrives=-1": "no limit",
	}
	values := map[string][]string{
		"string":      {"", " ", "\t\n"},
		"stringArray": {"", " "},
		"stringSlice": {"", "x,", " "},
		"int":         {"", "0", "-1", " ", "1.5", "NaN", "99999999999999999999"},
		"DURATION":    {"", "0s", "-1s", "NaN", "5", "5x", " 5s", "1e3s", "99999999999h"},
	}
	tried := make(map[string]bool)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if !c.Runnable() || c.HasSubCommands() {
			return
		}
		c.InheritedFlags() // has cobra add them to the command's own
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			require.Contains(t, values, f.Value.Type(), "--%s of %s: say what its empty and zero values are", f.Name, c.Name())
			for _, value := range values[f.Value.Type()] {
				path := strings.Fields(c.CommandPath())[1:]
				given := "--" + f.Name + "=" + value
				name := strings.Join(append(path, given), " ")
				tried[name] = true
				if meant[name] != "" {
					continue
				}
				args := append(path, given)
				var rest []string
				for c.Name() != "dev" && c.Args != nil && c.ValidateArgs(rest) != nil && len(rest) < 2 {
					rest = append(rest, "mem://x")
				}
				args = append(args, rest...)
				var out, errs bytes.Buffer
				code := Main(Program{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Mux: drivers.NewMux()})
				require.Equal(t, ExitUsage, code, name)
				require.Contains(t, errs.String(), f.Name, name)
				require.Regexp(t, `empty|blank|below|above zero|invalid argument|neither|NAME=VALUE`, errs.String(), name)
				require.Empty(t, out.String(), name)
			}
		})
	}
	visit(Documented())
	for name := range meant {
		require.Contains(t, tried, name, "no flag has this value any more")
	}
}

// Wrong arguments are refused before anything is done, and the refusal names them.
func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"run mem://x --exec cat --metrics abc", `--metrics "abc" is neither a port nor HOST:PORT`},
		{"run mem://x --exec cat --metrics -1", `--metrics "-1" is neither`},
		{"run mem://x --exec cat --metrics 99999", `--metrics "99999" is neither`},
		{"run mem://x --exec cat --metrics a:b:c", `--metrics "a:b:c" is neither`},
		{"relay --metrics abc", `--metrics "abc" is neither`},
		{"depth mem://x --metrics abc", `--metrics "abc" is neither`},
		{"console --listen abc", `--listen "abc" is neither`},
		{"scaler mem://x --listen abc", `--listen "abc" is neither`},
		{"dev --sqs abc", `--sqs "abc" is neither`},
		{"dev --pubsub abc", `--pubsub "abc" is neither`},
		{"ingest abc mem://x --github-secret-env S", `"abc" is neither`},
		{"peek mem://x -n 1 -n 2", `given twice, and was "1"`},
		{"send mem://x --body a --body b", `given twice, and was "a"`},
		{"send mem://x --delay 1s --delay 2s", `given twice, and was "1s"`},
		{"discard mem://x --yes --yes=false", `given twice, and was "true"`},
		{"doctor mem://x mem://x", `queue "mem://x" is given twice`},
		{"plan a a", `queue "a" is given twice`},
		{"apply a a", `queue "a" is given twice`},
		{"run mem://x mem://x --exec cat", `queue "mem://x" is given twice`},
		{"iam a a --for run", `queue "a" is given twice`},
		{"scaler a a", `queue "a" is given twice`},
		{"console a a", `queue "a" is given twice`},
		{"outbox a a", `queue "a" is given twice`},
		{"send mem://x --delay NaN", `"NaN" is not a duration`},
		{"send mem://x --delay 5", `"5" has no unit: write 5s`},
	} {
		var out, errs bytes.Buffer
		code := Main(Program{Args: strings.Fields(c.args), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Mux: drivers.NewMux()})
		require.Equal(t, ExitUsage, code, c.args)
		require.Contains(t, errs.String(), c.want, c.args)
		require.Empty(t, out.String(), c.args)
	}
	for _, args := range [][]string{{"depth", ""}, {"depth", "a", " "}, {"peek", " "}, {"send", ""}, {"run", "\t", "--exec", "cat"}} {
		var errs bytes.Buffer
		code := Main(Program{Args: args, Stdin: strings.NewReader(""), Stdout: &errs, Stderr: &errs, Mux: drivers.NewMux()})
		require.Equal(t, ExitUsage, code, args)
		require.Contains(t, errs.String(), "the name of a queue is empty", args)
	}
	// The last global flag wins.
	var out bytes.Buffer
	require.Equal(t, ExitDone, Main(Program{Args: strings.Fields("version -o json -o text"), Stdout: &out, Stderr: &out, Mux: drivers.NewMux()}))
}
