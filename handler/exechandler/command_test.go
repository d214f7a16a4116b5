package exechandler

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACommandThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		says  string
	}{
		{nil, "names no program"},
		{[]string{""}, "names no program"},
		{[]string{"no-such-program-here", "x"}, `"no-such-program-here": executable file not found`},
		{[]string{"/no/such/program"}, "no such file"},
	} {
		_, err := New(c.words, nil)
		require.ErrorContains(t, err, c.says)
		_, err = NewPool(c.words, nil)
		require.ErrorContains(t, err, c.says)
	}
	_, err := New([]string{"no-such-program-here"}, nil)
	require.ErrorIs(t, err, exec.ErrNotFound)

	_, err = NewPool([]string{""}, &PoolConfig{Config: Config{KillGrace: -1}, Workers: -1, MaxMessages: -1, StopGrace: -1, MinRestart: 2, MaxRestart: 1})
	for _, says := range []string{"names no program", "KillGrace is -1ns", "Workers is -1", "MaxMessages is -1", "StopGrace is -1ns", "it must not be below MinRestart"} {
		require.ErrorContains(t, err, says)
	}
}

// A relative program is found from here, though the command runs elsewhere.
func TestARelativeProgram(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("run.sh", []byte("#!/bin/sh\n"), 0o700))
	path, err := lookUp([]string{"./run.sh"})
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(path), path)
}

func TestVariable(t *testing.T) {
	t.Parallel()
	v, ok := variable("A", "b\x00c")
	require.True(t, ok)
	require.Equal(t, "A=b\uFFFDc", v)
	_, ok = variable("A", strings.Repeat("x", longestVariable))
	require.False(t, ok)

	require.Equal(t, "TENANT_ID", variableSuffix("tenant-id"))
	require.Equal(t, "A_B__1", variableSuffix("a.b é1"[:3]+"é.1"))
	require.Empty(t, variableSuffix(""))
}
