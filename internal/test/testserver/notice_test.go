package testserver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnInstallationSaysHowLongItTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
		end := sayInstalling("Quick", 3*time.Second, 20*time.Second, say)
		<-time.After(2 * time.Second)
		end()
		require.Empty(t, lines)

		end = sayInstalling("LocalStack", 3*time.Second, 20*time.Second, say)
		<-time.After(44 * time.Second)
		end()
		require.Equal(t, []string{
			"installing LocalStack, once (3s so far)", "installing LocalStack, once (23s so far)", "installing LocalStack, once (43s so far)",
			"LocalStack took 44s to install; it stays in the cache directory",
		}, lines)
	})
}
