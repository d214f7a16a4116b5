package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInstallationIsMadeOnce(t *testing.T) {
	t.Setenv("SLUICE_CACHE_DIR", t.TempDir())
	var built atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := once(t.Context(), "thing", []byte("list"), func(dir string) error {
				built.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, built.Load())

	other, err := once(t.Context(), "thing", []byte("another list"), func(string) error { built.Add(1); return nil })
	require.NoError(t, err)
	require.DirExists(t, other)
	require.EqualValues(t, 2, built.Load())
}

func TestUnfinishedInstallationIsBegunAnew(t *testing.T) {
	t.Setenv("SLUICE_CACHE_DIR", t.TempDir())
	broken := errors.New("no network")
	leave := func(err error) func(string) error {
		return func(dir string) error {
			require.NoFileExists(t, filepath.Join(dir, "half"), "what was half done is still there")
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
		}
	}
	for range 2 {
		_, err := once(t.Context(), "thing", nil, leave(broken))
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "installing thing")
	}
	_, err := once(t.Context(), "thing", nil, leave(nil))
	require.NoError(t, err)
}

func TestWaitingForAnotherInstallationEndsWithTheContext(t *testing.T) {
	t.Setenv("SLUICE_CACHE_DIR", t.TempDir())
	_, err := once(t.Context(), "thing", nil, func(string) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := once(ctx, "thing", nil, func(string) error { return errors.New("two at once") })
		require.ErrorIs(t, err, context.Canceled)
		return nil
	})
	require.NoError(t, err)
}

func TestPythonThatIsTooOldIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SLUICE_CACHE_DIR", dir)
	old := filepath.Join(dir, "oldpython")
	require.NoError(t, os.WriteFile(old, []byte("#!/bin/sh\necho 3.9\nexit 1\n"), 0o700))
	t.Setenv("SLUICE_PYTHON", old)
	_, err := Python(t.Context(), "thing", nil)
	require.ErrorContains(t, err, "no Python 3.11 or newer")
	require.ErrorContains(t, err, "3.9")

	t.Setenv("SLUICE_PYTHON", filepath.Join(dir, "nothing"))
	_, err = Python(t.Context(), "thing", nil)
	require.ErrorContains(t, err, "looked for")
}

func TestCommandThatFailsIsQuoted(t *testing.T) {
	err := run(t.Context(), t.TempDir(), "/bin/sh", "-c", "echo the reason; exit 3")
	require.ErrorContains(t, err, "the reason")
	require.ErrorContains(t, err, "exit status 3")
}
