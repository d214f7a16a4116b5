package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
)

// A stop while the endpoint refuses connections takes no longer than the drain may,
// and spends no attempt: the messages are there for the next run.
func TestAStopWhileTheEndpointRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := drivers.NewMux(&mem.Opener{})
		const queue = "mem://jobs?max_attempts=2&visibility_timeout=5s"
		run := func(signals <-chan os.Signal, args ...string) (out, log string) {
			var stdout, stderr bytes.Buffer
			code := Main(Program{Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Signals: signals, Mux: mux})
			require.Equal(t, ExitDone, code, stderr.String())
			return stdout.String(), stderr.String()
		}
		none := make(chan os.Signal)
		for _, body := range []string{"m1", "m2"} {
			run(none, "send", queue, "--body", body)
		}

		signals := make(chan os.Signal, 1)
		var asked time.Time
		time.AfterFunc(2*time.Second, func() {
			asked = time.Now()
			signals <- os.Interrupt
		})
		out, log := run(signals, "run", queue, "-o", "json", "--http", "http://127.0.0.1:1/")
		require.Contains(t, out, `"acked":0,"retried":0,"rejected":0,`)
		require.Contains(t, log, "reached: no message is received")
		require.LessOrEqual(t, time.Since(asked), drainTime+stopTime)

		out, _ = run(none, "depth", queue, "-o", "json")
		require.Contains(t, out, `"dead_letters":0`)
		out, _ = run(none, "run", queue, "--until-empty", "--exec", "true", "-o", "json")
		require.Contains(t, out, `"acked":2,"retried":0,"rejected":0`)
	})
}
