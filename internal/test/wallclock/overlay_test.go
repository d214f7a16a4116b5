//go:build !steppedclock

package wallclock_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/suite"
)

// The replacement in package time: a Now whose wall clock, and nothing else, is off
// by what StepWallClock has added up to.
const (
	nowBegins  = "	sec, nsec, mono := runtimeNow()\n"
	nowStepped = nowBegins + `	if mono != 0 {
		ns := int64(nsec) + stepped.Load()
		sec, ns = sec+ns/1e9, ns%1e9
		if ns < 0 {
			sec, ns = sec-1, ns+1e9
		}
		nsec = int32(ns)
	}
`
	stepFunction = `
var stepped atomic.Int64

// StepWallClock sets the wall clock forward, or back.
func StepWallClock(d Duration) { stepped.Add(int64(d)) }
`
	imports = "import (\n"
)

// TestSteps runs the tests of this package that have the build tag steppedclock.
func TestSteps(t *testing.T) {
	if testing.Short() {
		return // it builds the standard library anew, for a process that is not raced
	}
	suite.Only(t)
	t.Parallel()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	stepped := string(text)
	for _, r := range []struct{ old, new string }{{imports, imports + "	\"sync/atomic\"\n"}, {nowBegins, nowStepped}} {
		require.Equal(t, 1, strings.Count(stepped, r.old), "the package time has changed: %q", r.old)
		stepped = strings.Replace(stepped, r.old, r.new, 1)
	}
	dir := t.TempDir()
	replacement := filepath.Join(dir, "time.go")
	require.NoError(t, os.WriteFile(replacement, []byte(stepped+stepFunction), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: replacement}})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	program := filepath.Join(dir, "stepped.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay="+file, "-tags=steppedclock", "-o="+program, ".")
	build.Env = buildEnv(t, source)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), program, "-test.timeout=5m", "-test.v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// buildEnv returns the environment of the build. A toolchain that the go command
// has downloaded is in the module cache, if it refuses to replace files: the
// build then has a module cache of its own, filled from the first one.
func buildEnv(t *testing.T, source string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	require.NoError(t, err)
	cache := strings.TrimSpace(string(out))
	if !strings.HasPrefix(source, cache+string(filepath.Separator)) {
		return nil
	}
	return append(os.Environ(),
		"GOMODCACHE="+filepath.Join(t.TempDir(), "mod"),
		"GOPROXY=file://"+filepath.ToSlash(filepath.Join(cache, "cache", "download")),
		"GOFLAGS=-modcacherw", "GOSUMDB=off", "GOTOOLCHAIN=local")
}
