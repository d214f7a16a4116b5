package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/stopper"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// The formats of results.
const (
	formatText = "text"
	formatJSON = "json"
)

// An app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	mux      *drivers.Mux
	compile  func(string) (Expression, error) // nil without --where
	log      *slog.Logger
	level    *slog.LevelVar
	stop     *stopper.Stopper

	// The global flags.
	files    []string
	format   string
	logLevel string
	// logFormat is of the logs, as format is of the results.
	logFormat string

	// command is the name of the command that runs, or of the one that it belongs to.
	command string

	loaded *config.Config

	mu    sync.Mutex      // guards asked: a console finds queues concurrently
	asked []*config.Queue // the queues that find has returned, each once
}

// config loads the configuration, once.
func (a *app) config() (*config.Config, error) {
	if a.loaded == nil {
		c, err := config.Load(&config.Options{Files: a.files, OpenTable: opentable.URL})
		if err != nil {
			return nil, err
		}
		a.loaded = c
	}
	return a.loaded, nil
}

// given returns the flags that a command needs to work on the same configuration, as
// a shell reads them.
func (a *app) given() string {
	var b strings.Builder
	for _, f := range a.files {
		b.WriteString(" --config " + quoted(f))
	}
	return b.String()
}

// find finds a queue by its name or its URL.
func (a *app) find(nameOrURL string) (*config.Queue, error) {
	c, err := a.config()
	if err != nil {
		// A queue given as a URL needs no configuration, but a wrong one must
		// not pass unnoticed: its values would have been meant to count.
		return nil, err
	}
	q, err := c.Queue(nameOrURL)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && !slices.ContainsFunc(a.asked, func(other *config.Queue) bool { return other.Name == q.Name }) {
		a.asked = append(a.asked, q)
	}
	return q, err
}

// openSource opens a queue for receiving.
func (a *app) openSource(ctx context.Context, nameOrURL string) (*config.Queue, drivers.Source, error) {
	q, err := a.find(nameOrURL)
	if err != nil {
		return nil, nil, err
	}
	s, err := q.OpenSource(ctx, a.mux, a.log)
	if err != nil {
		return nil, nil, opening(err)
	}
	return q, s, nil
}

// openExisting opens a queue to look at it, or to work on what it holds. Opening an
// embedded queue creates it and sets what the configuration says of it; this does
// neither, and fails if the queue does not exist.
func (a *app) openExisting(ctx context.Context, nameOrURL string) (*config.Queue, drivers.Source, error) {
	q, err := a.find(nameOrURL)
	if err != nil {
		return nil, nil, err
	}
	as := *q
	// The opening reports a URL that names no opener, or none at all.
	if opener, u, err := a.mux.Opener(q.Source); err == nil {
		maker, makes := opener.(provision.SpecOpener)
		if examiner, ok := opener.(provision.Examiner); makes && ok {
			if q.Configured {
				if _, err := maker.WithSpec(u, &q.Spec); err != nil {
					return nil, nil, opening(err)
				}
			}
			if _, err := examiner.Examine(ctx, u); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", config.Redact(q.Source), opening(err))
			}
			as.Configured, as.Spec = false, provision.Spec{}
		}
	}
	s, err := as.OpenSource(ctx, a.mux, a.log)
	if err != nil {
		return nil, nil, opening(err)
	}
	return q, s, nil
}

// openSink opens a queue for sending.
func (a *app) openSink(ctx context.Context, nameOrURL string) (*config.Queue, drivers.Sink, error) {
	q, err := a.find(nameOrURL)
	if err != nil {
		return nil, nil, err
	}
	s, err := q.OpenSink(ctx, a.mux, a.log)
	if err != nil {
		return nil, nil, opening(err)
	}
	return q, s, nil
}

// globals checks the global flags before any command runs.
func (a *app) globals() error {
	if a.format != formatText && a.format != formatJSON {
		return usage("--output %s: it is %s or %s", a.format, formatText, formatJSON)
	}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[a.logLevel]
	if !ok {
		return usage("--log-level %s: it is debug, info, warn or error", a.logLevel)
	}
	a.level.Set(level)
	switch a.logFormat {
	case formatText:
	case formatJSON:
		a.logJSON()
	default:
		return usage("--log-format %s: it is %s or %s", a.logFormat, formatText, formatJSON)
	}
	return nil
}

// logJSON has logs and errors written as JSON.
func (a *app) logJSON() {
	a.logFormat = formatJSON
	a.log = slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: a.level}))
}

// wantsJSON reports whether arguments ask for logs in JSON, also if they are wrong: their
// fault is reported before the flags are checked, or even read to the end.
func wantsJSON(args []string) bool {
	format := ""
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if value, ok := strings.CutPrefix(arg, "--log-format="); ok {
			format = value
		} else if arg == "--log-format" && i+1 < len(args) {
			format = args[i+1]
		}
	}
	return format == formatJSON
}

// oneQueue accepts one queue, and says what a queue is if there is none.
func (a *app) oneQueue(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return fmt.Errorf("no queue given%s", a.whatQueue())
	case 1:
		return a.someQueues(nil, args)
	default:
		return fmt.Errorf("unexpected argument %q after %q", args[1], args[0])
	}
}

// queuesArgs accepts one queue or more, and says what a queue is if there is none.
func (a *app) queuesArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no queue given%s", a.whatQueue())
	}
	return a.someQueues(cmd, args)
}

// someQueues accepts any number of queues, each once.
func (a *app) someQueues(cmd *cobra.Command, args []string) error {
	for i, name := range args {
		if slices.Contains(args[:i], name) {
			return fmt.Errorf("queue %q is given twice", name)
		}
	}
	return a.namedQueues(cmd, args)
}

// namedQueues accepts any number of queues.
func (a *app) namedQueues(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if strings.TrimSpace(name) == "" {
			return fmt.Errorf("the name of a queue is empty%s", a.whatQueue())
		}
	}
	return nil
}

// whatQueue says what can be given for a queue.
func (a *app) whatQueue() string {
	c, err := a.config()
	if err != nil || len(c.Names()) == 0 {
		return ": give a URL, such as sqlite://jobs.db?queue=orders or awssqs:///orders, or a name from a " + config.DefaultFile
	}
	return ": give a URL or a name from the configuration (known: " + strings.Join(c.Names(), ", ") + ")"
}

// completeQueues completes the names of the configuration.
func (a *app) completeQueues(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return c.Names(), cobra.ShellCompDirectiveNoFileComp
}

// asJSON is true where results are JSON.
func (a *app) asJSON() bool { return a.format == formatJSON }

// printJSON writes an object on one line.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf writes text results.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

// print writes a result: as an object if results are JSON, else as the text.
func (a *app) print(result any, format string, args ...any) error {
	if a.asJSON() {
		return a.printJSON(result)
	}
	return a.printf(format, args...)
}

// table writes rows in columns; the first row is the heading. On a terminal that is too
// narrow for them it follows the layout, and names the columns that it leaves out.
func (a *app) table(rows [][]string, l layout) error {
	width := columns(a.out)
	rows, left := l.fit(rows, width)
	ws := widths(rows)
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(cell + "\n")
			} else {
				b.WriteString(padded(cell, ws[i]+columnGap))
			}
		}
	}
	if err := a.printf("%s", b.String()); err != nil || len(left) == 0 {
		return err
	}
	return a.printf("%s\n", folded("(-o json also has "+strings.Join(left, ", ")+")", 0, 1, width))
}

// complain writes an error to stderr, a line for each that is joined in it.
func (a *app) complain(err error) {
	if a.unread(err) {
		return // whoever reads the results, such as head, has had enough
	}
	if errors.Is(err, context.Canceled) && a.stop.Stop.Err() != nil {
		err = errors.New("interrupted")
	}
	var faults *config.Error
	if errors.As(err, &faults) {
		for _, f := range faults.Faults {
			a.complainLine(f)
		}
		return
	}
	for _, fault := range apart(err) {
		a.complainLine(fault)
	}
}

// unread reports whether an error is that nobody reads stdout any more.
func (a *app) unread(err error) bool {
	f, ok := a.out.(*os.File)
	var at *fs.PathError
	return ok && errors.Is(err, syscall.EPIPE) && errors.As(err, &at) && at.Path == f.Name()
}

// complainLine writes an error of one line, in the format of the logs.
func (a *app) complainLine(err error) {
	if a.logFormat == formatJSON {
		a.log.Error(err.Error() + adviser{a}.hint(err))
		return
	}
	// If stderr cannot be written, nobody is left to read it.
	_, _ = fmt.Fprintf(a.err, "sluice: %v%s\n", err, adviser{a}.hint(err))
}
