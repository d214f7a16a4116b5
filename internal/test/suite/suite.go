// Package suite decides how much of the slow suites a run executes: those that
// kill processes, step clocks, or repeat on a real server what an in-process one
// has shown. CI runs them completely; so does SLUICE_FULL=1. The tests of a
// developer's "go test ./..." leave them out or run them small.
package suite

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// EnvFull is the environment variable that asks for the slow suites if its value
// is 1. CI=true asks for them too.
const EnvFull = "SLUICE_FULL"

// Asked reports whether the environment asks for the slow suites.
func Asked() bool { return os.Getenv("CI") == "true" || os.Getenv(EnvFull) == "1" }

// Full reports whether to run a suite at its full size: the environment asks for
// it and the run is not a -short one, which the race detector's is.
func Full() bool { return Asked() && !testing.Short() }

// Only skips the test unless the environment asks for the slow suites.
func Only(t testing.TB) {
	t.Helper()
	if !Asked() {
		t.Skip("a slow suite: CI=true or " + EnvFull + "=1 runs it")
	}
}

// Run runs the tests of a package that wait more than they compute: as many in
// parallel as eight for each processor, unless the command line says otherwise.
// It returns the exit code. TestMain calls it.
func Run(m *testing.M) int {
	if err := flag.Set("test.parallel", strconv.Itoa(8*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Quick reports whether a developer wants the quick tests only: the run is a
// -short one and the environment does not ask for more.
func Quick() bool { return testing.Short() && !Asked() }

// Slow skips the test if only the quick ones are wanted.
func Slow(t testing.TB) {
	t.Helper()
	if Quick() {
		t.Skip("it is slow, and -short leaves it out")
	}
}
