// Mutants puts faults back that were mended, one at a time, and checks that a test
// catches each: it replaces a piece of source by an overlay, runs the test that is
// to fail, and says which did not. The working tree is not touched.
//
//	go run ./internal/test/seams/mutants            # all, in a quarter of an hour
//	go run ./internal/test/seams/mutants 3.3 5.2    # those of these points
//	go run ./internal/test/seams/mutants -table     # the table of docs/seams.md
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	table := flag.Bool("table", false, "print the table in Markdown and run nothing")
	flag.Parse()
	if *table {
		fmt.Fprint(os.Stdout, markdown())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	lived, err := run(ctx, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if lived > 0 {
		fmt.Fprintf(os.Stderr, "%d mutants live\n", lived)
		os.Exit(3)
	}
}

// run tries the mutants of the given points, all if there is none, and returns
// how many no test caught.
func run(ctx context.Context, points []string) (lived int, err error) {
	for i := range mutants {
		m := &mutants[i]
		if len(points) > 0 && !slices.Contains(points, m.point) {
			continue
		}
		begin := time.Now()
		verdict, err := m.try(ctx)
		if err != nil {
			return lived, fmt.Errorf("%s: %w", m.fault, err)
		}
		if verdict != caught {
			lived++
		}
		fmt.Fprintf(os.Stdout, "%-7s %-5s %s (%s, %v)\n", verdict, m.point, m.fault, m.catcher(), time.Since(begin).Round(time.Second))
	}
	return lived, nil
}

// The fates of a mutant.
const (
	caught = "caught"
	lives  = "LIVES"
	broken = "BROKEN" // it does not build
)

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

func markdown() string {
	var b strings.Builder
	b.WriteString("| point | fault put back | where | caught by |\n|---|---|---|---|\n")
	for i := range mutants {
		m := &mutants[i]
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", m.point, m.fault, m.file, m.catcher())
	}
	return b.String()
}
