package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// A Story is a shell script of an example that takes a provider as its argument and checks
// each number that it prints. It lies beside the test, with a sluice.yaml.
type Story string

// OnEach runs the script on each provider, on servers of its own, in parallel subtests, and
// calls check with its output.
func (s Story) OnEach(t *testing.T, check func(t *testing.T, provider, output string)) {
	t.Helper()
	suite.Slow(t)
	providers := []string{"sqs", "pubsub"}
	if suite.Asked() {
		providers = append(providers, "localstack")
	}
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			endpoint := ""
			if provider == "localstack" {
				endpoint = testserver.LocalStack(t, "sqs", "cloudwatch").URL
			}
			out, err := run(t, string(s), provider, "QUEUE="+testserver.Name(t), "AWS_ENDPOINT_URL="+endpoint)
			require.NoError(t, err, "%s", out)
			check(t, provider, string(out))
		})
	}
}

// Changed runs the script with one of its lines changed, which must make it fail, and
// returns its output.
func (s Story) Changed(t *testing.T, from, to string) string {
	t.Helper()
	suite.Slow(t)
	dir := t.TempDir()
	for _, name := range []string{string(s), "sluice.yaml"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		if name == string(s) {
			require.Contains(t, string(text), from)
			text = []byte(strings.Replace(string(text), from, to, 1))
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	out, err := run(t, filepath.Join(dir, string(s)), "pubsub")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	return string(out)
}

func run(t *testing.T, script, provider string, env ...string) ([]byte, error) {
	t.Helper()
	testserver.Credentials(t)
	cmd := exec.CommandContext(t.Context(), "bash", script, provider)
	cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "NO_COLOR=1", "GORACE=atexit_sleep_ms=0", "PUBSUB_EMULATOR_HOST=")
	cmd.Env = append(cmd.Env, env...)
	return cmd.CombinedOutput()
}
