package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestMain runs the program of a test in a process of its own, if that is what this
// process was started for.
func TestMain(m *testing.M) {
	programs := map[string]func() int{"init": asInit, "orphans": leaveOrphans, "signal": awaitSignal}
	if run, ok := programs[os.Getenv(programVariable)]; ok {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

const programVariable = "SLUICE_CLI_TEST_PROGRAM"

// asInit is process 1 to its descendants, as far as they inherit a parent.
func asInit() int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	if err := os.Setenv(programVariable, os.Getenv("THEN")); err != nil {
		panic(err)
	}
	code, err := runInit()
	if err != nil {
		panic(err)
	}
	return code
}

// leaveOrphans starts processes that their parents do not wait for, and prints how
// many of them are zombies once all have ended.
func leaveOrphans() int {
	for range 10 {
		if err := exec.Command("sh", "-c", "(sleep 0.1 >/dev/null 2>&1 &); exit 0").Run(); err != nil { //nolint:noctx // it ends immediately
			panic(err)
		}
	}
	zombies, left := 0, 1 // one that has ended is a zombie until it is reaped
	for end := time.Now().Add(20 * time.Second); left+zombies > 0 && time.Now().Before(end); pause(20 * time.Millisecond) {
		zombies, left = 0, 0
		for _, state := range childrenOf(os.Getppid()) {
			switch state {
			case "Z":
				zombies++
			default:
				left++
			}
		}
	}
	fmt.Println("zombies:", zombies)
	return 7
}

func awaitSignal() int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("ready")
	<-c
	return 9
}

func pause(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// childrenOf returns the states of the children of a process, but of this one.
func childrenOf(parent int) map[int]string {
	states := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		text := string(content)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if fields[1] == strconv.Itoa(parent) && pid != os.Getpid() {
			states[pid] = fields[0]
		}
	}
	return states
}

func asProgram(t *testing.T, name, then string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), programVariable+"="+name, "THEN="+then)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	return c, &out
}

// As process 1 the command inherits what its handlers leave behind.
func TestProcess1ReapsWhatIsLeftBehind(t *testing.T) {
	c, out := asProgram(t, "init", "orphans")
	err := c.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, out.String())
	require.Equal(t, 7, exit.ExitCode(), "the status is the program's: %s", out)
	require.Equal(t, "zombies: 0\n", out.String())
}

func TestProcess1PassesSignalsOn(t *testing.T) {
	c, _ := asProgram(t, "init", "signal")
	c.Stdout = nil
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	line := make([]byte, len("ready\n"))
	_, err = out.Read(line)
	require.NoError(t, err)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	require.ErrorAs(t, c.Wait(), &exit)
	require.Equal(t, 9, exit.ExitCode())
	_, was := Init()
	require.False(t, was, "this is not process 1")
}
