package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A mutant is a fault that was mended, put back.
type mutant struct {
	point string // of the promises; see docs/seams.md
	fault string
	file  string
	// old stands in the file once, and new takes its place.
	old, new string
	// pkg has the test that must fail.
	pkg, test string
	args      []string
}

// try builds the mutant's test with the fault in it, and runs it.
func (m *mutant) try(ctx context.Context) (string, error) {
	source, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("%s has %q %d times: bring the table up to date", m.file, m.old, n)
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	replacement := filepath.Join(dir, filepath.Base(source))
	if err := os.WriteFile(replacement, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: replacement}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay="+file, "-o="+program, m.pkg)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		return broken, ctx.Err()
	}
	args := append([]string{"-test.run=" + m.test, "-test.timeout=2m", "-test.short"}, m.args...)
	test := exec.CommandContext(ctx, program, args...)
	test.Dir = m.pkg
	out, err := test.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &exit):
		return caught, nil
	case err != nil:
		return "", fmt.Errorf("%w: %s", err, out)
	case strings.Contains(string(out), "no tests to run"):
		return "", fmt.Errorf("%s has no test %s", m.pkg, m.test)
	}
	return lives, nil
}

// catcher names the test that catches the mutant.
func (m *mutant) catcher() string {
	name := strings.Trim(m.test, "^$")
	if m.pkg == seams {
		return "the suite on " + strings.TrimPrefix(m.args[0], "-seams.queue=")
	}
	return strings.TrimPrefix(m.pkg, "./") + " " + name
}
