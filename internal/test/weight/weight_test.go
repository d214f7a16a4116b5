package weight

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sluice-go/sluice/"

// size builds a program without symbols and returns its size in bytes.
func size(t *testing.T, program string) float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", out, module+program)
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	info, err := os.Stat(out)
	require.NoError(t, err)
	return float64(info.Size())
}

// A program with one provider is little larger than one with that provider's
// client alone.
func TestAConsumerWeighsWhatItsProviderDoes(t *testing.T) {
	t.Parallel()
	const folder = "internal/test/weight/testdata/"
	for driver, most := range map[string]float64{"sqs": 1.125, "pubsub": 1.13} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			ours, theirs := size(t, folder+driver), size(t, folder+"raw"+driver)
			t.Logf("%.1f MB, the client alone %.1f MB", ours/1e6, theirs/1e6)
			require.LessOrEqual(t, ours/theirs, most)
		})
	}
}

func TestTheCommandWeighsAtMost60MB(t *testing.T) {
	t.Parallel()
	got := size(t, "cmd/sluice")
	t.Logf("%.1f MB", got/1e6)
	require.LessOrEqual(t, got, 60e6, "see docs/adr/0015: leave out what few use, with an error that names the tag")
}
