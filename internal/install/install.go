// Package install puts the servers that tests run against into the user's cache
// directory: Python programs as virtual environments, Java programs as a folder
// of jars, Go programs as go install builds them. Each is keyed by the hash of its pinned list, made once under a file
// lock, and shared by all test binaries, checkouts and processes of the user.
package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ready is the file that says that an installation was finished.
const ready = ".ready"

// Root returns the directory under which everything is installed:
// SLUICE_CACHE_DIR, or "sluice" in the user's cache directory.
func Root() (string, error) {
	if dir := os.Getenv("SLUICE_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (set SLUICE_CACHE_DIR): %w", err)
	}
	return filepath.Join(dir, "sluice"), nil
}

// once returns the directory of the installation name from list, and calls
// build if it does not exist. Concurrent processes wait for the one that
// builds; an unfinished build is restarted.
func once(ctx context.Context, name string, list []byte, build func(dir string) error) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(list)
	dir := filepath.Join(root, name+"-"+hex.EncodeToString(sum[:8]))
	if finished(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	unlock, err := Lock(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("waiting for another process that installs %s: %w", name, err)
	}
	defer unlock()
	if finished(dir) {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := build(dir); err != nil {
		return "", fmt.Errorf("installing %s: %w", name, err)
	}
	return dir, os.WriteFile(filepath.Join(dir, ready), nil, 0o644)
}

func finished(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ready))
	return err == nil
}

// run runs a command, and returns the end of what it printed if it fails.
func run(ctx context.Context, dir, path string, args ...string) error {
	return runIn(ctx, dir, nil, path, args...)
}

// runIn is run with more variables in the environment.
func runIn(ctx context.Context, dir string, env []string, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		const most = 2000
		out = bytes.TrimSpace(out)
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), err, out[max(0, len(out)-most):])
	}
	return nil
}
