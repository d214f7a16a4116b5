package story

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/command"
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

const story command.Story = "story.sh"

func TestTheStory(t *testing.T) {
	t.Parallel()
	story.OnEach(t, func(t *testing.T, provider, output string) {
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^   (\S[^:].*: ?.*)$`).FindAllStringSubmatch(output, -1) {
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
		require.Equal(t, want, got, output)
		// Each letter has its reason.
		for _, n := range []string{"14", "28", "42", "56", "70", "84", "98"} {
			require.Contains(t, output, "no such kind: refund (number "+n+")")
		}
	})
}

// A script that finds a wrong number says which, and fails.
func TestAWrongNumberIsReported(t *testing.T) {
	t.Parallel()
	require.Contains(t, story.Changed(t, `grep -c refund messages)" 7`, `grep -c refund messages)" 8`), "WRONG: poison is 7, and 8 was expected")
}
