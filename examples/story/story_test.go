package story

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }

// numbers are what the script must have found, in its order: it checks them
// itself, and a script that forgot one would not be noticed but here.
var numbers = []string{
	"plan: exit status, there are changes: 3",
	"apply: exit status: 0",
	"apply once more: changes: 0",
	"plan: exit status, nothing to do: 0",
	"doctor: exit status, the queue is sound: 0",
	"poison: 7",
	"sent: 100",
	"acked: 93",
	"rejected: 7",
	"effects: 93",
	"letters: 7",
	"letters that tell their reason: 7",
	"depth of the dead-letter queue: 7",
	"doctor: exit status: 3",
	"findings: letters-present ",
	"findings that say: sluice redrive: 1",
	"would be brought back: 7",
	"brought back: 7",
	"by the provider itself: 1", // on SQS
	"acked: 7",
	"rejected: 0",
	"effects: 100",
	"depth of the dead-letter queue: 0",
	"doctor: exit status: 0",
}

func TestTheStory(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	providers := []string{"sqs", "pubsub"}
	if suite.Asked() {
		providers = append(providers, "localstack")
	}
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			testserver.Credentials(t)
			endpoint := ""
			if provider == "localstack" {
				endpoint = testserver.LocalStack(t, "sqs", "cloudwatch").URL
			}
			env := []string{
				"QUEUE=" + testserver.Name(t), "ADDR=" + freeAddr(t), "NO_COLOR=1", "GORACE=atexit_sleep_ms=0",
				"AWS_ENDPOINT_URL=" + endpoint, "PUBSUB_EMULATOR_HOST=",
			}
			cmd := exec.CommandContext(t.Context(), "bash", "story.sh", provider)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)

			var got []string
			for _, m := range regexp.MustCompile(`(?m)^   (\S[^:].*: ?.*)$`).FindAllStringSubmatch(string(out), -1) {
				if !strings.HasPrefix(m[1], "rejected: sh:") && !strings.Contains(m[0], "    ") {
					got = append(got, m[1])
				}
			}
			want := numbers
			if provider == "pubsub" {
				want = nil
				for _, n := range numbers {
					if !strings.HasPrefix(n, "by the provider") {
						want = append(want, n)
					}
				}
			}
			require.Equal(t, want, got, "%s", out)
			// Each of the letters told why it is one.
			for _, n := range []string{"14", "28", "42", "56", "70", "84", "98"} {
				require.Contains(t, string(out), "no such kind: refund (number "+n+")")
			}
		})
	}
}

// A script that found a wrong number says which, and fails.
func TestAWrongNumberIsTold(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	script, err := os.ReadFile("story.sh")
	require.NoError(t, err)
	wrong := strings.Replace(string(script), `grep -c refund messages)" 7`, `grep -c refund messages)" 8`, 1)
	require.NotEqual(t, string(script), wrong)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/story.sh", []byte(wrong), 0o600))
	config, err := os.ReadFile("sluice.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/sluice.yaml", config, 0o600))
	testserver.Credentials(t)
	cmd := exec.CommandContext(t.Context(), "bash", dir+"/story.sh", "pubsub")
	cmd.Env = append(os.Environ(), "ADDR="+freeAddr(t), "GORACE=atexit_sleep_ms=0", "PUBSUB_EMULATOR_HOST=")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, string(out), "WRONG: poison is 7, and 8 was expected")
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
