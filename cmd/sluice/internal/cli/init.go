package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/cmd/sluice/internal/scaffold"
)

// An initCommand writes the module of a new worker.
type initCommand struct {
	*app
	project scaffold.Project
	yes     bool
}

func newInit(a *app) *cobra.Command {
	i := &initCommand{app: a}
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Write the module of a new worker",
		Long: `Writes a worker into the directory DIR: main, handler, test, sluice.yaml and
production.yaml, a Dockerfile and a workflow for CI. It builds and passes its test as it
is, and runs on an embedded queue until production.yaml is laid over sluice.yaml.

On a terminal it asks for the settings whose flags are not given. Existing files are
never overwritten.

Sluice is not published: go.mod names the clone of --sluice, and has its requirements.`,
		Example: `  sluice init ../orders
  sluice init ../mailer --yes --provider sqs --kind send-mail --kind send-sms --store postgres`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no directory given: give one that is made for the worker, such as ../orders")
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.run(cmd, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&i.project.Provider, "provider", "embedded", "`PROVIDER` of the queue in production: "+strings.Join(scaffold.Providers, ", "))
	f.StringVar(&i.project.Queue, "queue", "orders", "`NAME` of the queue")
	f.StringArrayVar(&i.project.Kinds, "kind", nil, "`KIND` of jobs on the queue, such as send-mail; repeatable (default: one typed handler)")
	f.StringVar(&i.project.Store, "store", "sqlite", "`STORE` of the marks that keep a duplicate from having an effect: "+strings.Join(scaffold.Stores, ", "))
	f.StringVar(&i.project.Module, "module", "", "`PATH` of the module (default: example.com/ and the directory's name)")
	f.StringVar(&i.project.Clone, "sluice", "", "`DIR` of a clone of Sluice (default: the one that this command was built from)")
	f.BoolVar(&i.yes, "yes", false, "ask nothing")
	return c
}

func (i *initCommand) run(cmd *cobra.Command, dir string) error {
	p := &i.project
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if p.Module == "" {
		p.Module = "example.com/" + strings.ToLower(filepath.Base(dir))
	}
	if p.Clone == "" {
		if p.Clone = scaffold.Clone(); p.Clone == "" {
			return usage("init needs a clone of Sluice, and the one that this command was built from is not there: name one with --sluice DIR")
		}
	}
	if terminal(i.in) && !i.yes {
		if err := i.ask(cmd); err != nil {
			return err
		}
	}
	if err := p.Check(); err != nil {
		return usage("init: %w", err)
	}
	if err := p.Write(dir); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	return i.print(struct {
		Dir      string   `json:"dir"`
		Module   string   `json:"module"`
		Provider string   `json:"provider"`
		Queue    string   `json:"queue"`
		Kinds    []string `json:"kinds,omitempty"`
		Store    string   `json:"store"`
	}{dir, p.Module, p.Provider, p.Queue, p.Kinds, p.Store}, "wrote %s, a worker for the queue %s, into %s\n\n  cd %s\n  go test ./...\n  go run .\n\nREADME.md has the next steps.\n",
		p.Module, p.Queue, dir, quoted(dir))
}

// ask asks for the settings whose flags are not given. An empty line takes the default.
func (i *initCommand) ask(cmd *cobra.Command) error {
	lines := bufio.NewScanner(i.in)
	kinds := strings.Join(i.project.Kinds, " ")
	for _, question := range []struct {
		flag, text string
		value      *string
	}{
		{"module", "Path of the module", &i.project.Module},
		{"provider", "Provider in production (" + strings.Join(scaffold.Providers, ", ") + ")", &i.project.Provider},
		{"queue", "Name of the queue", &i.project.Queue},
		{"kind", "Kinds of jobs on the queue, separated by spaces (none: one handler)", &kinds},
		{"store", "Store of the marks of handled messages (" + strings.Join(scaffold.Stores, ", ") + ")", &i.project.Store},
	} {
		if cmd.Flags().Changed(question.flag) {
			continue
		}
		if _, err := fmt.Fprintf(i.err, "%s [%s]: ", question.text, *question.value); err != nil {
			return err
		}
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return err
			}
			return usage("init: %w before the last answer: give the flags and --yes", io.ErrUnexpectedEOF)
		}
		if answer := strings.TrimSpace(lines.Text()); answer != "" {
			*question.value = answer
		}
	}
	i.project.Kinds = strings.Fields(kinds)
	return nil
}
