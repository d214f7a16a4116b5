// Command testverdict reads what go test -json prints and says what came of it:
// a line a package, the output of what failed, and how much there was. It ends
// with 1 if a test failed or, since a test that was skipped has shown
// nothing, if one was skipped.
//
//	go test -json ./... | go run ./internal/test/testverdict
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	ok, err := judge(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testverdict:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// An event is one line of go test -json.
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	ImportPath  string // of a build's output
	FailedBuild string
}

// A testID is a test of a package, or, with no name, the package itself.
type testID struct{ pkg, test string }

type verdict struct {
	out      io.Writer
	output   map[testID][]string
	failed   []testID
	skipped  []testID
	packages int
	passed   int
}

// judge reads events to the end. It is false if a test failed or was skipped.
func judge(in io.Reader, out io.Writer) (ok bool, err error) {
	v := &verdict{out: out, output: map[testID][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, readErr := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			v.line(line)
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return false, readErr
		}
	}
	return v.sum()
}

func (v *verdict) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		v.printf("%s\n", line) // what the go command itself has to say
		return
	}
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		v.output[id] = append(v.output[id], e.Output)
	case "build-output":
		v.printf("%s", e.Output)
	case "fail":
		v.failed = append(v.failed, id)
		if e.Test == "" {
			v.report(e)
		}
	case "pass":
		if e.Test == "" {
			v.packages++
			v.printf("ok    %7.1fs %s\n", e.Elapsed, e.Package)
		} else {
			v.passed++
		}
		delete(v.output, id)
	case "skip":
		if e.Test != "" { // otherwise a package without tests
			v.skipped = append(v.skipped, id)
			v.printf("SKIP           %s %s\n%s", id.pkg, id.test, strings.Join(v.output[id], ""))
		}
		delete(v.output, id)
	}
}

// report prints what the tests of a package printed that failed, or were running
// when their process ended: what passed has no output any more. The package's
// own, in which a panic stands, comes last.
func (v *verdict) report(e event) {
	v.printf("FAIL  %7.1fs %s\n", e.Elapsed, e.Package)
	var names []string
	for id := range v.output {
		if id.pkg == e.Package && id.test != "" {
			names = append(names, id.test)
		}
	}
	slices.Sort(names)
	for _, name := range append(names, "") {
		v.printf("%s", strings.Join(v.output[testID{e.Package, name}], ""))
	}
}

func (v *verdict) sum() (ok bool, err error) {
	if v.packages == 0 && len(v.failed) == 0 {
		return false, fmt.Errorf("no test was run")
	}
	tests := 0
	for _, id := range v.failed {
		if id.test != "" {
			tests++
			v.printf("failed: %s %s\n", id.pkg, id.test)
		} else {
			v.printf("failed: %s\n", id.pkg)
		}
	}
	for _, id := range v.skipped {
		v.printf("skipped, which counts as a failure: %s %s\n", id.pkg, id.test)
	}
	v.printf("%d tests passed, %d failed, %d skipped\n", v.passed, tests, len(v.skipped))
	return len(v.failed) == 0 && len(v.skipped) == 0, nil
}

func (v *verdict) printf(format string, args ...any) { _, _ = fmt.Fprintf(v.out, format, args...) }
