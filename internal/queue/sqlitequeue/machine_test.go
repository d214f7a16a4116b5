package sqlitequeue

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const readingVariable = "SLUICE_TEST_READING"

type told struct {
	Boot   string
	Uptime int64
}

// Another process reads the same clock of the same boot.
func TestProcessesShareTheClock(t *testing.T) {
	if os.Getenv(readingVariable) != "" {
		r := machine{}.read()
		b, err := json.Marshal(told{r.boot, r.uptime})
		require.NoError(t, err)
		_, err = os.Stdout.Write(append(b, '\n'))
		require.NoError(t, err)
		return
	}
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
	default:
		require.True(t, strings.HasPrefix(boot(), "process "))
		return
	}
	before := machine{}.read()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesShareTheClock$")
	cmd.Env = append(os.Environ(), readingVariable+"=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	now, ok := uptime()
	require.True(t, ok)
	after := machine{}.read()
	require.LessOrEqual(t, now, after.uptime+second/50)
	require.GreaterOrEqual(t, now, before.uptime-second/50)
	var other told
	line, _, _ := strings.Cut(string(out), "\n")
	require.NoError(t, json.Unmarshal([]byte(line), &other))
	require.Equal(t, before.boot, other.Boot)
	const tick = second / 50 // of the coarsest clock
	require.GreaterOrEqual(t, other.Uptime, before.uptime-tick)
	require.LessOrEqual(t, other.Uptime, after.uptime+tick)
}
