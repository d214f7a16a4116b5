package letters

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/command"
)

func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }

// numbers are those that the script checks, in its order: a script that left one out would
// not be noticed otherwise.
var numbers = []string{
	"apply: exit status: 0",
	"doctor: exit status: 0",
	"rejected: 40",
	"doctor: exit status, there are letters: 3",
	"groups: 2",
	"letters of the first group: 28",
	"letters of the second group: 12",
	"attempts of their messages: 1",
	"listed of the second group: 12",
	"canary: exit status, it came back: 3",
	"canary: moved: 3",
	"letters: 40",
	"canary: exit status: 0",
	"canary: moved: 28",
	"effects: 28",
	"discard without --yes: exit status: 2",
	"would be discarded: 12",
	"discarded: 12",
	"letters: 0",
	"groups: 0",
	"doctor: exit status: 0",
}

const story command.Story = "letters.sh"

func TestFromLettersToNone(t *testing.T) {
	t.Parallel()
	story.OnEach(t, func(t *testing.T, _, output string) {
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^   (\S.*: \d+)$`).FindAllStringSubmatch(output, -1) {
			got = append(got, m[1])
		}
		require.Equal(t, numbers, got, output)
		require.Regexp(t, `(?m)^1 +g\w+ +28 +refund +1 +\S+ +\S+ +.*no such account: \d+$`, output)
		require.Regexp(t, `(?m)^2 +g\w+ +12 +print +1 +\S+ +\S+ +.*tray \d+.* is gone`, output)
	})
}

// A script that finds a wrong number says which, and fails.
func TestAWrongNumberIsReported(t *testing.T) {
	t.Parallel()
	require.Contains(t, story.Changed(t, `field count)" 28`, `field count)" 27`),
		"WRONG: letters of the first group is 28, and 27 was expected")
}
