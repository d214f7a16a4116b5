package cli

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler/route"
)

// typeFlags name a command for each kind of message.
type typeFlags struct {
	commands []string // KIND=COMMAND
	grace    time.Duration
}

// A kind and the words of its command.
type kindCommand struct {
	kind  string
	words []string
}

// parse splits the flags' values.
func (f *typeFlags) parse() ([]kindCommand, error) {
	var (
		commands []kindCommand
		seen     []string
	)
	for _, value := range f.commands {
		kind, command, ok := strings.Cut(value, "=")
		if !ok || kind == "" {
			return nil, usage("run: --type %q is not KIND=COMMAND", value)
		}
		if slices.Contains(seen, kind) {
			return nil, usage("run: --type %s is given twice", kind)
		}
		words, err := commandWords(command)
		if err != nil {
			return nil, usage("run: --type %s: %w", kind, err)
		}
		seen, commands = append(seen, kind), append(commands, kindCommand{kind, words})
	}
	return commands, nil
}

// open returns a work that runs the command of a message's kind. command makes that of
// one kind.
func (f *typeFlags) open(log *slog.Logger, command func(words []string) (*work, error)) (w *work, err error) {
	commands, err := f.parse()
	if err != nil {
		return nil, err
	}
	r, err := route.New(&route.Config{Grace: f.grace, Logger: log})
	if err != nil {
		return nil, err
	}
	var all []*work
	w = &work{
		Handler: r,
		kill: func() {
			for _, one := range all {
				one.kill()
			}
		},
		close: func() (err error) {
			for _, one := range all {
				err = errors.Join(err, one.close())
			}
			return err
		},
	}
	for _, c := range commands {
		one, err := command(c.words)
		if err == nil {
			all = append(all, one)
			w.gates = append(w.gates, one.gates...)
			err = r.Add(c.kind, one.Handler, nil)
		}
		if err != nil {
			return nil, errors.Join(usage("run: --type %s: %w", c.kind, err), w.close())
		}
	}
	return w, nil
}
