// Package cli is the sluice command: what it accepts, what it prints and how it
// exits. Package main of cmd/sluice calls [Main] and does nothing else.
//
// A command is a method of the program that returns a cobra command, in a file
// of its own. Results go to stdout, as text or as JSON (one object, or one
// object a line); logs and errors go to stderr. The exit status is one of the
// Exit constants.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
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
	// Signals has the requests to end: the first stops the command, the second ends
	// it immediately, the third ends the process. Nil is SIGINT, SIGTERM, SIGQUIT and
	// SIGHUP, as far as they are not ignored.
	Signals <-chan os.Signal
	// Exit ends the process if the command does not end soon after the second
	// request. Nil is os.Exit.
	Exit func(code int)
}

// Main runs the program and returns its exit status.
func Main(p Program) int {
	a := &app{in: p.Stdin, out: p.Stdout, err: p.Stderr, mux: p.Mux, level: new(slog.LevelVar)}
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

	ctx, ended := context.WithCancel(context.Background())
	defer ended()
	exit := p.Exit
	if exit == nil {
		exit = os.Exit
	}
	a.stop = newStopper(ctx, p.Signals, exit)
	defer a.stop.close()

	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(a.stop.ctx)
	code := exitCode(err)
	if err != nil && code != ExitFindings {
		a.complain(err)
	}
	return code
}

// An app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	mux      *drivers.Mux
	log      *slog.Logger
	level    *slog.LevelVar
	stop     *stopper

	// The global flags.
	files    []string
	format   string
	logLevel string

	loaded *config.Config
}

// complain writes an error to stderr, each line of it with the program's name.
func (a *app) complain(err error) {
	if errors.Is(err, context.Canceled) && a.stop.ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	var faults *config.Error
	if errors.As(err, &faults) {
		for _, f := range faults.Faults {
			a.complainLine(f)
		}
		return
	}
	a.complainLine(err)
}

func (a *app) complainLine(err error) {
	// If stderr cannot be written, nobody is left to read it.
	_, _ = fmt.Fprintf(a.err, "sluice: %v%s\n", err, hint(err))
}
