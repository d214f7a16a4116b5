// Command conformance runs every driver's conformance test, on every server
// that it has one for, and prints the table of rules against servers as
// Markdown. It is run from the root of the repository:
//
//	go run ./drivers/drivertest/internal/conformance/cmd/conformance           # to the standard output
//	go run ./drivers/drivertest/internal/conformance/cmd/conformance -write    # to docs/conformance.md
//
// It ends with 1 if a rule is broken. The output of the tests goes to standard
// error.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/sluice-go/sluice/drivers/drivertest/internal/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	write := flags.Bool("write", false, "write docs/conformance.md instead of the standard output")
	from := flags.String("from", "", "print the reports in this `directory` instead of running the tests")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir := *from
	if dir == "" {
		temp, err := os.MkdirTemp("", "conformance")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := test(ctx, temp); err != nil {
			fmt.Fprintln(os.Stderr, "conformance: some tests failed:", err)
		}
		dir = temp
	}
	reports, err := conformance.Read(dir)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		return errors.New("no conformance test has run; run this from the root of the repository")
	}
	table := conformance.NewTable(reports)
	var page bytes.Buffer
	if err := table.WriteMarkdown(&page); err != nil {
		return err
	}
	if *write {
		err = os.WriteFile(filepath.Join("docs", "conformance.md"), page.Bytes(), 0o644)
	} else {
		_, err = os.Stdout.Write(page.Bytes())
	}
	if err != nil {
		return err
	}
	if failed := table.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d results are failures, the first is %s", len(failed), failed[0])
	}
	return nil
}

// test runs the drivers' conformance tests, which write their reports to dir.
func test(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "Conformance", "./drivers/...")
	cmd.Env = append(os.Environ(), conformance.DirVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
