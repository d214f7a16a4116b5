// Package cli is the sluice command: what it accepts, what it prints and how it
// exits. Package main of cmd/sluice calls [Main] and does nothing else.
//
// Each command is a type with its flags, in the file of its name, and a function
// that makes the cobra command; what all commands share is in an app. Results go to stdout, as text or as JSON (one object, or one
// object a line); logs and errors go to stderr. The exit status is one of the
// Exit constants.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/stopper"
)

// The exit statuses.
const (
	// ExitDone: what was asked for was done.
	ExitDone = 0
	// ExitFailed: it could not be done.
	ExitFailed = 1
	// ExitUsage: the arguments or the configuration are wrong. Nothing was done.
	ExitUsage = 2
	// ExitFindings: doctor has findings, or plan has changes.
	ExitFindings = 3
)

// A Program is the command and what it runs with. Its zero fields, but for Mux,
// are those of the process.
type Program struct {
	// Args are the arguments, without the program's name.
	Args []string
	// Stdin, Stdout and Stderr are the standard streams.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Mux opens queues.
	Mux *drivers.Mux
	// Compile compiles the expressions of --where. Nil means that the program was built
	// without the tag sluice_cel.
	Compile func(source string) (Expression, error)
	// Signals has the requests to end: the first stops the command, the second ends
	// it immediately, the third ends the process. Nil is SIGINT, SIGTERM, SIGQUIT and
	// SIGHUP, as far as they are not ignored.
	Signals <-chan os.Signal
	// Exit ends the process if the command does not end soon after the second
	// request. Nil is os.Exit.
	Exit func(code int)
}

// An Expression selects letters.
type Expression interface {
	// Selects reports whether it selects a letter.
	Selects(l letters.Letter) bool
	// Fault returns for how many letters it could not be evaluated, and why for the
	// first.
	Fault() (letters int, first error)
}

// Main runs the program and returns its exit status.
func Main(p Program) int {
	a := &app{in: p.Stdin, out: p.Stdout, err: p.Stderr, mux: p.Mux, compile: p.Compile, level: new(slog.LevelVar)}
	if a.in == nil {
		a.in = os.Stdin
	}
	if a.out == nil {
		a.out = os.Stdout
	}
	if a.err == nil {
		a.err = os.Stderr
	}
	a.log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: a.level}))
	args := p.Args
	if args == nil {
		args = os.Args[1:]
	}

	exit := p.Exit
	if exit == nil {
		exit = os.Exit
	}
	a.stop = stopper.New(context.Background(), p.Signals, exit)
	defer a.stop.Close()

	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := wayOut(root.ExecuteContext(a.stop.Stop))
	code := exitCode(err)
	if err != nil {
		if wantsJSON(args) {
			a.logJSON()
		}
		a.complain(err)
	}
	return code
}
